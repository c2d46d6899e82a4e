// SwitchRules.swift
//
// What: listing and counting rules. Changing them is RuleChange.swift's.
// Threads: the pipeline thread.

import CSluice
import Dataplane

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
  /// Adds rules, all of them or none.
  @discardableResult
  public func addRules(_ new: [Rule]) throws(RuleChangeError) -> RuleChange { try apply(new.map { .add($0) }) }

  /// Removes the rules that a filter selects and returns them with their last counters.
  public func deleteRules(_ filter: RuleFilter) -> [RuleSnapshot] {
    let victims = rules.entries(filter)
    removeRules(victims)
    return victims.map(snapshot)
  }

  /// The rules that a filter selects, by table and in falling priority, with counters up to this moment.
  public func ruleList(_ filter: RuleFilter = .all) -> [RuleSnapshot] {
    let entries = rules.entries(filter)
    credit(entries)
    return entries.map(snapshot)
  }

  /// What happens to a packet now. Changes nothing.
  public func trace(_ key: FlowKey) -> Translation {
    Translator.translate(key: key, context: context, explains: true)
  }

  func snapshot(_ entry: RuleEntry) -> RuleSnapshot {
    let now = sluice_monotonic_nanoseconds()
    return RuleSnapshot(
      id: entry.id, rule: entry.rule, packets: entry.packets, bytes: entry.bytes,
      ageSeconds: Double(now - entry.createdNanoseconds) / 1e9,
      idleSeconds: entry.usedNanoseconds == 0 ? nil : Double(now - min(now, entry.usedNanoseconds)) / 1e9)
  }
}
