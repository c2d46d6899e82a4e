// FlowWhyCommand.swift: `sluicectl flow why`, where a flow is executed, and why not elsewhere.

import AgentAPI
import ArgumentParser

extension FlowCommand {
  struct Why: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "why", abstract: "Says where a flow is executed, why not elsewhere, and which rules made it.",
      discussion: """
        Numbers of flows are in `sluicectl flow list`. They are unique while the agent runs.

        EXAMPLES:
          sluicectl flow why 42
          sluicectl flow why 42 -o json | jq '.tiers[] | select(.held | not) | .reason'
        """)

    @Argument(help: "The flow's number.")
    var id: UInt64

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let reply = try await global.withAgent { try await $0.flow(id) }
      try global.show(reply.document) { reply.text }
    }
  }
}

extension Sluice_V1_GetFlowReply: Document {
  var document: JSON {
    flow.document.adding([
      "ruleText": rule.isEmpty ? nil : .string(rule),
      "tiers": .array(
        tiers.map {
          [
            "tier": .string($0.tier.word), "held": .bool($0.held), "reason": $0.held ? nil : .string($0.reason),
            "packets": .unsigned($0.matched.packets), "bytes": .unsigned($0.matched.bytes),
          ]
        }),
    ])
  }

  var text: String {
    let inTiers = tiers.reduce(UInt64(0)) { $0 + $1.matched.packets }
    var lines = [
      "Flow:     \(flow.id), \(Human.count(flow.matched.packets, "packet")), \(Human.bytes(flow.matched.bytes)), "
        + "\(Human.duration(milliseconds: flow.ageMilliseconds)) old, used \(Human.duration(milliseconds: flow.idleMilliseconds)) ago",
      "Match:    \(flow.match.isEmpty ? "any" : flow.match)",
      "Actions:  \(flow.actions)",
    ]
    let met = flow.rules.map { "table \($0.table) priority \($0.priority) cookie 0x\(Hex.text($0.cookie))" }
    lines.append("Rules:    " + (met.isEmpty ? "none matched" : met.joined(separator: ", then ")))
    if !rule.isEmpty { lines.append("Decided:  \(rule)") }
    lines.append("")
    for tier in tiers {
      let words = tier.held ? "executes it" : tier.reason
      let share = tier.matched.packets == 0 ? "" : "; \(Human.count(tier.matched.packets, "packet")) so far"
      lines.append((tier.tier.word + ":").padded(to: 10) + words + share)
    }
    let isAbove = tiers.contains(where: \.held)
    let mine = Human.count(flow.matched.packets - min(inTiers, flow.matched.packets), "packet")
    lines.append(
      "user:".padded(to: 10) + "worker \(flow.worker) "
        + (isAbove ? "keeps it too, for what comes back; \(mine) so far" : "executes it; \(mine) so far"))
    if tiers.isEmpty {
      lines.append("kernel:".padded(to: 10) + "not in use: no port wants it; one that does is made with: sluicectl port add NAME --kernel auto")
    }
    return lines.joined(separator: "\n")
  }
}
