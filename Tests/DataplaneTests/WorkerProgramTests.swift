// WorkerProgramTests.swift
//
// What: programs within programs, selections, meters, and packets that are looked up again.

import Testing
import TestSupport

@testable import Dataplane

@Suite(.serialized) struct WorkerProgramTests {
  private let udp = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [1, 2, 3]).bytes
  private let udpAt63 = FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: 63).udp(1000, 53, payload: [1, 2, 3]).bytes

  /// A frame with one label in front.
  private func labelled(_ bytes: [UInt8], ttl: UInt8 = 5) -> [UInt8] {
    Array(bytes[..<12]) + [0x88, 0x47, 0, 0, 0x11, ttl] + Array(bytes[14...])
  }

  private func connection(_ port: UInt16) -> [UInt8] { FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(port, 53).bytes }

  // MARK: - Clones

  @Test func whatACloneDoesIsNotSeenByWhatFollows() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2), bench.addPort(3))
    bench.install(
      udp, inPort: 1,
      [.clone([.decrementTTL, .output(2), .clone([.pushMPLS(etherType: 0x8847), .output(2)])]), .output(3), .clone([.decrementTTL, .output(3)])])
    one.inject(udp)
    #expect(two.waitForOutput(2) == [udpAt63, labelled(udpAt63, ttl: 63).changed(at: 16, to: 1)])
    #expect(three.waitForOutput(2) == [udp, udpAt63])
    bench.expectNoLeak()
  }

  @Test func aCloneThatDropsEndsAlone() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, [.clone([.popVLAN, .output(2)]), .output(2)])
    one.inject(udp)
    #expect(two.waitForOutput(1) == [udp])
    #expect(bench.counters(1).drops == [.actionFailed: 1])
    bench.expectNoLeak()
  }

  @Test func theQueueOfAPortThatHasNoneChangesNothing() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, [.setQueue(7), .output(2)])
    one.inject(udp)
    #expect(two.waitForOutput(1) == [udp])
    bench.expectNoLeak()
  }

  // MARK: - Selections

  @Test func aConnectionStaysWithItsBucketAndConnectionsSpread() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2), bench.addPort(3))
    let table = SelectTable(weights: [1, 3], previous: nil)
    bench.install(udp, inPort: 1, [.select(table, [[.output(2)], [.decrementTTL, .output(3)]])])
    let frames = (0..<1000).map { connection(UInt16($0)) }
    for _ in 0..<2 { one.inject(contentsOf: frames) }
    #expect(eventually { two.sentCount + three.sentCount == 2000 })
    let left = two.takeOutput()
    #expect(Set(left).count * 2 == left.count)
    #expect(abs(left.count - 500) < 100)
    #expect(table.counts(ofBucket: 0).packets == UInt64(left.count))
    #expect(table.counts(ofBucket: 1) == (UInt64(2000 - left.count), UInt64((2000 - left.count) * frames[0].count)))
    bench.expectNoLeak()
  }

  @Test func aSelectionWithinASelectionSpreadsToo() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let (two, three, four) = (bench.addPort(2), bench.addPort(3), bench.addPort(4))
    let inner = SelectTable(weights: [1, 1], previous: nil)
    let outer = SelectTable(weights: [1, 1], previous: nil)
    bench.install(udp, inPort: 1, [.select(outer, [[.select(inner, [[.output(2)], [.output(3)]])], [.output(4)]])])
    one.inject(contentsOf: (0..<1000).map { connection(UInt16($0)) })
    #expect(eventually { two.sentCount + three.sentCount + four.sentCount == 1000 })
    #expect(abs(four.sentCount - 500) < 80)
    #expect(abs(two.sentCount - 250) < 80)
    #expect(abs(three.sentCount - 250) < 80)
    bench.expectNoLeak()
  }

  @Test func aSelectionInTheMiddleRunsOnACopy() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2), bench.addPort(3))
    let table = SelectTable(weights: [1], previous: nil)
    bench.install(udp, inPort: 1, [.select(table, [[.decrementTTL, .output(2)]]), .output(3)])
    one.inject(udp)
    #expect(two.waitForOutput(1) == [udpAt63])
    #expect(three.waitForOutput(1) == [udp])
    bench.expectNoLeak()
  }

  @Test func withoutALiveBucketThePacketIsDroppedByName() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    bench.install(udp, inPort: 1, [.select(SelectTable(weights: [0, 0], previous: nil), [[.output(2)], [.output(2)]])])
    one.inject(udp)
    #expect(eventually { bench.counters(1).drops == [.noLiveBucket: 1] })
    #expect(DropReason.noLiveBucket.name == "no-live-bucket")
    bench.expectNoLeak()
  }

  // MARK: - Meters

  @Test func whatExceedsAMeterIsDroppedByName() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .drop, rate: 1, burst: 5)])
    bench.install(udp, inPort: 1, [.meter(meter), .output(2)])
    one.inject(contentsOf: .init(repeating: udp, count: 40))
    #expect(eventually { bench.counters(1).dropped + UInt64(two.sentCount) == 40 })
    #expect((5...7).contains(two.sentCount))
    #expect(bench.counters(1).drops == [.meter: 40 - UInt64(two.sentCount)])
    #expect(meter.counts.total == .init(packets: 40, bytes: UInt64(40 * udp.count)))
    #expect(meter.counts.bands == [.init(packets: 40 - UInt64(two.sentCount), bytes: UInt64((40 - two.sentCount) * udp.count))])
    bench.expectNoLeak()
  }

  @Test func aRemarkBandChangesTheDSCPOfWhatExceedsIt() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    let meter = FlowMeter(perPacket: true, bands: [.init(kind: .remarkDSCP(precedence: 1), rate: 0)])
    func frame(_ tos: UInt8) -> [UInt8] { FramePacket().ipv4("10.0.0.1", "10.0.0.2", tos: tos).udp(1, 2).bytes }
    bench.install(udp, inPort: 1, [.meter(meter), .output(2)])
    one.inject(frame(0x28), frame(0x30), frame(0xb8))
    // AF11 becomes AF12, AF12 becomes AF13; expedited forwarding has no precedence.
    #expect(two.waitForOutput(3) == [frame(0x30), frame(0x38), frame(0xb8)])
    bench.expectNoLeak()
  }

  // MARK: - Looking up again

  @Test func aPacketBelowALabelIsLookedUpByWhatItIs() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(labelled(udp), inPort: 1, fields: [.recircID], [.popMPLS(etherType: 0x0800), .recirculate(7)])
    let slot = bench.install(udp, inPort: 1, fields: [.recircID, .ipv4Dst], recircID: 7, [.decrementTTL, .output(2)])
    one.inject(contentsOf: .init(repeating: labelled(udp), count: 100))
    #expect(two.waitForOutput(100) == .init(repeating: udpAt63, count: 100))
    #expect(bench.worker.slab.counters(of: slot).packets == 100)
    #expect(bench.worker.snapshot().recirculations == 100)
    bench.expectNoLeak()
  }

  @Test func anUnknownPacketTakesItsIDUpAndBack() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(labelled(udp), inPort: 1, fields: [.recircID], [.popMPLS(etherType: 0x0800), .recirculate(7)])
    one.inject(labelled(udp), labelled(udp))
    let first = try #require(bench.nextUpcall())
    #expect(first.key[.recircID] == 7)
    #expect(first.key[.ipv4Dst] == 0x0a00_0002)
    #expect(first.depth == 1)
    let second = try #require(bench.nextUpcall())
    bench.worker.resume(first, program: bench.compile([.decrementTTL, .recirculate(8)]))
    let third = try #require(bench.nextUpcall())
    #expect(third.key[.recircID] == 8)
    #expect(third.key[.ipTTL] == 63)
    #expect(third.depth == 2)
    bench.worker.resume(third, program: bench.compile([.output(2)]))
    #expect(two.waitForOutput(1) == [udpAt63])
    bench.worker.resume(second, program: bench.compile([.output(2)]))
    #expect(two.waitForOutput(1) == [udp])
    bench.expectNoLeak()
  }

  @Test func aPacketThatGoesRoundForEverEnds() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, fields: [.recircID], [.recirculate(1)])
    bench.install(udp, inPort: 1, fields: [.recircID], recircID: 1, [.output(2), .recirculate(1)])
    one.inject(udp, udp)
    #expect(two.waitForOutput(16) == .init(repeating: udp, count: 16))
    #expect(eventually { bench.counters(1).drops == [.recirculationLimit: 2] })
    bench.expectNoLeak()
  }

  @Test func aPacketThatCannotBeParsedAgainIsDroppedByName() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    bench.install(labelled(udp), inPort: 1, [.popMPLS(etherType: 0x86dd), .recirculate(1)])
    one.inject(labelled(udp))
    #expect(eventually { bench.counters(1).drops.values.reduce(0, +) == 1 })
    #expect(bench.counters(1).drops.keys.first?.name.hasPrefix("ipv6") == true)
    bench.expectNoLeak()
  }
}
