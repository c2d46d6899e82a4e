// AFXDPQueue against a kernel played by the test: what a real one does rarely, or only with a zero-copy NIC.

import CSluice
import Glibc
import TestSupport
import Testing

@testable import Dataplane

/// A queue over rings in plain memory, and the kernel's side of them.
private final class FakeKernel {
  let fill: PlainRing<UInt64>
  let completion: PlainRing<UInt64>
  let receive: PlainRing<FrameDescriptor>
  let transmit: PlainRing<FrameDescriptor>
  let memory: FrameMemory
  let queue: AFXDPQueue
  /// Frames that the fake driver took from the fill ring.
  var hardware: [UInt64] = []

  init(mode: XDPMode = .zeroCopy, ringSize: Int = 64, fillTarget: Int = 64, chunkCount: Int = 256) throws {
    let start = UInt32.max - 40
    let none = FrameDescriptor(address: 0, length: 0)
    fill = PlainRing(size: ringSize, start: start, zero: 0)
    completion = PlainRing(size: ringSize, start: start, zero: 0)
    receive = PlainRing(size: ringSize, start: start, zero: none)
    transmit = PlainRing(size: ringSize, start: start, zero: none)
    memory = try FrameMemory.make(chunkSize: 2048, chunkCount: chunkCount)
    let target = XDPSocket.Target(interfaceIndex: 1, interfaceName: "fake", queue: 0)
    let socket = XDPSocket(
      descriptor: -1, mode: mode, target: target, fill: fill.memory, completion: completion.memory,
      receive: receive.memory, transmit: transmit.memory)
    queue = AFXDPQueue(
      socket: socket, target: target, memory: memory, ringSize: ringSize, fillTarget: fillTarget,
      deliversPartialChecksums: false)
  }

  func poll(limit: Int = 64) -> [FrameDescriptor] {
    withUnsafeTemporaryAllocation(of: FrameDescriptor.self, capacity: limit) { frames in
      guard let base = frames.baseAddress else { return [] }
      let count = queue.receive(base, limit: limit, memory: memory)
      return (0..<count).map { base[$0] }
    }
  }

  /// Delivers a frame as a driver does: in a chunk from the fill ring, behind the headroom.
  func deliver(length: UInt32 = 60, options: UInt32 = 0) {
    hardware += fill.takeAll()
    let chunk = hardware.removeFirst()
    receive.add(FrameDescriptor(address: chunk + 256, length: length, options: options))
  }

  func send(_ count: Int, length: UInt32 = 60) -> Int {
    let frames = (0..<count).compactMap { _ in
      memory.allocate().map { FrameDescriptor(address: $0 + 256, length: length) }
    }
    let accepted = queue.transmit(frames, count: frames.count, memory: memory)
    for frame in frames[accepted...] { memory.release(frame.address) }
    return accepted
  }
}

@Suite struct AFXDPQueueTests {
  @Test func theFirstPollFillsTheFillRing() throws {
    let kernel = try FakeKernel(fillTarget: 48)
    #expect(kernel.poll().isEmpty)
    #expect(kernel.fill.used == 48)
    #expect(kernel.queue.lentCount == 48)
    #expect(kernel.memory.freeCount == 256 - 48)
  }

  @Test func aQueueThatOnlySendsLendsNothingForReceiving() throws {
    let kernel = try FakeKernel(mode: .copy(reason: "it only sends"), fillTarget: 0)
    #expect(!kernel.queue.receives)
    #expect(kernel.poll().isEmpty && kernel.fill.used == 0 && kernel.queue.lentCount == 0)
    #expect(kernel.send(3) == 3 && kernel.queue.lentCount == 3)
    kernel.queue.close(memory: kernel.memory)
    #expect(kernel.memory.freeCount == 256)
  }

  @Test func theFillRingIsFullAgainWhenABatchIsHandedOver() throws {
    let kernel = try FakeKernel()
    _ = kernel.poll()
    for _ in 0..<40 { kernel.deliver() }
    let batch = kernel.poll()
    #expect(batch.count == 40)
    #expect(kernel.fill.used == 40)
    #expect(kernel.queue.lentCount == 64)
    for frame in batch { kernel.memory.release(frame.address) }
    kernel.queue.close(memory: kernel.memory)
    #expect(kernel.memory.freeCount == 256)
  }

