// FrameMemoryTests.swift
//
// What: every chunk is handed out once and comes back; addresses anywhere in a chunk belong to it.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct FrameMemoryTests {
  @Test func everyChunkIsHandedOutOnce() throws {
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
    var addresses: Set<UInt64> = []
    while let address = memory.allocate() {
      #expect(address % 2048 == 0)
      #expect(Int(address) < memory.byteCount)
      addresses.insert(address)
    }
    #expect(addresses.count == 64)
    #expect(memory.freeCount == 0)
    for address in addresses { memory.release(address + UInt64.random(in: 0..<2048)) }
    #expect(memory.freeCount == 64)
  }

  @Test func theChunkGivenBackLastIsHandedOutFirst() throws {
    let memory = try FrameMemory.make(chunkSize: 4096, chunkCount: 64)
    let first = try #require(memory.allocate())
    _ = memory.allocate()
    memory.release(first + 256)
    #expect(memory.allocate() == first)
  }

  @Test func anAddressKnowsItsChunkAndItsRoom() throws {
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 64)
    #expect(memory.chunkStart(of: 2048 * 3 + 300) == 2048 * 3)
    #expect(memory.roomBefore(2048 * 3 + 300) == 300)
    #expect(memory.largestFrame == 2048 - 256)
    memory.bytes(at: UInt64(memory.byteCount - 1)).pointee = 1
  }

  @Test func randomTakingAndGivingNeverHandsOutAFrameTwice() throws {
    var generator = SeededGenerator.fresh()
    let memory = try FrameMemory.make(chunkSize: 2048, chunkCount: 128)
    var held: [UInt64] = []
    for _ in 0..<20_000 {
      if generator.next() & 1 == 0, let address = memory.allocate() {
        #expect(!held.contains(address), "seed \(generator.seed)")
        held.append(address)
      } else if !held.isEmpty {
        memory.release(held.remove(at: Int(generator.next() % UInt64(held.count))))
      }
      #expect(memory.freeCount + held.count == 128)
    }
  }

  @Test func unusableSizesAreRefusedWithWhatWasExpected() {
    #expect(throws: FrameMemoryError.self) { try FrameMemory.make(chunkSize: 3000, chunkCount: 64) }
    #expect(throws: FrameMemoryError.self) { try FrameMemory.make(chunkSize: 2048, chunkCount: 63) }
    #expect("\(FrameMemoryError.badChunkSize(3000))" == "frame size 3000: expected 2048 or 4096 bytes")
  }
}
