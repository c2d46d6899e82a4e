// AgentEvents.swift
//
// Events that the control thread makes, for those who watch: ports and rules that came, went or changed. (What the switch
// sees, flows and drops, comes from Switch.watch.)
// Invariant: a watcher that does not keep up loses events and is told how many; it never slows the agent.
// Threads: any.
// Cost: nothing is built while nobody watches.

import AgentAPI
import Synchronization

/// An event and how many the watcher lost right before it.
struct WatchedAgentEvent: Sendable {
  var event: Sluice_V1_Event
  var lostBefore: UInt64
}

/// Hands events to watchers.
final class AgentEvents: Sendable {
  private struct State {
    var watchers: [UInt64: (continuation: AsyncStream<WatchedAgentEvent>.Continuation, lost: UInt64)] = [:]
    var lastID: UInt64 = 0
    var isFinished = false
  }

  private let state = Mutex(State())
  private static let bufferedEvents = 4096

  var isWatched: Bool { state.withLock { !$0.watchers.isEmpty } }

  /// Events from now on, until the consumer lets go of the stream or the agent stops.
  func watch() -> AsyncStream<WatchedAgentEvent> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: WatchedAgentEvent.self, bufferingPolicy: .bufferingOldest(Self.bufferedEvents))
    let id: UInt64? = state.withLock { state in
      guard !state.isFinished else { return nil }
      state.lastID += 1
      state.watchers[state.lastID] = (continuation, 0)
      return state.lastID
    }
    guard let id else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.watchers.removeValue(forKey: id) }
    }
    return stream
  }

  func publish(_ event: Sluice_V1_Event) {
    state.withLock { state in
      for (id, watcher) in state.watchers {
        if case .dropped = watcher.continuation.yield(WatchedAgentEvent(event: event, lostBefore: watcher.lost)) {
          state.watchers[id]?.lost += 1
        } else {
          state.watchers[id]?.lost = 0
        }
      }
    }
  }

  /// Ends all streams, those to come as well.
  func finish() {
    let watchers = state.withLock { state in
      state.isFinished = true
      defer { state.watchers = [:] }
      return state.watchers.values.map(\.continuation)
    }
    for watcher in watchers { watcher.finish() }
  }
}