  @Test func exhaustedMemoryIsCountedAndFilledUpLater() throws {
    let kernel = try FakeKernel(chunkCount: 64)
    let held = (0..<40).compactMap { _ in kernel.memory.allocate() }
    _ = kernel.poll()
    #expect(kernel.fill.used == 24)
    #expect(kernel.queue.monitor.counters().memoryExhausted == 1)
    for address in held { kernel.memory.release(address) }
    _ = kernel.poll()
    #expect(kernel.fill.used == 64)
  }

  @Test func anAwakeDriverIsNotKicked() throws {
    let kernel = try FakeKernel()
    _ = kernel.poll()
    #expect(kernel.send(10) == 10)
    #expect(kernel.queue.progress(memory: kernel.memory))
    #expect(kernel.queue.monitor.counters().transmitKicks == 0)
    #expect(kernel.queue.monitor.counters().receiveKicks == 0)
  }

  @Test func aDriverThatWaitsForBuffersIsKicked() throws {
    let kernel = try FakeKernel()
    kernel.fill.needsWakeup = true
    _ = kernel.poll()
    #expect(kernel.queue.monitor.counters().receiveKicks == 1)
  }

  @Test func sentFramesComeBackInAnyOrder() throws {
    let kernel = try FakeKernel()
    #expect(kernel.send(5) == 5)
    let sent = kernel.transmit.takeAll()
    for frame in sent.reversed() { kernel.completion.add(frame.address) }
    #expect(!kernel.queue.progress(memory: kernel.memory))
    #expect(kernel.queue.lentCount == 0)
    #expect(kernel.memory.freeCount == 256)
    #expect(kernel.queue.monitor.counters().completed == 5)
  }

  @Test func aFullTransmitRingRefusesTheRest() throws {
    let kernel = try FakeKernel()
    #expect(kernel.send(50) == 50)
    #expect(kernel.send(50) == 14)
    #expect(kernel.send(1) == 0)
    #expect(kernel.queue.monitor.counters().refused == 37)
    kernel.queue.close(memory: kernel.memory)
    #expect(kernel.memory.freeCount == 256)
  }

  @Test func framesTakenButNotCompletedCountAgainstTheLimit() throws {
    // Otherwise the completion ring could overflow, and the kernel would stop sending.
    let kernel = try FakeKernel()
    #expect(kernel.send(64) == 64)
    #expect(kernel.transmit.takeAll().count == 64)
    #expect(kernel.send(1) == 0)
  }

  @Test func framesThatTheKernelWouldSwallowAreDroppedAndCounted() throws {
    let kernel = try FakeKernel()
    #expect(kernel.send(2, length: 0) == 2)
    #expect(kernel.send(1, length: 1793) == 1)
    #expect(kernel.send(1, length: 1792) == 1)
    #expect(kernel.queue.monitor.counters().malformed == 3)
    #expect(kernel.queue.lentCount == 1)
    #expect(kernel.memory.freeCount == 255)
  }

  @Test func aFrameInPiecesIsDroppedWholeAndTheNextOneArrives() throws {
    let kernel = try FakeKernel()
    _ = kernel.poll()
    kernel.deliver(length: 100)
    kernel.deliver(length: 1792, options: 1)
    kernel.deliver(length: 1792, options: 1)
    #expect(kernel.poll().map(\.length) == [100])
    kernel.deliver(length: 7)
    kernel.deliver(length: 200)
    #expect(kernel.poll().map(\.length) == [200])
    #expect(kernel.queue.monitor.counters().multiBuffer == 3)
    #expect(kernel.queue.monitor.counters().received == 2)
  }

  @Test func aKickThatFailsForGoodLetsTheWorkerSleepAndKeepsTheFrames() throws {
    // Descriptor -1: every kick fails with EBADF.
    let kernel = try FakeKernel(mode: .copy(reason: "test"))
    kernel.transmit.needsWakeup = true
    #expect(kernel.send(3) == 3)
    #expect(!kernel.queue.progress(memory: kernel.memory))
    #expect(kernel.queue.lentCount == 3)
    #expect(kernel.queue.monitor.counters().lastKickError == EBADF)
    #expect(kernel.queue.monitor.stall(at: 1) == nil)
    #expect(kernel.queue.monitor.stall(at: 9_000_000_000) == nil)
    kernel.queue.close(memory: kernel.memory)
    #expect(kernel.memory.freeCount == 256)
  }

