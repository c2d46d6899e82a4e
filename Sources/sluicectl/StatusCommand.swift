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
    let prefixes = status.denyPrefixes == 1 ? "prefix" : "prefixes"
    let deniedPrefixes = status.denyPrefixes == 0 ? "" : ", \(status.denyPrefixes) denied \(prefixes)"
    let deniedTuples = status.denyTuples == 0 ? "" : ", \(Human.count(status.denyTuples, "denied five-tuple"))"
    let limits = status.limits == 0 ? "" : ", \(Human.count(status.limits, "rate limit"))"
    let denied = deniedPrefixes + deniedTuples + limits
    let groups = status.groups == 0 ? "" : ", \(Human.count(status.groups, "group"))"
    let meters = status.meters == 0 ? "" : ", \(Human.count(status.meters, "meter"))"
    let drops = status.drops.isEmpty ? "" : " (\(status.drops.words))"

    var lines = [
      (
        "Agent",
        "\(status.isOK ? "ok" : "not ok"), \(status.version)\(commit), pid \(status.pid), "
          + "up \(Human.duration(seconds: status.uptimeSeconds)), \(Human.bytes(status.rssBytes)) resident"
      ),
      ("Socket", status.socket),
      ("Config", status.configFile.isEmpty ? "defaults" : status.configFile),
      ("Store", status.store),
      ("Ports", portCount == 0 ? "none; add one with: sluicectl port add NAME" : "\(portCount) (\(states))"),
      ("Workers", "\(status.workers)"),
      ("Rules", "\(status.rules)\(groups)\(meters), \(Human.count(status.flows, "flow"))\(denied)"),
      ("Received", traffic(status.received)),
      ("Sent", traffic(status.transmitted)),
      ("Dropped", Human.count(status.droppedPackets, "packet") + drops),
    ]
    lines += status.components.map { component in
      let verdict = component.ok ? "ok" : "FAILED"
      return (component.name, component.message.isEmpty ? verdict : "\(verdict), \(component.message)")
    }
    let width = (lines.map(\.0.count).max() ?? 0) + 3
    return lines.map { title, text in
      title + ":" + String(repeating: " ", count: width - title.count - 1) + text
    }.joined(separator: "\n")
  }

  private static func traffic(_ traffic: Sluice_V1_Traffic) -> String {
    "\(Human.count(traffic.packets, "packet")), \(Human.bytes(traffic.bytes))"
  }
}
