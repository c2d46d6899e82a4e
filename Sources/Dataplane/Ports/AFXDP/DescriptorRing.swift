// DescriptorRing.swift
//
// What: the two sides of an AF_XDP ring (linux/if_xdp.h): ProducerRing puts entries in (fill, tx), ConsumerRing takes
//       them out (rx, completion). Entries are addresses (UInt64) or FrameDescriptors.
// Invariants: indices run freely through all 32 bits and wrap; entry i is at i & (size - 1). The producer is never
//             more than `size` ahead of the consumer; debug builds trap when the kernel's index says otherwise.
//             Entries are written before the producer index is stored with release, and read after it was loaded with
//             acquire; the consumer index likewise, in the other direction.
// Threads: one side belongs to the worker that owns the ring, the other to the kernel (in tests: to the test).
// Cost: our own index is kept here and the kernel's is cached, so its cache line is touched only when the cached
//       value says full or empty.

import CSluice

/// Where a ring lies. The memory belongs to the XDPSocket that mapped it (or to the test that made it) and outlives
/// the ring; of its words, `producer` is written by one side and `consumer` by the other, only through atomics.
struct RingMemory<Element: BitwiseCopyable> {
  let producer: UnsafeMutablePointer<UInt32>
  let consumer: UnsafeMutablePointer<UInt32>
  let flags: UnsafeMutablePointer<UInt32>
  let entries: UnsafeMutablePointer<Element>
  /// Entries, a power of two.
  let size: UInt32
}

/// The side of a ring that puts entries in.
struct ProducerRing<Element: BitwiseCopyable>: ~Copyable {
  private let memory: RingMemory<Element>
  private let mask: UInt32
  /// The next entry that we write.
  private var next: UInt32
  /// The first index that we must not write yet, as far as we know: the consumer's index plus `size`.
  private var limit: UInt32

  init(_ memory: RingMemory<Element>) {
    precondition(memory.size > 0 && memory.size & (memory.size &- 1) == 0, "a ring has a power of two of entries")
    self.memory = memory
    mask = memory.size &- 1
    next = sluice_load_relaxed_u32(memory.producer)
    limit = sluice_load_acquire_u32(memory.consumer) &+ memory.size
  }

  /// How many entries can be put, at most `wanted`.
  @inline(__always)
  mutating func room(upTo wanted: Int) -> Int {
    if Int(limit &- next) < wanted {
      limit = sluice_load_acquire_u32(memory.consumer) &+ memory.size
      assert(limit &- next <= memory.size, "the consumer of a ring is ahead of its producer")
    }
    return min(Int(limit &- next), wanted)
  }

  /// Writes the entry `offset` places behind the last submitted one. The caller has asked for the room.
  @inline(__always)
  func put(_ element: Element, at offset: Int) {
    assert(UInt32(offset) < limit &- next, "a ring entry is written without room for it")
    memory.entries[Int((next &+ UInt32(truncatingIfNeeded: offset)) & mask)] = element
  }

  /// Shows the next `count` entries to the consumer.
  @inline(__always)
  mutating func submit(_ count: Int) {
    next = next &+ UInt32(truncatingIfNeeded: count)
    assert(limit &- next <= memory.size, "more entries are submitted than there was room for")
    sluice_store_release_u32(memory.producer, next)
  }

  /// Submitted entries that the consumer has not taken yet.
  @inline(__always)
  var pending: Int { Int(next &- sluice_load_acquire_u32(memory.consumer)) }

  /// True when the kernel sleeps and has to be told of new entries by a system call.
  @inline(__always)
  var needsWakeup: Bool { sluice_load_relaxed_u32(memory.flags) & UInt32(XDP_RING_NEED_WAKEUP) != 0 }
}

/// The side of a ring that takes entries out.
struct ConsumerRing<Element: BitwiseCopyable>: ~Copyable {
  private let memory: RingMemory<Element>
  private let mask: UInt32
  /// The next entry that we read.
  private var next: UInt32
  /// The first index that is not there yet, as far as we know: the producer's index.
  private var limit: UInt32

  init(_ memory: RingMemory<Element>) {
    precondition(memory.size > 0 && memory.size & (memory.size &- 1) == 0, "a ring has a power of two of entries")
    self.memory = memory
    mask = memory.size &- 1
    next = sluice_load_relaxed_u32(memory.consumer)
    limit = next
  }

  /// How many entries can be read, at most `wanted`. The kernel's index is looked at again only when what is known to
  /// be there does not do.
  @inline(__always)
  mutating func available(upTo wanted: Int) -> Int {
    if Int(limit &- next) < wanted {
      limit = sluice_load_acquire_u32(memory.producer)
      assert(limit &- next <= memory.size, "the producer of a ring is more than its size ahead of the consumer")
    }
    return min(Int(limit &- next), wanted)
  }

  /// Reads the entry `offset` places behind the last released one. The caller has asked that it is there.
  @inline(__always)
  func element(at offset: Int) -> Element {
    assert(UInt32(offset) < limit &- next, "a ring entry is read before it is there")
    return memory.entries[Int((next &+ UInt32(truncatingIfNeeded: offset)) & mask)]
  }

  /// Gives the first `count` entries back to the producer.
  @inline(__always)
  mutating func release(_ count: Int) {
    assert(UInt32(count) <= limit &- next, "more entries are released than were there")
    next = next &+ UInt32(truncatingIfNeeded: count)
    sluice_store_release_u32(memory.consumer, next)
  }
}
