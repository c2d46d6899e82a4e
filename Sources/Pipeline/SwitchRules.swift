// SwitchRules.swift
//
// What: changing and listing rules. Each change returns only when no worker can execute a flow that it made stale.

import CSluice
import Dataplane

/// What a change of rules did.
public struct RuleChange: Sendable, Equatable {
  public var added = 0
  /// Rules with the same match and priority that gave way to a new one.
  public var replaced = 0
  public var removed = 0
}

/// A rule and its counters at one moment.
public struct RuleSnapshot: Sendable {
  public var id: UInt64
  public var rule: Rule
  public var packets: UInt64
  public var bytes: UInt64
  public var ageSeconds: Double
  /// Seconds since the last packet; nil when there was none.
  public var idleSeconds: Double?
}

extension SwitchCore {
  /// Adds rules, all of them or, when a later step of the caller fails and it removes them again, none.
  public func addRules(_ new: [Rule]) -> RuleChange {
    var change = RuleChange()
    let now = sluice_monotonic_nanoseconds()
    var added: [RuleEntry] = []
    var removed: [RuleEntry] = []
    for rule in new {
      let (entry, replaced) = rules.add(rule, nowNanoseconds: now)
      added.append(entry)
      if let replaced {
        change.replaced += 1
        removed.append(replaced)
      } else {
        change.added += 1
      }
    }
    revalidate(.rules(added: added, removed: removed))
    settle()
    events.publish(.rulesChanged(added: change.added + change.replaced, removed: change.replaced))
    return change
  }

  /// Removes the rules that a filter selects and returns them with their last counters.
  public func deleteRules(_ filter: RuleFilter) -> [RuleSnapshot] {
    let removed = rules.remove(filter)
    credit(removed)
    revalidate(.rules(added: [], removed: removed))
    settle()
    if !removed.isEmpty { events.publish(.rulesChanged(added: 0, removed: removed.count)) }
    return removed.map(snapshot)
  }

  /// The rules that a filter selects, in falling priority, with counters up to this moment.
  public func ruleList(_ filter: RuleFilter = .all) -> [RuleSnapshot] {
    let entries = rules.entries(filter)
    credit(entries)
    return entries.map(snapshot)
  }

  /// What happens to a packet now. Changes nothing.
  public func trace(_ key: FlowKey) -> Translation {
    Translator.translate(key: key, context: context, explains: true)
  }

  private func snapshot(_ entry: RuleEntry) -> RuleSnapshot {
    let now = sluice_monotonic_nanoseconds()
    return RuleSnapshot(
      id: entry.id, rule: entry.rule, packets: entry.packets, bytes: entry.bytes,
      ageSeconds: Double(now - entry.createdNanoseconds) / 1e9,
      idleSeconds: entry.usedNanoseconds == 0 ? nil : Double(now - min(now, entry.usedNanoseconds)) / 1e9)
  }
}
