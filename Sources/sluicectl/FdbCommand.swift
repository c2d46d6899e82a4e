// FdbCommand.swift: `sluicectl fdb`, the addresses that `normal` has learned.

import AgentAPI
import ArgumentParser

struct FdbCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "fdb", abstract: "The MAC addresses that the normal action has learned.",
    subcommands: [List.self, Flush.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists learned addresses with port, VLAN and age.",
      discussion: """
        EXAMPLES:
          sluicectl fdb list
          sluicectl fdb list -o json
        """,
      aliases: ["show"])

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let entries = try await global.withAgent { try await $0.fdb() }
      try global.show(entries.document, rows: entries.count, none: "no address is learned") {
        var table = Table([">port", "name", ">vlan", "mac", ">age"])
        for entry in entries {
          table.add([
            "\(entry.portNumber)", entry.port, "\(entry.vlan)", entry.mac, Human.duration(seconds: entry.ageSeconds),
          ])
        }
        return table
      }
    }
  }

  struct Flush: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "flush", abstract: "Forgets learned addresses.",
      discussion: """
        EXAMPLES:
          sluicectl fdb flush
          sluicectl fdb flush --port eth1
        """)

    @Option(help: ArgumentHelp("Only addresses behind this port.", valueName: "name|number"))
    var port: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let flushed = try await global.withAgent { try await $0.flushFdb(port: port ?? "") }
      try global.show(["flushed": .unsigned(flushed)]) { "\(flushed) \(flushed == 1 ? "address" : "addresses") forgotten" }
    }
  }
}
