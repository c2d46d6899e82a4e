// Locked.swift
//
// What: state that several threads share, behind a lock. For control paths: nothing that runs per packet takes a lock.
// Why not Synchronization.Mutex: on Linux the thread sanitizer does not see its futex, and would report every use as a race.
// Invariants: the state is reached through `withLock` only. A closure must not come back to the same lock.
// Threads: any.
// Cost: two uncontended atomic operations.

import Glibc

/// @unchecked Sendable: the lock stands before every access.
public final class Locked<State>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var state: State

  public init(_ state: State) {
    self.state = state
    mutex = .allocate(capacity: 1)
    mutex.initialize(to: pthread_mutex_t())
    let code = pthread_mutex_init(mutex, nil)
    precondition(code == 0, "pthread_mutex_init: \(code)")
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Runs a closure while no other thread runs one on this state.
  public func withLock<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&state)
  }
}
