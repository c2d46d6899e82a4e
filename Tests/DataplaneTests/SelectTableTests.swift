// SelectTableTests.swift
//
// What: shares of slots are what the weights say; a slot changes hands only when it must; packets spread by what distinguishes them.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct SelectTableTests {
  private func owners(_ table: SelectTable) -> [Int?] {
    (0..<table.slotCount).map { slot in
      table.bucket(hash: UInt64(slot) << UInt64(64 - table.slotCount.trailingZeroBitCount))
    }
  }

  /// Slots whose owner is another one now, by old owner.
  private func moved(_ before: SelectTable, _ after: SelectTable) -> [Int: Int] {
    var result: [Int: Int] = [:]
    for (old, new) in zip(owners(before), owners(after)) where old != new { result[old ?? -1, default: 0] += 1 }
    return result
  }

  @Test(arguments: [[1, 1, 1], [1, 2, 3, 4], [100, 1], [7, 0, 7], [65535, 1, 1], [5], [3, 0, 0, 9, 1]] as [[UInt32]])
  func aBucketHasItsShareToOneSlot(_ weights: [UInt32]) {
    let table = SelectTable(weights: weights, previous: nil)
    let total = weights.reduce(0, +)
    for (bucket, weight) in weights.enumerated() {
      let exact = Double(weight) * Double(table.slotCount) / Double(total)
      #expect(abs(Double(table.slots(ofBucket: bucket)) - exact) < 1, "bucket \(bucket)")
      if weight == 0 { #expect(table.slots(ofBucket: bucket) == 0) }
    }
    #expect(weights.indices.reduce(0) { $0 + table.slots(ofBucket: $1) } == table.slotCount)
  }

  @Test func randomWeightsHaveTheirSharesAlongAnyHistory() {
    var g = SeededGenerator.fresh()
    var table: SelectTable?
    for round in 0..<60 {
      let count = Int(g.next() % 12) + 1
      let weights = (0..<count).map { _ in UInt32(g.next() % 4 == 0 ? 0 : g.next() % 50) }
      let next = SelectTable(weights: weights, previous: table)
      let total = weights.reduce(0, +)
      for (bucket, weight) in weights.enumerated() where total > 0 {
        let exact = Double(weight) * Double(next.slotCount) / Double(total)
        #expect(abs(Double(next.slots(ofBucket: bucket)) - exact) < 1, "round \(round), seed \(g.seed)")
      }
      if total == 0 { #expect(next.bucket(hash: g.next()) == nil) }
      // No more slots move than lost their owner or were beyond his share.
      if let table, total > 0, table.slotCount == next.slotCount, table.weights.contains(where: { $0 > 0 }) {
        var least = 0
        for bucket in table.weights.indices {
          least += max(0, table.slots(ofBucket: bucket) - (bucket < count ? next.slots(ofBucket: bucket) : 0))
        }
        #expect(moved(table, next).values.reduce(0, +) == least, "round \(round), seed \(g.seed)")
      }
      table = next
    }
  }

  @Test func whenABucketDiesOnlyItsOwnSlotsMoveAndTheyComeBackWithIt() {
    let whole = SelectTable(weights: [2, 3, 5], previous: nil)
    let without = SelectTable(weights: [2, 0, 5], previous: whole)
    #expect(moved(whole, without) == [1: whole.slots(ofBucket: 1)])
    let again = SelectTable(weights: [2, 3, 5], previous: without)
    #expect(owners(again) == owners(whole))
  }

  @Test func aDeadBucketsSlotsGoToAllOthers() {
    let whole = SelectTable(weights: [1, 1, 1, 1], previous: nil)
    let without = SelectTable(weights: [1, 1, 1, 0], previous: whole)
    for bucket in 0..<3 { #expect(without.slots(ofBucket: bucket) > whole.slots(ofBucket: bucket) + 300) }
  }

  @Test func aChangedWeightMovesOnlyTheDifference() {
    let before = SelectTable(weights: [1, 1], previous: nil)
    let after = SelectTable(weights: [3, 1], previous: before)
    #expect(moved(before, after) == [1: before.slotCount / 4])
  }

  @Test func bucketsThatAreRenumberedKeepTheirSlotsAndCounts() {
    let before = SelectTable(weights: [1, 1, 1], previous: nil)
    before.view.pointee.count(2, bytes: 60)
    let after = SelectTable(weights: [1, 1], previous: before, previousIndices: [2, 0])
    for (old, new) in zip(owners(before), owners(after)) {
      if old == 2 { #expect(new == 0) }
      if old == 0 { #expect(new == 1) }
    }
    #expect(after.counts(ofBucket: 0) == (1, 60))
    #expect(after.counts(ofBucket: 1) == (0, 0))
  }

  @Test func aTableThatGrowsMovesNothing() {
    let small = SelectTable(weights: [1, 1], previous: nil)
    let large = SelectTable(weights: [1000, 1000, 1], previous: small)
    #expect(large.slotCount > small.slotCount)
    let split = large.slotCount / small.slotCount
    let old = owners(small)
    let changed = owners(large).enumerated().filter { old[$0.offset / split] != $0.element }
    #expect(changed.count == large.slots(ofBucket: 2))
  }

  // MARK: - The hash

  /// How evenly keys fall on four buckets: the largest share over the fair one.
  private func skew(_ count: Int, _ frame: (Int) -> [UInt8]) -> Double {
    let table = SelectTable(weights: [1, 1, 1, 1], previous: nil)
    var hits = [0, 0, 0, 0]
    for i in 0..<count {
      let (key, layout) = parseFrame(frame(i), inPort: 1)
      if let bucket = table.bucket(hash: table.hash(of: key, lines: layout.lines)) { hits[bucket] += 1 }
    }
    return Double(hits.max() ?? 0) * 4 / Double(count)
  }

  private func mac(_ i: Int) -> String { "02:00:00:00:\(String(i >> 8, radix: 16)):\(String(i & 255, radix: 16))" }

  @Test func trafficThatDiffersInOneFieldSpreads() {
    #expect(skew(4096) { FramePacket(from: mac($0)).etherType(0x88b5).bytes } < 1.12)
    #expect(skew(4096) { FramePacket(to: mac($0)).etherType(0x88b5).bytes } < 1.12)
    #expect(skew(4096) { FramePacket().vlan(UInt16($0)).etherType(0x88b5).bytes } < 1.12)
    #expect(skew(4096) { FramePacket().ipv4("10.0.\($0 >> 8).\($0 & 255)", "10.1.0.1").udp(1, 2).bytes } < 1.12)
    #expect(skew(4096) { FramePacket().ipv4("10.0.0.1", "10.1.0.1").udp(UInt16($0), 2).bytes } < 1.12)
    #expect(skew(4096) { FramePacket().ipv6("fd00::1", "fd00::\(String($0, radix: 16))").tcp(1, 2).bytes } < 1.12)
  }

  @Test func switchesWithOtherSeedsChooseIndependently() throws {
    let keys = (0..<16_384).map {
      parseFrame(FramePacket().ipv4("10.0.\($0 >> 8).\($0 & 255)", "10.1.0.1").udp(1, 2).bytes, inPort: 1)
    }
    let first = SelectTable(weights: [1, 1, 1, 1], previous: nil, seed: 1)
    for seed in [0, 2, 3, 1 << 63, .max] as [UInt64] {
      let next = SelectTable(weights: [1, 1, 1, 1], previous: nil, seed: seed)
      var hits = [[Int]](repeating: [0, 0, 0, 0], count: 4)
      for (key, layout) in keys {
        let here = try #require(first.bucket(hash: first.hash(of: key, lines: layout.lines)))
        let there = try #require(next.bucket(hash: next.hash(of: key, lines: layout.lines)))
        hits[here][there] += 1
      }
      // A sixteenth of the packets each, which is 1024, give or take four standard deviations.
      #expect(hits.allSatisfy { $0.allSatisfy { (900...1150).contains($0) } }, "seed \(seed): \(hits)")
    }
  }

  @Test func theSameSeedChoosesAlike() {
    let (key, layout) = parseFrame(FramePacket().ipv4("10.0.0.1", "10.1.0.1").udp(1, 2).bytes, inPort: 1)
    let hashes = (0..<2).map { _ in SelectTable(weights: [1, 1], previous: nil, seed: 77).hash(of: key, lines: layout.lines) }
    #expect(hashes[0] == hashes[1])
  }

  private func hash(_ packet: FramePacket, inPort: UInt32 = 1) -> UInt64 {
    let (key, layout) = parseFrame(packet.bytes, inPort: inPort)
    return SelectTable(weights: [1], previous: nil).hash(of: key, lines: layout.lines)
  }

  @Test func whatChangesWithinAConnectionDoesNotMoveIt() {
    let first = FramePacket().vlan(5).ipv4("10.0.0.1", "10.0.0.2").tcp(1000, 80, flags: 0x002)
    let later = FramePacket().vlan(5, priority: 3).ipv4("10.0.0.1", "10.0.0.2", ttl: 3, tos: 0x2e).tcp(1000, 80, flags: 0x018, payload: [1])
    #expect(hash(first) == hash(later))
    #expect(hash(first, inPort: 2) == hash(first))
    let six = FramePacket().ipv6("fd00::1", "fd00::2", label: 1).tcp(1, 2)
    #expect(hash(six) == hash(FramePacket().ipv6("fd00::1", "fd00::2", hopLimit: 2, trafficClass: 8, label: 77).tcp(1, 2, flags: 0x11)))
  }

  @Test func allFragmentsOfAPacketGoTheSameWay() {
    let first = FramePacket().ipv4("10.0.0.1", "10.0.0.2", moreFragments: true).udp(1000, 53, payload: .init(repeating: 0, count: 16))
    let later = FramePacket().ipv4("10.0.0.1", "10.0.0.2", fragmentOffset: 24).udp(0, 0, payload: [1, 2])
    #expect(hash(first) == hash(later))
  }
}
