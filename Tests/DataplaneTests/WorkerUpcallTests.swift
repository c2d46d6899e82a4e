// WorkerUpcallTests.swift
//
// What: frames that come up through the upcall device are handled as frames of the port that their header names; whatever else comes is dropped
//       and counted. Queues that only send are looked after. A worker says since when it has had nothing under way.

import CSluice
import Testing
import TestSupport

@testable import Dataplane

/// A frame as the kernel's tc programs send it up.
private func raised(_ frame: [UInt8], port: UInt16, mark: [UInt8] = [2, 0x53, 0x4c, 0x55, 0x50, UInt8(SLUICE_ABI)], type: [UInt8] = [0x88, 0xb5])
  -> [UInt8]
{
  var header = sluice_up_header()
  header.port = port
  var bytes = withUnsafeBytes(of: &header) { Array($0) }
  bytes.replaceSubrange(0..<6, with: mark)
  bytes.replaceSubrange(12..<14, with: type)
  return bytes + frame
}

@Suite(.serialized) struct WorkerUpcallTests {
  private func udp(_ number: Int, vlan: UInt16? = nil) -> [UInt8] {
    var packet = FramePacket()
    if let vlan { packet = packet.vlan(vlan) }
    return packet.ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [UInt8(number >> 8), UInt8(number & 255)]).bytes
  }

  private func benchWithUpcalls() throws -> (WorkerBench, RingQueue) {
    let bench = try WorkerBench()
    let queue = RingQueue()
    bench.worker.attachUpcalls(queue)
    bench.fence()
    return (bench, queue)
  }

  private func end(_ bench: WorkerBench, _ queue: RingQueue) {
    bench.worker.detachUpcalls()
    bench.fence()
    bench.expectNoLeak()
    withExtendedLifetime(queue) {}
  }

  @Test func aRaisedFrameIsOfThePortThatItsHeaderNames() throws {
    let (bench, up) = try benchWithUpcalls()
    bench.addPort(1)
    let two = bench.addPort(2)
    let tagged = udp(7, vlan: 5)
    up.inject(raised(tagged, port: 1))
    let upcall = try #require(bench.nextUpcall())
    #expect(upcall.port == 1 && upcall.key == parseFrame(tagged, inPort: 1).key)
    let slot = bench.install(tagged, inPort: 1, [.output(2)])
    bench.worker.resume(upcall, slot: slot)
    #expect(two.waitForOutput(1) == [tagged])
    up.inject(raised(tagged, port: 1))
    #expect(two.waitForOutput(1) == [tagged])
    let counters = bench.counters(1)
    #expect(counters.receivedPackets == 2 && counters.receivedBytes == UInt64(2 * tagged.count) && counters.dropped == 0)
    #expect(bench.worker.snapshot().badUpcalls == 0)
    end(bench, up)
  }

  @Test func framesOfManyPortsInOneBatchKeepTheirPortsAndTheirOrder() throws {
    let (bench, up) = try benchWithUpcalls()
    for port: PortIndex in 1...5 { bench.addPort(port) }
    for port: PortIndex in 1...5 { bench.install(udp(0), inPort: port, [.output(port % 5 + 1)]) }
    var generator = SeededGenerator.fresh()
    let ports = (0..<2000).map { _ in PortIndex(1 + generator.next() % 5) }
    up.inject(contentsOf: ports.enumerated().map { raised(udp($0), port: $1) })
    for port: PortIndex in 1...5 {
      let expected = ports.enumerated().filter { $1 % 5 + 1 == port }.map { udp($0.offset) }
      let queue = try #require(bench.queues[port])
      #expect(queue.waitForOutput(expected.count) == expected, "port \(port), seed \(generator.seed)")
    }
    end(bench, up)
  }

  @Test func whatIsNotOursOrOfNoPortIsDroppedAndCounted() throws {
    let (bench, up) = try benchWithUpcalls()
    bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp(0), inPort: 1, [.output(2)])
    var strange: [[UInt8]] = [
      raised(udp(1), port: 3), raised(udp(1), port: 1023), raised(udp(1), port: 1024), raised(udp(1), port: 65535),
      raised(udp(1), port: 1, mark: [2, 0x53, 0x4c, 0x55, 0x50, UInt8(SLUICE_ABI) + 1]), raised(udp(1), port: 1, mark: .init(repeating: 255, count: 6)),
      raised(udp(1), port: 1, type: [0x08, 0x00]), udp(1),
    ]
    strange += (0..<16).map { Array(raised(udp(1), port: 1).prefix($0)) }
    // Among good ones, so that a batch has both.
    for (number, frame) in strange.enumerated() { up.inject(frame, raised(udp(number), port: 1)) }
    #expect(two.waitForOutput(strange.count) == strange.indices.map { udp($0) })
    #expect(eventually { bench.worker.snapshot().badUpcalls == UInt64(strange.count) })
    #expect(bench.counters(1).receivedPackets == UInt64(strange.count))
    // A header and nothing, or too little, behind it is a malformed frame of the port.
    up.inject(contentsOf: (0..<14).map { Array(raised(udp(1), port: 1).prefix(16 + $0)) })
    #expect(eventually { bench.counters(1).drops[.ethernetTruncated] == 14 })
    // A port that is gone.
    bench.removePort(1)
    up.inject(raised(udp(1), port: 1))
    #expect(eventually { bench.worker.snapshot().badUpcalls == UInt64(strange.count + 1) })
    end(bench, up)
  }

  @Test func hostileBytesAreAllAccountedFor() throws {
    let (bench, up) = try benchWithUpcalls()
    for port: PortIndex in 1...3 { bench.addPort(port) }
    var generator = SeededGenerator.fresh()
    func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) } }
    var sent = 0
    for _ in 0..<200 {
      let frames = (0..<50).map { _ -> [UInt8] in
        switch generator.next() % 4 {
        case 0: return random(Int(generator.next() % 200))
        case 1: return raised(random(Int(generator.next() % 200)), port: UInt16(generator.next() % 6))
        case 2:
          var frame = raised(udp(1), port: UInt16(generator.next() % 6))
          frame[Int(generator.next() % UInt64(frame.count))] = UInt8(truncatingIfNeeded: generator.next())
          return frame
        default: return Array(raised(udp(2), port: 1).prefix(Int(generator.next() % 60)))
        }
      }
      sent += frames.count
      up.inject(contentsOf: frames)
      #expect(eventually { up.isDrained })
      while let upcall = bench.nextUpcall(seconds: 0) { bench.worker.resume(upcall, program: nil) }
    }
    bench.fence()
    while let upcall = bench.nextUpcall(seconds: 0) { bench.worker.resume(upcall, program: nil) }
    bench.worker.wake()
    bench.fence()
    let counters = (1...3).map { bench.counters($0) }
    let received = counters.reduce(0) { $0 + $1.receivedPackets }
    #expect(received + bench.worker.snapshot().badUpcalls == UInt64(sent), "seed \(generator.seed)")
    #expect(counters.reduce(0) { $0 + $1.dropped } == received, "seed \(generator.seed)")
    end(bench, up)
  }

  // MARK: - Queues that only send

  @Test func aQueueThatOnlySendsGetsItsFramesBackAndIsClosed() throws {
    let (bench, up) = try benchWithUpcalls()
    let one = bench.addPort(1, receives: false)
    let two = bench.addPort(2, receives: false)
    bench.install(udp(0), inPort: 1, [.output(2)])
    let all = bench.worker.memory.chunkCount
    two.holdsFrames = true
    up.inject(contentsOf: (0..<300).map { raised(udp($0), port: 1) })
    #expect(two.waitForOutput(300) == (0..<300).map { udp($0) })
    pause(milliseconds: 5)
    #expect(bench.worker.snapshot().framesFree <= all - 300)
    two.holdsFrames = false
    #expect(eventually { bench.worker.snapshot().framesFree == all })
    // It never receives, whatever arrives.
    one.inject(udp(1))
    pause(milliseconds: 5)
    #expect(!one.isDrained)
    two.holdsFrames = true
    up.inject(contentsOf: (0..<100).map { raised(udp($0), port: 1) })
    #expect(two.waitForOutput(100).count == 100)
    bench.removePort(2)
    // Closing gave them back.
    up.inject(raised(udp(1), port: 1))
    #expect(eventually { bench.counters(2).drops[.portGone] == 1 })
    end(bench, up)
  }

  // MARK: - Drained

  private final class Stamp {
    let place = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    init() { place.initialize(to: 0) }
    deinit { place.deallocate() }
    var value: UInt64 { sluice_load_acquire_u64(place) }
  }

  @Test(arguments: [PollMode.adaptive, .busy])
  func anIdleWorkerSaysSinceWhen(_ mode: PollMode) throws {
    let bench = try WorkerBench(mode: mode)
    let stamp = Stamp()
    bench.worker.setDrainStamp(stamp.place)
    var last: UInt64 = 0
    for round in 0..<50 {
      // As after an offer, whether the worker sleeps or is about to.
      let offered = sluice_monotonic_nanoseconds()
      bench.worker.attend()
      #expect(eventually { stamp.value > offered + UInt64(SLUICE_UP_NANOSECONDS) })
      let value = stamp.value
      #expect(value >= last && value <= sluice_monotonic_nanoseconds())
      last = value
      if mode == .adaptive, round % 2 == 0 { #expect(eventually { bench.worker.snapshot().isSleeping }) }
    }
    bench.worker.setDrainStamp(nil)
    bench.fence()
    let kept = stamp.value
    bench.worker.wake()
    pause(milliseconds: 5)
    #expect(stamp.value == kept)
    bench.expectNoLeak()
  }

  @Test func aWorkerIsNotDrainedWhileAMissOrAFrameIsUnderWay() throws {
    let bench = try WorkerBench(mode: .busy)
    let stamp = Stamp()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.worker.setDrainStamp(stamp.place)
    bench.fence()
    func isStill() -> Bool {
      pause(milliseconds: 1)
      let before = stamp.value
      pause(milliseconds: 5)
      return stamp.value == before
    }
    #expect(!isStill())
    one.inject(udp(1))
    let upcall = try #require(bench.nextUpcall())
    #expect(isStill())
    two.holdsFrames = true
    bench.worker.resume(upcall, program: bench.compile([.output(2)]))
    #expect(two.waitForOutput(1) == [udp(1)])
    #expect(isStill())
    two.holdsFrames = false
    #expect(eventually { !isStill() })
    bench.worker.setDrainStamp(nil)
    bench.expectNoLeak()
  }

  @Test func aStampIsNeverLaterThanAPacketThatIsStillToBeSent() throws {
    let bench = try WorkerBench(mode: .busy)
    let stamp = Stamp()
    let one = bench.addPort(1)
    let two = bench.addPort(2)
    bench.install(udp(0), inPort: 1, [.output(2)])
    bench.worker.setDrainStamp(stamp.place)
    bench.fence()
    for number in 0..<2000 {
      one.inject(udp(number))
      let injected = sluice_monotonic_nanoseconds()
      // Whoever sees a later stamp finds the packet sent.
      #expect(eventually { stamp.value > injected })
      #expect(two.takeOutput() == [udp(number)])
    }
    bench.worker.setDrainStamp(nil)
    bench.expectNoLeak()
  }
}
