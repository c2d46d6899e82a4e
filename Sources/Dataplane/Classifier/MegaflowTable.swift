// MegaflowTable.swift
//
// What: the classifier behind the exact cache: one hash table for the flows of all masks. A look-up tries the masks of the packet's
//       ingress port in order of how often they hit; each try hashes the key under that mask and reads one bucket.
// Why one table: no table grows or is rehashed while packets wait; its memory is known at start.
// Why masks per port: every mask looks at the ingress port, so a flow of another port cannot match anyway. A port whose traffic needs a
//       hundred masks, or whose sender makes up one per packet, makes no packet of another port slower.
// Invariants: at most `capacity` flows live in at least a quarter more places, so an empty place always ends a search. A bucket with an empty
//             place was never passed over by an entry that lies further on: a removal pulls such an entry back into the hole. So nothing
//             wears out however long flows come and go. A port's row lists exactly the masks under which it has flows: `masksPerPort`
//             at most, for which the pipeline thread answers.
// Threads: confined to one worker.
// Cost: a bucket is one cache line of eight entries (32-bit tag, 32-bit flow index); a mask costs a packet that misses it about 10 ns.

import CSluice

/// A mask under which a port has flows.
struct PortMask: BitwiseCopyable {
  var mask: UInt16
  /// Flows of the port under the mask.
  var population: UInt32
  /// Hits since the last ranking.
  var hits: UInt32
}

struct MegaflowTable: ~Copyable {
  private let entries: UnsafeMutablePointer<UInt64>
  private let bucketMask: UInt64
  let byteCount: Int
  /// `masksPerPort` places per port: its masks, the busiest first.
  private let rows: UnsafeMutablePointer<PortMask>
  /// Masks of each port.
  private let counts: UnsafeMutablePointer<UInt16>
  /// Flows under each mask, of all ports.
  private let population: UnsafeMutablePointer<UInt32>
  /// Masks with flows.
  private(set) var maskCount = 0
  private let secrets: HashSecrets
  private let slab: FlowSlab

  private static let ways = 8
  /// Masks that a port can have.
  static let masksPerPort = 256
  private static let rowBytes = WorkerCounters.portCapacity * masksPerPort * MemoryLayout<PortMask>.stride

  init?(slab: FlowSlab, secrets: HashSecrets) {
    var places = 64
    while places * 4 < slab.capacity * 5 { places *= 2 }
    let bytes = places * MemoryLayout<UInt64>.stride
    guard let memory = sluice_map_memory(bytes, 1) else { return nil }
    guard let rowMemory = sluice_map_memory(Self.rowBytes, 0) else {
      sluice_unmap_memory(memory, bytes)
      return nil
    }
    byteCount = bytes
    entries = memory.assumingMemoryBound(to: UInt64.self)
    bucketMask = UInt64(places / Self.ways - 1)
    rows = rowMemory.assumingMemoryBound(to: PortMask.self)
    counts = .allocate(capacity: WorkerCounters.portCapacity)
    counts.initialize(repeating: 0, count: WorkerCounters.portCapacity)
    population = .allocate(capacity: FlowSlab.maskCapacity)
    population.initialize(repeating: 0, count: FlowSlab.maskCapacity)
    self.slab = slab
    self.secrets = secrets
  }

  deinit {
    sluice_unmap_memory(entries, byteCount)
    sluice_unmap_memory(rows, Self.rowBytes)
    counts.deallocate()
    population.deallocate()
  }

  @inline(__always)
  private func bucket(_ number: UInt64) -> UnsafeMutablePointer<UInt64> {
    entries + Int(truncatingIfNeeded: (number & bucketMask) &* UInt64(Self.ways))
  }

  /// Never 0, because no flow has index 0.
  @inline(__always)
  private func entry(_ hash: UInt64, _ index: UInt32) -> UInt64 { (hash >> 32) << 32 | UInt64(index) }

  /// The masks of a port, the busiest first.
  @inline(__always)
  func masks(ofPort port: Int) -> UnsafeMutableBufferPointer<PortMask> {
    UnsafeMutableBufferPointer(start: rows + port &* Self.masksPerPort, count: Int(counts[port]))
  }

  /// Begins to use a slot as described; true when it is the first one of its mask and port. Two flows may claim the same packet; either is right then.
  mutating func insert(_ index: UInt32, _ flow: UnsafePointer<FlowDescription>) -> Bool {
    slab.activate(index, flow)
    let (mask, port, hash) = (flow.pointee.mask, Int(flow.pointee.port), flow.pointee.hash)
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
    if population[Int(mask)] == 1 { maskCount += 1 }
    let row = rows + port * Self.masksPerPort
    let count = Int(counts[port])
    for place in 0..<count where row[place].mask == mask {
      row[place].population += 1
      return false
    }
    precondition(count < Self.masksPerPort, "a port has \(Self.masksPerPort) masks at most")
    row[count] = PortMask(mask: mask, population: 1, hits: 0)
    counts[port] += 1
    return true
  }

  /// Removes a flow; from here on it matches nothing. Returns true when it was the last one of its mask and port.
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
    let port = Int(slot.pointee.port)
    slab.deactivate(index)
    population[Int(mask)] -= 1
    if population[Int(mask)] == 0 { maskCount -= 1 }
    let row = rows + port * Self.masksPerPort
    let count = Int(counts[port])
    for place in 0..<count where row[place].mask == mask {
      row[place].population -= 1
      guard row[place].population == 0 else { return false }
      for later in place..<(count - 1) { row[later] = row[later + 1] }
      counts[port] -= 1
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

  /// Finds the flow of a key that came in by a port, or 0.
  @inline(__always)
  func find(_ key: UnsafePointer<FlowKey>, lines: UInt8, port: Int) -> UInt32 {
    let row = rows + port &* Self.masksPerPort
    for place in 0..<Int(counts[port]) {
      let maskIndex = Int(row[place].mask)
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
              row[place].hits &+= 1
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

  /// The bits that any flow of a port looks at: what the exact cache has to hash for its packets.
  func unionOfMasks(port: Int) -> FlowMask {
    var union = FlowMask()
    for entry in masks(ofPort: port) { union = union | slab.masks[Int(entry.mask)] }
    return union
  }

  /// Puts each port's busiest masks first and halves the hit counts. Insertion sort: the order changes little between calls.
  mutating func rank() {
    for port in 0..<WorkerCounters.portCapacity where counts[port] > 0 {
      let row = rows + port * Self.masksPerPort
      let count = Int(counts[port])
      for place in 1..<max(count, 1) {
        let mine = row[place]
        var at = place
        while at > 0, row[at - 1].hits < mine.hits {
          row[at] = row[at - 1]
          at -= 1
        }
        row[at] = mine
      }
      for place in 0..<count { row[place].hits >>= 1 }
    }
  }
}
