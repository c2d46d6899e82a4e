// FlowTable.swift
//
// What: the slots and buckets of the flow table in the kernel, written through mapped memory.
// Idea: a flow's slot is complete before its bucket's entry names it, and the entry is one word; so a program finds a whole
//       flow or none. The entry is cleared when the flow is withdrawn; its slot is used again only after the caller has waited for the
//       programs that are under way.
// Invariants: an entry that is not 0 names a slot whose flow has that hash; no two entries of a bucket have one tag, because programs look at
//       the first only. This object is the only writer, but for `state` and `last_up` of a flow, which the programs write, and the counters,
//       which they add to.
// Threads: the pipeline thread only.
// Cost: inserting and removing are a hash and a bucket's cache line, without a system call.

import CSluice
import Dataplane

/// The slots and buckets.
final class FlowTable {
  private let maps: FlowTableMaps
  private let flows: UnsafeMutablePointer<sluice_flow>
  private let words: UnsafeMutablePointer<UInt32>
  private let bucketMask: Int
  /// Slots that were used and are free again.
  private var free: [UInt32] = []
  /// Slots from here on were never used.
  private var fresh: UInt32 = 1
  private(set) var count = 0

  static let bucketEntries = Int(SLUICE_BUCKET_ENTRIES)

  init(maps: FlowTableMaps) {
    self.maps = maps
    flows = maps.flows.base
    words = UnsafeMutableRawPointer(maps.bucketEntries.base).assumingMemoryBound(to: UInt32.self)
    bucketMask = maps.buckets - 1
  }

  /// Flows that fit: slot 0 is not used.
  var capacity: Int { maps.slots - 1 }

  /// The flow in a slot. It stays where it is until the slot is released.
  func flow(_ slot: UInt32) -> UnsafeMutablePointer<sluice_flow> { flows + Int(slot) }

  /// What matters while the flow in a slot is waiting.
  func wait(_ slot: UInt32) -> UnsafeMutablePointer<sluice_wait> { maps.waits.base + Int(slot) }

  /// Files a flow. Programs may find it before this returns.
  /// - Returns: its slot.
  func insert(_ flow: sluice_flow, line1: sluice_line, wait: sluice_wait) throws(TierRefusal) -> UInt32 {
    let hash = self.hash(flow, line1)
    let tag = sluice_hash_tag(hash, maps.slotBits)
    let bucket = words + (Int(truncatingIfNeeded: hash) & bucketMask) * Self.bucketEntries
    var place: Int?
    for i in (0..<Self.bucketEntries).reversed() {
      let word = bucket[i]
      if word == 0 { place = i } else if word >> maps.slotBits == tag {
        throw .temporary("tag", "another flow of the kernel tier has the same short hash; one of both has to stay in the worker")
      }
    }
    guard let place else {
      throw .temporary("bucket-full", "the flow's place in the kernel tier is taken by \(Self.bucketEntries) others")
    }
    guard let slot = takeSlot() else {
      throw .temporary("table-full", "the kernel tier holds \(count) flows, which is all it can")
    }
    maps.line1.base[Int(slot)] = line1
    maps.waits.base[Int(slot)] = wait
    for shard in 0..<maps.shards { count(slot, shard: shard).pointee = sluice_flow_count() }
    flows[Int(slot)] = flow
    sluice_store_release_u32(bucket + place, tag << maps.slotBits | slot)
    count += 1
    return slot
  }

  /// Takes a flow out of its bucket: programs that start from now on do not find it.
  func withdraw(_ slot: UInt32) {
    guard let entry = entry(of: slot) else { return }
    sluice_store_release_u32(entry, 0)
    count -= 1
  }

  /// Lets a slot be used again. No program may be under way that found the flow.
  func release(_ slot: UInt32) {
    flows[Int(slot)].mask = 0
    flows[Int(slot)].answer = 0
    free.append(slot)
  }

