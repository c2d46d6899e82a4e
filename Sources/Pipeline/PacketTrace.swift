// PacketTrace.swift
//
// What: the explanation that `sluicectl trace` shows: the packet, the rule it met in each table, what each action did, groups and
//       buckets, meters, the action set, which bits the answer depends on and why, the flow, and the verdict in one sentence; where the packet
//       is parsed again, the same for each round. TraceWords.swift finds the words, TraceWalk.swift follows the packet.
// Invariant: plain text only, so that it can leave the pipeline thread; made from translations, it changes nothing.
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
  /// The steps of all rounds: a packet that is parsed again goes through the tables once more.
  public var steps: [Step]
  public var fields: [Field]
  /// What is done in the end; of more than one round, each round's behind the one before.
  public var actions: String
  /// The flow that results: match and actions; of more than one round, as `actions`.
  public var flow: String
  /// One sentence: `forwarded to port eth2` or `dropped: no rule matched`.
  public var verdict: String

  /// Explains a packet; nothing is changed and nothing is sent.
  ///
  /// - Parameters:
  ///   - key: the packet, its `in_port` included.
  ///   - frame: its bytes, when they are known: where the packet has to be parsed again, only they say what comes to light.
  ///   - printsNames: write ports by name.
  public init(key: FlowKey, frame: [UInt8]? = nil, context: TranslationContext, printsNames: Bool = true) {
    let walk = TraceWalk(key: key, frame: frame, context: context)
    let names = context.ports.names(printsNames: printsNames)
    packet = FlowMatch(key, PacketMask.of(key)).text(names: names)
    let actions = walk.rounds.map { context.ports.text($0.translation.actions, printsNames: printsNames) }
    let flows = zip(walk.rounds, actions).map { round, actions in
      "\(FlowMatch(round.key, round.translation.mask).text(names: names)) actions=\(actions)"
    }
    self.actions = actions.joined(separator: "; then ")
    flow = flows.joined(separator: "; then ")
    verdict = walk.verdict
    steps = []
    fields = []
    for (number, round) in walk.rounds.enumerated() {
      add(round, number: number, names: names)
      // What every flow looks at is said once.
      let looks = number == 0 ? round.translation.looks : round.translation.looks.filter { $0.reason != .always }
      fields += looks.flatMap { look in
        FlowMatch(round.key, look.mask).fieldTexts(names: names).map {
          Field(match: $0, reason: look.reason.explanation + (number == 0 ? "" : ", in round \(number + 1)"))
        }
      }
    }
  }

  /// Adds the steps of one round.
  private mutating func add(_ round: TraceWalk.Round, number: Int, names: PortNames) {
    let words = TraceWords(names: names, key: round.key)
    for step in round.translation.steps {
      switch step {
      case .matched(let table, let entry):
        steps.append(
          Step(
            table: Int(table), rule: entry?.rule.text(names: names) ?? "", actions: entry?.instructions.text(names: names) ?? "drop",
            notes: entry == nil ? ["no rule matches"] : []))
      case .resumed(_, let table):
        let seen = FlowMatch(round.key, PacketMask.of(round.key)).text(names: names)
        var notes = ["round \(number + 1), parsed again: \(seen)"]
        if round.isGuessed {
          notes.append("what has come to light was not given: fields are taken as 0, a TTL as 64; trace the packet's bytes to know")
        }
        steps.append(Step(table: Int(table), rule: "", actions: "", notes: notes))
      case .bucketEnds: words.indentation -= 1
      default:
        if let text = words.describe(step) {
          if steps.isEmpty { steps.append(Step(table: 0, rule: "", actions: "", notes: [])) }
          steps[steps.count - 1].notes.append(text)
        }
        if case .bucket = step { words.indentation += 1 }
      }
    }
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
