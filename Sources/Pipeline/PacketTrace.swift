// PacketTrace.swift
//
// What: turns a translation into the explanation that `sluicectl trace` shows: the packet, the rule it met in each table, what each
//       action did, groups and buckets, meters, the action set, which bits the answer depends on and why, the flow, and the verdict in one
//       sentence. TraceWords.swift finds the words.
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
    /// The rule's instructions.
    public var actions: String
    /// What the actions did, in order; what a bucket did is indented.
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
  public init(key: FlowKey, context: TranslationContext, printsNames: Bool = true) {
    let translation = Translator.translate(key: key, context: context, explains: true)
    self.init(translation, key: key, ports: context.ports, printsNames: printsNames)
  }

  /// Explains a translation that was made with `explains`.
  public init(_ translation: Translation, key: FlowKey, ports: PortSet, printsNames: Bool = true) {
    let names = ports.names(printsNames: printsNames)
    let words = TraceWords(names: names, key: key)
    packet = FlowMatch(key, PacketMask.of(key)).text(names: names)
    steps = []
    for step in translation.steps {
      switch step {
      case .matched(let table, let entry):
        steps.append(
          Step(
            table: Int(table), rule: entry?.rule.text(names: names) ?? "", actions: entry?.instructions.text(names: names) ?? "drop",
            notes: entry == nil ? ["no rule matches"] : []))
      case .resumed(let id, let table):
        steps.append(
          Step(table: Int(table), rule: "", actions: "", notes: ["comes back as recirc_id(0x\(String(id, radix: 16)))"]))
      case .bucketEnds: words.indentation -= 1
      default:
        if let text = words.describe(step) {
          if steps.isEmpty { steps.append(Step(table: 0, rule: "", actions: "", notes: [])) }
          steps[steps.count - 1].notes.append(text)
        }
        if case .bucket = step { words.indentation += 1 }
      }
    }
    fields = translation.looks.flatMap { look in
      FlowMatch(key, look.mask).fieldTexts(names: names).map { Field(match: $0, reason: look.reason.explanation) }
    }
    actions = ports.text(translation.actions, printsNames: printsNames)
    let match = FlowMatch(key, translation.mask)
    flow = "\(match.text(names: names)) actions=\(actions)"
    verdict = TraceVerdict(ports: ports, key: key).sentence(translation)
  }
}

/// The bits of a packet that mean something: those of the headers that it has.
enum PacketMask {
  static func of(_ key: FlowKey) -> FlowMask {
    var mask = FlowMask()
    for field in [FlowField.inPort, .ethSrc, .ethDst, .ethType] { mask.include(field) }
    if key[.vlanTCI] != 0 { mask.include(.vlanTCI) } else { mask[.vlanVID] = FlowField.vlanVID.allOnes }
    for field in [FlowField.innerVLANTCI, .recircID] where key[field] != 0 { mask.include(field) }
    var known = FlowMask()
    known.include(.ethType)
    known.include(.ipProto)
    known.include(.icmpv6Type)
    known.include(.icmpv6Code)
    let match = FlowMatch(key, known)
    for field in FlowField.allCases where FieldRequirement(field).isMet(by: match) {
      switch (FieldRequirement(field), field) {
      case (.none, _): break
      case (_, .icmpv6Type), (_, .icmpv6Code): mask.include(field == .icmpv6Type ? .icmpType : .icmpCode)
      case (_, .ndTarget), (_, .ndSLL), (_, .ndTLL), (_, .ipv6Label), (_, .ipv6ExtHdr):
        if key[field] != 0 { mask.include(field) }
      default: mask.include(field)
      }
    }
    return mask
  }
}
