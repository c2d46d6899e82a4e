// ReferenceLedger.swift
//
// What: how often each rule, group and bucket must have been met: exactly, but for packets whose way is open. What an expired TTL or a malformed
//       packet still meets is nobody's promise, and two buckets that send the same cannot be told apart.
// Threads: a value.

struct ReferenceLedger {
  private var least: [ReferenceCounter: UInt64] = [:]
  /// Beyond `least`.
  private var more: [ReferenceCounter: UInt64] = [:]
  /// Packets of which anything may have counted.
  private var openCount: UInt64 = 0
  /// How often one packet can meet one group: more ways than the worlds have.
  private static let mostMeetings: UInt64 = 256

  /// Adds a packet.
  /// - Parameter answers: those that it may have had.
  mutating func add(_ answers: [ReferenceAnswer]) {
    let isOpen = answers.contains { $0.undefined != nil || $0.expired }
    if isOpen { openCount += 1 }
    guard let first = answers.first, !answers.contains(where: { $0.undefined != nil }) else { return }
    if answers.count == 1 {
      for (counter, count) in first.met { least[counter, default: 0] += count }
      return
    }
    for counter in Set(answers.flatMap(\.met.keys)) {
      let counts = answers.map { $0.met[counter] ?? 0 }
      let (low, high) = (counts.min() ?? 0, counts.max() ?? 0)
      least[counter, default: 0] += low
      more[counter, default: 0] += high - low
    }
  }

  /// What a counter may show.
  func expected(_ counter: ReferenceCounter) -> ClosedRange<UInt64> {
    let least = least[counter] ?? 0
    var most = least + (more[counter] ?? 0)
    if case .rule = counter { most += openCount } else { most += openCount * Self.mostMeetings }
    return least...most
  }
}
