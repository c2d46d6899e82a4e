// StoredRule.swift
//
// What the store keeps of rules, groups and meters: their text, and what identifies them.
// Invariants: a rule's key is unique. Text names ports by number, never by name: a name may come to mean another port.
// Threads: values.

/// What makes two rules the same rule with other actions: a hash of table, priority and match, made by the agent.
///
/// 128 bits: two of a million different rules have the same one with a probability of 1 in 10^27, so a key counts as exact.
public struct RuleKey: Sendable, Hashable {
  public var high: UInt64
  public var low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// A rule on one line, as the rule parser reads it.
public struct StoredRule: Sendable, Hashable {
  public var key: RuleKey
  /// Perhaps a part of a longer text, which lives as long as it: a million rules come in without a copy of each.
  public var text: Substring
  /// When its hard timeout ends it: seconds since 1970 UTC; nil for never.
  public var endUnixSeconds: Int64?

  public init(key: RuleKey, text: some StringProtocol, endUnixSeconds: Int64? = nil) {
    self.key = key
    self.text = Substring(text)
    self.endUnixSeconds = endUnixSeconds
  }
}

/// A group or a meter on one line, as its parser reads it.
public struct StoredItem: Sendable, Hashable {
  public var id: UInt32
  public var text: String

  public init(id: UInt32, text: String) {
    self.id = id
    self.text = text
  }
}

/// Additions and deletions of groups or meters.
public struct StoredItemChange: Sendable, Hashable {
  /// Added, or in the place of those with the same number.
  public var put: [StoredItem] = []
  public var deleted: [UInt32] = []

  public init(put: [StoredItem] = [], deleted: [UInt32] = []) {
    self.put = put
    self.deleted = deleted
  }

  var isEmpty: Bool { put.isEmpty && deleted.isEmpty }
}

/// A change of rules, groups and meters that is stored whole or not at all. Deletions come first.
public struct StoredChange: Sendable, Hashable {
  /// Added, or in the place of those with the same key.
  public var rules: [StoredRule] = []
  public var deletedRules: [RuleKey] = []
  public var groups = StoredItemChange()
  public var meters = StoredItemChange()

  public init(
    rules: [StoredRule] = [], deletedRules: [RuleKey] = [], groups: StoredItemChange = .init(),
    meters: StoredItemChange = .init()
  ) {
    self.rules = rules
    self.deletedRules = deletedRules
    self.groups = groups
    self.meters = meters
  }

  public var isEmpty: Bool { rules.isEmpty && deletedRules.isEmpty && groups.isEmpty && meters.isEmpty }

  /// For messages.
  var words: String {
    var parts: [String] = []
    if !rules.isEmpty { parts.append("\(rules.count) rules") }
    if !deletedRules.isEmpty { parts.append("\(deletedRules.count) deletions of rules") }
    if !groups.isEmpty { parts.append("groups") }
    if !meters.isEmpty { parts.append("meters") }
    return parts.joined(separator: ", ")
  }
}

/// What a change replaced and deleted, to take it back with `StateStore.undo`.
public struct StoredUndo: Sendable {
  var owner: String?
  /// Rows with larger numbers are new.
  var lastRuleRow: Int64 = 0
  var rules: [RuleRow] = []
  var groups = StoredItemChange()
  var meters = StoredItemChange()
}

/// A row of table `rule`.
struct RuleRow: Sendable {
  var id: Int64
  var rule: StoredRule
}
