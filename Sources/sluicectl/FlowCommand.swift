// FlowCommand.swift: `sluicectl flow`, what the rules mean for the packets that came.

import AgentAPI
import ArgumentParser

struct FlowCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "flow", abstract: "Lists, explains and counts the flows that are being executed, or forgets them.",
    subcommands: [List.self, Why.self, Summary.self, Purge.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists flows with packets, bytes, age and the tier that executes them.",
      discussion: """
        EXAMPLES:
          sluicectl flow list
          sluicectl flow list tcp,tp_dst=443 --port eth1
          sluicectl flow list --table 2 --cookie 0x10/0xf0
          sluicectl flow list -o json | jq 'sort_by(-.packets)[:10]'
        """)

    @Argument(help: "Only flows whose match is at least as specific as this one.")
    var match: String?

    @Option(help: ArgumentHelp("Only flows that come in on this port.", valueName: "name|number"))
    var port: String?

    @Option(help: ArgumentHelp("Only flows that met a rule of this table.", valueName: "n"))
    var table: UInt8?

    @Option(
      help: ArgumentHelp("Only flows that met a rule with this cookie, in the bits of the mask when there is one.", valueName: "n[/mask]"))
    var cookie: CookieSelector?

    @Option(help: ArgumentHelp("At most so many flows.", valueName: "n"))
    var limit: UInt64?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if limit == 0 { throw ValidationError("--limit must be 1 or more, not 0") }
    }

    func run() async throws {
      let request = Sluice_V1_ListFlowsRequest.with {
        $0.match = match ?? ""
        $0.port = port ?? ""
        $0.limit = limit ?? 0
        if let table { $0.table = UInt32(table) }
        $0.cookie = cookie?.cookie ?? 0
        $0.cookieMask = cookie?.mask ?? 0
      }
      let flows = try await global.withAgent { try await $0.flows(request) }
      try global.show(flows.document, rows: flows.count, none: "no flows") { Self.table(flows) }
    }

    static func table(_ flows: [Sluice_V1_Flow]) -> Table {
      var table = Table([">id", ">worker", "tier", ">packets", ">bytes", ">age", ">used", "rules", "match", "actions"])
      for flow in flows {
        table.add([
          "\(flow.id)", "\(flow.worker)", flow.tier.word, "\(flow.matched.packets)", Human.bytes(flow.matched.bytes),
          Human.duration(milliseconds: flow.ageMilliseconds), Human.duration(milliseconds: flow.idleMilliseconds),
          flow.rules.map(\.words).joined(separator: " "), flow.match.isEmpty ? "any" : flow.match, flow.actions,
        ])
      }
      return table
    }
  }

  struct Summary: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "summary", abstract: "Counts flows and masks, and says what they cost.",
      discussion: """
        A mask is a set of bits that some flow compares. A packet whose connection the exact cache does not know is compared \
        with every mask until one fits, so few masks are good.

        EXAMPLES:
          sluicectl flow summary
          sluicectl flow summary -o json | jq .masks
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let summary = try await global.withAgent { try await $0.flowSummary() }
      try global.show(summary.document) { summary.text }
    }
  }

  struct Purge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "purge", abstract: "Forgets all flows; the next packet of each computes it anew from the rules.",
      discussion: """
        EXAMPLES:
          sluicectl flow purge
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let purged = try await global.withAgent { try await $0.purgeFlows() }
      try global.show(["purged": .unsigned(purged)]) { "\(Human.count(purged, "flow")) purged" }
    }
  }
}

extension Sluice_V1_FlowRule {
  /// "0:100", table and priority.
  var words: String { "\(table):\(priority)" }
}