  @Test func framesInTheDriverComeBackOnClose() throws {
    let kernel = try FakeKernel()
    _ = kernel.poll()
    for _ in 0..<5 { kernel.deliver() }
    #expect(kernel.hardware.count == 59)
    #expect(kernel.send(20) == 20)
    #expect(kernel.transmit.takeAll(atMost: 10).count == 10)
    kernel.queue.close(memory: kernel.memory)
    #expect(kernel.queue.lentCount == 0)
    #expect(kernel.memory.freeCount == 256)
    #expect(kernel.poll().isEmpty)
    #expect(kernel.send(1) == 0)
    kernel.queue.close(memory: kernel.memory)
    #expect(kernel.memory.freeCount == 256)
  }

  @Test func sendingWithoutCompletionIsAStallAfterTwoSeconds() throws {
    let kernel = try FakeKernel()
    #expect(kernel.send(3) == 3)
    let second: UInt64 = 1_000_000_000
    let monitor = kernel.queue.monitor
    #expect(monitor.stall(at: 10 * second) == nil)
    #expect(monitor.stall(at: 11 * second) == nil)
    #expect(monitor.stall(at: 12 * second) == .transmit(frames: 3, seconds: 2))
    kernel.completion.add(kernel.transmit.takeAll()[0].address)
    #expect(kernel.queue.progress(memory: kernel.memory))
    #expect(monitor.stall(at: 13 * second) == nil)
    #expect(monitor.stall(at: 14 * second) == nil)
  }

  @Test func randomTrafficConservesEveryFrame() throws {
    var generator = SeededGenerator.fresh()
    let seed = generator.seed
    let kernel = try FakeKernel(ringSize: 64, fillTarget: 64, chunkCount: 200)
    var held: [FrameDescriptor] = []
    var inDriver: [FrameDescriptor] = []
    for _ in 0..<20_000 {
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: held += kernel.poll(limit: Int.random(in: 1...64, using: &generator))
      case 1:
        kernel.hardware += kernel.fill.takeAll(atMost: Int.random(in: 0...64, using: &generator))
        for _ in 0..<Int.random(in: 0...16, using: &generator) where !kernel.hardware.isEmpty {
          let index = Int.random(in: 0..<kernel.hardware.count, using: &generator)
          let chunk = kernel.hardware.remove(at: index)
          let frame = FrameDescriptor(address: chunk + 256, length: 60)
          #expect(kernel.receive.add(frame), "rx ring overflow, seed \(seed)")
        }
      case 2:
        let accepted = kernel.queue.transmit(held, count: held.count, memory: kernel.memory)
        held.removeFirst(accepted)
      case 3: inDriver += kernel.transmit.takeAll(atMost: Int.random(in: 0...64, using: &generator))
      case 4:
        inDriver.shuffle(using: &generator)
        for _ in 0..<Int.random(in: 0...inDriver.count, using: &generator) {
          #expect(kernel.completion.add(inDriver.removeLast().address), "completion ring overflow, seed \(seed)")
        }
      default: _ = kernel.queue.progress(memory: kernel.memory)
      }
      #expect(kernel.memory.freeCount + kernel.queue.lentCount + held.count == 200, "seed \(seed)")
    }
    kernel.queue.close(memory: kernel.memory)
    for frame in held { kernel.memory.release(frame.address) }
    #expect(kernel.memory.freeCount == 200, "seed \(seed)")
  }

  @Test func theLargestMTULeavesRoomForWhatTheKernelNeeds() {
    #expect(AFXDPQueue.largestMTU(chunkSize: 4096) == 3498)
    #expect(AFXDPQueue.largestMTU(chunkSize: 2048) == 1770)
    #expect(throws: PortError.mtuTooLarge(interface: "eth1", mtu: 9000, limit: 3498)) {
      try AFXDPQueue.check(mtu: 9000, interfaceName: "eth1", chunkSize: 4096)
    }
    #expect(
      "\(PortError.mtuTooLarge(interface: "eth1", mtu: 9000, limit: 3498))"
        == "port eth1: MTU 9000 is more than AF_XDP carries here (3498); lower it with: ip link set eth1 mtu 3498")
  }

  @Test func aRingSizeThatIsNoPowerOfTwoIsRefused() throws {
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
    #expect(throws: PortError.badRingSize(100)) {
      _ = try AFXDPQueue.open(interfaceIndex: 1, interfaceName: "lo", queue: 0, memory: memory, ringSize: 100)
    }
  }
}
