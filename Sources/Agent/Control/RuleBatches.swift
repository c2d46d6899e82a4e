// RuleBatches.swift
//
// Rules on their way from the call that reads them to the control thread that stores them: both work at the same time, each on
// a batch of its own.
// Invariants: whoever puts batches in ends with `end`, also when it fails, and never waits in between for anybody else: the control
//             thread does nothing else until then.
// Threads: one thread puts, one takes.
// Cost: a semaphore per batch of some thousand rules.

import Dispatch
import Synchronization

/// Batches of additions in the order in which they were put.
final class RuleBatches: Sendable {
  private struct State {
    var waiting: [RuleBundle] = []
    var end: Result<Void, any Error> = .success(())
  }

  private let state = Mutex(State())
  /// Counts the batches that wait, and the end.
  private let arrivals = DispatchSemaphore(value: 0)

  /// - Parameter batch: holds nothing but additions of rules.
  func put(_ batch: RuleBundle) {
    state.withLock { $0.waiting.append(batch) }
    arrivals.signal()
  }

  /// Says that no more batches come, because all are here or because something is wrong with them.
  func end(_ end: Result<Void, any Error>) {
    state.withLock { $0.end = end }
    arrivals.signal()
  }

  /// Waits for the next batch.
  ///
  /// - Returns: nil after the last one.
  /// - Throws: what is wrong with the batches.
  func next() throws -> RuleBundle? {
    arrivals.wait()
    return try state.withLock { state in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      try state.end.get()
      return nil
    }
  }
}
