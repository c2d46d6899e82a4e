// FlowTable.swift
//
// What: the slots and buckets of the flow table in the kernel, written through mapped memory.
// Idea: a flow's slot is complete before its bucket's entry names it, and the entry is one word of eight bytes; so a program finds a whole
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
  private let words: UnsafeMutablePointer<UInt64>
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
    words = maps.bucketWords.base
    bucketMask = maps.buckets - 1
  }

  /// Flows that fit: slot 0 is not used.
  var capacity: Int { maps.slots - 1 }

  /// The flow in a slot. It stays where it is until the slot is released.
  func flow(_ slot: UInt32) -> UnsafeMutablePointer<sluice_flow> { flows + Int(slot) }

  /// Files a flow. Programs may find it before this returns.
  /// - Parameter flow: complete but for its tag.
  /// - Returns: its slot.
  func insert(_ flow: sluice_flow, line1: sluice_line) throws(TierRefusal) -> UInt32 {
    var flow = flow
    let hash = self.hash(flow.key, line1, lines: flow.lines, mask: flow.mask)
    let tag = sluice_hash_tag(hash)
    let bucket = words + (Int(truncatingIfNeeded: hash) & bucketMask) * Self.bucketEntries
    var place: Int?
    for i in (0..<Self.bucketEntries).reversed() {
      let word = bucket[i]
      if word == 0 { place = i } else if UInt32(truncatingIfNeeded: word) == tag {
        throw .temporary("tag", "another flow of the kernel tier has the same short hash; one of both has to stay in the worker")
      }
    }
    guard let place else {
      throw .temporary("bucket-full", "the flow's place in the kernel tier is taken by \(Self.bucketEntries) others")
    }
    guard let slot = takeSlot() else {
      throw .temporary("table-full", "the kernel tier holds \(count) flows, which is all it can")
    }
    flow.tag = tag
    maps.line1.base[Int(slot)] = line1
    for shard in 0..<maps.shards { maps.counts.base[Int(slot) * maps.shards + shard] = sluice_flow_count() }
    flows[Int(slot)] = flow
    sluice_store_release_u64(bucket + place, UInt64(slot) << 32 | UInt64(tag))
    count += 1
    return slot
  }

  /// Takes a flow out of its bucket: programs that start from now on do not find it.
  func withdraw(_ slot: UInt32) {
    guard let entry = entry(of: slot) else { return }
    sluice_store_release_u64(entry, 0)
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
    let first = maps.counts.base + Int(slot) * maps.shards
    for shard in 0..<maps.shards {
      let words = UnsafeMutableRawPointer(first + shard).assumingMemoryBound(to: UInt64.self)
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
      let slot = word >> 32
      if slot > 0, slot < UInt64(maps.slots), !isNamed[Int(slot)], isFiled(UInt32(slot), place: place, word: word), isSound(flows + Int(slot)) {
        isNamed[Int(slot)] = true
        slots.append(UInt32(slot))
      } else {
        sluice_store_release_u64(words + place, 0)
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

  private func isFiled(_ slot: UInt32, place: Int, word: UInt64) -> Bool {
    let flow = flows[Int(slot)]
    let hash = self.hash(flow.key, maps.line1.base[Int(slot)], lines: flow.lines, mask: flow.mask)
    let tag = sluice_hash_tag(hash)
    return UInt32(truncatingIfNeeded: word) == tag && flow.tag == tag
      && Int(truncatingIfNeeded: hash) & bucketMask == place / Self.bucketEntries
  }

  // MARK: Pieces

  private func takeSlot() -> UInt32? {
    if let slot = free.popLast() { return slot }
    guard fresh < UInt32(maps.slots) else { return nil }
    defer { fresh += 1 }
    return fresh
  }

  private func entry(of slot: UInt32) -> UnsafeMutablePointer<UInt64>? {
    let flow = flows[Int(slot)]
    let hash = self.hash(flow.key, maps.line1.base[Int(slot)], lines: flow.lines, mask: flow.mask)
    let bucket = words + (Int(truncatingIfNeeded: hash) & bucketMask) * Self.bucketEntries
    for i in 0..<Self.bucketEntries where bucket[i] >> 32 == UInt64(slot) { return bucket + i }
    return nil
  }

  private func hash(_ line0: sluice_line, _ line1: sluice_line, lines: UInt8, mask: UInt16) -> UInt64 {
    withUnsafePointer(to: line0) { line0 in
      withUnsafePointer(to: line1) { line1 in
        withUnsafePointer(to: maps.hashKeys) { sluice_flow_hash(line0, line1, UInt32(lines), UInt32(mask), $0) }
      }
    }
  }
}
