// DenyCommand.swift: `sluicectl deny`, sources that are dropped before anything else.

import AgentAPI
import ArgumentParser

struct DenyCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "deny", abstract: "Source prefixes that are dropped in XDP, before anything else looks at them.",
    subcommands: [Add.self, Delete.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds prefixes, all or none. One that is there already is no error.",
      discussion: """
        EXAMPLES:
          sluicectl deny add 192.0.2.0/24
          sluicectl deny add 198.51.100.7 2001:db8::/32
        """)

    @Argument(help: "IPv4 or IPv6 prefixes; a bare address means that host.")
    var prefixes: [String]

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let reply = try await global.withAgent { try await $0.addDeny(prefixes) }
      try global.show(["added": .unsigned(reply.added), "alreadyPresent": .unsigned(reply.alreadyPresent)]) {
        let present = reply.alreadyPresent == 0 ? "" : ", \(reply.alreadyPresent) already there"
        return "\(reply.added) \(reply.added == 1 ? "prefix" : "prefixes") added\(present)"
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes prefixes, all or none.",
      discussion: """
        EXAMPLES:
          sluicectl deny del 192.0.2.0/24
          sluicectl deny del 192.0.2.0/24 --if-exists
        """,
      aliases: ["delete"])

    @Argument(help: "Prefixes, as `deny list` shows them.")
    var prefixes: [String]

    @Flag(help: "Pass over prefixes that are not there.")
    var ifExists = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let deleted = try await global.withAgent { try await $0.deleteDeny(prefixes, ifExists: ifExists) }
      try global.show(["deleted": .unsigned(deleted)]) { "\(deleted) \(deleted == 1 ? "prefix" : "prefixes") deleted" }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists denied prefixes and what they dropped.",
      discussion: """
        EXAMPLES:
          sluicectl deny list
          sluicectl deny list -o json
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let entries = try await global.withAgent { try await $0.deny() }
      try global.show(entries.document, rows: entries.count, none: "no prefix is denied") {
        var table = Table(["prefix", ">packets", ">bytes"])
        for entry in entries { table.add([entry.prefix, "\(entry.dropped.packets)", Human.bytes(entry.dropped.bytes)]) }
        return table
      }
    }
  }
}
