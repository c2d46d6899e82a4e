// TraceCommand.swift: `sluicectl trace`, where would this packet go, and why?

import AgentAPI
import ArgumentParser

struct Trace: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what would happen to a packet, step by step, without sending one.",
    discussion: """
      The packet is described by its fields in the syntax of a rule's match, or given whole in hexadecimal digits from \
      its Ethernet header on. Nothing is learned and no counter moves.

      EXAMPLES:
        sluicectl trace 'in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80'
        sluicectl trace --in-port eth1 arp
        sluicectl trace --in-port 1 'ffffffffffff 020000000001 0806 0001080006040001 020000000001 0a000001 000000000000 0a000002'
      """)

  @Argument(help: "The packet's fields, or its bytes in hexadecimal (white space and colons are ignored).")
  var packet: String

  @Option(help: ArgumentHelp("The port that the packet comes in on.", valueName: "name|number"))
  var inPort: String?

  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if Self.frame(packet) != nil, inPort == nil {
      throw ValidationError("a packet in hexadecimal does not say where it comes in; give --in-port NAME")
    }
  }

  func run() async throws {
    let request = Sluice_V1_TraceRequest.with {
      if let frame = Self.frame(packet) {
        $0.frame = .init(frame)
      } else {
        $0.description_p = packet
      }
      $0.inPort = inPort ?? ""
    }
    let reply = try await global.withAgent { try await $0.trace(request) }
    try global.show(reply.document) { Self.text(reply) }
  }

  /// The bytes of a packet given in hexadecimal; nil when the text is a description. No description has 28 digits and
  /// nothing else, and no Ethernet header has fewer.
  static func frame(_ text: String) -> [UInt8]? {
    guard let bytes = Hex.bytes(text), bytes.count >= 14 else { return nil }
    return bytes
  }

  static func text(_ reply: Sluice_V1_TraceReply) -> String {
    var lines = ["Packet:   \(reply.packet)", ""]
    for step in reply.steps {
      // Without a rule the first note says what there is instead: none matches, or the packet has been parsed again.
      let headline = step.rule.isEmpty ? step.notes.first ?? "no rule matches" : step.rule
      lines.append("table \(step.table): \(headline)")
      // A rule's own line mostly ends with its actions.
      if !step.actions.isEmpty, !step.rule.contains("actions=") { lines.append("    actions=\(step.actions)") }
      lines += step.notes.dropFirst(step.rule.isEmpty ? 1 : 0).map { "    \($0)" }
    }
    if !reply.fields.isEmpty {
      lines += ["", "Depends on:"]
      let width = reply.fields.map(\.match.count).max() ?? 0
      lines += reply.fields.map { field in
        let room = String(repeating: " ", count: width - field.match.count)
        return field.reason.isEmpty ? "    \(field.match)" : "    \(field.match)\(room)  \(field.reason)"
      }
    }
    lines += [
      "", "Flow:     \(reply.flow.isEmpty ? "none" : reply.flow)", "Actions:  \(reply.actions)", "Verdict:  \(reply.verdict)",
    ]
    return lines.joined(separator: "\n")
  }
}
