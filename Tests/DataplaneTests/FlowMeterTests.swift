// FlowMeterTests.swift
//
// What: what a meter lets pass, with a clock in the hand of the test: to one percent of the rate over ten seconds, for any packet size and
//       arrival; bursts; several bands; several threads.

import CSluice
import Testing
import TestSupport

@testable import Dataplane

@Suite struct FlowMeterTests {
  private static let second: UInt64 = 1_000_000_000

  /// Offers packets at even distances for ten seconds; returns packets and bytes that pass.
  private func pass(_ meter: FlowMeter, packetsPerSecond: Int, bytes: Int, batch: Int = 1) -> (packets: Int, bytes: Int) {
    let start = 12_345 * Self.second
    var packets = 0
    for i in 0..<packetsPerSecond * 10 {
      // Packets of one batch have one time stamp.
      let now = start + UInt64(i / batch * batch) * Self.second / UInt64(packetsPerSecond)
      if meter.measure(bytes: bytes, now: now) == nil { packets += 1 }
    }
    return (packets, packets * bytes)
  }

  @Test(arguments: [(1, 20), (10, 1000), (333, 1000), (5000, 20_000), (30_000, 50_000)])
  func packetsPerSecondAreExactToOnePercent(_ rate: Int, _ offered: Int) {
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: UInt32(rate))])
    let passed = pass(meter, packetsPerSecond: offered, bytes: 60).packets
    #expect(abs(Double(passed) - Double(rate) * 10) <= max(1, Double(rate) * 0.1))
  }

  @Test(arguments: [(100, 1514, 1), (10_000, 60, 32), (10_000, 1514, 32), (200_000, 1514, 64), (20_000, 64, 64)])
  func kilobitsAreExactToOnePercent(_ rate: Int, _ bytes: Int, _ batch: Int) {
    let meter = FlowMeter(perPacket: false, bands: [.init(kind: .drop, rate: UInt32(rate))])
    // Twice the rate.
    let offered = rate * 1000 * 2 / (bytes * 8)
    let passed = pass(meter, packetsPerSecond: offered, bytes: bytes, batch: batch)
    // Two packets are the grain of a slow meter.
    let wanted = Double(rate) * 1000 * 10
    #expect(abs(Double(passed.bytes * 8) - wanted) <= max(wanted * 0.01, Double(2 * bytes * 8)))
  }

  @Test func aFrameThatIsLongerThanTheBurstStillPassesAtTheRate() {
    // A twentieth of a second at 8 kbit/s is 50 bytes; a frame takes a second and a half. Two may come at once.
    let meter = FlowMeter(perPacket: false, bands: [.init(kind: .drop, rate: 8)])
    #expect(pass(meter, packetsPerSecond: 100, bytes: 1500).packets == 8)
  }

  @Test func trafficBelowTheRateIsNeverTouched() {
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: 1000)])
    #expect(pass(meter, packetsPerSecond: 999, bytes: 60).packets == 9990)
    #expect(meter.counts.bands == [.init()])
    #expect(meter.counts.total == .init(packets: 9990, bytes: 9990 * 60))
  }

  @Test func aBurstMayComeAtOnceAndThenTheRateCounts() {
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: 100, burst: 30)])
    func atOnce(_ now: UInt64) -> Int { (0..<200).reduce(0) { sum, _ in sum + (meter.measure(bytes: 60, now: now) == nil ? 1 : 0) } }
    #expect(atOnce(Self.second) == 30)
    #expect(atOnce(Self.second + Self.second / 10) == 10)
    #expect(atOnce(3 * Self.second) == 30)
    #expect(meter.counts.total.packets == 600)
    #expect(meter.counts.bands == [.init(packets: 530, bytes: 530 * 60)])
  }

  @Test func theBandWithTheHighestRateThatIsExceededApplies() {
    let meter = FlowMeter(
      perPacket: true,
      bands: [.init(kind: .remarkDSCP(precedence: 1), rate: 1000), .init(kind: .drop, rate: 2000)])
    var answers: [FlowMeter.Band.Kind?: Int] = [:]
    for i in 0..<30_000 { answers[meter.measure(bytes: 60, now: UInt64(i) * Self.second / 3000), default: 0] += 1 }
    #expect(abs((answers[.drop] ?? 0) - 10_000) <= 200)
    #expect(abs((answers[.remarkDSCP(precedence: 1)] ?? 0) - 10_000) <= 200)
    #expect(abs((answers[FlowMeter.Band.Kind?.none] ?? 0) - 10_000) <= 200)
    #expect(meter.counts.bands.map(\.packets) == [answers[.remarkDSCP(precedence: 1)], answers[.drop]].map { UInt64($0 ?? 0) })
  }

  @Test func aRateOfZeroLetsNothingThrough() {
    let meter = FlowMeter(perPacket: false, bands: [.init(kind: .drop, rate: 0)])
    #expect(meter.measure(bytes: 60, now: Self.second) == .drop)
  }

  @Test func aMeterWithoutBandsOnlyCounts() {
    let meter = FlowMeter(perPacket: false, bands: [])
    #expect(meter.measure(bytes: 60, now: Self.second) == nil)
    #expect(meter.counts == .init(total: .init(packets: 1, bytes: 60), bands: []))
  }

  @Test func itsSuccessorGoesOnCounting() {
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: 1, burst: 1)])
    for _ in 0..<3 { _ = meter.measure(bytes: 60, now: Self.second) }
    let next = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: 9)], previous: meter)
    #expect(next.counts == meter.counts)
    #expect(next.counts.bands == [.init(packets: 2, bytes: 120)])
  }

  @Test func threadsThatShareAMeterGetItsRateTogether() {
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: 10_000, burst: 1)])
    let passed = Locked(0)
    let threads = (0..<3).map { _ in
      TestThread {
        var mine = 0
        for i in 0..<100_000 where meter.measure(bytes: 60, now: Self.second + UInt64(i) * 10_000) == nil { mine += 1 }
        passed.withLock { $0 += mine }
      }
    }
    for thread in threads { thread.join() }
    // One second for all. Threads that lag behind the fastest bring old times, which never let more pass.
    #expect(passed.withLock { $0 } <= 10_001)
    #expect(passed.withLock { $0 } >= 9_900)
    #expect(meter.counts.total.packets == 300_000)
  }
}
