// ReplayQueueTests.swift
//
// What: a replayed trace comes out frame by frame as it went in, and no frame reaches into the next chunk.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct ReplayQueueTests {
  @Test(arguments: [60, 64, 1300, 1514, 1792])
  func framesComeOutAsTheyWentInAndStayInTheirChunks(_ length: Int) throws {
    var generator = SeededGenerator.fresh()
    let frames = (0..<5).map { generator.bytes(length - $0) }
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
    let queue = ReplayQueue(trace: Trace(frames: frames), start: 2)
    let descriptors = UnsafeMutablePointer<FrameDescriptor>.allocate(capacity: 32)
    defer { descriptors.deallocate() }
    var expected = 2
    for _ in 0..<20 {
      let count = queue.receive(descriptors, limit: 32, memory: memory)
      #expect(count == 32)
      for i in 0..<count {
        let frame = descriptors[i]
        let bytes = UnsafeBufferPointer(start: memory.bytes(at: frame.address), count: Int(frame.length))
        #expect(Array(bytes) == frames[expected % 5])
        // The copy is in blocks of 64 bytes.
        #expect(memory.roomBefore(frame.address) + (length + 63) / 64 * 64 <= 2048)
        expected += 1
        memory.release(frame.address)
      }
    }
    #expect(memory.freeCount == 64)
  }

  @Test func aWorkerWithoutFreeFramesGetsFewer() throws {
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
    for _ in 0..<60 { _ = memory.allocate() }
    let queue = ReplayQueue(trace: Trace(frames: [FramePacket().bytes]))
    let descriptors = UnsafeMutablePointer<FrameDescriptor>.allocate(capacity: 32)
    defer { descriptors.deallocate() }
    #expect(queue.receive(descriptors, limit: 32, memory: memory) == 4)
    #expect(queue.receive(descriptors, limit: 32, memory: memory) == 0)
  }
}
