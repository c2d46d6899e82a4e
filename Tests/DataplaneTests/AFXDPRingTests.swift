// The rings of AF_XDP without a kernel: the test plays the other side.

import CSluice
import Testing

@testable import Dataplane

/// A ring in plain memory, with both indices where the test wants them.
final class PlainRing<Element: BitwiseCopyable> {
  let memory: RingMemory<Element>
  private let words: UnsafeMutablePointer<UInt32>
  private let entries: UnsafeMutablePointer<Element>

  init(size: Int, start: UInt32 = 0, zero: Element) {
    words = .allocate(capacity: 3)
    words.initialize(repeating: 0, count: 3)
    entries = .allocate(capacity: size)
    entries.initialize(repeating: zero, count: size)
    words[0] = start
    words[1] = start
    memory = RingMemory(
      producer: words, consumer: words + 1, flags: words + 2, entries: entries, size: UInt32(size))
  }

  deinit {
    words.deallocate()
    entries.deallocate()
  }

  var needsWakeup: Bool {
    get { words[2] & 1 != 0 }
    set { words[2] = newValue ? 1 : 0 }
  }

  /// The other side of a ring that we produce into.
  func takeAll(atMost limit: Int = .max) -> [Element] {
    var taken: [Element] = []
    while words[1] != words[0], taken.count < limit {
      taken.append(entries[Int(words[1] & (memory.size - 1))])
      words[1] &+= 1
    }
    return taken
  }

  /// The other side of a ring that we consume from; false when it is full.
  @discardableResult
  func add(_ element: Element) -> Bool {
    guard words[0] &- words[1] < memory.size else { return false }
    entries[Int(words[0] & (memory.size - 1))] = element
    words[0] &+= 1
    return true
  }

  var used: Int { Int(words[0] &- words[1]) }
}

@Suite struct AFXDPRingTests {
  @Test func aFrameDescriptorHasTheLayoutOfTheKernels() {
    #expect(MemoryLayout<FrameDescriptor>.size == MemoryLayout<xdp_desc>.size)
    #expect(MemoryLayout<FrameDescriptor>.offset(of: \.length) == MemoryLayout<xdp_desc>.offset(of: \.len))
    #expect(MemoryLayout<FrameDescriptor>.offset(of: \.options) == MemoryLayout<xdp_desc>.offset(of: \.options))
  }

  @Test func anEmptyRingHasRoomForItsSizeAndNoMore() {
    let plain = PlainRing<UInt64>(size: 8, zero: 0)
    var ring = ProducerRing(plain.memory)
    #expect(ring.room(upTo: 100) == 8)
    #expect(ring.room(upTo: 3) == 3)
    for i in 0..<8 { ring.put(UInt64(i), at: i) }
    ring.submit(8)
    #expect(ring.room(upTo: 1) == 0)
    #expect(ring.pending == 8)
  }

  @Test func entriesAreNotSeenBeforeTheyAreSubmitted() {
    let plain = PlainRing<UInt64>(size: 8, zero: 0)
    var ring = ProducerRing(plain.memory)
    #expect(ring.room(upTo: 2) == 2)
    ring.put(7, at: 0)
    ring.put(8, at: 1)
    #expect(plain.takeAll().isEmpty)
    ring.submit(2)
    #expect(plain.takeAll() == [7, 8])
    #expect(ring.pending == 0)
  }

  @Test func roomComesBackWhenTheOtherSideConsumes() {
    let plain = PlainRing<UInt64>(size: 4, zero: 0)
    var ring = ProducerRing(plain.memory)
    #expect(ring.room(upTo: 4) == 4)
    for i in 0..<4 { ring.put(UInt64(i), at: i) }
    ring.submit(4)
    #expect(plain.takeAll(atMost: 3) == [0, 1, 2])
    #expect(ring.room(upTo: 4) == 3)
  }

  @Test func consumedEntriesAreNotOverwrittenBeforeTheirRelease() {
    let plain = PlainRing<UInt64>(size: 2, zero: 0)
    var ring = ConsumerRing(plain.memory)
    #expect(ring.available(upTo: 64) == 0)
    plain.add(1)
    plain.add(2)
    #expect(ring.available(upTo: 64) == 2)
    #expect(ring.element(at: 1) == 2)
    #expect(!plain.add(3))
    ring.release(1)
    #expect(plain.add(3))
    #expect(ring.available(upTo: 1) == 1)
    #expect(ring.available(upTo: 64) == 2)
    #expect(ring.element(at: 1) == 3)
  }

  @Test func ringsWorkAcrossTheWrapOfTheirIndices() {
    let start = UInt32.max - 5
    let up = PlainRing<UInt64>(size: 16, start: start, zero: 0)
    let down = PlainRing<UInt64>(size: 16, start: start, zero: 0)
    var producer = ProducerRing(up.memory)
    var consumer = ConsumerRing(down.memory)
    var next: UInt64 = 0
    var expected: UInt64 = 0
    for round in 0..<200 {
      let room = producer.room(upTo: 1 + round % 16)
      for i in 0..<room {
        producer.put(next, at: i)
        next += 1
      }
      producer.submit(room)
      for element in up.takeAll(atMost: 1 + (round * 7) % 16) { #expect(down.add(element)) }
      let arrived = consumer.available(upTo: 64)
      for i in 0..<arrived {
        #expect(consumer.element(at: i) == expected)
        expected += 1
      }
      consumer.release(arrived)
    }
    #expect(expected > 1000)
    #expect(UInt64(producer.pending) == next - expected)
  }

  @Test func theWakeupFlagIsReadFromTheRing() {
    let plain = PlainRing<UInt64>(size: 2, zero: 0)
    let ring = ProducerRing(plain.memory)
    let before = ring.needsWakeup
    plain.needsWakeup = true
    let after = ring.needsWakeup
    #expect(!before)
    #expect(after)
  }

  #if DEBUG
    @Test func aProducerThatRunsAheadTraps() async {
      await #expect(processExitsWith: .failure) {
        let plain = PlainRing<UInt64>(size: 4, zero: 0)
        var ring = ConsumerRing(plain.memory)
        plain.memory.producer.pointee = 5
        _ = ring.available(upTo: 4)
      }
    }

    @Test func aFrameLentTwiceTraps() async {
      await #expect(processExitsWith: .failure) {
        let lent = LentFrames(chunkCount: 64, chunkSize: 2048)
        lent.lendForReceive(4096)
        lent.lendForTransmit(4096 + 256)
      }
    }

    @Test func aFrameThatTheKernelWasNotGivenTraps() async {
      await #expect(processExitsWith: .failure) {
        let lent = LentFrames(chunkCount: 64, chunkSize: 2048)
        lent.takeTransmitted(4096)
      }
    }
  #endif
}
