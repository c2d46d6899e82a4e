// MemoryPort.swift
//
// What: ports without a kernel: ReplayQueue hands out a trace from memory in a loop (as DPDK's net_pcap does with
//       infinite_rx=1), NullQueue swallows what it is sent. Benchmarks run the real worker on them.
// Invariants: each replayed frame is copied into a frame of the worker's memory, as a NIC would write it, and lies wholly in its chunk: a
//             trace with a longer frame than a chunk holds must not be replayed into it.
// Threads: as PortQueue says.
// Cost: ReplayQueue copies in 64-byte blocks; frames start at offsets staggered by 64 bytes, as far as the longest frame leaves room, so that
//       the headers of a batch do not all fall into the same few cache sets, as they would at equal offsets of 2 KiB chunks.

import CSluice

/// Frames of a trace, laid out for fast copying: each at a multiple of 64 bytes.
public final class Trace: @unchecked Sendable {
  // Sendable: written by init only.
  let bytes: UnsafeMutablePointer<UInt8>
  let offsets: UnsafeMutablePointer<UInt32>  // in 64-byte blocks
  let lengths: UnsafeMutablePointer<UInt32>
  public let count: Int
  /// Bytes of the longest frame.
  public let longestFrame: Int

  /// - Parameter frames: the frames in order, none of them empty.
  public convenience init(frames: [[UInt8]]) {
    var ranges: [Range<Int>] = []
    var end = 0
    for frame in frames {
      ranges.append(end..<end + frame.count)
      end += frame.count
    }
    self.init(bytes: Array(frames.joined()), frames: ranges)
  }

  /// - Parameters:
  ///   - source: bytes that all frames lie in.
  ///   - frames: the frames in order, none of them empty.
  public init(bytes source: [UInt8], frames: [Range<Int>]) {
    count = frames.count
    longestFrame = frames.reduce(0) { max($0, $1.count) }
    offsets = .allocate(capacity: max(frames.count, 1))
    lengths = .allocate(capacity: max(frames.count, 1))
    var blocks = 0
    for (i, frame) in frames.enumerated() {
      offsets[i] = UInt32(blocks)
      lengths[i] = UInt32(frame.count)
      blocks += (frame.count + 63) / 64
    }
    let size = max(blocks, 1) * 64
    let raw = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    bytes = raw.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    source.withUnsafeBytes { all in
      for (i, frame) in frames.enumerated() {
        UnsafeMutableRawBufferPointer(start: bytes + Int(offsets[i]) * 64, count: frame.count).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: all[frame]))
      }
    }
  }

  /// The bytes of a frame.
  public func frame(_ place: Int) -> UnsafeBufferPointer<UInt8> {
    precondition(place >= 0 && place < count, "frame \(place) of a trace of \(count)")
    return UnsafeBufferPointer(start: bytes + Int(offsets[place]) * 64, count: Int(lengths[place]))
  }

  deinit {
    bytes.deallocate()
    offsets.deallocate()
    lengths.deallocate()
  }
}

/// Receives a trace in an endless loop.
public final class ReplayQueue: PortQueue, @unchecked Sendable {
  private let trace: Trace
  private var next: Int
  private var stagger: UInt64 = 0

  /// - Parameter start: the frame to begin with; lets several workers replay one trace out of step.
  public init(trace: Trace, start: Int = 0) {
    precondition(trace.count > 0, "an empty trace cannot be replayed")
    self.trace = trace
    next = start % trace.count
  }

  public override func receive(
    _ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory
  ) -> Int {
    let offsets = trace.offsets
    let lengths = trace.lengths
    let source = trace.bytes
    let count = trace.count
    var index = next
    var step = stagger
    let blocks = (trace.longestFrame + 63) / 64
    let spareBlocks = memory.chunkSize / 64 - FrameMemory.headroom / 64 - blocks
    precondition(spareBlocks >= 0, "a frame of \(trace.longestFrame) bytes does not fit a chunk of \(memory.chunkSize)")
    // The largest power of two of places that fits, eight at most.
    let staggerMask: UInt64 = spareBlocks >= 7 ? 7 * 64 : spareBlocks >= 3 ? 3 * 64 : spareBlocks >= 1 ? 64 : 0
    var received = 0
    while received < limit, let chunk = memory.allocate() {
      let length = lengths[index]
      let address = chunk &+ UInt64(FrameMemory.headroom) &+ step
      step = (step &+ 64) & staggerMask
      let from = UnsafeMutableRawPointer(source + Int(offsets[index]) &* 64)
      let to = UnsafeMutableRawPointer(memory.bytes(at: address))
      var block = 0
      repeat {
        let line = from.load(fromByteOffset: block, as: FlowLine.self)
        to.storeBytes(of: line, toByteOffset: block, as: FlowLine.self)
        block &+= 64
      } while block < Int(length)
      frames[received] = FrameDescriptor(address: address, length: length)
      received &+= 1
      index &+= 1
      if index == count { index = 0 }
    }
    // The frame a few batches ahead is far outside the cache in a long trace; ask for it while this batch is worked on.
    var ahead = index &+ 16
    if ahead >= count { ahead = index }
    for i in 0..<16 where ahead &+ i < count { sluice_prefetch(source + Int(offsets[ahead &+ i]) &* 64) }
    next = index
    stagger = step
    return received
  }
}

/// Drops what it is sent.
public final class NullQueue: PortQueue, @unchecked Sendable {
  public override func transmit(
    _ frames: UnsafePointer<FrameDescriptor>, count: Int, memory: FrameMemory
  ) -> Int {
    for i in 0..<count { memory.release(frames[i].address) }
    return count
  }
}
