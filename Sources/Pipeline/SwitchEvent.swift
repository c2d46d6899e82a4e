// SwitchEvent.swift
//
// What: what happens in the switch, for whoever watches: new and ended flows, ports, drops, packets that a rule sent to the controller.
// Invariants: a watcher that does not keep up loses events, never the switch its pace; how many it lost is said with the next event
//             that it gets.
// Threads: published by the pipeline thread, consumed anywhere.
// Cost: nothing is built while nobody watches.

import Dataplane
import Synchronization

/// Something that happened.
public enum SwitchEvent: Sendable {
  /// Why a flow ended.
  public enum FlowEnd: String, Sendable {
    case idle, changed, portRemoved = "port-removed", flushed
  }
  /// Why a rule ended.
  public enum RuleEnd: String, Sendable {
    case idleTimeout = "idle-timeout", hardTimeout = "hard-timeout", deleted
  }
  case flowAdded(FlowSnapshot)
  case flowRemoved(FlowSnapshot, FlowEnd)
  case portAdded(SwitchPort)
  case portRemoved(SwitchPort)
  case portChanged(SwitchPort)
  case rulesChanged(added: Int, removed: Int)
  /// A rule is no more; its counters are final. Not for one that another took the place of.
  case ruleRemoved(RuleSnapshot, RuleEnd)
  /// Frames dropped since the last such event for this port and reason.
  case dropped(port: SwitchPort, reason: String, packets: UInt64)
  /// A frame that a `controller` action copied, cut to the length that the action asked for.
  case packetIn(port: SwitchPort?, cookie: UInt64, length: Int, bytes: [UInt8])
}

/// An event and how many the watcher lost before it.
public struct WatchedEvent: Sendable {
  public var event: SwitchEvent
  public var lostBefore: UInt64
}

/// Hands events to watchers.
final class SwitchEvents: Sendable {
  private struct Watcher {
    var continuation: AsyncStream<WatchedEvent>.Continuation
    var lost: UInt64 = 0
  }

  private struct State {
    var watchers: [UInt64: Watcher] = [:]
    var nextID: UInt64 = 0
  }

  private let state = Locked(State())
  private let watcherCount = Atomic<Int>(0)
  private static let bufferedEvents = 4096

  /// True while somebody watches.
  var isWatched: Bool { watcherCount.load(ordering: .relaxed) > 0 }

  /// Events from now on, until the stream's consumer lets go of it.
  func watch() -> AsyncStream<WatchedEvent> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: WatchedEvent.self, bufferingPolicy: .bufferingOldest(Self.bufferedEvents))
    let id = state.withLock { state in
      state.nextID += 1
      state.watchers[state.nextID] = Watcher(continuation: continuation)
      return state.nextID
    }
    watcherCount.add(1, ordering: .relaxed)
    continuation.onTermination = { [weak self] _ in self?.forget(id) }
    return stream
  }

  private func forget(_ id: UInt64) {
    let gone = state.withLock { $0.watchers.removeValue(forKey: id) }
    if gone != nil { watcherCount.subtract(1, ordering: .relaxed) }
  }

  func publish(_ event: @autoclosure () -> SwitchEvent) {
    guard isWatched else { return }
    let event = event()
    state.withLock { state in
      for (id, watcher) in state.watchers {
        let result = watcher.continuation.yield(WatchedEvent(event: event, lostBefore: watcher.lost))
        if case .dropped = result {
          state.watchers[id]?.lost += 1
        } else if watcher.lost > 0 {
          state.watchers[id]?.lost = 0
        }
      }
    }
  }

  /// Ends all streams.
  func finish() {
    let watchers = state.withLock { state in
      defer { state.watchers = [:] }
      return Array(state.watchers.values)
    }
    watcherCount.store(0, ordering: .relaxed)
    for watcher in watchers { watcher.continuation.finish() }
  }
}
