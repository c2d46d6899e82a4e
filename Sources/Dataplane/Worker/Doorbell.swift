// Doorbell.swift
//
// What: wakes a thread that sleeps, at the cost of one memory read when it does not.
// Invariants: the sleeper announces itself, then looks once more for work, then waits; the ringer publishes work, then looks
//             whether somebody sleeps. With a full fence on both sides no wake-up is lost. The first ringer takes the announcement
//             away, so a sleeper is woken once however many ring until it is up.
// Threads: one sleeper, any number of ringers.
// Cost: a fence and a load to ring an awake thread; one write(2) on an eventfd to wake a sleeping one.

import CSluice
import Glibc

/// @unchecked Sendable: the flag is touched through atomics only, the descriptor is constant.
public final class Doorbell: @unchecked Sendable {
  private let flag: UnsafeMutablePointer<UInt32>
  /// An eventfd: readable after a ring. -1 when none could be made.
  public let descriptor: Int32

  public init() {
    flag = .allocate(capacity: 1)
    flag.initialize(to: 0)
    descriptor = sluice_eventfd()
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    flag.deallocate()
  }

  /// Wakes the sleeper if there is one. Call after the work is visible.
  @inline(__always)
  public func ring() {
    sluice_fence()
    if sluice_load_relaxed_u32(flag) != 0 { wake() }
  }

  @inline(never)
  private func wake() {
    guard sluice_exchange_u32(flag, 0) != 0 else { return }
    var one: UInt64 = 1
    _ = write(descriptor, &one, 8)
  }

  /// Says "I am going to sleep". Look for work once more after this, then wait on `descriptor`.
  public func announceSleep() {
    sluice_store_relaxed_u32(flag, 1)
    sluice_fence()
  }

  /// Says "I am awake" and forgets rings so far.
  public func awake() {
    sluice_store_relaxed_u32(flag, 0)
    var count: UInt64 = 0
    _ = read(descriptor, &count, 8)
  }

  /// True while the sleeper has announced itself and nobody has rung.
  public var isSleeping: Bool { sluice_load_relaxed_u32(flag) != 0 }
}
