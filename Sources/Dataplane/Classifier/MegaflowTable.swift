// MegaflowTable.swift
//
// What: the classifier behind the exact cache: one hash table for the flows of all masks. A look-up tries the masks in order of
//       how often they hit; each try hashes the key under that mask and reads one bucket.
// Why one table: no table grows or is rehashed while packets wait; its memory is known at start.
// Invariants: at most `capacity` flows live in at least twice as many places, so an empty place always ends a search. A bucket with an empty
//             place was never passed over by an entry that lies further on: a removal pulls such an entry back into the hole. So nothing
//             wears out however long flows come and go. `order` lists exactly the masks that have flows.
// Threads: confined to one worker.
// Cost: a bucket is one cache line of eight entries (32-bit tag, 32-bit flow index).

import CSluice

struct MegaflowTable: ~Copyable {
  private let entries: UnsafeMutablePointer<UInt64>
  private let bucketMask: UInt64
  private let byteCount: Int
  /// Masks with flows, the busiest first.
  let order: UnsafeMutablePointer<UInt16>
  private(set) var maskCount = 0
  /// Flows under each mask.
  private let population: UnsafeMutablePointer<UInt32>
  /// Hits of each mask since the last ranking.
  let hits: UnsafeMutablePointer<UInt32>
  private let secrets: HashSecrets
  private let slab: FlowSlab

  private static let ways = 8

  init?(slab: FlowSlab, secrets: HashSecrets) {
    var places = 64
    while places < slab.capacity * 2 { places *= 2 }
    byteCount = places * MemoryLayout<UInt64>.stride
    guard let memory = sluice_map_memory(byteCount, 0) else { return nil }
    entries = memory.assumingMemoryBound(to: UInt64.self)
    bucketMask = UInt64(places / Self.ways - 1)
    order = .allocate(capacity: FlowSlab.maskCapacity)
    population = .allocate(capacity: FlowSlab.maskCapacity)
    population.initialize(repeating: 0, count: FlowSlab.maskCapacity)
    hits = .allocate(capacity: FlowSlab.maskCapacity)
    hits.initialize(repeating: 0, count: FlowSlab.maskCapacity)
    self.slab = slab
    self.secrets = secrets
  }

  deinit {
    sluice_unmap_memory(entries, byteCount)
    order.deallocate()
    population.deallocate()
    hits.deallocate()
  }

  @inline(__always)
  private func bucket(_ number: UInt64) -> UnsafeMutablePointer<UInt64> {
    entries + Int(truncatingIfNeeded: (number & bucketMask) &* UInt64(Self.ways))
  }

  /// Never 0, because no flow has index 0.
  @inline(__always)
  private func entry(_ hash: UInt64, _ index: UInt32) -> UInt64 { (hash >> 32) << 32 | UInt64(index) }

  /// Begins to use a slot whose spec has been filled; true when it is the first one of its mask. A flow and its replacement lie side by side for a moment; either is right then.
  mutating func insert(_ index: UInt32) -> Bool {
    slab.activate(index)
    let slot = slab.slots + Int(index)
    let mask = slot.pointee.mask
    let hash = slot.pointee.hash
    var number = hash
    search: while true {
      let b = bucket(number)
      for way in 0..<Self.ways where b[way] == 0 {
        b[way] = entry(hash, index)
        break search
      }
      number &+= 1
    }
    population[Int(mask)] += 1
    guard population[Int(mask)] == 1 else { return false }
    order[maskCount] = mask
    maskCount += 1
    hits[Int(mask)] = 0
    return true
  }

  /// Removes a flow; from here on it matches nothing. Returns true when it was the last one of its mask.
  mutating func remove(_ index: UInt32) -> Bool {
    let slot = slab.slots + Int(index)
    let mask = slot.pointee.mask
    let hash = slot.pointee.hash
    let wanted = entry(hash, index)
    var number = hash
    search: while true {
      let b = bucket(number)
      var hasEmpty = false
      for way in 0..<Self.ways {
        if b[way] == wanted {
          empty(number, way)
          break search
        }
        if b[way] == 0 { hasEmpty = true }
      }
      precondition(!hasEmpty, "flow \(index) is not in the table")
      number &+= 1
    }
    slab.deactivate(index)
    population[Int(mask)] -= 1
    guard population[Int(mask)] == 0 else { return false }
    for place in 0..<maskCount where order[place] == mask {
      for later in place..<(maskCount - 1) { order[later] = order[later + 1] }
      maskCount -= 1
      break
    }
    return true
  }

  /// Empties a place. When its bucket was full, entries further on may have passed it over: one of them takes the place, and its own is emptied in turn.
  private mutating func empty(_ number: UInt64, _ way: Int) {
    var hole = (number: number, way: way)
    var wasFull = !hasEmptyPlace(number)
    bucket(number)[way] = 0
    var next = number
    while wasFull {
      next &+= 1
      let b = bucket(next)
      let nextIsFull = !hasEmptyPlace(next)
      for other in 0..<Self.ways where b[other] != 0 {
        let home = slab.slots[Int(UInt32(truncatingIfNeeded: b[other]))].hash
        // It passed the hole over when its home is at the hole or before it, counted back from where it lies.
        guard (next &- home) & bucketMask >= (next &- hole.number) & bucketMask else { continue }
        bucket(hole.number)[hole.way] = b[other]
        b[other] = 0
        hole = (next, other)
        break
      }
      wasFull = nextIsFull
    }
  }

  private func hasEmptyPlace(_ number: UInt64) -> Bool {
    let b = bucket(number)
    for way in 0..<Self.ways where b[way] == 0 { return true }
    return false
  }

  /// Finds the flow of a key, or 0.
  @inline(__always)
  func find(_ key: UnsafePointer<FlowKey>, lines: UInt8) -> UInt32 {
    for place in 0..<maskCount {
      let maskIndex = Int(order[place])
      let mask = UnsafePointer(slab.masks + maskIndex)
      let maskLines = mask.pointee.packetLines
      guard maskLines & ~lines == 0 else { continue }
      let hash = secrets.hash(key, mask, lines: maskLines)
      let tag = hash >> 32
      var number = hash
      while true {
        let b = bucket(number)
        var hasEmpty = false
        for way in 0..<Self.ways {
          let e = b[way]
          if e >> 32 == tag {
            let index = UInt32(truncatingIfNeeded: e)
            let slot = UnsafePointer(slab.slots + Int(index))
            if Int(slot.pointee.mask) == maskIndex, slab.matches(slot, index: index, key) {
              hits[maskIndex] &+= 1
              return index
            }
          }
          if e == 0 { hasEmpty = true }
        }
        if hasEmpty { break }
        number &+= 1
      }
    }
    return 0
  }

  /// The bits that any flow looks at: what the exact cache has to hash.
  func unionOfMasks() -> FlowMask {
    var union = FlowMask()
    for place in 0..<maskCount { union = union | slab.masks[Int(order[place])] }
    return union
  }

  /// Puts the busiest masks first and halves the hit counts. Insertion sort: the order changes little between calls.
  mutating func rank() {
    for place in 1..<max(maskCount, 1) {
      let mask = order[place]
      let mine = hits[Int(mask)]
      var at = place
      while at > 0, hits[Int(order[at - 1])] < mine {
        order[at] = order[at - 1]
        at -= 1
      }
      order[at] = mask
    }
    for place in 0..<maskCount { hits[Int(order[place])] >>= 1 }
  }
}
