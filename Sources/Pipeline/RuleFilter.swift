// RuleFilter.swift
//
// What: selects rules, as `ovs-ofctl dump-flows` and `del-flows` do. RuleText.swift reads filters.
// Threads: values.
// Source: OpenFlow Switch Specification 1.3.5, section 6.4 (modification and deletion).

import Dataplane

/// Selects rules.
public struct RuleFilter: Hashable, Sendable {
  /// The table; nil for all.
  public var table: UInt8?
  /// Rules at least as specific as this; with `isStrict`, rules with exactly this match.
  public var match: FlowMatch
  /// Selects the rule with exactly `match` and `priority`.
  public var isStrict: Bool
  /// Looked at with `isStrict` only.
  public var priority: UInt16
  /// Rules whose cookie equals this one in the bits of `cookieMask`.
  public var cookie: UInt64
  public var cookieMask: UInt64
  /// Rules with an `output` action to this port; nil for all rules.
  public var outPort: UInt32?
  /// Rules with a `group` action to this group; nil for all rules.
  public var outGroup: UInt32?

  public init(
    table: UInt8? = nil, match: FlowMatch = .any, isStrict: Bool = false, priority: UInt16 = Rule.defaultPriority,
    cookie: UInt64 = 0, cookieMask: UInt64 = 0, outPort: UInt32? = nil, outGroup: UInt32? = nil
  ) {
    self.table = table
    self.match = match
    self.isStrict = isStrict
    self.priority = priority
    self.cookie = cookie
    self.cookieMask = cookieMask
    self.outPort = outPort
    self.outGroup = outGroup
  }

  /// Selects every rule.
  public static let all = RuleFilter()

  /// Selects the one rule with this rule's table, match and priority.
  public init(exactly rule: Rule) {
    self.init(table: rule.table, match: rule.match, isStrict: true, priority: rule.priority)
  }

  /// Selects the rules that get other instructions when this one is given as a modification.
  public init(modifying rule: Rule, isStrict: Bool, cookieMask: UInt64) {
    self.init(
      table: rule.table, match: rule.match, isStrict: isStrict, priority: rule.priority, cookie: rule.cookie,
      cookieMask: cookieMask)
  }

  /// True when the filter selects this rule.
  public func selects(_ rule: Rule) -> Bool {
    if let table, rule.table != table { return false }
    return selectsMatch(rule.match, priority: rule.priority) && selectsRest(cookie: rule.cookie, rule.instructions)
  }

  /// True when the filter selects this rule in force.
  func selects(_ entry: RuleEntry) -> Bool {
    if let table, entry.table != table { return false }
    // Most filters leave the match open, and putting an entry's together costs more than all the rest.
    if isStrict || match != .any {
      guard selectsMatch(entry.match, priority: entry.priority) else { return false }
    }
    return selectsRest(cookie: entry.cookie, entry.instructions)
  }

  private func selectsMatch(_ other: FlowMatch, priority otherPriority: UInt16) -> Bool {
    isStrict ? otherPriority == priority && other == match : other.isWithin(match)
  }

  private func selectsRest(cookie other: UInt64, _ instructions: RuleInstructions) -> Bool {
    guard (other ^ cookie) & cookieMask == 0 else { return false }
    if let outPort, !instructions.sends(to: outPort) { return false }
    if let outGroup, !instructions.uses(group: outGroup) { return false }
    return true
  }
}
