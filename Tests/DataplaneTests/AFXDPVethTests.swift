// AFXDPQueue against the real kernel: veth pairs with a native XDP program, in copy mode (veth has no zero-copy).

import CLibbpf
import CSluice
import Glibc
import Testing

@testable import Dataplane

/// A veth pair whose near end runs an AF_XDP queue.
private struct Port {
  let veth: VethPair
  let queue: AFXDPQueue
  let container: PacketSocket
  private let program: RedirectProgram

  init(_ near: String, _ far: String, memory: FrameMemory, ringSize: Int = 256, mtu: Int = 1500) throws {
    veth = try VethPair.make(near, far, mtu: mtu)
    program = try RedirectProgram()
    let code = program.attach(veth.nearIndex)
    try require(code == 0, "cannot attach XDP to \(near): \(String(cString: strerror(code)))")
    queue = try AFXDPQueue.open(
      interfaceIndex: veth.nearIndex, interfaceName: near, queue: 0, memory: memory, ringSize: ringSize,
      deliversPartialChecksums: true)
    try program.setSocket(queue: 0, queue.socketDescriptor)
    container = try PacketSocket(veth.farIndex)
    _ = try poll(queue, memory)
  }
}

/// One receive; at most `limit` frames.
private func poll(_ queue: AFXDPQueue, _ memory: FrameMemory, limit: Int = 64) throws -> [FrameDescriptor] {
  var frames = [FrameDescriptor](repeating: FrameDescriptor(address: 0, length: 0), count: limit)
  let count = queue.receive(&frames, limit: limit, memory: memory)
  return Array(frames[0..<count])
}

private func bytes(_ frame: FrameDescriptor, _ memory: FrameMemory) -> [UInt8] {
  Array(UnsafeBufferPointer(start: memory.bytes(at: frame.address), count: Int(frame.length)))
}

private func allocate(_ content: [UInt8], _ memory: FrameMemory) throws -> FrameDescriptor {
  guard let chunk = memory.allocate() else { throw Failure("the frame memory is exhausted") }
  let address = chunk + UInt64(FrameMemory.headroom)
  for (i, byte) in content.enumerated() { memory.bytes(at: address)[i] = byte }
  return FrameDescriptor(address: address, length: UInt32(content.count))
}

/// Polls until `count` frames have arrived, for at most two seconds.
private func receive(_ count: Int, from queue: AFXDPQueue, _ memory: FrameMemory) throws -> [FrameDescriptor] {
  var frames: [FrameDescriptor] = []
  let deadline = sluice_monotonic_nanoseconds() + 2_000_000_000
  while frames.count < count, sluice_monotonic_nanoseconds() < deadline { frames += try poll(queue, memory) }
  return frames
}

