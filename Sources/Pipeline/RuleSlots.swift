// RuleSlots.swift
//
// What: the two hash tables of a subtable: entries by the hash of their words, and how many entries have a hash over the first stages.
// How: open addressing with linear probing, hashes kept beside the values, removal by moving later ones back, so that nothing is
//      left behind. Hashes are drawn with a secret of the process: nobody outside can make them collide.
// Invariants: at most three quarters of the places are taken. RuleSlots holds a reference to the head of each chain; entries of a chain have
//             the same match and stand in falling priority.
// Threads: confined to the subtable, which owns the memory.
// Cost: about one cache line per probe; 16 to 32 bytes per entry.

import Dataplane

/// Entries by the hash of their words.
struct RuleSlots: ~Copyable {
  private struct Slot {
    var hash: UInt64
    var head: Unmanaged<RuleEntry>?
  }

  private var slots: UnsafeMutablePointer<Slot>
  private var capacity = 4
  private var used = 0

  init() {
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: Slot(hash: 0, head: nil), count: capacity)
  }

  deinit {
    for place in 0..<capacity {
      guard let head = slots[place].head else { continue }
      // Taken apart one by one: releasing the head of a long chain would recurse once per entry.
      var entry: RuleEntry? = head.takeRetainedValue()
      while let current = entry {
        entry = current.next
        current.next = nil
      }
    }
    slots.deallocate()
  }

  /// The first of the entries whose words a packet has.
  @inline(__always)
  borrowing func find(_ hash: UInt64, _ key: UnsafeRawPointer, _ shape: RuleShape) -> Unmanaged<RuleEntry>? {
    var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
    while let head = slots[place].head {
      if slots[place].hash == hash, head._withUnsafeGuaranteedRef({ shape.matches(key, $0.words) }) { return head }
      place = (place + 1) & (capacity - 1)
    }
    return nil
  }

  /// Adds an entry; there is none with its words and priority.
  mutating func insert(_ entry: RuleEntry, _ hash: UInt64) {
    if used * 4 >= capacity * 3 { grow() }
    var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
    while let head = slots[place].head {
      if slots[place].hash == hash, entry.hasSameWords(as: head.takeUnretainedValue()) {
        return chain(entry, place)
      }
      place = (place + 1) & (capacity - 1)
    }
    slots[place] = Slot(hash: hash, head: .passRetained(entry))
    used += 1
  }

  private mutating func chain(_ entry: RuleEntry, _ place: Int) {
    guard let first = slots[place].head else { return }
    var before = first.takeUnretainedValue()
    if before.priority < entry.priority {
      entry.next = first.takeRetainedValue()
      slots[place].head = .passRetained(entry)
      return
    }
    while let next = before.next, next.priority >= entry.priority { before = next }
    entry.next = before.next
    before.next = entry
  }

  /// Removes an entry that is here.
  mutating func remove(_ entry: RuleEntry, _ hash: UInt64) {
    var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
    while let head = slots[place].head {
      if slots[place].hash == hash, entry.hasSameWords(as: head.takeUnretainedValue()) { break }
      place = (place + 1) & (capacity - 1)
    }
    guard let head = slots[place].head else { return }
    guard head.toOpaque() == Unmanaged.passUnretained(entry).toOpaque() else {
      var before: RuleEntry? = head.takeUnretainedValue()
      while let current = before, current.next !== entry { before = current.next }
      before?.next = entry.next
      entry.next = nil
      return
    }
    if let next = entry.next {
      slots[place].head = .passRetained(next)
      entry.next = nil
    } else {
      used -= 1
      closeGap(place)
    }
    head.release()
  }

  /// Every entry, in no order.
  borrowing func forEach(_ body: (RuleEntry) -> Void) {
    for place in 0..<capacity {
      var entry = slots[place].head?.takeUnretainedValue()
      while let current = entry {
        entry = current.next
        body(current)
      }
    }
  }

  private mutating func closeGap(_ start: Int) {
    var gap = start
    var place = (gap + 1) & (capacity - 1)
    while slots[place].head != nil {
      let home = Int(truncatingIfNeeded: slots[place].hash) & (capacity - 1)
      // It may move back unless that would put it in front of its home.
      if (place &- home) & (capacity - 1) >= (place &- gap) & (capacity - 1) {
        slots[gap] = slots[place]
        gap = place
      }
      place = (place + 1) & (capacity - 1)
    }
    slots[gap] = Slot(hash: 0, head: nil)
  }

  private mutating func grow() {
    let (old, oldCapacity) = (slots, capacity)
    capacity *= 2
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: Slot(hash: 0, head: nil), count: capacity)
    for index in 0..<oldCapacity where old[index].head != nil {
      var place = Int(truncatingIfNeeded: old[index].hash) & (capacity - 1)
      while slots[place].head != nil { place = (place + 1) & (capacity - 1) }
      slots[place] = old[index]
    }
    old.deallocate()
  }
}

/// How many entries have each hash.
struct HashCounts: ~Copyable {
  private struct Slot {
    /// Never 0 where `count` is not.
    var hash: UInt64
    var count: UInt64
  }

  private var slots: UnsafeMutablePointer<Slot>
  private var capacity = 4
  private var used = 0

  init() {
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: Slot(hash: 0, count: 0), count: capacity)
  }

  deinit { slots.deallocate() }

  @inline(__always)
  borrowing func contains(_ hash: UInt64) -> Bool { slots[find(hash)].count != 0 }

  mutating func insert(_ hash: UInt64) {
    var place = find(hash)
    if slots[place].count == 0 {
      if used * 4 >= capacity * 3 {
        grow()
        place = find(hash)
      }
      slots[place].hash = hash
      used += 1
    }
    slots[place].count += 1
  }

  mutating func remove(_ hash: UInt64) {
    var gap = find(hash)
    guard slots[gap].count > 0 else { return }
    slots[gap].count -= 1
    guard slots[gap].count == 0 else { return }
    used -= 1
    var place = (gap + 1) & (capacity - 1)
    while slots[place].count != 0 {
      let home = Int(truncatingIfNeeded: slots[place].hash) & (capacity - 1)
      if (place &- home) & (capacity - 1) >= (place &- gap) & (capacity - 1) {
        slots[gap] = slots[place]
        gap = place
      }
      place = (place + 1) & (capacity - 1)
    }
    slots[gap] = Slot(hash: 0, count: 0)
  }

  /// The place of a hash, or the free one where it would go.
  @inline(__always)
  private borrowing func find(_ hash: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: hash) & (capacity - 1)
    while slots[place].count != 0, slots[place].hash != hash { place = (place + 1) & (capacity - 1) }
    return place
  }

  private mutating func grow() {
    let (old, oldCapacity) = (slots, capacity)
    capacity *= 2
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: Slot(hash: 0, count: 0), count: capacity)
    for index in 0..<oldCapacity where old[index].count != 0 {
      let place = find(old[index].hash)
      slots[place] = old[index]
    }
    old.deallocate()
  }
}
