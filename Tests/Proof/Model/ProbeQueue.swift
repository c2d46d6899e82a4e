// ProbeQueue.swift
//
// What: ports for proofs that take time into account: one by which single frames go in and are seen coming out, and one that offers frames
//       at a set rate, as a NIC with a ring does.
// Threads: the worker's side as PortQueue says; the other side from one thread of the caller's.

import CSluice
import Dataplane
import Glibc
import Synchronization

/// Where single frames go in, and where their numbers are seen when they leave.
public final class ProbeQueue: PortQueue, @unchecked Sendable {
  // Sendable: the frame is behind the lock, the numbers are atomic.
  private let frame = Locked<[UInt8]?>(nil)
  private let hasFrame = Atomic<Bool>(false)
  private let last = Atomic<UInt32>(0)
  private let count = Atomic<Int>(0)

  /// Lets one frame arrive.
  public func inject(_ bytes: [UInt8]) {
    frame.withLock { $0 = bytes }
    hasFrame.store(true, ordering: .releasing)
  }

  /// The number at the end of the last frame that left here.
  public var lastNumber: UInt32 { last.load(ordering: .acquiring) }

  /// Frames that left here.
  public var sentCount: Int { count.load(ordering: .acquiring) }

  public override func receive(_ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int {
    guard hasFrame.load(ordering: .acquiring), let bytes = frame.withLock({ $0 }), let chunk = memory.allocate() else { return 0 }
    hasFrame.store(false, ordering: .releasing)
    let address = chunk + UInt64(FrameMemory.headroom)
    memory.bytes(at: address).update(from: bytes, count: bytes.count)
    frames[0] = FrameDescriptor(address: address, length: UInt32(bytes.count))
    return 1
  }

  public override func transmit(_ frames: UnsafePointer<FrameDescriptor>, count sent: Int, memory: FrameMemory) -> Int {
    for i in 0..<sent {
      let length = Int(frames[i].length)
      let bytes = memory.bytes(at: frames[i].address)
      if length >= 4 {
        var number: UInt32 = 0
        for place in length - 4..<length { number = number << 8 | UInt32(bytes[place]) }
        last.store(number, ordering: .releasing)
      }
      memory.release(frames[i].address)
    }
    count.add(sent, ordering: .releasing)
    return sent
  }
}

/// Offers frames at a set rate. What the worker does not take in time is lost, beyond what a ring holds.
public final class PacedQueue: PortQueue, @unchecked Sendable {
  // Sendable: `make` and what follows it belong to the worker's thread, the rest is atomic.
  private let nanosecondsPerFrame: UInt64
  private let ring: UInt64
  private let make: (UInt64, UnsafeMutablePointer<UInt8>) -> Int
  private var start: UInt64 = 0
  /// Frames that were due and taken, or lost.
  private var past: UInt64 = 0
  private let isOpen = Atomic<Bool>(false)
  private let takenCount = Atomic<UInt64>(0)
  private let lostCount = Atomic<UInt64>(0)

  /// - Parameters:
  ///   - rate: frames per second.
  ///   - ring: frames that wait at most.
  ///   - make: writes frame N to a buffer and returns its length; called by the worker.
  public init(rate: Double, ring: Int = 4096, make: @escaping (UInt64, UnsafeMutablePointer<UInt8>) -> Int) {
    nanosecondsPerFrame = max(1, UInt64(1e9 / rate))
    self.ring = UInt64(ring)
    self.make = make
  }

  /// Opens or closes the tap.
  public func open(_ value: Bool) { isOpen.store(value, ordering: .releasing) }

  public var taken: UInt64 { takenCount.load(ordering: .acquiring) }
  public var lost: UInt64 { lostCount.load(ordering: .acquiring) }

  public override func receive(_ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int {
    guard isOpen.load(ordering: .acquiring) else {
      start = 0
      return 0
    }
    let now = sluice_monotonic_nanoseconds()
    if start == 0 { (start, past) = (now, 0) }
    var waiting = (now - start) / nanosecondsPerFrame - past
    if waiting > ring {
      lostCount.add(waiting - ring, ordering: .releasing)
      past += waiting - ring
      waiting = ring
    }
    var received = 0
    let begun = takenCount.load(ordering: .relaxed)
    while received < min(limit, Int(waiting)), let chunk = memory.allocate() {
      let address = chunk + UInt64(FrameMemory.headroom)
      frames[received] = FrameDescriptor(address: address, length: UInt32(make(begun + UInt64(received), memory.bytes(at: address))))
      received += 1
    }
    past += UInt64(received)
    takenCount.add(UInt64(received), ordering: .releasing)
    return received
  }
}
