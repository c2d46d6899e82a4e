// StatusCommand.swift: `sluicectl status`, is the agent well?

import AgentAPI
import ArgumentParser

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows whether the agent and its parts are well.",
    discussion: """
      EXAMPLES:
        sluicectl status
        sluicectl status -o json | jq .ok
      """)

  @OptionGroup var global: GlobalOptions

  func run() async throws {
    let status = try await global.withAgent { try await $0.status() }
    try global.show(status.document) { Self.text(status) }
  }

  static func text(_ status: Sluice_V1_GetStatusReply) -> String {
    let commit = status.gitCommit.isEmpty ? "" : " (\(status.gitCommit))"
    let ports = status.portsByState.filter { $0.count > 0 }
    let portCount = ports.reduce(0) { $0 + UInt64($1.count) }
    let states = ports.map { "\($0.count) \($0.state.word)" }.joined(separator: ", ")
    let denied = status.denyPrefixes > 0 ? ", \(status.denyPrefixes) denied prefixes" : ""
    let drops = status.drops.isEmpty ? "" : " (\(status.drops.words))"

    var out = [
      line("Agent", "\(status.isOK ? "ok" : "not ok"), \(status.version)\(commit), pid \(status.pid), "
        + "up \(Human.duration(seconds: status.uptimeSeconds)), \(Human.bytes(status.rssBytes)) resident"),
      line("Socket", status.socket),
      line("Config", status.configFile.isEmpty ? "defaults" : status.configFile),
      line("Store", status.store),
      line("Ports", portCount == 0 ? "none; add one with: sluicectl port add NAME" : "\(portCount) (\(states))"),
      line("Workers", "\(status.workers)"),
      line("Rules", "\(status.rules), \(Human.count(status.flows, "flow"))\(denied)"),
      line("Received", traffic(status.received)),
      line("Sent", traffic(status.transmitted)),
      line("Dropped", Human.count(status.droppedPackets, "packet") + drops),
    ]
    for component in status.components {
      let verdict = component.ok ? "ok" : "FAILED"
      out.append(line(component.name, component.message.isEmpty ? verdict : "\(verdict), \(component.message)"))
    }
    return out.joined(separator: "\n")
  }

  private static func line(_ title: String, _ text: String) -> String {
    let label = title + ":"
    return label + String(repeating: " ", count: max(1, 13 - label.count)) + text
  }

  private static func traffic(_ traffic: Sluice_V1_Traffic) -> String {
    "\(Human.count(traffic.packets, "packet")), \(Human.bytes(traffic.bytes))"
  }
}
