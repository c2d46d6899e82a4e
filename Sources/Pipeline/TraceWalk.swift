// TraceWalk.swift
//
// What: follows a packet through the actions of its flow as a worker would, and through those of the flows that it meets when it is parsed again;
//       says in one sentence what becomes of it.
// Invariants: a packet is parsed again as often as a worker does it, so the walk ends.
// Threads: used on the pipeline thread.
// Cost: for people.

import Dataplane

/// A packet's way through its flows.
struct TraceWalk {
  /// One look-up, and what came of it.
  struct Round {
    let key: FlowKey
    let translation: Translation
    /// Look-ups before this one.
    let depth: UInt8
    /// The key has fields that nobody has given.
    let isGuessed: Bool
  }

  private(set) var rounds: [Round] = []
  private let context: TranslationContext
  private var packet: TracedPacket
  private var targets: [String] = []
  private var isCopied = false
  private var isMetered = false
  /// Selections that the walk is within.
  private var selections = 0
  /// What ended the packet, or a copy of it, on its way.
  private var end: String?
  /// Packets that wait to be parsed again, with the number that they come back under.
  private var waiting: [(packet: TracedPacket, id: UInt16, depth: UInt8)] = []

  init(key: FlowKey, frame: [UInt8]?, context: TranslationContext) {
    self.context = context
    packet = TracedPacket(key: key, frame: frame)
    lookUp(depth: 0, isGuessed: false)
    var next = 0
    while next < waiting.count {
      let (before, id, depth) = waiting[next]
      next += 1
      guard let again = before.parsedAgain(id) else {
        end = end ?? "parsed again, it is malformed"
        continue
      }
      packet = again
      lookUp(depth: depth, isGuessed: before.isGuessed)
    }
  }

  /// Looks the packet up and follows what its flow does.
  private mutating func lookUp(depth: UInt8, isGuessed: Bool) {
    let translation = Translator.translate(key: packet.key, context: context, explains: true)
    rounds.append(Round(key: packet.key, translation: translation, depth: depth, isGuessed: isGuessed))
    if let drop = translation.drop {
      if drop == .noRule, let table = translation.missTable, table != 0 {
        end = end ?? "no rule of table \(table) matched"
      } else {
        end = end ?? drop.explanation
      }
      return
    }
    run(translation.actions, depth: depth)
  }

  /// Follows a list of actions.
  private mutating func run(_ actions: [FlowAction], depth: UInt8) {
    for action in actions {
      switch action {
      case .output(let index): targets.append(context.ports.port(at: index).map(\.name) ?? "index \(index)")
      case .controller: isCopied = true
      case .meter: isMetered = true
      case .clone(let list): branch(list, depth: depth)
      case .select(let table, let lists):
        let lines: UInt8 = packet.key[.ethType] == UInt128(EtherType.ipv6) ? 3 : 1
        let hash = table.hash(of: packet.key, lines: lines, level: selections)
        guard let bucket = table.bucket(hash: hash), lists.indices.contains(bucket) else { break }
        selections += 1
        branch(lists[bucket], depth: depth)
        selections -= 1
      case .recirculate(let id):
        guard depth < Worker.recirculationLimit else {
          end = end ?? "it has been parsed again \(Worker.recirculationLimit) times, which is the limit"
          return
        }
        waiting.append((packet, id, depth + 1))
      default:
        if let reason = packet.apply(action) {
          end = end ?? reason
          return
        }
      }
    }
  }

  /// Follows a list on a copy of the packet.
  private mutating func branch(_ list: [FlowAction], depth: UInt8) {
    let before = packet
    run(list, depth: depth)
    packet = before
  }

  /// What becomes of the packet, in one sentence.
  var verdict: String {
    var parts: [String] = []
    if !targets.isEmpty { parts.append("forwarded to port\(targets.count == 1 ? "" : "s") \(targets.joined(separator: ", "))") }
    if isCopied { parts.append("copied to whoever watches") }
    var sent = parts.joined(separator: " and ")
    if isMetered, !sent.isEmpty { sent += ", within the rate of its meter" }
    guard let end else { return sent.isEmpty ? "dropped: \(TranslationDrop.ruleDrops.explanation)" : sent }
    return sent.isEmpty ? "dropped: \(end)" : "\(sent), then dropped: \(end)"
  }
}
