// ControlThread.swift
//
// One thread that carries out everything that changes the agent's state, one piece after the other. It is the executor of
// the actor Control, so that an actor method which talks to the kernel, to SQLite or to the pipeline thread may block
// without stopping the threads that serve gRPC.
// Invariant: a job runs from its start to its end before the next one begins.
// Threads: jobs come from anywhere.
// Cost: a semaphore per job.

import CSluice
import Glibc
import Synchronization

/// A serial executor with a thread of its own, which lives as long as the process.
///
/// @unchecked Sendable: the semaphore is made before the thread and never freed.
final class ControlThread: SerialExecutor, @unchecked Sendable {
  private let jobs = Mutex<[UnownedJob]>([])
  private let waiting: UnsafeMutablePointer<sem_t>

  static let shared = ControlThread()

  private init() {
    waiting = .allocate(capacity: 1)
    sem_init(waiting, 0, 0)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ControlThread>.fromOpaque(argument).takeUnretainedValue().run()
      }, Unmanaged.passUnretained(self).toOpaque())
    precondition(code == 0, "cannot start the control thread: \(String(cString: strerror(code)))")
    pthread_detach(thread)
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    jobs.withLock { $0.append(job) }
    sem_post(waiting)
  }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

  private func run() -> Never {
    sluice_name_thread("sluice-control")
    while true {
      while sem_wait(waiting) != 0 {}
      let job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
      job?.runSynchronously(on: asUnownedSerialExecutor())
    }
  }
}
