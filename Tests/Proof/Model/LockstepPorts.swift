// LockstepPorts.swift
//
// What: the ports of a switch under proof: frames are handed to its worker, and the caller waits until nothing of them is under way any more,
//       neither in the worker nor in the pipeline. It needs no waiting "long enough".
// Invariants: all queues belong to one worker. Nothing is under way when, at a call of `receive`, no frame is left to be handed out and every
//             chunk of the frame memory is free: whatever is queued, copied, recirculated or asked about holds a chunk.
// Threads: `exchange` on one thread of the caller's, the queues on the worker's; a lock stands between them.
// Cost: two context switches for each exchange.

import CSluice
import Dataplane
import Glibc

/// The ports of a switch, 1 to `count`.
public final class LockstepPorts: Sendable {
  /// What changes hands.
  struct State {
    var arriving: [[[UInt8]]]
    var sent: [Departure] = []
    var isWaiting = false
  }

  let state: Locked<State>
  let wake = sluice_eventfd()
  private let done = sluice_eventfd()

  public init(count: Int) {
    state = Locked(State(arriving: .init(repeating: [], count: count + 1)))
  }

  deinit {
    _ = Glibc.close(wake)
    _ = Glibc.close(done)
  }

  /// Lets frames arrive and returns what left when nothing is under way any more; nil when that takes more than ten seconds.
  public func exchange(_ frames: [(bytes: [UInt8], inPort: UInt32)]) -> [Departure]? {
    state.withLock { state in
      for frame in frames { state.arriving[Int(frame.inPort)].append(frame.bytes) }
      state.isWaiting = true
    }
    var one: UInt64 = 1
    _ = write(wake, &one, 8)
    var wait = pollfd(fd: done, events: Int16(POLLIN), revents: 0)
    guard poll(&wait, 1, 10_000) == 1 else { return nil }
    _ = read(done, &one, 8)
    return state.withLock { state in
      defer { state.sent.removeAll(keepingCapacity: true) }
      return state.sent
    }
  }

  /// The worker has nothing of the last exchange left.
  func finish(_ state: inout State) {
    guard state.isWaiting else { return }
    state.isWaiting = false
    var count: UInt64 = 0
    _ = read(wake, &count, 8)
    var one: UInt64 = 1
    _ = write(done, &one, 8)
  }
}

/// One of the ports.
public final class LockstepQueue: PortQueue, @unchecked Sendable {
  // Sendable: immutable, but for what is behind the lock of the ports.
  private let ports: LockstepPorts
  private let number: Int

  public init(_ ports: LockstepPorts, number: UInt32) {
    self.ports = ports
    self.number = Int(number)
  }

  public override func receive(_ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int {
    ports.state.withLock { state in
      var received = 0
      while received < limit, received < state.arriving[number].count, let chunk = memory.allocate() {
        let bytes = state.arriving[number][received]
        let address = chunk + UInt64(FrameMemory.headroom)
        memory.bytes(at: address).update(from: bytes, count: bytes.count)
        frames[received] = FrameDescriptor(address: address, length: UInt32(bytes.count))
        received += 1
      }
      state.arriving[number].removeFirst(received)
      if received == 0, memory.freeCount == memory.chunkCount, state.arriving.allSatisfy(\.isEmpty) { ports.finish(&state) }
      return received
    }
  }

  public override func transmit(_ frames: UnsafePointer<FrameDescriptor>, count: Int, memory: FrameMemory) -> Int {
    ports.state.withLock { state in
      for i in 0..<count {
        let bytes = UnsafeBufferPointer(start: memory.bytes(at: frames[i].address), count: Int(frames[i].length))
        state.sent.append(Departure(port: UInt32(number), bytes: Array(bytes)))
        memory.release(frames[i].address)
      }
    }
    return count
  }

  // The descriptor of all ports is waited for once.
  public override var waitDescriptor: Int32 { ports.wake }
}
