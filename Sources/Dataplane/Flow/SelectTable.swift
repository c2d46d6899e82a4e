// SelectTable.swift
//
// What: chooses one of several weighted buckets by a hash: the select groups of OpenFlow, ECMP, load balancing. A power of two of slots, each
//       owned by a bucket; the upper bits of the hash name the slot (as in Maglev's look-up table, Eisenbud et al., NSDI 2016).
// Invariants: a bucket owns its share of the slots, rounded down or up: weights are exact within one slot. A table made from an older
//             one moves a slot only if it must: because its owner is gone, not live or has more than its share. A bucket that comes back gets its own slots
//             again, so a bucket that flaps disturbs no connection of the others and gets its own back. A table with more slots
//             than its predecessor splits each old slot, which moves nothing.
// Why a seed: switches in a row that all hash alike send what one of them sends to a bucket to the same bucket of the next, and leave the others
//           empty (ECMP polarisation).
// Threads: slots are immutable; the counts are atomics that all workers add to. Identity is equality.
// Cost: 16 to 256 KiB; choosing is one multiplication chain, one shift and one load. Making one is a few passes over the slots.

import CSluice

/// Weighted buckets, chosen by hash.
///
/// @unchecked Sendable: what the pointers lead to is written by `init` only, but for the counts, which are atomics.
public final class SelectTable: @unchecked Sendable, Hashable {
  /// The weight of each bucket; 0 for one that is not live.
  public let weights: [UInt32]
  /// Slots; a power of two.
  public let slotCount: Int
  /// What makes this switch choose otherwise than the next one.
  public let seed: UInt64
  /// What workers read.
  let view: UnsafeMutablePointer<SelectView>

  private let slots: UnsafeMutablePointer<UInt16>
  /// The bucket that a slot belongs to while all are well: where it returns to.
  private let homes: UnsafeMutablePointer<UInt16>
  private let counts: [BucketCounts]
  private let countPlaces: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>>

  static let none = UInt16.max
  private static let smallestSlotCount = 1 << 12
  private static let largestSlotCount = 1 << 16

  /// Makes a table.
  ///
  /// - Parameters:
  ///   - weights: of the buckets; 0 for one that is not live.
  ///   - previous: the table that this one takes the place of: slots stay where they can, counts go on.
  ///   - previousIndices: for each bucket the one that it was in `previous`, nil for a new one; without it, the one with the same index.
  ///   - seed: of the switch; see `SwitchConfiguration`.
  public init(weights: [UInt32], previous: SelectTable?, previousIndices: [Int?]? = nil, seed: UInt64 = 0) {
    precondition(weights.count < Int(Self.none), "a select table has at most 65534 buckets")
    self.weights = weights
    self.seed = seed
    let origins = weights.indices.map { index -> Int? in
      let old = previousIndices.map { index < $0.count ? $0[index] : nil } ?? index
      return old.flatMap { $0 < (previous?.weights.count ?? 0) ? $0 : nil }
    }
    counts = origins.map { origin in
      if let origin, let previous { previous.counts[origin] } else { BucketCounts() }
    }
    slotCount = max(Self.slotCount(for: weights), previous?.slotCount ?? 0)
    slots = .allocate(capacity: slotCount)
    homes = .allocate(capacity: slotCount)
    countPlaces = .allocate(capacity: max(weights.count, 1))
    for (i, count) in counts.enumerated() { (countPlaces + i).initialize(to: count.words) }
    view = .allocate(capacity: 1)
    view.initialize(
      to: SelectView(slots: slots, counts: countPlaces, shift: UInt64(64 - slotCount.trailingZeroBitCount)))
    inherit(from: previous, origins: origins)
    settle()
  }

  deinit {
    slots.deallocate()
    homes.deallocate()
    countPlaces.deallocate()
    view.deallocate()
  }

  /// The bucket for a hash; nil when none is live.
  public func bucket(hash: UInt64) -> Int? { view.pointee.bucket(hash) }

  /// Slots that a bucket owns.
  public func slots(ofBucket bucket: Int) -> Int { (0..<slotCount).reduce(0) { $0 + (Int(slots[$1]) == bucket ? 1 : 0) } }

  /// Packets and bytes that workers have sent through a bucket, through all tables that this one goes back to.
  public func counts(ofBucket bucket: Int) -> (packets: UInt64, bytes: UInt64) {
    let words = counts[bucket].words
    return (sluice_load_relaxed_u64(words), sluice_load_relaxed_u64(words + 1))
  }

