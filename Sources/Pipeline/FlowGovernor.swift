// FlowGovernor.swift
//
// What: how many flows a worker may hold, which share of them a port may have, and how long an idle one stays.
// How: - The limit is what the worker has room for, less when looking at every flow after a change took longer than its goal; it
//        recovers by a sixteenth per tick.
//      - Idle flows stay as long as the configuration says while less than three quarters of the limit are taken; from there to the limit the
//        time falls to a 32nd: what a flood leaves behind goes quickly, what is used stays.
//      - A port may have eight times as many flows as are free: alone up to eight ninths of the limit, two of them eight
//        seventeenths each. So one more port always finds room, whatever the others do. Packets beyond are answered one by one.
// Threads: confined to the pipeline thread.
// Cost: a few comparisons per set-up.

/// The limits of one worker's flows.
struct FlowGovernor {
  let capacity: Int
  /// Flows that may be held now.
  private(set) var limit: Int

  /// Looking at every flow should not take longer: as long no miss is answered.
  private static let goalNanoseconds = 2_000_000_000.0
  private static let portShare = 8

  init(capacity: Int) {
    self.capacity = capacity
    limit = capacity
  }

  /// True when a port may have one more flow.
  ///
  /// - Parameters:
  ///   - count: flows of all ports.
  ///   - ownCount: flows of the port.
  func admits(count: Int, ownCount: Int) -> Bool { Self.admits(limit: limit, count: count, ownCount: ownCount) }

  /// The same for whatever else is shared by ports.
  static func admits(limit: Int, count: Int, ownCount: Int) -> Bool { ownCount < portShare * (limit - count) }

  /// How long an idle flow stays.
  func idleTime(configured: UInt64, count: Int) -> UInt64 {
    let calm = limit - limit / 4
    guard count > calm, limit > calm else { return configured }
    let left = UInt64(max(0, limit - count))
    let span = UInt64(limit - calm)
    let shortest = configured / 32
    return shortest + (configured - shortest) / span * left
  }

  /// Notes how long it took to look at so many flows.
  mutating func noteRevalidation(nanoseconds: UInt64, flows: Int) {
    guard Double(nanoseconds) > Self.goalNanoseconds, flows > 0 else { return }
    let affordable = Int(Double(flows) * Self.goalNanoseconds / Double(nanoseconds))
    limit = max(min(capacity, 1000), min(limit, affordable))
  }

  /// Lets the limit recover. Called twice a second.
  mutating func tick() { limit = min(capacity, limit + max(1, limit / 16)) }
}
