// WorkerTests.swift
//
// What: a worker forwards what its flows say, asks about what it does not know, counts every frame once, and owns every frame once.

import CSluice
import Testing
import TestSupport

@testable import Dataplane

@Suite(.serialized) struct WorkerTests {
  private let udp = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [1, 2, 3]).bytes

  private func numbered(_ count: Int) -> [[UInt8]] {
    (0..<count).map {
      FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [UInt8($0 >> 8), UInt8($0 & 255)]).bytes
    }
  }

  // MARK: - Flows

  @Test func aMissGoesUpAndTheAnswerServesItAndThoseThatFollow() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    one.inject(udp)
    let upcall = try #require(bench.nextUpcall())
    #expect(upcall.kind == .miss)
    #expect(upcall.port == 1)
    #expect(upcall.key == parseFrame(udp, inPort: 1).key)
    let slot = bench.install(udp, inPort: 1, [.output(2)])
    bench.worker.resume(upcall, slot: slot)
    #expect(two.waitForOutput(1) == [udp])
    one.inject(contentsOf: numbered(10))
    #expect(two.waitForOutput(10) == numbered(10))
    let snapshot = bench.worker.snapshot()
    #expect(snapshot.misses == 1)
    #expect(snapshot.packets == 11)
    let counted = bench.worker.slab.counters(of: slot)
    #expect(counted.packets == 11)
    #expect(counted.bytes == UInt64(udp.count + numbered(10).reduce(0) { $0 + $1.count }))
    #expect(bench.counters(2).sentPackets == 11)
    bench.expectNoLeak()
  }

  @Test func aMissThatIsAnsweredWithAProgramRunsIt() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    one.inject(udp)
    let upcall = try #require(bench.nextUpcall())
    bench.worker.resume(upcall, program: bench.compile([.decrementTTL, .output(2)]))
    #expect(two.waitForOutput(1) == [FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: 63).udp(1000, 53, payload: [1, 2, 3]).bytes])
    bench.expectNoLeak()
  }

  @Test func aRemovedFlowForwardsNothingAfterTheFence() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    let slot = bench.install(udp, inPort: 1, [.output(2)])
    one.inject(udp)
    #expect(two.waitForOutput(1).count == 1)
    bench.remove(slot)
    one.inject(udp)
    let upcall = try #require(bench.nextUpcall())
    #expect(two.takeOutput() == [])
    bench.worker.resume(upcall, program: nil)
    bench.expectNoLeak()
    #expect(bench.counters(1).drops == [.pipelineDrops: 1])
  }

  @Test func outputsBeforeTheLastOneGetCopiesAsTheFrameWasThen() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2), bench.addPort(3))
    let tagged = FramePacket().vlan(9).ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [1, 2, 3]).bytes
    bench.install(
      udp, inPort: 1,
      [.output(2), .pushVLAN(tpid: 0x8100), .setField(.vlanVID, value: 9, mask: 0xfff), .output(3), .popVLAN, .output(2)])
    one.inject(udp)
    #expect(two.waitForOutput(2) == [udp, udp])
    #expect(three.waitForOutput(1) == [tagged])
    bench.expectNoLeak()
  }

  @Test func theLongestFrameIsCopiedWithinItsChunk() throws {
    let bench = try WorkerBench(chunkSize: 2048, chunkCount: 64)
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2, maxFrame: 4000), bench.addPort(3, maxFrame: 4000))
    let longest = FramePacket().etherType(0x88b5, payload: .init(repeating: 0x5a, count: 2048 - 256 - 14)).bytes
    bench.install(longest, inPort: 1, [.pushVLAN(tpid: 0x8100), .output(2), .output(3)])
    for round in 0..<20 {
      one.inject(contentsOf: .init(repeating: longest, count: 20))
      let expected = Array(longest[..<12]) + [0x81, 0, 0, 0] + Array(longest[12...])
      #expect(two.waitForOutput(20) == .init(repeating: expected, count: 20), "round \(round)")
      #expect(three.waitForOutput(20).allSatisfy { $0 == expected })
    }
    bench.expectNoLeak()
  }

  @Test func aFrameMaySendMoreCopiesThanAPortCanHoldWaiting() throws {
    // Each time a port's list is full it is sent at once; a round may do that any number of times.
    let bench = try WorkerBench(chunkCount: 8192)
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    two.forgetOutput()
    let copies = 4500
    bench.install(udp, inPort: 1, .init(repeating: .output(2), count: copies))
    one.inject(contentsOf: .init(repeating: udp, count: 64))
    #expect(eventually(seconds: 60) { two.sentCount == 64 * copies })
    bench.expectNoLeak()
    #expect(bench.counters(2).sentPackets == UInt64(64 * copies))
  }

  @Test func partialChecksumsAreCompletedOnPortsThatDeliverThem() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, [.output(2)])
    // 10.0.0.1 + 10.0.0.2 + UDP + 11 bytes: what veth leaves in the field.
    let sum = PlainChecksum.internet([10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 11])
    let partial = udp.changed(at: 40, to: UInt8(sum >> 8)).changed(at: 41, to: UInt8(sum & 255))
    one.inject(partial)
    #expect(two.waitForOutput(1) == [partial])
    one.setPartialChecksums(true)
    one.inject(partial, udp)
    #expect(two.waitForOutput(2) == [udp, udp])
    #expect(bench.worker.snapshot().checksumsCompleted == 1)
    bench.expectNoLeak()
  }

  // MARK: - Drops

  @Test func everyMalformedFrameIsCountedUnderItsReason() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    one.inject(contentsOf: FrameCatalog.malformed.map(\.bytes))
    #expect(eventually { bench.counters(1).dropped == UInt64(FrameCatalog.malformed.count) })
    var expected: [String: UInt64] = [:]
    for (reason, _) in FrameCatalog.malformed { expected[reason, default: 0] += 1 }
    let found = bench.counters(1).drops
    #expect(Dictionary(uniqueKeysWithValues: found.map { ($0.key.name, $0.value) }) == expected)
    #expect(bench.counters(1).receivedPackets == UInt64(FrameCatalog.malformed.count))
    bench.expectNoLeak()
  }

  @Test func dropsOfFlowsAreCountedByReasonAndSumUp() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    bench.addPort(2, maxFrame: 100)
    let dying = FramePacket().ipv4("10.0.0.1", "10.0.0.3", ttl: 1).udp(1, 2).bytes
    let raw = FramePacket().etherType(0x88b5).bytes
    let long = FramePacket().etherType(0x88b6, payload: .init(repeating: 0, count: 200)).bytes
    let lost = FramePacket().etherType(0x88b7).bytes
    bench.install(udp, inPort: 1, fields: [.ipv4Dst], [])
    bench.install(dying, inPort: 1, fields: [.ipv4Dst], [.decrementTTL, .output(2)])
    bench.install(raw, inPort: 1, [.popVLAN, .output(2)])
    bench.install(long, inPort: 1, [.output(2)])
    bench.install(lost, inPort: 1, [.output(77)])
    one.inject(contentsOf: [udp, udp, dying, raw, raw, raw, long, lost, lost])
    #expect(eventually { bench.counters(1).dropped + bench.counters(2).dropped + bench.counters(77).dropped == 9 })
    #expect(bench.counters(1).drops == [.flowDrops: 2, .ttlExpired: 1, .actionFailed: 3])
    #expect(bench.counters(2).drops == [.tooBig: 1])
    #expect(bench.counters(77).drops == [.portGone: 2])
    bench.expectNoLeak()
  }

  @Test func whatAPortRefusesIsDroppedAndCounted() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    two.transmitLimit = 3
    bench.install(udp, inPort: 1, [.output(2)])
    one.inject(contentsOf: numbered(40))
    #expect(eventually { bench.counters(2).sentPackets + bench.counters(2).dropped == 40 })
    let counters = bench.counters(2)
    #expect(counters.drops == [.transmitFull: 40 - counters.sentPackets])
    #expect(counters.sentPackets == UInt64(two.sentCount))
    #expect(counters.sentBytes == counters.sentPackets * UInt64(numbered(1)[0].count))
    bench.expectNoLeak()
  }

  @Test func aPortThatAsksTooMuchIsCutOffAndTheOthersAreNot() throws {
    let bench = try WorkerBench(upcallBudget: 16)
    let (one, two) = (bench.addPort(1), bench.addPort(2))
    one.inject(contentsOf: numbered(100))
    #expect(eventually { bench.counters(1).drops[.upcallBudget] == 84 })
    two.inject(udp)
    var upcalls: [Upcall] = []
    while upcalls.count < 17, let upcall = bench.nextUpcall() { upcalls.append(upcall) }
    #expect(upcalls.map(\.port) == .init(repeating: 1, count: 16) + [2])
    for upcall in upcalls { bench.worker.resume(upcall, program: nil) }
    bench.fence()
    #expect(bench.counters(1).drops == [.upcallBudget: 84, .pipelineDrops: 16])
    // Answered misses make room for new ones.
    one.inject(udp)
    let again = try #require(bench.nextUpcall())
    bench.worker.resume(again, program: nil)
    bench.expectNoLeak()
  }

  @Test func withoutFreeFramesCopiesAreDroppedAndTheFrameItselfGoesOn() throws {
    let bench = try WorkerBench(chunkCount: 64)
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2), bench.addPort(3))
    two.holdsFrames = true
    three.holdsFrames = true
    bench.install(udp, inPort: 1, [.output(2), .output(3)])
    one.inject(contentsOf: numbered(64))
    // 64 frames are received at once and none is left for copies.
    #expect(three.waitForOutput(64).count == 64)
    #expect(bench.counters(1).drops[.noFreeFrame] == 64)
    two.holdsFrames = false
    three.holdsFrames = false
    bench.expectNoLeak()
  }

  // MARK: - The controller

  @Test func aControllerActionHandsOverACopyAndForwardsTheFrame() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, [.controller(maxLength: 20, cookie: 0xdead_beef), .output(2)])
    one.inject(udp)
    #expect(two.waitForOutput(1) == [udp])
    let upcall = try #require(bench.nextUpcall())
    #expect(upcall.kind == .controller)
    #expect(upcall.cookie == 0xdead_beef)
    #expect(upcall.maxLength == 20)
    let bytes = UnsafeBufferPointer(start: bench.worker.memory.bytes(at: upcall.frame.address), count: Int(upcall.frame.length))
    #expect(Array(bytes) == udp)
    bench.worker.releaseFrame(upcall)
    bench.expectNoLeak()
  }

  @Test func controllerCopiesCountAgainstTheBudgetAndTheFrameGoesOn() throws {
    let bench = try WorkerBench(upcallBudget: 4)
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, [.controller(maxLength: 0, cookie: 1), .output(2)])
    one.inject(contentsOf: numbered(20))
    #expect(two.waitForOutput(20).count == 20)
    #expect(bench.counters(1).drops == [.upcallBudget: 16])
    for _ in 0..<4 { bench.worker.releaseFrame(try #require(bench.nextUpcall())) }
    bench.expectNoLeak()
  }

  // MARK: - Ports

  @Test func detachingAPortWithFramesUnderWayLeaksNone() throws {
    for round in 0..<20 {
      let bench = try WorkerBench()
      let one = bench.addPort(1)
      let two = bench.addPort(2)
      two.holdsFrames = round % 2 == 0
      bench.install(udp, inPort: 1, [.output(2)])
      one.injectForever(numbered(50))
      #expect(eventually { two.sentCount > 100 })
      bench.removePort(2)
      let sent = two.sentCount
      #expect(eventually { bench.counters(2).drops[.portGone, default: 0] > 100 })
      #expect(two.sentCount == sent)
      one.injectForever([])
      #expect(eventually { one.isDrained })
      bench.expectNoLeak()
      let counters = (bench.counters(1), bench.counters(2))
      #expect(counters.0.receivedPackets == counters.1.sentPackets + counters.1.dropped)
      #expect(counters.1.sentPackets == UInt64(sent))
    }
  }

  @Test func anIdleWorkerSleepsAndWakesForAFrameAndForACommand() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    for round in 0..<20 {
      #expect(eventually { bench.worker.snapshot().isSleeping }, "round \(round)")
      if round == 0 {
        bench.install(udp, inPort: 1, [.output(2)])
      } else {
        one.inject(udp)
        // Far sooner than the second after which a sleeping worker looks by itself.
        #expect(two.waitForOutput(1, seconds: 0.9) == [udp])
      }
    }
    bench.expectNoLeak()
  }

  @Test func aBusyWorkerNeverSleeps() throws {
    let bench = try WorkerBench(mode: .busy)
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp, inPort: 1, [.output(2)])
    one.inject(udp)
    #expect(two.waitForOutput(1) == [udp])
    #expect(bench.worker.snapshot().sleeps == 0)
    bench.expectNoLeak()
  }

  @Test func removedSlotsCanBeFilledAgainUnderTraffic() throws {
    let bench = try WorkerBench()
    let one = bench.addPort(1)
    let (two, three) = (bench.addPort(2), bench.addPort(3))
    two.forgetOutput()
    three.forgetOutput()
    one.injectForever(numbered(64))
    var mask = FlowMask()
    mask.include(.inPort)
    mask.include(.ethType)
    let worker = bench.worker
    worker.slab.setMask(1, mask)
    let key = parseFrame(udp, inPort: 1).key & mask
    let hash = bench.secrets.flowHash(key, mask)
    var answered: UInt64 = 0
    for round in 0..<300 {
      // The same slot, the same key, another answer each time, while the worker's exact cache still knows the slot.
      worker.installFlow(
        1,
        worker.slab.describe(
          key: key, mask: 1, port: 1, kind: round % 3 == 0 ? .program : .output, output: PortIndex(2 + round % 2),
          program: round % 3 == 0 ? bench.compile([.decrementTTL, .output(2)]) : nil, hash: hash, now: sluice_cycles()))
      worker.fence()
      while let upcall = worker.upcalls.peek()?.pointee {
        worker.upcalls.consume()
        worker.resume(upcall, slot: 1)
        answered += 1
      }
      bench.remove(1)
    }
    one.injectForever([])
    #expect(eventually { one.isDrained })
    bench.fence()
    while let upcall = worker.upcalls.peek()?.pointee {
      worker.upcalls.consume()
      worker.resume(upcall, program: nil)
    }
    bench.expectNoLeak()
    let counted = worker.slab.counters(of: 1).packets
    #expect(counted == UInt64(two.sentCount + three.sentCount))
    #expect(bench.counters(1).receivedPackets == counted + bench.counters(1).dropped)
  }
}