  public static func == (a: SelectTable, b: SelectTable) -> Bool { a === b }

  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

  // MARK: - Making

  /// Sixteen slots for the smallest share at least, within limits.
  private static func slotCount(for weights: [UInt32]) -> Int {
    let live = weights.filter { $0 > 0 }
    guard let least = live.min() else { return smallestSlotCount }
    let shares = live.reduce(0) { $0 + UInt64($1) } / UInt64(least)
    var count = smallestSlotCount
    while count < largestSlotCount, UInt64(count) < shares * 16 { count *= 2 }
    return count
  }

  /// Fills the slots with what they were in the older table, renumbered.
  private func inherit(from previous: SelectTable?, origins: [Int?]) {
    guard let previous else {
      slots.initialize(repeating: Self.none, count: slotCount)
      homes.initialize(repeating: Self.none, count: slotCount)
      return
    }
    var renumbered = [UInt16](repeating: Self.none, count: previous.weights.count)
    for (new, old) in origins.enumerated() {
      if let old { renumbered[old] = UInt16(new) }
    }
    func now(_ bucket: UInt16) -> UInt16 { bucket == Self.none ? Self.none : renumbered[Int(bucket)] }
    let split = slotCount / previous.slotCount
    for slot in 0..<slotCount {
      (slots + slot).initialize(to: now(previous.slots[slot / split]))
      (homes + slot).initialize(to: now(previous.homes[slot / split]))
    }
  }

  /// How many slots each bucket gets: its share, rounded by largest remainder; among equals the one that has more now keeps it.
  private func quotas(held: [Int]) -> [Int] {
    let total = weights.reduce(0) { $0 + UInt64($1) }
    guard total > 0 else { return .init(repeating: 0, count: weights.count) }
    var quotas = weights.map { Int(UInt64($0) * UInt64(slotCount) / total) }
    let remainders = weights.map { UInt64($0) * UInt64(slotCount) % total }
    let left = slotCount - quotas.reduce(0, +)
    let ranked = weights.indices.filter { weights[$0] > 0 }.sorted {
      (remainders[$0], held[$0] - quotas[$0], $1) > (remainders[$1], held[$1] - quotas[$1], $0)
    }
    for bucket in ranked.prefix(left) { quotas[bucket] += 1 }
    return quotas
  }

  /// Takes from buckets what is beyond their share and gives it to those that have less.
  private func settle() {
    var held = [Int](repeating: 0, count: weights.count)
    for slot in 0..<slotCount where slots[slot] != Self.none { held[Int(slots[slot])] += 1 }
    let quotas = quotas(held: held)
    // A guest in a slot leaves before an owner does.
    for guestsOnly in [true, false] {
      for slot in 0..<slotCount where slots[slot] != Self.none {
        let owner = Int(slots[slot])
        guard held[owner] > quotas[owner], !guestsOnly || homes[slot] != slots[slot] else { continue }
        held[owner] -= 1
        slots[slot] = Self.none
      }
    }
    for slot in 0..<slotCount where slots[slot] == Self.none && homes[slot] != Self.none {
      let home = Int(homes[slot])
      guard held[home] < quotas[home] else { continue }
      held[home] += 1
      slots[slot] = homes[slot]
    }
    // What is left is dealt out in turn, so that the slots of one dead bucket go to all the others.
    var next = 0
    for slot in 0..<slotCount where slots[slot] == Self.none {
      guard let taker = (0..<weights.count).lazy.map({ (next + $0) % self.weights.count }).first(where: { held[$0] < quotas[$0] })
      else { return }
      held[taker] += 1
      slots[slot] = UInt16(taker)
      next = taker + 1
      // A slot stays at home with a bucket that is away; it moves house when its owner has given it up for good.
      if homes[slot] == Self.none || weights[Int(homes[slot])] > 0 { homes[slot] = UInt16(taker) }
    }
  }
}

/// What a worker needs of a table.
struct SelectView: BitwiseCopyable {
  let slots: UnsafeMutablePointer<UInt16>
  let counts: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>>
  let shift: UInt64

  @inline(__always)
  func bucket(_ hash: UInt64) -> Int? {
    let owner = slots[Int(truncatingIfNeeded: hash &>> shift)]
    return owner == SelectTable.none ? nil : Int(owner)
  }

