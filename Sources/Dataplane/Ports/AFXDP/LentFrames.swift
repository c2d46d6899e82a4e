// LentFrames.swift
//
// What: which frames of a worker's memory one AF_XDP queue has lent to the kernel, and for what. The rings alone
//       cannot tell: a driver takes frames out of the fill ring and keeps them in its hardware ring. With these
//       marks, everything comes back when the socket is closed, wherever the kernel had it.
// Invariants: a mark per chunk; the two counts equal the number of marks of their kind. Debug builds trap when a
//             frame is lent twice, or comes back from the kernel without having been lent.
// Threads: confined to the worker.
// Cost: one byte stored per hand-over; one byte of memory per chunk and queue.

/// The frames that the kernel holds for one queue.
struct LentFrames: ~Copyable {
  private enum Mark {
    static let ours: UInt8 = 0
    static let forReceive: UInt8 = 1
    static let forTransmit: UInt8 = 2
  }

  private let marks: UnsafeMutablePointer<UInt8>
  private let chunkCount: Int
  private let chunkShift: UInt64
  /// Frames in the fill ring, in the driver's receive ring, or in the rx ring.
  private(set) var receiveCount = 0
  /// Frames in the tx ring, in the driver, or in the completion ring.
  private(set) var transmitCount = 0

  init(chunkCount: Int, chunkSize: Int) {
    self.chunkCount = chunkCount
    chunkShift = UInt64(chunkSize.trailingZeroBitCount)
    marks = .allocate(capacity: chunkCount)
    marks.initialize(repeating: Mark.ours, count: chunkCount)
  }

  deinit { marks.deallocate() }

  @inline(__always)
  private func chunk(_ address: UInt64) -> Int {
    let chunk = Int(truncatingIfNeeded: address &>> chunkShift)
    assert(chunk < chunkCount, "frame address \(address) is outside the frame memory")
    return chunk
  }

  @inline(__always)
  func lendForReceive(_ address: UInt64) {
    let chunk = chunk(address)
    assert(marks[chunk] == Mark.ours, "frame \(chunk) is lent to the kernel twice")
    marks[chunk] = Mark.forReceive
  }

  @inline(__always)
  func takeReceived(_ address: UInt64) {
    let chunk = chunk(address)
    assert(marks[chunk] == Mark.forReceive, "the kernel delivered frame \(chunk), which it was not given")
    marks[chunk] = Mark.ours
  }

  @inline(__always)
  func lendForTransmit(_ address: UInt64) {
    let chunk = chunk(address)
    assert(marks[chunk] == Mark.ours, "frame \(chunk) is lent to the kernel twice")
    marks[chunk] = Mark.forTransmit
  }

  @inline(__always)
  func takeTransmitted(_ address: UInt64) {
    let chunk = chunk(address)
    assert(marks[chunk] == Mark.forTransmit, "the kernel completed frame \(chunk), which it was not given")
    marks[chunk] = Mark.ours
  }

  // The counts move once per batch, not per frame.
  @inline(__always) mutating func countForReceive(_ change: Int) { receiveCount &+= change }
  @inline(__always) mutating func countForTransmit(_ change: Int) { transmitCount &+= change }

  /// Frames that the kernel holds.
  var count: Int { receiveCount + transmitCount }

  /// Gives every lent frame back to its memory. Only after the kernel has let go of them.
  mutating func returnAll(to memory: FrameMemory) {
    for chunk in 0..<chunkCount where marks[chunk] != Mark.ours {
      marks[chunk] = Mark.ours
      memory.release(UInt64(chunk) &<< chunkShift)
    }
    receiveCount = 0
    transmitCount = 0
  }
}
