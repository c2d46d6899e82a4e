// TraceWords.swift
//
// What: the words of an explanation: a line per step of a translation. TraceWalk.swift finds the verdict.
// Threads: used on the pipeline thread.
// Cost: for people.

import Dataplane

/// Puts the steps of a translation into words.
final class TraceWords {
  private let names: PortNames
  /// Of the packet as it came in.
  private let ttl: UInt128
  /// Buckets that the step is within.
  var indentation = 0

  init(names: PortNames, key: FlowKey) {
    self.names = names
    ttl = key[.ipTTL]
  }

  /// A line about a step; nil when there is nothing to say.
  func describe(_ step: TranslationStep) -> String? {
    words(step).map { String(repeating: "  ", count: indentation) + $0 }
  }

  private func words(_ step: TranslationStep) -> String? {
    switch step {
    case .resumed, .matched, .bucketEnds, .ended: nil
    case .action(let action): describe(action)
    case .metered(let id, let exists): exists ? "measured by meter \(id)" : "meter \(id) is not there: not measured"
    case .cleared: "clear_actions: the action set is empty now"
    case .wrote(let actions): "into the action set: \(ActionText.text(actions, names: names))"
    case .metadata(let write):
      "metadata is now 0x\(String(write.value, radix: 16))" + (write.mask == .max ? "" : " in the bits 0x\(String(write.mask, radix: 16))")
    case .wentTo(let table): "on to table \(table)"
    case .actionSet(let actions): "the action set is executed: \(ActionText.text(actions, names: names))"
    case .bucket(let bucket, let group): describe(bucket, of: group)
    case .deadBucket(let bucket): "bucket \(bucket.id) is dead: \(watched(bucket)) is down"
    case .sent(let port): "sent to port \(port.name) (\(port.number))"
    case .suppressed(let reason, let port): "not sent\(target(port)): \(reason.explanation)"
    case .learned(let learning, let previous): describe(learning, previous)
    case .lookedUp(let station, let port):
      port.map { "\(describe(station)) is on port \(names.format($0))" } ?? "\(describe(station)) is not known: flooded"
    case .flooded: "flooded"
    case .noEffect(let why): "nothing to do: \(why)"
    case .recirculated(let id): "parsed again before the next table or action: recirc_id(0x\(String(id, radix: 16)))"
    }
  }

  private func describe(_ action: RuleAction) -> String {
    let text = ActionText.text(action, names: names)
    guard case .decrementTTL = action, ttl <= 1 else { return text }
    return "\(text): the TTL of this packet is \(ttl), so it goes no further"
  }

  private func describe(_ bucket: GroupBucket, of group: Group) -> String {
    switch group.kind {
    case .all, .indirect: "bucket \(bucket.id) of group \(group.id) (\(group.kind.name)):"
    case .select: "bucket \(bucket.id) of group \(group.id) (select, weight \(bucket.weight)), if the hash chooses it:"
    case .fastFailover: "bucket \(bucket.id) of group \(group.id) (fast_failover) is the first that is alive:"
    }
  }

  private func watched(_ bucket: GroupBucket) -> String {
    var watched: [String] = []
    if let port = bucket.watchPort { watched.append("port \(names.format(port))") }
    if let group = bucket.watchGroup { watched.append("group \(group)") }
    return watched.joined(separator: " and ")
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
}
