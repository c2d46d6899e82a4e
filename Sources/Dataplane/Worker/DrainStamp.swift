// DrainStamp.swift
//
// What: what a worker tells the tiers in front of it: at the time in the stamp it had nothing under way. A tier that has taken a flow executes
//       it only when the worker has sent every packet of it that went up before; so their order is kept.
// Invariants: the stamp is the time at which a round of the poll loop began that found every queue empty, while no miss waited for the
//             pipeline, no queue had frames under way and no other worker had frames of this one. It only grows.
// Why a sleeping worker wakes up once more: a stamp is of use when it is later than the last packet by the time that the way up takes
//       (SLUICE_UP_NANOSECONDS), and a sleeper writes none. It does not stay awake for that long, because others may want its CPU.
// Threads: the worker's own; the memory of the stamp is read by the kernel's programs.
// Cost: nothing without a stamp; else one reading of the clock per round that found nothing.

import CSluice

struct DrainStamp {
  /// Where the time is written; nil when nobody wants to know.
  var place: UnsafeMutablePointer<UInt64>?
  /// When the last round ended, if it found nothing; else 0.
  private var lastEnd: UInt64 = 0
  /// When the first round ended that found nothing after one that did.
  private var emptySince: UInt64 = 0

  /// From the last packet to the stamp that is of use, and some more, because two clocks are read.
  private static let delayNanoseconds = UInt64(SLUICE_UP_NANOSECONDS) + 10_000

  /// Notes a round that found something to do.
  @inline(__always)
  mutating func noteWork() {
    lastEnd = 0
    emptySince = 0
  }

  /// Notes a round that found nothing.
  @inline(__always)
  mutating func noteEmptyRound(isDrained: Bool) {
    guard let place else { return }
    let now = sluice_monotonic_nanoseconds()
    if lastEnd == 0 {
      emptySince = now
    } else if isDrained {
      sluice_store_release_u64(place, lastEnd)
    }
    lastEnd = now
  }

  /// How long it is until a stamp is of use that was not written yet; 0: none is wanted.
  @inline(__always)
  var wait: UInt64 {
    guard place != nil, lastEnd != 0 else { return 0 }
    let idle = lastEnd &- emptySince
    return idle >= Self.delayNanoseconds ? 0 : Self.delayNanoseconds &- idle
  }
}
