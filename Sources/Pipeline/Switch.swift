// Switch.swift
//
// What: the pipeline thread and the workers: everything that forwards, behind one Sendable handle.
// Invariants: the state in SwitchCore is touched by the pipeline thread only; whoever wants something of it hands over a closure.
//             When a closure that changed rules, ports or stations returns, no worker can execute a flow that the change made stale.
// Threads: any thread may call; closures run one after the other on the pipeline thread, between rounds of upcalls.
// Cost: a closure costs two context switches; the pipeline thread sleeps while there are neither upcalls nor closures.

import CSluice
import Dataplane
import Glibc
import Synchronization

/// A switch: workers, and the thread that tells them what to do.
///
/// @unchecked Sendable: the thread handle is written before and after the life of the thread only.
public final class Switch: @unchecked Sendable {
  private let core: SwitchCore
  private let doorbell: Doorbell
  private let jobs = Locked(Jobs())
  private let stopping = Atomic<Bool>(false)
  private var thread: pthread_t?
  private let events: SwitchEvents

  /// Seconds between looks at timers: idle flows, stations, drop reports.
  private static let tickMilliseconds: Int32 = 500
  /// From the beginning of one slice of a round over all flows to the next.
  private static let sliceMilliseconds: Int32 = 10
  /// Upcalls that are served before closures get their turn.
  private static let upcallsPerRound = 256

  /// Makes and starts the workers and the pipeline thread.
  /// - Throws: `WorkerError`.
  public init(configuration: SwitchConfiguration) throws(WorkerError) {
    let doorbell = Doorbell()
    let events = SwitchEvents()
    let secrets = HashSecrets()
    var workers: [Worker] = []
    for (id, worker) in configuration.workers.enumerated() {
      workers.append(try Worker.make(id: id, configuration: worker, pipelineDoorbell: doorbell, secrets: secrets))
    }
    Worker.link(workers)
    self.doorbell = doorbell
    self.events = events
    core = try SwitchCore(configuration: configuration, workers: workers, secrets: secrets, events: events)
    for (index, worker) in workers.enumerated() {
      do { try worker.start() } catch {
        for started in workers[..<index] { started.stop() }
        throw error
      }
    }
    var made = pthread_t()
    let code = pthread_create(
      &made, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Switch>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard code == 0 else {
      Unmanaged.passUnretained(self).release()
      for worker in workers { worker.stop() }
      throw .thread(errno: code)
    }
    thread = made
  }

  /// The workers, for reading their counters.
  public var workers: [Worker] { core.workers }

  /// Events from now on. A slow consumer loses events and is told how many.
  public func watch() -> AsyncStream<WatchedEvent> { events.watch() }

  /// Runs a closure on the pipeline thread and returns what it returns.
  /// - Throws: what the closure throws; `SwitchStopped` after `stop`.
  public func perform<T: Sendable>(_ body: @escaping @Sendable (SwitchCore) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let isTaken = submit { core in continuation.resume(with: Result { try body(core) }) }
      if !isTaken { continuation.resume(throwing: SwitchStopped()) }
    }
  }

  /// As `perform`, for callers that are no tasks: blocks the calling thread. Never from a closure on the pipeline thread, which would wait for itself.
  public func performAndWait<T: Sendable>(_ body: @escaping @Sendable (SwitchCore) throws -> T) throws -> T {
    let box = ResultBox<T>()
    let done = Doorbell()
    done.announceSleep()
    let isTaken = submit { core in
      box.value.withLock { $0 = Result { try body(core) } }
      done.ring()
    }
    guard isTaken else { throw SwitchStopped() }
    while true {
      if let value = box.value.withLock({ $0 }) { return try value.get() }
      var wait = pollfd(fd: done.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&wait, 1, 100)
    }
  }

  /// Stops everything: closures handed over so far are run, queues are closed, threads end. Call once.
  public func stop() {
    guard let thread else { return }
    stopping.store(true, ordering: .releasing)
    doorbell.ring()
    pthread_join(thread, nil)
    self.thread = nil
    events.finish()
  }

  /// Hands a closure to the pipeline thread; false when the switch has stopped.
  private func submit(_ job: @escaping @Sendable (SwitchCore) -> Void) -> Bool {
    let isTaken = jobs.withLock { jobs in
      if !jobs.isClosed { jobs.waiting.append(job) }
      return !jobs.isClosed
    }
    doorbell.ring()
    return isTaken
  }

  private func takeJobs(closing: Bool = false) -> [Job] {
    jobs.withLock { jobs in
      defer { jobs.waiting.removeAll() }
      if closing { jobs.isClosed = true }
      return jobs.waiting
    }
  }

  private func run() {
    sluice_name_thread("sluice-pipeline")
    var nextTick = sluice_monotonic_nanoseconds()
    var nextSlice = nextTick
    while true {
      let served = core.serveUpcalls(limit: Self.upcallsPerRound)
      let ready = takeJobs()
      for job in ready { job(core) }
      let now = sluice_monotonic_nanoseconds()
      if now >= nextTick {
        core.tick(now: now)
        nextTick = now + UInt64(Self.tickMilliseconds) * 1_000_000
      }
      if core.isSweeping, now >= nextSlice {
        core.sweepSlice()
        nextSlice = now + UInt64(Self.sliceMilliseconds) * 1_000_000
      }
      core.completeCommits()
      if stopping.load(ordering: .acquiring) { break }
      guard served == 0, ready.isEmpty else { continue }
      doorbell.announceSleep()
      if !core.hasUpcalls, jobs.withLock({ $0.waiting.isEmpty }), !stopping.load(ordering: .acquiring) {
        var wait = pollfd(fd: doorbell.descriptor, events: Int16(POLLIN), revents: 0)
        let next = core.isBusy ? min(nextTick, nextSlice) : nextTick
        let left = next > now ? Int32((next - now) / 1_000_000) + 1 : 0
        _ = poll(&wait, 1, left)
      }
      doorbell.awake()
    }
    for job in takeJobs(closing: true) { job(core) }
    core.stopWorkers()
  }

  private typealias Job = @Sendable (SwitchCore) -> Void

  /// Closures that wait for the pipeline thread.
  private struct Jobs {
    var waiting: [Job] = []
    /// True once no closure can be run any more.
    var isClosed = false
  }
}

/// A stopped switch was asked to do something.
public struct SwitchStopped: Error, CustomStringConvertible {
  public var description: String { "the switch is stopping and takes no more changes" }
}

/// Where a blocked caller finds its answer.
private final class ResultBox<T: Sendable>: Sendable {
  let value = Locked<Result<T, any Error>?>(nil)
}
