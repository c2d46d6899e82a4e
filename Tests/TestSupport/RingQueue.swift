// RingQueue.swift
//
// What: a port in memory: a test injects frames and collects what is sent. It owns frames as a driver does: received ones are copied into
//       frames of the worker's memory, sent ones are given back at once, or later if the test asks for that.
// Threads: the worker's side as PortQueue says; the test's side from any thread. A lock stands between them.

import CSluice
import Dataplane
import Glibc

public final class RingQueue: PortQueue, @unchecked Sendable {
  // Sendable: everything that changes is behind the lock.
  private struct State {
    var arriving: [[UInt8]] = []
    var next = 0
    var sent: [[UInt8]] = []
    var sentCount = 0
    var transmitLimit = Int.max
    var holdsFrames = false
    var held: [UInt64] = []
    var partialChecksums = false
    var repeating: [[UInt8]] = []
    var keepsOutput = true
  }

  private let state = Locked(State())
  private let wake = sluice_eventfd()
  private let isReceiving: Bool

  /// - Parameter receives: false for a port that only sends.
  public init(receives: Bool = true) { isReceiving = receives }

  deinit { _ = Glibc.close(wake) }

  // MARK: - The test's side

  /// Frames to arrive, in order.
  public func inject(_ frames: [UInt8]...) { inject(contentsOf: frames) }

  public func inject(contentsOf frames: [[UInt8]]) {
    state.withLock { $0.arriving += frames }
    ring()
  }

  /// Lets these frames arrive again and again, as fast as the worker takes them; an empty list ends it.
  public func injectForever(_ frames: [[UInt8]]) {
    state.withLock { $0.repeating = frames }
    ring()
  }

  /// Takes what has been sent so far.
  public func takeOutput() -> [[UInt8]] {
    state.withLock { state in
      defer { state.sent = [] }
      return state.sent
    }
  }

  /// Frames ever sent.
  public var sentCount: Int { state.withLock { $0.sentCount } }

  /// True when every injected frame has been received.
  public var isDrained: Bool { state.withLock { $0.next == $0.arriving.count } }

  /// Frames that a call of `transmit` accepts at most: a full ring.
  public var transmitLimit: Int {
    get { state.withLock { $0.transmitLimit } }
    set { state.withLock { $0.transmitLimit = newValue } }
  }

  /// Keeps sent frames under way until this is false again.
  public var holdsFrames: Bool {
    get { state.withLock { $0.holdsFrames } }
    set { state.withLock { $0.holdsFrames = newValue } }
  }

  /// Says that received frames may carry unfinished checksums.
  public func setPartialChecksums(_ value: Bool) { state.withLock { $0.partialChecksums = value } }

  /// Only counts what is sent, for tests with much traffic.
  public func forgetOutput() { state.withLock { $0.keepsOutput = false } }

  /// Waits until so many frames have been sent since the last `takeOutput`, and takes them; after `seconds` it takes what there is.
  public func waitForOutput(_ count: Int, seconds: Double = 5) -> [[UInt8]] {
    _ = eventually(seconds: seconds) { state.withLock { $0.sent.count } >= count }
    return takeOutput()
  }

  private func ring() {
    var one: UInt64 = 1
    _ = write(wake, &one, 8)
  }

  // MARK: - The worker's side

  public override func receive(
    _ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory
  ) -> Int {
    state.withLock { state in
      if state.next == state.arriving.count {
        state.arriving = state.repeating
        state.next = 0
      }
      var received = 0
      while received < limit, state.next < state.arriving.count, let chunk = memory.allocate() {
        let bytes = state.arriving[state.next]
        precondition(FrameMemory.headroom + bytes.count <= memory.chunkSize, "the injected frame does not fit a chunk")
        let address = chunk + UInt64(FrameMemory.headroom)
        memory.bytes(at: address).update(from: bytes, count: bytes.count)
        frames[received] = FrameDescriptor(address: address, length: UInt32(bytes.count))
        state.next += 1
        received += 1
      }
      if state.next == state.arriving.count, state.repeating.isEmpty {
        // Nothing is left: the descriptor stays quiet until the next injection.
        var count: UInt64 = 0
        _ = read(wake, &count, 8)
      }
      return received
    }
  }

  public override func transmit(
    _ frames: UnsafePointer<FrameDescriptor>, count: Int, memory: FrameMemory
  ) -> Int {
    state.withLock { state in
      let accepted = min(count, state.transmitLimit)
      for i in 0..<accepted {
        if state.keepsOutput {
          state.sent.append(
            Array(UnsafeBufferPointer(start: memory.bytes(at: frames[i].address), count: Int(frames[i].length))))
        }
        state.sentCount += 1
        if state.holdsFrames { state.held.append(frames[i].address) } else { memory.release(frames[i].address) }
      }
      return accepted
    }
  }

  public override func progress(memory: FrameMemory) -> Bool {
    state.withLock { state in
      if !state.holdsFrames {
        for address in state.held { memory.release(address) }
        state.held = []
      }
      return !state.held.isEmpty
    }
  }

  public override func close(memory: FrameMemory) {
    state.withLock { state in
      for address in state.held { memory.release(address) }
      state.held = []
    }
  }

  public override var waitDescriptor: Int32 { wake }

  public override var receives: Bool { isReceiving }

  public override var deliversPartialChecksums: Bool { state.withLock { $0.partialChecksums } }
}

/// Asks again and again until the answer is yes; false when it was not within so many seconds.
public func eventually(seconds: Double = 5, _ condition: () -> Bool) -> Bool {
  let end = sluice_monotonic_nanoseconds() + UInt64(seconds * 1e9)
  while !condition() {
    guard sluice_monotonic_nanoseconds() < end else { return condition() }
    usleep(200)
  }
  return true
}

/// Blocks the calling thread for so long.
public func pause(milliseconds: UInt32) { usleep(milliseconds * 1000) }
