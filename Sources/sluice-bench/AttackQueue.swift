// AttackQueue.swift
//
// What: the port that an attacker sends by: frames at a set rate, either each with a random five-tuple (a flood of new flows) or those of
//       a list in turn (an attack on the tuple space).
// Invariants: the rate is kept over time; when the worker does not keep up, what could not be delivered is not made up for later, as on a
//             NIC whose ring is full.
// Threads: polled by one worker; `setRate` and `delivered` may be used by any thread.
// Cost: a reading of the cycle counter per poll; about 30 cycles a random frame.

import CSluice
import Dataplane

final class AttackQueue: PortQueue, @unchecked Sendable {
  /// What the attacker sends.
  enum Frames {
    /// UDP from 10.0.0.0/10 to 10.128.0.0/16, all ports.
    case random
    case list(Trace)
  }

  /// [0] cycles per packet in 1/256, 0 for silence; [1] packets delivered.
  private let shared: UnsafeMutablePointer<UInt64>
  private let frames: Frames
  private let cyclesPerSecond: Double
  private var numbers = SeededNumbers(seed: 1)
  private var place = 0
  private var rate: UInt64 = 0
  /// When the next packet is due, in 1/256 cycles.
  private var due: UInt64 = 0

  init(_ frames: Frames, cyclesPerSecond: Double) {
    self.frames = frames
    self.cyclesPerSecond = cyclesPerSecond
    shared = .allocate(capacity: 2)
    shared.initialize(repeating: 0, count: 2)
  }

  deinit { shared.deallocate() }

  /// Sets how many packets a second are offered; 0 stops them, nil offers as many as are taken.
  func setRate(_ packetsPerSecond: Double?) {
    let value: UInt64
    switch packetsPerSecond {
    case .none: value = 1
    case .some(let rate) where rate > 0: value = max(1, UInt64(cyclesPerSecond * 256 / rate))
    case .some: value = 0
    }
    sluice_store_relaxed_u64(shared, value)
  }

  var delivered: UInt64 { sluice_load_relaxed_u64(shared + 1) }

  override func receive(_ out: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int {
    let wanted = sluice_load_relaxed_u64(shared)
    guard wanted != 0 else {
      rate = 0
      return 0
    }
    let now = sluice_cycles() << 8
    if wanted != rate {
      rate = wanted
      due = now
    }
    guard now >= due else { return 0 }
    let ready = Int(min((now &- due) / rate &+ 1, UInt64(limit)))
    var received = 0
    while received < ready, let chunk = memory.allocate() {
      let address = chunk &+ UInt64(FrameMemory.headroom)
      out[received] = FrameDescriptor(address: address, length: write(to: memory.bytes(at: address)))
      received &+= 1
    }
    due &+= UInt64(received) &* rate
    // A backlog of more than a batch is what a NIC would have dropped.
    if now > due, now &- due > rate &* UInt64(limit) { due = now }
    sluice_count_u64(shared + 1, UInt64(received))
    return received
  }

  @inline(__always)
  private func write(to bytes: UnsafeMutablePointer<UInt8>) -> UInt32 {
    switch frames {
    case .random:
      let a = numbers.next()
      let b = numbers.next()
      let tuple = FiveTuple(
        source: 0x0a00_0000 | UInt32(truncatingIfNeeded: a) & 0x3f_ffff,
        destination: 0x0a80_0000 | UInt32(truncatingIfNeeded: a >> 32) & 0xffff,
        sourcePort: UInt16(truncatingIfNeeded: b), destinationPort: UInt16(truncatingIfNeeded: b >> 16))
      tuple.write(to: UnsafeMutableRawPointer(bytes))
      return UInt32(FiveTuple.frameLength)
    case .list(let trace):
      let frame = trace.frame(place)
      bytes.update(from: frame.baseAddress ?? UnsafePointer(bytes), count: frame.count)
      place &+= 1
      if place == trace.count { place = 0 }
      return UInt32(frame.count)
    }
  }
}
