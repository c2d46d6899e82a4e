// MonitorCommand.swift: `sluicectl monitor`, what happens, live.

import AgentAPI
import ArgumentParser
import Synchronization

struct MonitorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "monitor", abstract: "Prints events as they happen, until interrupted.",
    discussion: """
      A reader that is too slow loses events instead of slowing the agent; how many is said on standard error, and by \
      `lost` in JSON, which is one object a line.

      EXAMPLES:
        sluicectl monitor
        sluicectl monitor drops ports
        sluicectl monitor packets --count 10 -o json
        sluicectl monitor samples --sample 100
      """)

  enum Kind: String, ExpressibleByArgument, CaseIterable {
    case drops, flows, ports, packets, rules, samples

    var message: Sluice_V1_EventKind {
      switch self {
      case .drops: .drops
      case .flows: .flows
      case .ports: .ports
      case .packets: .packets
      case .rules: .rules
      case .samples: .samples
      }
    }
  }

  @Argument(help: "Only these kinds: drops, flows, ports, packets (that an action sent to the controller), rules, samples.")
  var kinds: [Kind] = []

  @Option(
    help: ArgumentHelp(
      "Show one of so many packets that are dropped in the kernel, with its first bytes (samples alone: every one, up to 1,000 a second).",
      valueName: "n"))
  var sample: UInt32?

  @Option(help: ArgumentHelp("End after so many events.", valueName: "n"))
  var count: UInt64?

  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if sample == 0 { throw ValidationError("--sample must be 1 or more, not 0") }
    if let sample, !kinds.isEmpty, !kinds.contains(.samples) {
      throw ValidationError("--sample \(sample) shows samples, and they are not among the kinds that are asked for")
    }
    if count == 0 { throw ValidationError("--count must be 1 or more, not 0") }
  }

  func run() async throws {
    let format = global.output
    let limit = count ?? .max
    let oneIn = sample ?? (kinds.contains(.samples) ? 1 : 0)
    let progress = Mutex((printed: UInt64(0), lost: UInt64(0)))
    try await global.withAgent { agent in
      try await agent.watch(kinds.map(\.message), sample: oneIn) {
        Terminal.remark("monitoring; Ctrl-C ends it")
      } receive: { event in
        progress.withLock { progress in
          if event.lost > progress.lost, format == .table {
            Terminal.complain("\(Human.count(event.lost - progress.lost, "event")) lost, because this end is slow")
          }
          progress.lost = max(progress.lost, event.lost)
          progress.printed += 1
          let line = format == .json ? event.document.text(pretty: false) : event.text
          return Terminal.printLine(line) && progress.printed < limit
        }
      }
    }
  }
}

extension Sluice_V1_Event: Document {
  var document: JSON {
    let head: JSON = [
      "time": .string(TimeOfDay.utc(unixNanoseconds)), "unixNanoseconds": .unsigned(unixNanoseconds), "lost": .unsigned(lost),
    ]
    return head.adding(body)
  }

  private var body: JSON {
    switch event {
    case .drop(let drop):
      ["event": "drop", "port": .string(drop.port), "reason": .string(drop.reason), "packets": .unsigned(drop.packets)]
    case .flowAdded(let flow):
      ["event": "flowAdded", "flow": flow.document]
    case .flowRemoved(let removed):
      ["event": "flowRemoved", "flow": removed.flow.document, "reason": .string(removed.reason)]
    case .port(let change):
      [
        "event": "port", "change": .string(change.change.word), "port": change.port.document,
        "message": .string(change.message),
      ]
    case .packetIn(let packet):
      [
        "event": "packetIn", "port": .string(packet.port), "reason": .string(packet.reason),
        "cookie": .string("0x" + Hex.text(packet.cookie)), "length": .of(packet.length), "frame": .string(Hex.text(packet.frame)),
      ]
    case .rule(let change):
      ["event": "rule", "change": .string(change.change.word), "rule": change.rule.document, "reason": .string(change.reason)]
    case .dropSample(let drop):
      [
        "event": "dropSample", "port": .string(drop.port), "reason": .string(drop.reason), "length": .of(drop.length),
        "sample": .of(drop.sample), "frame": .string(Hex.text(drop.frame)),
      ]
    case nil:
      ["event": "unknown"]
    }
  }

  /// One line for people, beginning with the local time.
  var text: String { TimeOfDay.local(unixNanoseconds) + "  " + words }

  private var words: String {
    switch event {
    case .drop(let drop):
      return "drop          port=\(drop.port) reason=\"\(drop.reason)\" packets=\(drop.packets)"
    case .flowAdded(let flow):
      return "flow added    \(flow.id) worker=\(flow.worker) \(flow.match) actions=\(flow.actions)"
    case .flowRemoved(let removed):
      let flow = removed.flow
      return "flow removed  \(flow.id) worker=\(flow.worker) reason=\"\(removed.reason)\" packets=\(flow.matched.packets) "
        + "bytes=\(flow.matched.bytes) \(flow.match)"
    case .port(let change):
      let message = change.message.isEmpty ? change.port.state.word : change.message
      return "port \(change.change.word)".padded(to: 14) + "\(change.port.name): \(message)"
    case .packetIn(let packet):
      return "packet in     port=\(packet.port) reason=\"\(packet.reason)\" cookie=0x\(Hex.text(packet.cookie)) "
        + "length=\(packet.length) \(Hex.text(packet.frame.prefix(64)))"
    case .rule(let change):
      let reason = change.reason.isEmpty ? "" : "reason=\"\(change.reason)\" "
      let counts = change.change == .deleted ? "packets=\(change.rule.matched.packets) bytes=\(change.rule.matched.bytes) " : ""
      return "rule \(change.change.word)".padded(to: 14) + reason + counts + change.rule.text
    case .dropSample(let drop):
      return "drop sample   port=\(drop.port) reason=\"\(drop.reason)\" one in \(drop.sample) length=\(drop.length) "
        + Hex.text(drop.frame.prefix(64))
    case nil:
      return "an event that this version does not know"
    }
  }
}

extension String {
  /// With spaces behind it, one at least.
  func padded(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
