// RuleTimeouts.swift
//
// What: rules that go by themselves: some time after they were added (hard timeout), or after their last packet (idle timeout).
// How: rules that have a timeout are in a heap by the moment at which they could end at the earliest. When that has come, the
//      counters say when the rule was really used last: it ends, or goes back into the heap.
// Invariant: every rule in force that has a timeout is in the heap; one that is gone leaves it when its moment comes.
// Threads: the pipeline thread.
// Cost: nothing for rules without timeouts; O(log n) per rule and look. Counters are brought up to date only when a rule is due.
// Source: OpenFlow Switch Specification 1.3.5, section 6.5.

import CSluice
import Dataplane

extension SwitchCore {
  /// Ends the rules whose time has come. Called by `tick`.
  func expireRules(now: UInt64) {
    guard rules.deadlines.isDue(now) else { return }
    var due: [RuleEntry] = []
    while let entry = rules.deadlines.takeDue(now) {
      if entry.isInstalled { due.append(entry) }
    }
    credit(due)
    var idle: [RuleEntry] = []
    var hard: [RuleEntry] = []
    for entry in due {
      if let end = entry.hardEnd, end <= now {
        hard.append(entry)
      } else if let end = entry.idleEnd, end <= now {
        idle.append(entry)
      } else {
        rules.deadlines.insert(entry)
      }
    }
    let gone = idle + hard
    guard !gone.isEmpty else { return }
    for entry in gone { rules.remove(entry) }
    revalidate(.rules(added: [], removed: gone))
    settle()
    for entry in gone where endedRules.count < Self.endedRulesKept { endedRules.append(snapshot(entry)) }
    announce(idle, .idleTimeout)
    announce(hard, .hardTimeout)
    events.publish(.rulesChanged(added: 0, removed: gone.count))
  }

  /// The rules that have timed out since this was asked last, for whoever keeps rules elsewhere.
  public func takeEndedRules() -> [RuleSnapshot] {
    defer { endedRules = [] }
    return endedRules
  }

  /// When nobody asks for them, ended rules are not kept without end.
  private static let endedRulesKept = 1_000_000
}

extension RuleEntry {
  /// When the hard timeout ends the rule.
  fileprivate var hardEnd: UInt64? {
    hardTimeout == 0 ? nil : createdNanoseconds + UInt64(hardTimeout) * 1_000_000_000
  }

  /// When the idle timeout ends the rule if it meets no more packets.
  fileprivate var idleEnd: UInt64? {
    idleTimeout == 0 ? nil : max(createdNanoseconds, usedNanoseconds) + UInt64(idleTimeout) * 1_000_000_000
  }

  /// The earliest moment at which the rule can end; nil for a rule without timeouts.
  fileprivate var earliestEnd: UInt64? {
    guard let hardEnd else { return idleEnd }
    return min(hardEnd, idleEnd ?? .max)
  }
}

/// Rules with timeouts, by the moment at which each could end at the earliest.
struct RuleDeadlines {
  private var heap: [(moment: UInt64, entry: RuleEntry)] = []

  /// True when a rule may have to end.
  func isDue(_ now: UInt64) -> Bool { heap.first.map { $0.moment <= now } ?? false }

  /// Takes a rule whose moment has come.
  mutating func takeDue(_ now: UInt64) -> RuleEntry? {
    guard let first = heap.first, first.moment <= now else { return nil }
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    siftDown()
    return first.entry
  }

  /// Files a rule; does nothing for one without timeouts.
  mutating func insert(_ entry: RuleEntry) {
    guard let moment = entry.earliestEnd else { return }
    heap.append((moment, entry))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].moment < heap[parent].moment else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].moment < heap[least].moment {
        least = child
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
