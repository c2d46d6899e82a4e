// LockstepPorts.swift
//
// What: the ports of a switch under proof: frames are handed to its workers, and the caller waits until nothing of them is under way any more,
//       neither in a worker nor in the pipeline. It needs no waiting "long enough".
// Invariants: a worker is quiet when, at a call of `receive`, no frame is left to be handed to it and every chunk of its frame memory is free:
//             whatever is queued, copied, recirculated, asked about or lent to another worker holds a chunk. With two workers nothing is under
//             way when they were seen quiet in turn, four times, and never otherwise in between: what the one lent the other has come back, and the
//             other has had a look at its own memory since then.
// Threads: `exchange` on one thread of the caller's, the queues on the workers'; a lock stands between them, but for a poll that finds nothing.
// Cost: two context switches for each exchange; a worker that waits for the pipeline sleeps.

import CSluice
import Dataplane
import Glibc

/// The ports of a switch, 1 to `count`.
public final class LockstepPorts: @unchecked Sendable {
  // Sendable: immutable, but for what is behind the lock and the words of `glance`, which are read and written atomically.
  /// What changes hands.
  struct State {
    /// By worker and port; the last one arrives first.
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
  let workerCount: Int
  /// `isWaiting`, and behind it by worker the frames that have not been handed to it: they are written under the lock, and read also without
  /// it, the former first.
  let glance: UnsafeMutablePointer<UInt64>

  public init(count: Int, workers: Int) {
    workerCount = workers
    glance = .allocate(capacity: 1 + workers)
    glance.initialize(repeating: 0, count: 1 + workers)
    state = Locked(State(arriving: .init(repeating: .init(repeating: [], count: count + 1), count: workers)))
  }

  deinit {
    glance.deallocate()
    _ = Glibc.close(wake)
    _ = Glibc.close(done)
  }

  /// The workers that have a queue of a port: with two, some ports belong to one of them only, so that frames change hands.
  public func workers(of port: UInt32) -> [Int] {
    guard workerCount > 1 else { return [0] }
    return port % 3 == 0 ? [Int(port / 3) % workerCount] : Array(0..<workerCount)
  }

  /// Lets frames arrive and returns what left when nothing is under way any more; nil when that takes more than a minute.
  public func exchange(_ frames: [(bytes: [UInt8], inPort: UInt32)]) -> [Departure]? {
    guard !frames.isEmpty else { return [] }
    // Before the frames, because who takes the last of them takes this, too.
    var one: UInt64 = 1
    _ = write(wake, &one, 8)
    state.withLock { state in
      for (number, frame) in frames.enumerated().reversed() {
        let workers = workers(of: frame.inPort)
        state.arriving[workers[number % workers.count]][Int(frame.inPort)].append(frame.bytes)
      }
      for worker in 0..<workerCount { noteArriving(&state, worker) }
      (state.isWaiting, state.quietCount) = (true, 0)
      sluice_store_release_u64(glance, 1)
    }
    var wait = pollfd(fd: done, events: Int16(POLLIN), revents: 0)
    guard poll(&wait, 1, 60_000) == 1 else { return nil }
    _ = read(done, &one, 8)
    return state.withLock { state in
      defer { state.sent.removeAll(keepingCapacity: true) }
      return state.sent
    }
  }

  /// Notes for all to see how many frames have not been handed to a worker.
  func noteArriving(_ state: inout State, _ worker: Int) {
    let count = state.arriving[worker].reduce(0) { $0 + $1.count }
    sluice_store_release_u64(glance + 1 + worker, UInt64(count))
    // One worker has nothing to look at until the pipeline rings. Of two, each has to be seen again.
    if count == 0, workerCount == 1 { beAsleep() }
  }

  /// Lets workers sleep.
  private func beAsleep() {
    var count: UInt64 = 0
    _ = read(wake, &count, 8)
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
    sluice_store_release_u64(glance, 0)
    if workerCount > 1 { beAsleep() }
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
  /// Those of the ports.
  private let isWaiting: UnsafeMutablePointer<UInt64>
  private let arriving: UnsafeMutablePointer<UInt64>
  private let isAlone: Bool

  public init(_ ports: LockstepPorts, number: UInt32, worker: Int) {
    self.ports = ports
    self.number = Int(number)
    self.worker = worker
    isWaiting = ports.glance
    arriving = ports.glance + 1 + worker
    isAlone = ports.workerCount == 1
  }

  public override func receive(_ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int {
    // Most polls end here.
    guard sluice_load_acquire_u64(isWaiting) != 0 else { return 0 }
    if isAlone, sluice_load_acquire_u64(arriving) == 0, memory.freeCount != memory.chunkCount {
      giveWay()
      return 0
    }
    let received = ports.state.withLock { state in
      var received = 0
      while received < limit, !state.arriving[worker][number].isEmpty, let chunk = memory.allocate() {
        let bytes = state.arriving[worker][number].removeLast()
        let address = chunk + UInt64(FrameMemory.headroom)
        memory.bytes(at: address).update(from: bytes, count: bytes.count)
        frames[received] = FrameDescriptor(address: address, length: UInt32(bytes.count))
        received += 1
      }
      if received > 0 { ports.noteArriving(&state, worker) }
      let isQuiet = received == 0 && memory.freeCount == memory.chunkCount && state.arriving[worker].allSatisfy { $0.isEmpty }
      ports.note(&state, worker: worker, isQuiet: isQuiet)
      return received
    }
    if received == 0 { giveWay() }
    return received
  }

  /// The pipeline or the other worker has the frames, and may want this CPU. Once a round is enough, and every worker has the first port.
  private func giveWay() {
    if number == 1 { sched_yield() }
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
