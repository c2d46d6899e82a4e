// FlowIndex.swift
//
// What: finds a flow's slot by the hash of its masked key: an open-addressed table of 8-byte entries, a 32-bit tag and a 32-bit slot.
// Invariants: an entry lies at its home, which the tag alone decides, or behind it without a gap, so that a removal can close the gap
//             without asking anybody for hashes. At most two thirds of the places are taken.
// Why the number of places is no power of two: rounded up to one, the index of 200,000 flows would be twice as large as it has to be.
// Threads: confined to the pipeline thread.
// Cost: a probe is one cache line nearly always; 12 bytes per flow that can be held.

import CSluice

struct FlowIndex: ~Copyable {
  private let entries: UnsafeMutablePointer<UInt64>
  private let placeCount: UInt32
  let byteCount: Int

  /// - Parameter capacity: entries to hold.
  init?(capacity: Int) {
    let places = max(64, (capacity * 3 + 1) / 2)
    byteCount = places * MemoryLayout<UInt64>.stride
    guard let memory = sluice_map_memory(byteCount, 1) else { return nil }
    entries = memory.assumingMemoryBound(to: UInt64.self)
    placeCount = UInt32(places)
  }

  deinit { sluice_unmap_memory(entries, byteCount) }

  /// What an entry keeps of a flow's hash; flows under different masks may have the same hash.
  @inline(__always)
  static func tag(_ hash: UInt64, _ mask: UInt16) -> UInt32 {
    let filed = hash ^ UInt64(mask) &* 0x9e37_79b9_7f4a_7c15
    return UInt32(truncatingIfNeeded: filed ^ filed >> 32)
  }

  /// Where the search for a tag begins: the tag as a fraction of all tags, in places.
  @inline(__always)
  static func home(_ tag: UInt32, of placeCount: UInt32) -> UInt32 {
    UInt32(truncatingIfNeeded: (UInt64(tag) &* UInt64(placeCount)) >> 32)
  }

  @inline(__always)
  private func next(_ place: UInt32) -> UInt32 { place &+ 1 == placeCount ? 0 : place &+ 1 }

  /// Places from one to another, around the end.
  @inline(__always)
  private func distance(from: UInt32, to: UInt32) -> UInt32 { to >= from ? to &- from : to &+ placeCount &- from }

  /// The first slot filed under a tag that passes a test.
  @inline(__always)
  func first(_ tag: UInt32, where isWanted: (UInt32) -> Bool) -> UInt32? {
    var place = Self.home(tag, of: placeCount)
    while true {
      let entry = entries[Int(place)]
      if entry == 0 { return nil }
      if UInt32(truncatingIfNeeded: entry >> 32) == tag {
        let slot = UInt32(truncatingIfNeeded: entry)
        if isWanted(slot) { return slot }
      }
      place = next(place)
    }
  }

  /// Files a slot; slot 0 is none.
  mutating func insert(_ tag: UInt32, _ slot: UInt32) {
    var place = Self.home(tag, of: placeCount)
    while entries[Int(place)] != 0 { place = next(place) }
    entries[Int(place)] = UInt64(tag) << 32 | UInt64(slot)
  }

  /// Takes a slot out, which is there.
  mutating func remove(_ tag: UInt32, _ slot: UInt32) {
    let wanted = UInt64(tag) << 32 | UInt64(slot)
    var hole = Self.home(tag, of: placeCount)
    while entries[Int(hole)] != wanted {
      precondition(entries[Int(hole)] != 0, "slot \(slot) is not in the index")
      hole = next(hole)
    }
    var place = hole
    while true {
      entries[Int(hole)] = 0
      while true {
        place = next(place)
        let entry = entries[Int(place)]
        if entry == 0 { return }
        let home = Self.home(UInt32(truncatingIfNeeded: entry >> 32), of: placeCount)
        // The entry may fill the hole unless its home lies behind it.
        if distance(from: home, to: place) >= distance(from: hole, to: place) { break }
      }
      entries[Int(hole)] = entries[Int(place)]
      hole = place
    }
  }
}
