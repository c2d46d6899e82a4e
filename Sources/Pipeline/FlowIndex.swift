// FlowIndex.swift
//
// What: finds a flow's slot by the hash of its masked key: an open-addressed table of 8-byte entries, a 32-bit tag and a 32-bit slot.
// Invariants: an entry lies at its home, which the tag alone decides, or behind it without a gap, so that a removal can close the gap
//             without asking anybody for hashes. At most two thirds of the places are taken.
// Threads: confined to the pipeline thread.
// Cost: a probe is one cache line nearly always.

import CSluice

struct FlowIndex: ~Copyable {
  private let entries: UnsafeMutablePointer<UInt64>
  private let placeMask: UInt32
  let byteCount: Int

  /// - Parameter capacity: entries to hold.
  init?(capacity: Int) {
    var places = 64
    while places * 2 < capacity * 3 { places *= 2 }
    byteCount = places * MemoryLayout<UInt64>.stride
    guard let memory = sluice_map_memory(byteCount, 1) else { return nil }
    entries = memory.assumingMemoryBound(to: UInt64.self)
    placeMask = UInt32(places - 1)
  }

  deinit { sluice_unmap_memory(entries, byteCount) }

  /// What an entry keeps of a flow's hash; flows under different masks may have the same hash.
  @inline(__always)
  static func tag(_ hash: UInt64, _ mask: UInt16) -> UInt32 {
    let filed = hash ^ UInt64(mask) &* 0x9e37_79b9_7f4a_7c15
    return UInt32(truncatingIfNeeded: filed ^ filed >> 32)
  }

  /// The first slot filed under a tag that passes a test.
  @inline(__always)
  func first(_ tag: UInt32, where isWanted: (UInt32) -> Bool) -> UInt32? {
    var place = tag & placeMask
    while true {
      let entry = entries[Int(place)]
      if entry == 0 { return nil }
      if UInt32(truncatingIfNeeded: entry >> 32) == tag {
        let slot = UInt32(truncatingIfNeeded: entry)
        if isWanted(slot) { return slot }
      }
      place = (place &+ 1) & placeMask
    }
  }

  /// Files a slot; slot 0 is none.
  mutating func insert(_ tag: UInt32, _ slot: UInt32) {
    var place = tag & placeMask
    while entries[Int(place)] != 0 { place = (place &+ 1) & placeMask }
    entries[Int(place)] = UInt64(tag) << 32 | UInt64(slot)
  }

  /// Takes a slot out, which is there.
  mutating func remove(_ tag: UInt32, _ slot: UInt32) {
    let wanted = UInt64(tag) << 32 | UInt64(slot)
    var hole = tag & placeMask
    while entries[Int(hole)] != wanted {
      precondition(entries[Int(hole)] != 0, "slot \(slot) is not in the index")
      hole = (hole &+ 1) & placeMask
    }
    var place = hole
    while true {
      entries[Int(hole)] = 0
      while true {
        place = (place &+ 1) & placeMask
        let entry = entries[Int(place)]
        if entry == 0 { return }
        let home = UInt32(truncatingIfNeeded: entry >> 32) & placeMask
        // The entry may fill the hole unless its home lies behind it.
        if (place &- home) & placeMask >= (place &- hole) & placeMask { break }
      }
      entries[Int(hole)] = entries[Int(place)]
      hole = place
    }
  }
}
