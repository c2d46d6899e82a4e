// MeterCommand.swift: `sluicectl meter`, rates that rules hold packets to.

import AgentAPI
import ArgumentParser

struct MeterCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "meter", abstract: "Adds, changes, deletes and lists meters, in the syntax of ovs-ofctl -O OpenFlow13.",
    subcommands: [Add.self, Modify.self, Delete.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds meters, all or none.",
      discussion: """
        A band of type drop drops what is over its rate; dscp_remark raises the drop precedence of it. Rates are in \
        kilobits (kbps) or packets (pktps) a second, of all workers together. Rules use a meter with meter:N.

        EXAMPLES:
          sluicectl meter add 'meter=1 kbps burst bands=type=drop rate=10000 burst_size=500'
          sluicectl meter add 'meter=2 pktps bands=type=drop rate=1000'
        """)

    @Argument(help: "Meters, or the name of a file of meters, or - for standard input. What holds a '=' is a meter.")
    var meters: [String]

    @OptionGroup var global: GlobalOptions

    func validate() throws { try RuleSource.check(meters) }

    func run() async throws {
      let reply = try await RuleSource(arguments: meters).send(with: global) { agent, input, _ in
        try await agent.addMeters(lines: input.lines)
      }
      try global.show(["added": .unsigned(reply.changed), "alreadyPresent": .unsigned(reply.unchanged)]) {
        "\(Human.count(reply.changed, "meter")) added" + (reply.unchanged == 0 ? "" : ", \(reply.unchanged) already there")
      }
    }
  }

  struct Modify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "mod", abstract: "Changes meters that are there, all or none.",
      discussion: """
        EXAMPLES:
          sluicectl meter mod 'meter=1 kbps bands=type=drop rate=20000'
        """,
      aliases: ["modify"])

    @Argument(help: "Meters, or the name of a file of meters, or - for standard input.")
    var meters: [String]

    @OptionGroup var global: GlobalOptions

    func validate() throws { try RuleSource.check(meters) }

    func run() async throws {
      let reply = try await RuleSource(arguments: meters).send(with: global) { agent, input, _ in
        try await agent.modifyMeters(lines: input.lines)
      }
      try global.show(["modified": .unsigned(reply.changed), "unchanged": .unsigned(reply.unchanged)]) {
        "\(Human.count(reply.changed, "meter")) modified" + (reply.unchanged == 0 ? "" : ", \(reply.unchanged) unchanged")
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes meters, and the rules that go through them.",
      discussion: """
        EXAMPLES:
          sluicectl meter del 1
          sluicectl meter del --all
        """,
      aliases: ["delete"])

    @Argument(help: "Numbers of meters, plain or as meter=N.")
    var ids: [GroupNumber] = []

    @Flag(help: "Every meter.")
    var all = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if all, !ids.isEmpty { throw ValidationError("--all deletes every meter; a number cannot stand beside it") }
      if !all, ids.isEmpty { throw ValidationError("which meters? give their numbers, or --all for every meter") }
    }

    func run() async throws {
      let request = Sluice_V1_DeleteMetersRequest.with {
        $0.ids = ids.map(\.number)
        $0.all = all
      }
      let reply = try await global.withAgent { try await $0.deleteMeters(request) }
      try global.show(["deleted": .unsigned(reply.deleted), "deletedRules": .unsigned(reply.deletedRules)]) {
        let rules = reply.deletedRules == 0 ? "" : ", and \(Human.count(reply.deletedRules, "rule")) with them"
        return "\(Human.count(reply.deleted, "meter")) deleted\(rules)"
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists meters with their bands and counters.",
      discussion: """
        EXAMPLES:
          sluicectl meter list
          sluicectl meter list 1 -o json
          sluicectl meter list --plain > meters.txt
        """)

    @Argument(help: "Numbers of meters (default: all).")
    var ids: [GroupNumber] = []

    @Flag(help: "One meter a line, without counters, as `meter add` reads them.")
    var plain = false

    @Flag(help: "One meter a line with counters, as `ovs-ofctl meter-stats` prints them.")
    var stats = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if plain, stats { throw ValidationError("--plain leaves counters out and --stats prints them; give one of them") }
    }

    func run() async throws {
      let meters = try await global.withAgent { [ids] agent in try await agent.meters(ids.map(\.number)) }
      if plain || stats, global.output == .table {
        let lines = meters.map { stats ? $0.statistics : $0.text }
        if !meters.isEmpty { try Terminal.print(lines.joined(separator: "\n")) }
        return
      }
      try global.show(meters.document, rows: meters.count, none: "no meters") { Self.table(meters) }
    }

    static func table(_ meters: [Sluice_V1_Meter]) -> Table {
      var table = Table([
        ">meter", ">uses", ">packets", ">bytes", "band", ">rate", ">burst", ">over", ">bytes over", "text",
      ])
      for meter in meters {
        let head = ["\(meter.id)", "\(meter.references)", "\(meter.matched.packets)", Human.bytes(meter.matched.bytes)]
        for band in meter.bands {
          table.add(
            head + [
              band.type, "\(band.rate)", band.burstSize == 0 ? "" : "\(band.burstSize)", "\(band.matched.packets)",
              Human.bytes(band.matched.bytes), meter.text,
            ])
        }
      }
      return table
    }
  }
}

extension Sluice_V1_Meter: Document {
  var document: JSON {
    [
      "id": .of(id), "packets": .unsigned(matched.packets), "bytes": .unsigned(matched.bytes),
      "durationSeconds": .unsigned(durationSeconds), "references": .of(references),
      "bands": .array(
        bands.map { band in
          [
            "type": .string(band.type), "rate": .of(band.rate), "burstSize": .of(band.burstSize),
            "packets": .unsigned(band.matched.packets), "bytes": .unsigned(band.matched.bytes),
          ]
        }), "text": .string(text),
    ]
  }

  /// As `ovs-ofctl meter-stats` prints it.
  var statistics: String {
    let parts = bands.enumerated().map { index, band in
      "\(index): packet_count:\(band.matched.packets) byte_count:\(band.matched.bytes)"
    }
    return "meter:\(id) flow_count:\(references) packet_in_count:\(matched.packets) byte_in_count:\(matched.bytes) "
      + "duration:\(durationSeconds)s bands: \(parts.joined(separator: " "))"
  }
}