@Suite(.serialized, .enabled(if: networkRefusal == nil, "needs root and AF_XDP"))
struct AFXDPVethTests {
  @Test func aFrameFromTheContainerArrivesWithItsBytesBehindTheHeadroom() async throws {
    let roomBefore = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      try port.container.send(numberedFrame(7, length: 300))
      let frames = try receive(1, from: port.queue, memory)
      try require(frames.count == 1, "no frame arrived: \(port.queue.monitor.counters())")
      try require(bytes(frames[0], memory) == numberedFrame(7, length: 300), "the bytes differ")
      return memory.roomBefore(frames[0].address)
    }
    #expect(roomBefore == 256)
  }

  @Test func aQueueThatOnlySendsNeedsNoProgramAndLeavesReceivingToTheHost() async throws {
    let (seen, mode) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let veth = try VethPair.make("near0", "far0")
      let queue = try AFXDPQueue.open(
        interfaceIndex: veth.nearIndex, interfaceName: "near0", queue: 0, memory: memory, ringSize: 64, receives: false)
      let (host, container) = (try PacketSocket(veth.nearIndex), try PacketSocket(veth.farIndex))
      let frame = try allocate(numberedFrame(5, length: 200), memory)
      try require(queue.transmit([frame], count: 1, memory: memory) == 1, "the frame was refused")
      let out = container.receive(timeoutMilliseconds: 2000)
      try container.send(numberedFrame(6, length: 100))
      let back = host.receive(timeoutMilliseconds: 2000)
      queue.close(memory: memory)
      try require(memory.freeCount == 1024, "\(1024 - memory.freeCount) frames are lost")
      return ([out, back], queue.mode.description)
    }
    #expect(seen == [numberedFrame(5, length: 200), numberedFrame(6, length: 100)])
    #expect(mode == "copy (it only sends)")
  }

  @Test func aFrameSentIsSeenByTheContainerAndComesBack() async throws {
    let counters = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      let frame = try allocate(numberedFrame(9, length: 1514), memory)
      try require(port.queue.transmit([frame], count: 1, memory: memory) == 1, "refused")
      let seen = port.container.receive(timeoutMilliseconds: 2000)
      try require(seen == numberedFrame(9, length: 1514), "the container saw \(seen?.count ?? 0) bytes")
      for _ in 0..<1000 where port.queue.progress(memory: memory) { usleep(1000) }
      return port.queue.monitor.counters()
    }
    #expect(counters.transmitted == 1)
    #expect(counters.completed == 1)
    #expect(counters.lentForTransmit == 0)
    #expect(counters.transmitKicks >= 1)
    #expect(counters.lastKickError == 0)
  }

  @Test func tenThousandFramesAreForwardedBetweenTwoPortsByDescriptor() async throws {
    let total = 10_000
    let (first, second, free) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let one = try Port("near0", "far0", memory: memory)
      let two = try Port("near1", "far1", memory: memory)
      var sent = 0
      var seen = 0
      while seen < total {
        for _ in 0..<min(50, total - sent) {
          try one.container.send(numberedFrame(sent, length: 60 + sent % 1400))
          sent += 1
        }
        let batch = try receive(sent - seen, from: one.queue, memory)
        try require(batch.count == sent - seen, "\(batch.count) of \(sent - seen) frames arrived")
        let accepted = two.queue.transmit(batch, count: batch.count, memory: memory)
        try require(accepted == batch.count, "\(accepted) of \(batch.count) frames were accepted")
        while seen < sent {
          let frame = two.container.receive(timeoutMilliseconds: 2000)
          try require(frame == numberedFrame(seen, length: 60 + seen % 1400), "frame \(seen) is not what was sent")
          seen += 1
        }
      }
      let counters = (one.queue.monitor.counters(), two.queue.monitor.counters())
      one.queue.close(memory: memory)
      two.queue.close(memory: memory)
      try require(one.queue.lentCount + two.queue.lentCount == 0, "frames are still lent after close")
      return (counters.0, counters.1, memory.freeCount)
    }
    #expect(first.received == UInt64(total))
    #expect(second.transmitted == UInt64(total))
    #expect(first.kernelDropped + first.receiveRingFull + first.fillRingEmpty + first.invalidFillEntries == 0)
    #expect(second.invalidTransmitEntries == 0)
    #expect(free == 1024)
  }

  @Test func aBurstBeyondTheFillRingIsDroppedByTheKernelAndCounted() async throws {
    let counters = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory, ringSize: 64)
      for n in 0..<100 { try port.container.send(numberedFrame(n)) }
      usleep(50_000)
      let before = try receive(64, from: port.queue, memory)
      try require(before.count == 64, "\(before.count) frames arrived")
      try port.container.send(numberedFrame(100))
      let after = try receive(1, from: port.queue, memory)
      try require(after.map { bytes($0, memory) } == [numberedFrame(100)], "the port did not recover")
      return port.queue.monitor.counters()
    }
    #expect(counters.fillRingEmpty == 36)
    #expect(counters.receiveRingFull == 0)
  }

  @Test func aPortWhoseLinkIsDownRefusesWhatItsRingCannotHoldAndLosesNothing() async throws {
    let (accepted, counters, moving, free) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory, ringSize: 64)
      try ip("link set near0 down")
      var accepted = 0
      for n in 0..<100 {
        let frame = try allocate(numberedFrame(n), memory)
        let taken = port.queue.transmit([frame], count: 1, memory: memory)
        if taken == 0 { memory.release(frame.address) }
        accepted += taken
      }
      let moving = port.queue.progress(memory: memory)
      let counters = port.queue.monitor.counters()
      port.queue.close(memory: memory)
      return (accepted, counters, moving, memory.freeCount)
    }
    #expect(accepted == 64)
    #expect(counters.refused == 36)
    #expect(counters.lastKickError == ENETDOWN)
    #expect(!moving)
    #expect(free == 1024)
  }

  @Test func framesKeptWhileTheLinkWasDownAreSentWhenItIsUpAgain() async throws {
    let seen = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      try ip("link set near0 down")
      _ = port.queue.transmit([try allocate(numberedFrame(1), memory)], count: 1, memory: memory)
      try ip("link set near0 up")
      _ = port.queue.transmit([try allocate(numberedFrame(2), memory)], count: 1, memory: memory)
      return [port.container.receive(timeoutMilliseconds: 2000), port.container.receive(timeoutMilliseconds: 2000)]
    }
    #expect(seen == [numberedFrame(1), numberedFrame(2)])
  }

  @Test func aDeletedInterfaceLeavesNoFrameBehind() async throws {
    let (counters, free) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      for n in 0..<20 { try port.container.send(numberedFrame(n)) }
      try ip("link del near0")
      let batch = try poll(port.queue, memory)
      let accepted = port.queue.transmit(batch, count: batch.count, memory: memory)
      for frame in batch[accepted...] { memory.release(frame.address) }
      let counters = port.queue.monitor.counters()
      port.queue.close(memory: memory)
      return (counters, memory.freeCount)
    }
    #expect(counters.lastKickError == ENXIO || counters.lastKickError == ENETDOWN, "\(counters.lastKickError)")
    #expect(free == 1024)
  }

  @Test func closingWithFramesUnderWayGivesAllOfThemBack() async throws {
    let (lent, free) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      for n in 0..<150 { try port.container.send(numberedFrame(n)) }
      let batch = try receive(64, from: port.queue, memory)
      _ = port.queue.transmit(batch, count: batch.count, memory: memory)
      let lent = port.queue.lentCount
      port.queue.close(memory: memory)
      return (lent, memory.freeCount)
    }
    #expect(lent >= 256)
    #expect(free == 1024)
  }

  @Test func vethRefusesZeroCopyAndTheReasonIsKept() async throws {
    let (mode, forced) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      let forced = try AFXDPQueue.open(
        interfaceIndex: port.veth.farIndex, interfaceName: "far0", queue: 0, memory: memory, allowZeroCopy: false)
      return (port.queue.mode, forced.mode)
    }
    #expect(mode == .copy(reason: "the driver of near0 refuses zero-copy: Operation not supported"))
    #expect(forced == .copy(reason: "the XDP program runs in generic mode"))
  }

  @Test func aQueueThatIsTakenIsRefusedWithTheRemedy() async throws {
    let message = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      do {
        _ = try AFXDPQueue.open(
          interfaceIndex: port.veth.nearIndex, interfaceName: "near0", queue: 0, memory: memory, ringSize: 64)
        return "no error"
      } catch { return "\(error)" }
    }
    #expect(
      message
        == "port near0, queue 0: binding the AF_XDP socket failed: Device or resource busy: another AF_XDP socket is bound to "
        + "this queue; stop the program that holds it (ss --xdp -ap)")
  }

  @Test func aQueueThatWasJustClosedOpensAgain() async throws {
    let received = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      var received = 0
      for _ in 0..<5 {
        port.queue.close(memory: memory)
        let again = try AFXDPQueue.open(
          interfaceIndex: port.veth.nearIndex, interfaceName: "near0", queue: 0, memory: memory, ringSize: 64)
        _ = try poll(again, memory)
        again.close(memory: memory)
        received += 1
      }
      try require(memory.freeCount == 1024, "\(1024 - memory.freeCount) frames are lost")
      return received
    }
    #expect(received == 5)
  }

  @Test func aQueueThatWasNeverHandedToAWorkerFreesItsSocket() async throws {
    let mode = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
      let veth = try VethPair.make("near0", "far0")
      func open() throws -> AFXDPQueue {
        try AFXDPQueue.open(
          interfaceIndex: veth.nearIndex, interfaceName: "near0", queue: 0, memory: memory, ringSize: 64)
      }
      _ = try open()
      return try open().mode
    }
    #expect(mode != .zeroCopy)
  }

  @Test func aQueueOrInterfaceThatIsNotThereIsRefusedInWords() async throws {
    let messages = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
      let veth = try VethPair.make("near0", "far0")
      var messages: [String] = []
      for (index, queue) in [(veth.nearIndex, UInt32(63)), (9999, 0)] {
        do {
          _ = try AFXDPQueue.open(
            interfaceIndex: index, interfaceName: "near0", queue: queue, memory: memory, ringSize: 64)
        } catch { messages.append("\(error)") }
      }
      return messages
    }
    #expect(
      messages == [
        "port near0, queue 63: binding the AF_XDP socket failed: Invalid argument: the interface has no such queue; "
          + "see: ethtool -l",
        "port near0, queue 0: binding the AF_XDP socket failed: No such device: the interface is gone or lives in another "
          + "network namespace",
      ])
  }

  @Test func theDescriptorBecomesReadableWhenAFrameArrives() async throws {
    let (before, after) = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 1024)
      let port = try Port("near0", "far0", memory: memory)
      var wait = pollfd(fd: port.queue.waitDescriptor, events: Int16(POLLIN), revents: 0)
      let before = Glibc.poll(&wait, 1, 0)
      try port.container.send(numberedFrame(1))
      let after = Glibc.poll(&wait, 1, 2000)
      return (before, after)
    }
    #expect(before == 0)
    #expect(after == 1)
  }

  @Test(arguments: [2048, 4096])
  func framesOfTheLargestMTUPassAndLongerOnesAreCounted(chunkSize: Int) async throws {
    let mtu = AFXDPQueue.largestMTU(chunkSize: chunkSize)
    let counters = try await runOnOwnNetwork {
      let memory = try FrameMemory.make(chunkSize: chunkSize, chunkCount: 1024)
      // The interface may carry more than AF_XDP with small chunks: up to what veth allows with XDP.
      let port = try Port("near0", "far0", memory: memory, mtu: chunkSize == 2048 ? 3000 : mtu)
      // A frame with two tags.
      let frame = numberedFrame(1, length: mtu + 22)
      if chunkSize == 2048 {
        try port.container.send(frame)
        try port.container.send(numberedFrame(2, length: mtu + 23))
      } else {
        try port.container.send(numberedFrame(1, length: mtu + 14))
      }
      let arrived = try receive(1, from: port.queue, memory)
      try require(arrived.count == 1, "\(arrived.count) frames arrived: \(port.queue.monitor.counters())")
      _ = port.queue.transmit(arrived, count: 1, memory: memory)
      let seen = port.container.receive(timeoutMilliseconds: 2000)
      try require(seen?.count == Int(arrived[0].length), "the container saw \(seen?.count ?? 0) bytes")
      usleep(20_000)
      return port.queue.monitor.counters()
    }
    #expect(counters.received == 1)
    #expect(counters.kernelDropped == (chunkSize == 2048 ? 1 : 0))
  }

  @Test func vethTakesXDPAtTheLargestMTU() async throws {
    let (fits, beyond) = try await runOnOwnNetwork {
      let limit = AFXDPQueue.largestMTU(chunkSize: 4096)
      let program = try RedirectProgram()
      let veth = try VethPair.make("near0", "far0", mtu: limit)
      let fits = program.attach(veth.nearIndex)
      let large = try VethPair.make("near1", "far1", mtu: 3600)
      return (fits, program.attach(large.nearIndex))
    }
    #expect(fits == 0)
    #expect(beyond != 0)
  }
}
