// WorkerLinkTests.swift
//
// What: frames that leave by another worker's port arrive there whole and once, are counted once, and their memory comes back.

import Testing
import TestSupport

@testable import Dataplane

@Suite(.serialized) struct WorkerLinkTests {
  private func numbered(_ count: Int) -> [[UInt8]] {
    (0..<count).map {
      FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [UInt8($0 >> 8), UInt8($0 & 255)]).bytes
    }
  }

  @Test func framesLeaveByAPortOfAnotherWorkerInOrderAndAreCountedOnce() throws {
    let bench = try WorkerBench(workerCount: 2)
    let one = bench.addPort(1, worker: 0)
    let two = bench.addPort(2, worker: 1)
    bench.install(numbered(1)[0], inPort: 1, [.output(2)], on: 0)
    for _ in 0..<20 {
      one.inject(contentsOf: numbered(300))
      #expect(two.waitForOutput(300) == numbered(300))
    }
    #expect(bench.counters(2).sentPackets == 6000)
    #expect(bench.counters(2).sentBytes == 6000 * UInt64(numbered(1)[0].count))
    #expect(bench.counters(2).dropped == 0)
    bench.expectNoLeak()
  }

  @Test func bothDirectionsAtOnceLoseNothingButWhatIsCounted() throws {
    let bench = try WorkerBench(workerCount: 2, chunkCount: 2048)
    let one = bench.addPort(1, worker: 0)
    let two = bench.addPort(2, worker: 1)
    one.forgetOutput()
    two.forgetOutput()
    bench.install(numbered(1)[0], inPort: 1, [.output(2)], on: 0)
    bench.install(numbered(1)[0], inPort: 2, [.output(1)], on: 1)
    one.injectForever(numbered(500))
    two.injectForever(numbered(500))
    #expect(eventually(seconds: 20) { one.sentCount > 30_000 && two.sentCount > 30_000 })
    one.injectForever([])
    two.injectForever([])
    #expect(eventually { one.isDrained && two.isDrained })
    #expect(
      eventually {
        let (a, b) = (bench.counters(1), bench.counters(2))
        return a.receivedPackets + b.receivedPackets == a.sentPackets + b.sentPackets + a.dropped + b.dropped
      })
    #expect(bench.counters(1).sentPackets == UInt64(one.sentCount))
    #expect(bench.counters(2).sentPackets == UInt64(two.sentCount))
    bench.expectNoLeak()
  }

  @Test func aJammedPortOfAnotherWorkerDropsThereAndGivesFramesBack() throws {
    let bench = try WorkerBench(workerCount: 2)
    let one = bench.addPort(1, worker: 0)
    let two = bench.addPort(2, worker: 1)
    two.transmitLimit = 0
    bench.install(numbered(1)[0], inPort: 1, [.output(2)], on: 0)
    one.inject(contentsOf: numbered(5000))
    #expect(eventually(seconds: 20) { bench.counters(2).drops[.transmitFull] == 5000 })
    #expect(two.sentCount == 0)
    bench.expectNoLeak()
  }

  @Test func afterADetachmentNoFrameForThePortIsUnderWay() throws {
    for _ in 0..<30 {
      let bench = try WorkerBench(workerCount: 2)
      let one = bench.addPort(1, worker: 0)
      let two = bench.addPort(2, worker: 1)
      two.forgetOutput()
      let slot = bench.install(numbered(1)[0], inPort: 1, [.output(2)], on: 0)
      one.injectForever(numbered(200))
      #expect(eventually { two.sentCount > 200 })
      bench.remove(slot)
      bench.removePort(2)
      // The index gets a new owner at once, as it may: nothing that was meant for the old one may come out of it.
      let next = bench.addPort(2, worker: 1)
      one.injectForever([])
      #expect(eventually { one.isDrained })
      bench.fence()
      while let upcall = bench.worker.upcalls.peek()?.pointee {
        bench.worker.upcalls.consume()
        bench.worker.resume(upcall, program: nil)
      }
      bench.expectNoLeak()
      #expect(next.sentCount == 0)
      #expect(bench.counters(2).sentPackets == UInt64(two.sentCount))
    }
  }

  @Test func noMoreFramesAreLentThanCanComeBack() throws {
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
    let link = WorkerLink(receiverDoorbell: Doorbell(), capacity: 8)
    func lend() -> Bool {
      guard let address = memory.allocate() else { return false }
      let isLent = link.lend(LinkedFrame(bytes: memory.bytes(at: address), address: address, length: 60, port: 1))
      if !isLent { memory.release(address) }
      return isLent
    }
    func take() {
      while let frame = link.over.peek() {
        link.giveBack(frame.pointee.address)
        link.over.consume()
      }
    }
    for _ in 0..<8 { #expect(lend()) }
    #expect(!lend())
    // The receiver is done with all of them, the sender has not looked yet.
    take()
    #expect(!lend())
    link.reclaim(memory)
    #expect(link.lentCount == 0)
    for _ in 0..<8 { #expect(lend()) }
    take()
    link.reclaim(memory)
    #expect(memory.freeCount == 64)
  }
}
