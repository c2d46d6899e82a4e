// DenyCommand.swift: `sluicectl deny`, what is dropped before anything else.

import AgentAPI
import ArgumentParser

struct DenyCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "deny", abstract: "Sources and five-tuples that are dropped in XDP, before anything else looks at them.",
    subcommands: [Add.self, Delete.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds prefixes and five-tuples, all or none. One that is there already is no error.",
      discussion: """
        A five-tuple names src or dst or both; protocols are tcp, udp, icmp, icmp6, sctp, dccp, udplite, gre, esp or a number. \
        Later fragments of a packet have no ports.

        EXAMPLES:
          sluicectl deny add 192.0.2.0/24
          sluicectl deny add 198.51.100.7 2001:db8::/32
          sluicectl deny add --tuple proto=tcp,src=192.0.2.1,dst=198.51.100.7,dport=80
          sluicectl deny add --file blocklist.txt
        """)

    @OptionGroup var what: DenyArguments
    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let (prefixes, tuples) = try what.all()
      let reply = try await global.withAgent { try await $0.addDeny(prefixes, tuples: tuples) }
      try global.show(["added": .unsigned(reply.added), "alreadyPresent": .unsigned(reply.alreadyPresent)]) {
        let present = reply.alreadyPresent == 0 ? "" : ", \(reply.alreadyPresent) already there"
        return "\(DenyCommand.noun(reply.added, prefixes, tuples)) added\(present)"
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes prefixes and five-tuples, all or none.",
      discussion: """
        EXAMPLES:
          sluicectl deny del 192.0.2.0/24
          sluicectl deny del --tuple proto=tcp,src=192.0.2.1,dst=198.51.100.7,dport=80
          sluicectl deny del --file blocklist.txt --if-exists
        """,
      aliases: ["delete"])

    @OptionGroup var what: DenyArguments

    @Flag(help: "Pass over what is not there.")
    var ifExists = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let (prefixes, tuples) = try what.all()
      let deleted = try await global.withAgent { try await $0.deleteDeny(prefixes, tuples: tuples, ifExists: ifExists) }
      try global.show(["deleted": .unsigned(deleted)]) { "\(DenyCommand.noun(deleted, prefixes, tuples)) deleted" }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists what is denied and what it dropped.",
      discussion: """
        EXAMPLES:
          sluicectl deny list
          sluicectl deny list -o json
          sluicectl deny list --plain > blocklist.txt
        """)

    @Flag(help: "One entry a line, without counters, as `deny add --file` reads them.")
    var plain = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let entries = try await global.withAgent { try await $0.deny() }
      if plain, global.output == .table {
        if !entries.isEmpty { try Terminal.print(entries.map(\.name).joined(separator: "\n")) }
        return
      }
      try global.show(entries.document, rows: entries.count, none: "nothing is denied") {
        var table = Table(["denied", ">packets", ">bytes"])
        for entry in entries { table.add([entry.name, "\(entry.dropped.packets)", Human.bytes(entry.dropped.bytes)]) }
        return table
      }
    }
  }

  /// "1 prefix", "2 five-tuples", "3 entries" when both were named.
  private static func noun(_ count: UInt64, _ prefixes: [String], _ tuples: [String]) -> String {
    if tuples.isEmpty { return "\(count) \(count == 1 ? "prefix" : "prefixes")" }
    if prefixes.isEmpty { return Human.count(count, "five-tuple") }
    return "\(count) \(count == 1 ? "entry" : "entries")"
  }
}

extension Sluice_V1_DenyEntry {
  fileprivate var name: String { prefix.isEmpty ? tuple : prefix }
}