  /// What was counted for the flow in a slot, summed over the shards.
  func counts(_ slot: UInt32) -> TierCounts {
    var sum = TierCounts()
    for shard in 0..<maps.shards {
      let words = UnsafeMutableRawPointer(count(slot, shard: shard)).assumingMemoryBound(to: UInt64.self)
      sum.packets &+= sluice_load_relaxed_u64(words)
      sum.bytes &+= sluice_load_relaxed_u64(words + 1)
      sum.usedNanoseconds = max(sum.usedNanoseconds, sluice_load_relaxed_u64(words + 2))
    }
    return sum
  }

  func line1(_ slot: UInt32) -> sluice_line { maps.line1.base[Int(slot)] }

  // MARK: What an agent before this one left

  /// Looks through the table of an agent that may have stopped anywhere: entries that name no whole flow are cleared, slots that no entry
  /// names are free.
  /// - Parameter isSound: whether what a flow refers to is there.
  /// - Returns: the slots in use, and whether anything had to be mended; then programs may still be under way in what is free now.
  func takeIn(isSound: (UnsafePointer<sluice_flow>) -> Bool) -> (slots: [UInt32], wasMended: Bool) {
    var isNamed = [Bool](repeating: false, count: maps.slots)
    var slots: [UInt32] = []
    var wasMended = false
    for place in 0..<maps.buckets * Self.bucketEntries where words[place] != 0 {
      let word = words[place]
      let slot = self.slot(word)
      if slot > 0, !isNamed[Int(slot)], isFiled(slot, place: place, word: word), isSound(flows + Int(slot)) {
        isNamed[Int(slot)] = true
        slots.append(slot)
      } else {
        sluice_store_release_u32(words + place, 0)
        wasMended = true
      }
    }
    fresh = UInt32(maps.slots)
    free = []
    for slot in (1..<maps.slots).reversed() where !isNamed[slot] {
      if flows[slot].mask != 0 {
        flows[slot].mask = 0
        wasMended = true
      }
      free.append(UInt32(slot))
    }
    count = slots.count
    return (slots, wasMended)
  }

  private func isFiled(_ slot: UInt32, place: Int, word: UInt32) -> Bool {
    let hash = self.hash(flows[Int(slot)], maps.line1.base[Int(slot)])
    return word >> maps.slotBits == sluice_hash_tag(hash, maps.slotBits)
      && Int(truncatingIfNeeded: hash) & bucketMask == place / Self.bucketEntries
  }

  // MARK: Pieces

  private func takeSlot() -> UInt32? {
    if let slot = free.popLast() { return slot }
    guard fresh < UInt32(maps.slots) else { return nil }
    defer { fresh += 1 }
    return fresh
  }

  private func slot(_ word: UInt32) -> UInt32 { word & UInt32(maps.slots - 1) }

  private func count(_ slot: UInt32, shard: Int) -> UnsafeMutablePointer<sluice_flow_count> {
    maps.counts.base + (shard * maps.slots + Int(slot))
  }

  private func entry(of slot: UInt32) -> UnsafeMutablePointer<UInt32>? {
    let hash = self.hash(flows[Int(slot)], maps.line1.base[Int(slot)])
    let bucket = words + (Int(truncatingIfNeeded: hash) & bucketMask) * Self.bucketEntries
    for i in 0..<Self.bucketEntries where bucket[i] != 0 && self.slot(bucket[i]) == slot { return bucket + i }
    return nil
  }

  private func hash(_ flow: sluice_flow, _ line1: sluice_line) -> UInt64 {
    withUnsafeBytes(of: flow.key) { line0 in
      withUnsafeBytes(of: FlowLine(line1).kernelWords1) { line1 in
        withUnsafePointer(to: maps.hashKeys) { keys in
          sluice_flow_hash(
            line0.assumingMemoryBound(to: UInt64.self).baseAddress, line1.assumingMemoryBound(to: UInt64.self).baseAddress,
            UInt32(flow.lines), UInt32(flow.mask), keys)
        }
      }
    }
  }
}
