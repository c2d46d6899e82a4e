// PacketTrace.swift
//
// What: turns a translation into the explanation that `sluicectl trace` shows: the packet, the rule it met, what each action
//       did, which bits the answer depends on and why, the flow, and the verdict in one sentence.
// Invariant: plain text only, so that it can leave the pipeline thread; made from a translation, it changes nothing.
// Threads: made on the pipeline thread, read anywhere.
// Cost: for people.

import Dataplane

/// The explanation of what happens to one packet.
public struct PacketTrace: Sendable, Equatable {
  /// What happened in one table.
  public struct Step: Sendable, Equatable {
    public var table: Int
    /// The rule that matched, on one line; empty when none did.
    public var rule: String
    /// The rule's actions.
    public var actions: String
    /// What the actions did, in order.
    public var notes: [String]
  }

  /// A field, or the bits of it, that the answer depends on.
  public struct Field: Sendable, Equatable {
    /// Such as `nw_dst=10.0.0.0/8`.
    public var match: String
    /// Such as `compared by rules of table 0`.
    public var reason: String
  }

  /// The packet's fields.
  public var packet: String
  public var steps: [Step]
  public var fields: [Field]
  /// What is done in the end.
  public var actions: String
  /// The flow that results: match and actions.
  public var flow: String
  /// One sentence: `forwarded to port eth2` or `dropped: no rule matched`.
  public var verdict: String

  /// Explains a packet; nothing is changed and nothing is sent.
  ///
  /// - Parameters:
  ///   - key: the packet, its `in_port` included.
  ///   - printsNames: write ports by name.
  public init(
    key: FlowKey, ports: PortSet, rules: RuleTables, macs: MACTable, printsNames: Bool = true
  ) {
    let translation = Translator.translate(key: key, ports: ports, rules: rules, macs: macs, explains: true)
    self.init(translation, key: key, ports: ports, printsNames: printsNames)
  }

  /// Explains a translation that was made with `explains`.
  public init(_ translation: Translation, key: FlowKey, ports: PortSet, printsNames: Bool = true) {
    let names = ports.names(printsNames: printsNames)
    let describer = StepDescriber(names: names, ttl: key[.ipTTL])
    packet = FlowMatch(key, PacketMask.of(key)).text(names: names)
    let entry = translation.rule
    steps = [
      Step(
        table: 0, rule: entry?.rule.text(names: names) ?? "",
        actions: entry.map { $0.instructions.text(names: names) } ?? "drop",
        notes: translation.steps.compactMap(describer.describe))
    ]
    fields = translation.looks.flatMap { look in
      FlowMatch(key, look.mask).fieldTexts(names: names).map { Field(match: $0, reason: look.reason.explanation) }
    }
    actions = ports.text(translation.actions, printsNames: printsNames)
    let match = FlowMatch(key, translation.mask)
    flow = "\(match.text(names: names)) actions=\(actions)"
    verdict = describer.verdict(translation, ports: ports)
  }
}

/// The bits of a packet that mean something: those of the headers that it has.
enum PacketMask {
  static func of(_ key: FlowKey) -> FlowMask {
    var mask = FlowMask()
    for field in [FlowField.inPort, .ethSrc, .ethDst, .ethType] { mask.include(field) }
    if key[.vlanTCI] != 0 { mask.include(.vlanTCI) } else { mask[.vlanVID] = FlowField.vlanVID.allOnes }
    if key[.innerVLANTCI] != 0 { mask.include(.innerVLANTCI) }
    for field in FlowField.allCases where field.isPipelineField || field == .recircID {
      if key[field] != 0 { mask.include(field) }
    }
    var known = FlowMask()
    known.include(.ethType)
    known.include(.ipProto)
    known.include(.icmpv6Type)
    let match = FlowMatch(key, known)
    for field in FlowField.allCases where FieldRequirement(field).isMet(by: match) {
      switch (FieldRequirement(field), field) {
      case (.none, _): break
      case (_, .icmpv6Type), (_, .icmpv6Code): mask.include(field == .icmpv6Type ? .icmpType : .icmpCode)
      case (_, .ndTarget), (_, .ndSLL), (_, .ndTLL): if key[field] != 0 { mask.include(field) }
      case (_, .ipv6Label), (_, .ipv6ExtHdr): if key[field] != 0 { mask.include(field) }
      default: mask.include(field)
      }
    }
    return mask
  }
}

/// Puts the steps of a translation into words.
private struct StepDescriber {
  let names: PortNames
  /// Of the packet as it came in.
  let ttl: UInt128

  func describe(_ step: TranslationStep) -> String? {
    switch step {
    case .matched(let entry): entry == nil ? "no rule matches" : nil
    case .action(let action): describe(action)
    case .sent(let port): "sent to port \(port.name) (\(port.number))"
    case .suppressed(let reason, let port): "not sent\(target(port)): \(reason.explanation)"
    case .learned(let learning, let previous): describe(learning, previous)
    case .lookedUp(let station, let port):
      port.map { "\(describe(station)) is on port \(names.format($0))" } ?? "\(describe(station)) is not known: flooded"
    case .flooded: "flooded"
    case .noEffect(let why): "nothing to do: \(why)"
    case .ended: nil
    }
  }

  private func describe(_ action: RuleAction) -> String {
    let text = ActionText.text(action, names: names)
    guard case .decrementTTL = action, ttl <= 1 else { return text }
    return "\(text): the TTL of this packet is \(ttl), so it goes no further"
  }

  private func describe(_ learning: Learning, _ previous: UInt32?) -> String {
    let station = describe(learning.station)
    let port = names.format(learning.port)
    guard let previous else { return "a packet like this would teach that \(station) is on port \(port)" }
    return previous == learning.port
      ? "\(station) is known to be on port \(port)"
      : "a packet like this would move \(station) from port \(names.format(previous)) to port \(port)"
  }

  private func describe(_ station: Station) -> String {
    let mac = AddressText.formatMAC(station.mac)
    return station.vlan == 0 ? mac : "\(mac) in VLAN \(station.vlan)"
  }

  private func target(_ port: UInt32) -> String {
    port <= ReservedPort.largestOrdinary || port == ReservedPort.local ? " to port \(names.format(port))" : ""
  }

  func verdict(_ translation: Translation, ports: PortSet) -> String {
    if let drop = translation.drop { return "dropped: \(drop.explanation)" }
    var targets: [String] = []
    var isCopied = false
    for action in translation.actions {
      switch action {
      case .decrementTTL where ttl <= 1:
        return targets.isEmpty && !isCopied
          ? "dropped: its TTL is \(ttl) and would be decremented"
          : sentence(targets, isCopied) + ", then dropped: its TTL is \(ttl) and would be decremented"
      case .output(let index): targets.append(ports.port(at: index).map(\.name) ?? "index \(index)")
      case .controller: isCopied = true
      default: break
      }
    }
    return sentence(targets, isCopied)
  }

  private func sentence(_ targets: [String], _ isCopied: Bool) -> String {
    let copied = "copied to whoever watches"
    guard !targets.isEmpty else { return copied }
    let forwarded = "forwarded to port\(targets.count == 1 ? "" : "s") \(targets.joined(separator: ", "))"
    return isCopied ? "\(forwarded) and \(copied)" : forwarded
  }
}
