// FlowTable.swift
//
// What: the slots and tags of the flow table in the kernel, written through mapped memory.
// Idea: a flow's place follows from its hash: one of the eight slots of a bucket, or of the bucket beside it. Its slot is complete before
//       its tag is there, and a tag is one byte; so a program finds a whole flow or none. The tag is cleared when the flow is withdrawn; its
//       slot is used again only after the caller has waited for the programs that are under way.
// Invariants: a tag that is not 0 stands for a flow that has that hash; no more than SLUICE_SAME_TAGS flows that could be in the same two buckets
//       have one tag; no two flows have the same mask and key. This object is the only writer, but for a flow's `state` and its
//       sluice_flow_use, which the programs write.
// Threads: the pipeline thread only.
// Cost: inserting is a hash, and the cache lines of a bucket's tags and of a slot; removing is a byte. No system call.

import CSluice
import Dataplane

/// The slots and tags.
final class FlowTable {
  private let maps: FlowTableMaps
  private let slots: UnsafeMutablePointer<sluice_slot>
  private let tags: UnsafeMutablePointer<UInt8>
  /// For each bucket a bit for each slot that has a flow, or had one that is not released yet.
  private var taken: [UInt8]
  private(set) var count = 0

  private static let bucketSlots = Int(SLUICE_BUCKET_SLOTS)

  init(maps: FlowTableMaps) {
    self.maps = maps
    slots = maps.flows.base
    tags = UnsafeMutableRawPointer(maps.buckets.base).assumingMemoryBound(to: UInt8.self)
    taken = [UInt8](repeating: 0, count: maps.buckets.count)
  }

  /// Flows that are taken: half as many as there are slots.
  var capacity: Int { maps.capacity }

  /// The flow in a slot. It stays where it is until the slot is released.
  func flow(_ slot: UInt32) -> UnsafeMutablePointer<sluice_flow> {
    UnsafeMutableRawPointer(slots + Int(slot)).assumingMemoryBound(to: sluice_flow.self)
  }

  /// Files a flow. Programs may find it before this returns.
  /// - Returns: its slot.
  func insert(_ flow: sluice_flow, line1: sluice_line, use: sluice_flow_use) throws(TierRefusal) -> UInt32 {
    guard count < capacity else {
      throw .temporary("table-full", "the kernel tier holds \(count) flows, which is all it can")
    }
    let hash = self.hash(flow, line1)
    let tag = sluice_hash_tag(hash)
    let home = Int(truncatingIfNeeded: hash) & (maps.buckets.count - 1)
    var sameTags = 0
    // Both buckets: they lie together.
    let first = (home & ~1) * Self.bucketSlots
    for slot in first..<first + 2 * Self.bucketSlots where tags[slot] == tag {
      sameTags += 1
      guard !holds(slot, flow, line1) else {
        throw .temporary("duplicate", "the kernel tier still holds a flow of the same packets")
      }
    }
    guard sameTags < Int(SLUICE_SAME_TAGS) else {
      throw .temporary("tag", "\(sameTags) flows of the kernel tier have the same short hash; one has to stay in the worker")
    }
    guard let slot = freeSlot(home) ?? freeSlot(home ^ 1) else {
      throw .temporary("bucket-full", "the flow's place in the kernel tier is taken by \(2 * Self.bucketSlots) others")
    }
    maps.line1.base[slot] = line1
    slots[slot].use = use
    slots[slot].flow = flow
    taken[slot / Self.bucketSlots] |= 1 << UInt8(slot % Self.bucketSlots)
    sluice_store_release_u8(tags + slot, tag)
    count += 1
    return UInt32(slot)
  }

  /// Takes a flow out: programs that start from now on do not find it.
  func withdraw(_ slot: UInt32) {
    guard tags[Int(slot)] != 0 else { return }
    sluice_store_release_u8(tags + Int(slot), 0)
    count -= 1
  }

  /// Lets a slot be used again. No program may be under way that found the flow.
  func release(_ slot: UInt32) {
    slots[Int(slot)].flow.mask = 0
    slots[Int(slot)].flow.answer = 0
    taken[Int(slot) / Self.bucketSlots] &= ~(1 << UInt8(Int(slot) % Self.bucketSlots))
  }

  /// What was counted for the flow in a slot.
  func counts(_ slot: UInt32) -> TierCounts {
    // In the order of sluice_flow_use.
    let words = UnsafeMutableRawPointer(slots + Int(slot)).advanced(by: MemoryLayout<sluice_flow>.size).assumingMemoryBound(to: UInt64.self)
    return TierCounts(
      packets: sluice_load_relaxed_u64(words) &+ sluice_load_relaxed_u64(words + 2),
      bytes: sluice_load_relaxed_u64(words + 1) &+ sluice_load_relaxed_u64(words + 3),
      usedNanoseconds: sluice_load_relaxed_u64(words + 4))
  }

  func line1(_ slot: UInt32) -> sluice_line { maps.line1.base[Int(slot)] }

  // MARK: What an agent before this one left

  /// Looks through the table of an agent that may have stopped anywhere: tags that stand for no whole flow are cleared, slots without a
  /// tag are free.
  /// - Parameter isSound: whether what a flow refers to is there.
  /// - Returns: the slots in use, and whether anything had to be mended; then programs may still be under way in what is free now.
  func takeIn(isSound: (UnsafePointer<sluice_flow>) -> Bool) -> (slots: [UInt32], wasMended: Bool) {
    var held: [UInt32] = []
    var wasMended = false
    for slot in 0..<maps.slots where tags[slot] != 0 {
      if isFiled(slot), isSound(flow(UInt32(slot))) {
        held.append(UInt32(slot))
        taken[slot / Self.bucketSlots] |= 1 << UInt8(slot % Self.bucketSlots)
      } else {
        sluice_store_release_u8(tags + slot, 0)
        wasMended = true
      }
    }
    count = held.count
    return (held, wasMended)
  }

  /// Whether a flow has the tag that is there for it, in one of its two buckets.
  private func isFiled(_ slot: Int) -> Bool {
    let hash = self.hash(slots[slot].flow, maps.line1.base[slot])
    let home = Int(truncatingIfNeeded: hash) & (maps.buckets.count - 1)
    return tags[slot] == sluice_hash_tag(hash) && home | 1 == slot / Self.bucketSlots | 1
  }

  // MARK: Pieces

  /// A slot of a bucket that nothing was in, or where what was in it is released.
  private func freeSlot(_ bucket: Int) -> Int? {
    let place = (~taken[bucket]).trailingZeroBitCount
    return place < Self.bucketSlots ? bucket * Self.bucketSlots + place : nil
  }

  /// Whether a slot has a flow of the same packets.
  private func holds(_ slot: Int, _ flow: sluice_flow, _ line1: sluice_line) -> Bool {
    let other = slots[slot].flow
    return other.mask == flow.mask && other.key == flow.key && (flow.lines == 1 || FlowLine(maps.line1.base[slot]) == FlowLine(line1))
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
