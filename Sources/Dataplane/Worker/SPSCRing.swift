// SPSCRing.swift
//
// What: a bounded first-in first-out ring between exactly one producing and one consuming thread. Workers get their commands and
//       give their upcalls through such rings.
// Invariants: head <= tail <= head + capacity; a place is written by the producer only while it is not between head and tail.
//             The consumer advances head after it has acted on the element, so "head reached n" means "n elements are done":
//             that is what a fence waits for.
// Threads: one producer, one consumer; `consumedCount` may be read by anybody.
// Cost: a push or a pop is a load, a copy of the element and a store; head and tail lie 128 bytes apart.

import CSluice

/// @unchecked Sendable: head and tail are only touched through acquire loads and release stores.
public final class SPSCRing<Element: BitwiseCopyable>: @unchecked Sendable {
  private let counters: UnsafeMutablePointer<UInt64>  // [0] head, [16] tail
  private let places: UnsafeMutablePointer<Element>
  private let indexMask: UInt64
  public let capacity: Int

  /// - Parameter capacity: places; a power of two.
  public init(capacity: Int) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a ring has a power of two places")
    self.capacity = capacity
    indexMask = UInt64(capacity - 1)
    places = .allocate(capacity: capacity)
    counters = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 128)
      .initializeMemory(as: UInt64.self, repeating: 0, count: 32)
  }

  deinit {
    places.deallocate()
    counters.deallocate()
  }

  private var head: UnsafeMutablePointer<UInt64> { counters }
  private var tail: UnsafeMutablePointer<UInt64> { counters + 16 }

  /// Adds an element; false when the ring is full. Producer only.
  @inline(__always)
  public func push(_ element: Element) -> Bool {
    let t = sluice_load_relaxed_u64(tail)
    guard t &- sluice_load_acquire_u64(head) <= indexMask else { return false }
    places[Int(truncatingIfNeeded: t & indexMask)] = element
    sluice_store_release_u64(tail, t &+ 1)
    return true
  }

  /// True when an element can be added. Producer only.
  @inline(__always)
  public var hasRoom: Bool { sluice_load_relaxed_u64(tail) &- sluice_load_acquire_u64(head) <= indexMask }

  /// Places that are free at least. Producer only.
  @inline(__always)
  public var roomCount: Int { capacity &- Int(truncatingIfNeeded: sluice_load_relaxed_u64(tail) &- sluice_load_acquire_u64(head)) }

  /// The oldest element, left in the ring; nil when the ring is empty. Consumer only.
  @inline(__always)
  public func peek() -> UnsafePointer<Element>? {
    let h = sluice_load_relaxed_u64(head)
    guard sluice_load_acquire_u64(tail) != h else { return nil }
    return UnsafePointer(places + Int(truncatingIfNeeded: h & indexMask))
  }

  /// Takes the element that `peek` showed out of the ring. Consumer only.
  @inline(__always)
  public func consume() { sluice_store_release_u64(head, sluice_load_relaxed_u64(head) &+ 1) }

  /// Elements ever pushed. Producer only.
  public var pushedCount: UInt64 { sluice_load_relaxed_u64(tail) }

  /// Elements ever pushed, for threads other than the producer: at least those pushed before what the caller has synchronised with.
  public var producedCount: UInt64 { sluice_load_acquire_u64(tail) }

  /// Elements ever consumed. Any thread.
  public var consumedCount: UInt64 { sluice_load_acquire_u64(head) }

  /// True when there is nothing to consume. Consumer only.
  @inline(__always)
  public var isEmpty: Bool { sluice_load_acquire_u64(tail) == sluice_load_relaxed_u64(head) }
}
