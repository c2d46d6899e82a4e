// DoctorCommand.swift: `sluicectl doctor`, what keeps this machine from forwarding, or from forwarding fast.
//
// Invariant: it answers without an agent too, which is then its first finding.

import AgentAPI
import ArgumentParser
import Doctor
import Glibc

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Looks at the kernel, the agent, its workers and ports, and says how to mend what is wrong.",
    discussion: """
      Changes nothing. A warning costs speed, a failure keeps packets from being forwarded as asked; exit status 1 when anything \
      failed. Without an agent the kernel is looked at, and the interfaces that are named.

      EXAMPLES:
        sluicectl doctor
        sluicectl doctor eth1 eth2
        sluicectl doctor -o json | jq '.findings[] | select(.verdict != "ok") | .mend'
      """)

  @Argument(help: "Interfaces to look at besides the ports: whether they would do as ports.")
  var interfaces: [String] = []

  @OptionGroup var global: GlobalOptions

  func run() async throws {
    let findings = await examine().bySubject
    try global.show(findings.document) { findings.text(isColoured: Terminal.takesColour) }
    let failures = findings.count { $0.verdict == .fail }
    if failures > 0 { throw CommandFailure("\(Human.count(UInt64(failures), "check")) failed") }
  }

  private func examine() async -> [Finding] {
    let agent: AgentFacts
    do {
      agent = try await global.withAgent { agent in
        AgentFacts(status: try await agent.status(), ports: try await agent.ports(), workers: try await agent.workers().workers)
      }
    } catch {
      let finding = Finding(.fail, "agent", "reachable", "\(error)", mend: "systemctl start sluiced")
      let named = interfaces.flatMap { InterfaceChecks().findings(InterfaceFacts(name: $0)) }
      return [finding] + MachineChecks().findings() + named
    }
    let process = Self.isAgent(agent.status.pid) ? Int32(agent.status.pid) : nil
    let machine = MachineChecks(agent: process)
    let looked = InterfaceChecks(process: process)
    var findings = agent.findings + machine.findings()
    findings += agent.workers.flatMap { machine.worker($0.id, cpu: $0.cpu, isBusy: $0.busy) }
    // Interfaces that are missing, and ports that failed, are the agent's own findings.
    findings += agent.ports.filter { $0.ifindex != 0 && $0.kind == .netdev }.flatMap { looked.findings(InterfaceFacts($0)) }
    findings += looked.upcallPair()
    findings += interfaces.flatMap { InterfaceChecks().findings(InterfaceFacts(name: $0)) }
    return findings
  }

  /// Whether a process number means the agent here too: it may run in a container and have another one.
  private static func isAgent(_ process: UInt32) -> Bool {
    guard let file = fopen("/proc/\(process)/comm", "r") else { return false }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 32)
    guard fgets(&line, Int32(line.count), file) != nil else { return false }
    return String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == "sluiced"
  }
}

/// What the agent says of itself.
struct AgentFacts: Sendable {
  var status: Sluice_V1_GetStatusReply
  var ports: [Sluice_V1_Port]
  var workers: [Sluice_V1_Worker]

  var findings: [Finding] {
    var findings = [Finding(.ok, "agent", "reachable", "version \(status.version) answers at \(status.socket)")]
    findings += status.components.filter { !$0.ok && $0.name != "ports" }.map {
      Finding(.fail, "agent", $0.name, "\($0.name): \($0.message)", mend: "sluicectl status")
    }
    for port in ports {
      switch port.state {
      case .failed:
        findings.append(Finding(.fail, "port \(port.name)", "state", port.stateMessage, mend: "sluicectl port show \(port.name)"))
      case .missing:
        findings.append(Finding(.fail, "port \(port.name)", "state", port.stateMessage, mend: "sluicectl port del \(port.name)"))
      case .degraded:
        findings.append(Finding(.warn, "port \(port.name)", "state", port.stateMessage, mend: "sluicectl port show \(port.name)"))
      default: break
      }
      if port.xdpMode == .generic {
        findings.append(
          Finding(
            .warn, "port \(port.name)", "xdp mode", "the driver does not run the XDP program, so the slower network stack does: \(port.xdpModeReason)",
            mend: "sluicectl port show \(port.name)"))
      }
    }
    return findings
  }
}

extension InterfaceFacts {
  /// What the agent says of a port.
  init(_ port: Sluice_V1_Port) {
    self.init(name: port.interface)
    largestMTU = port.maxMtu == 0 ? nil : port.maxMtu
    portQueues = port.queues.isEmpty ? nil : UInt32(port.queues.count)
    hook = port.hook == .tc ? .tc : .xdp
  }
}

extension [Finding] {
  /// Those of one subject together, subjects in the order in which they come first.
  var bySubject: [Finding] {
    var order: [String: Int] = [:]
    for finding in self where order[finding.subject] == nil { order[finding.subject] = order.count }
    return enumerated().sorted { first, second in
      let (one, other) = (order[first.element.subject] ?? 0, order[second.element.subject] ?? 0)
      return one != other ? one < other : first.offset < second.offset
    }.map(\.element)
  }

  var worst: Finding.Verdict { map(\.verdict).max() ?? .ok }

  var document: JSON {
    [
      "worst": .string(worst.rawValue),
      "findings": .array(
        map {
          [
            "subject": .string($0.subject), "check": .string($0.check), "verdict": .string($0.verdict.rawValue),
            "message": .string($0.message), "mend": $0.mend.map(JSON.string) ?? .null,
          ]
        }),
    ]
  }

  func text(isColoured: Bool) -> String {
    var lines: [String] = []
    let width = map(\.subject.count).max() ?? 0
    for finding in self {
      let word = finding.verdict.rawValue.padded(to: 6)
      let colour = finding.verdict == .ok ? 32 : finding.verdict == .warn ? 33 : 31
      lines.append(
        (isColoured ? "\u{1b}[\(colour)m\(word)\u{1b}[0m" : word) + finding.subject.padded(to: width + 2) + finding.message)
      if finding.verdict != .ok, let mend = finding.mend { lines.append("".padded(to: width + 8) + "mend: \(mend)") }
    }
    let counts = [Finding.Verdict.fail, .warn, .ok].map { verdict in "\(count { $0.verdict == verdict }) \(verdict.rawValue)" }
    return (lines + ["", counts.joined(separator: ", ")]).joined(separator: "\n")
  }
}