  /// Counts a packet for a bucket.
  @inline(__always)
  func count(_ bucket: Int, bytes: Int) {
    sluice_add_shared_u64(counts[bucket], 1)
    sluice_add_shared_u64(counts[bucket] + 1, UInt64(bytes))
  }
}

/// Packets and bytes of one bucket, on a cache line of their own; shared by all tables that the bucket has been in.
private final class BucketCounts {
  let words: UnsafeMutablePointer<UInt64>

  init() {
    words = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64).initializeMemory(as: UInt64.self, repeating: 0, count: 8)
  }

  deinit { words.deallocate() }
}

// MARK: - The hash

extension SelectTable {
  /// The hash by which a packet is assigned: of addresses, EtherType, VLAN ids, MPLS label, I-SID, IP addresses, protocol and, unless the packet
  /// is a fragment, ports. It is not of the ingress port, nor of anything that changes within a connection (TTL, DSCP, flags, flow label).
  ///
  /// The same on every worker and, with the same seed, after every start, so that connections outlive a restart of the agent.
  /// - Parameters:
  ///   - lines: of the key that were written (`FrameLayout.lines`).
  ///   - level: how many selections this one is within. Each level has a hash of its own: by the same hash, all packets that came to a
  ///     bucket would come to the same bucket of the next table.
  public func hash(of key: FlowKey, lines: UInt8, level: Int = 0) -> UInt64 {
    withUnsafePointer(to: key) { Self.hash($0, lines: lines, multiplier: multiplier(level: level)) }
  }

  /// The last step of the hash, which is what tells seeds and levels apart: an odd number. Another one added would only shift all choices;
  /// another factor makes them independent.
  func multiplier(level: Int) -> UInt64 {
    // Neighbouring seeds are made as different as any others; the seed 0 stays 0.
    var mixed = seed &* 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ mixed >> 32) &* 0xd6e8_feb8_6659_fd93
    return (Self.s7 ^ (mixed ^ mixed >> 32) << 1) &+ 2 &* UInt64(truncatingIfNeeded: level) &* Self.s1
  }

  // Digits of pi's fraction: no structure that frames could share.
  private static var s0: UInt64 { 0x243f_6a88_85a3_08d3 }
  private static var s1: UInt64 { 0x1319_8a2e_0370_7344 }
  private static var s2: UInt64 { 0xa409_3822_299f_31d0 }
  private static var s3: UInt64 { 0x082e_fa98_ec4e_6c89 }
  private static var s4: UInt64 { 0x4528_21e6_38d0_1377 }
  private static var s5: UInt64 { 0xbe54_66cf_34e9_0c6c }
  private static var s6: UInt64 { 0xc0ac_29b7_c97c_50dd }
  private static var s7: UInt64 { 0x3f84_d5b5_b547_0917 }

  @inline(__always)
  static func hash(_ key: UnsafePointer<FlowKey>, lines: UInt8, multiplier: UInt64) -> UInt64 {
    let line = key.pointee.line0
    // Of a tag control word the VLAN id and the present bit.
    let tag: UInt64 = 0xff1f << 48
    let isFragment = line.w4 & 0xff00_0000 != 0
    let ports = isFragment ? 0 : line.w3 & 0xffff_ffff
    var hash = sluice_fold_multiply(line.w0 ^ s0, line.w1 & (tag | 0x0000_ffff_ffff_ffff) ^ s1)
    hash ^= sluice_fold_multiply(line.w2 ^ s2, (ports | line.w3 & tag) ^ s3)
    // Byte 33 is the protocol; bytes 56 to 58 begin with the 20 bits of the label, 60 to 63 are the I-SID.
    hash = sluice_fold_multiply(hash ^ (line.w4 & 0xff00) ^ s4, line.w7 & 0xffff_ffff_00f0_ffff ^ s5)
    if lines & 2 != 0 {
      let line1 = key.pointee.line1
      let source = sluice_fold_multiply(line1.w0 ^ s0, line1.w1 ^ s6)
      let destination = sluice_fold_multiply(line1.w2 ^ s2, line1.w3 ^ s7)
      hash ^= sluice_fold_multiply(source ^ s3, destination ^ s5)
    }
    return sluice_fold_multiply(hash ^ s6, multiplier)
  }
}
