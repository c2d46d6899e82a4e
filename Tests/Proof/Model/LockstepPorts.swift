// LockstepPorts.swift
//
// What: the ports of a switch under proof: frames are handed to its workers, and the caller waits until nothing of them is under way any more,
//       neither in a worker nor in the pipeline. It needs no waiting "long enough".
// Invariants: a worker is quiet when, at a call of `receive`, no frame is left to be handed to it and every chunk of its frame memory is free:
//             whatever is queued, copied, recirculated, asked about or lent to another worker holds a chunk. With two workers nothing is under
//             way when they were seen quiet in turn, four times, and never otherwise in between: what the one lent the other has come back, and the
//             other has had a look at its own memory since then.
// Threads: `exchange` on one thread of the caller's, the queues on the workers'; a lock stands between them.
// Cost: two context switches for each exchange.

import CSluice
import Dataplane
import Glibc

/// The ports of a switch, 1 to `count`.
public final class LockstepPorts: Sendable {
  /// What changes hands.
  struct State {
    /// By worker and port.
    var arriving: [[[[UInt8]]]]
    var sent: [Departure] = []
    var isWaiting = false
    /// The worker that was seen quiet last, and how often they were so in turn.
    var lastQuiet = 0
    var quietCount = 0
  }

  let state: Locked<State>
  let wake = sluice_eventfd()
  private let done = sluice_eventfd()
  private let workerCount: Int

  public init(count: Int, workers: Int) {
    workerCount = workers
    state = Locked(State(arriving: .init(repeating: .init(repeating: [], count: count + 1), count: workers)))
  }

  deinit {
    _ = Glibc.close(wake)
    _ = Glibc.close(done)
  }

  /// The workers that have a queue of a port: with two, some ports belong to one of them only, so that frames change hands.
  public func workers(of port: UInt32) -> [Int] {
    guard workerCount > 1 else { return [0] }
    return port % 3 == 0 ? [Int(port / 3) % workerCount] : Array(0..<workerCount)
  }

  /// Lets frames arrive and returns what left when nothing is under way any more; nil when that takes more than ten seconds.
  public func exchange(_ frames: [(bytes: [UInt8], inPort: UInt32)]) -> [Departure]? {
    state.withLock { state in
      for (number, frame) in frames.enumerated() {
        let workers = workers(of: frame.inPort)
        state.arriving[workers[number % workers.count]][Int(frame.inPort)].append(frame.bytes)
      }
      (state.isWaiting, state.quietCount) = (true, 0)
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

  /// A worker was looked at.
  func note(_ state: inout State, worker: Int, isQuiet: Bool) {
    guard state.isWaiting else { return }
    guard isQuiet else {
      state.quietCount = 0
      return
    }
    guard state.quietCount == 0 || state.lastQuiet != worker || workerCount == 1 else { return }
    (state.lastQuiet, state.quietCount) = (worker, state.quietCount + 1)
    guard state.quietCount == (workerCount == 1 ? 1 : 4) else { return }
    state.isWaiting = false
    var count: UInt64 = 0
    _ = read(wake, &count, 8)
    var one: UInt64 = 1
    _ = write(done, &one, 8)
  }
}

/// One worker's queue of one of the ports.
public final class LockstepQueue: PortQueue, @unchecked Sendable {
  // Sendable: immutable, but for what is behind the lock of the ports.
  private let ports: LockstepPorts
  private let number: Int
  private let worker: Int

  public init(_ ports: LockstepPorts, number: UInt32, worker: Int) {
    self.ports = ports
    self.number = Int(number)
    self.worker = worker
  }

  public override func receive(_ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int {
    ports.state.withLock { state in
      var received = 0
      while received < limit, received < state.arriving[worker][number].count, let chunk = memory.allocate() {
        let bytes = state.arriving[worker][number][received]
        let address = chunk + UInt64(FrameMemory.headroom)
        memory.bytes(at: address).update(from: bytes, count: bytes.count)
        frames[received] = FrameDescriptor(address: address, length: UInt32(bytes.count))
        received += 1
      }
      state.arriving[worker][number].removeFirst(received)
      let isQuiet = received == 0 && memory.freeCount == memory.chunkCount && state.arriving[worker].allSatisfy { $0.isEmpty }
      ports.note(&state, worker: worker, isQuiet: isQuiet)
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
