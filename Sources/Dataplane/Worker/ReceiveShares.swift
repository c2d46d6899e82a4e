// ReceiveShares.swift
//
// What: which ports a worker receives from in a round. A packet that no flow knows costs twenty times what a forwarded one does; a port that is
//       flooded with new flows would take the worker's time from all others although each port gets its batch in turn.
// How: the cycles that misses and installations of a port cost are its debt; a 32nd of all time pays it off. A port in debt is passed
//      over in a round that follows one in which ports without debt delivered packets: while they keep the worker busy, misses get
//      a 32nd of the time, else all that is left. What is not received waits in the port's own ring and overflows there.
// Invariants: a debt falls to minus a fifth of a millisecond at most, so a burst of new flows is served at once. Without ports in debt nothing is ever passed over, nor when all
//             ports are.
// Threads: the worker's own.
// Cost: a subtraction per receiver and round.

struct ReceiveShares {
  private var last: UInt64
  private var payment: Int64 = 0
  private var healthyBefore = 0
  private var healthyNow = 0

  /// Cycles that a port may run up before it is in debt: a fifth of a millisecond.
  private static let credit: Int64 = 500_000
  /// Debts beyond this are forgotten, so that a port is itself again a tenth of a second after a flood.
  private static let ceiling: Int64 = 10_000_000

  init(now: UInt64) { last = now }

  /// Begins a round of the poll loop.
  @inline(__always)
  mutating func beginRound(now: UInt64) {
    payment = Int64(truncatingIfNeeded: (now &- last) >> 5)
    last = now
    healthyBefore = healthyNow
    healthyNow = 0
  }

  /// True when the port is received from in this round.
  @inline(__always)
  func serves(_ port: UnsafeMutablePointer<WorkerPort>) -> Bool {
    let debt = max(port.pointee.missDebt &- payment, -Self.credit)
    port.pointee.missDebt = debt
    return debt <= 0 || healthyBefore == 0
  }

  /// Notes what a batch has cost.
  @inline(__always)
  mutating func charge(_ port: UnsafeMutablePointer<WorkerPort>, received: Int, misses: Int, cycles: UInt64) {
    if misses > 0 {
      let cost = Int64(truncatingIfNeeded: cycles) &* Int64(misses) / Int64(received)
      port.pointee.missDebt = min(port.pointee.missDebt &+ cost, Self.ceiling)
    }
    if port.pointee.missDebt <= 0 { healthyNow &+= received }
  }
}
