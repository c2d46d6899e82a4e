// Rule.swift
//
// What: a rule is what somebody asked for: priority, match, actions, cookie. A RuleEntry is a rule in the table, with its
//       identity and its counters. A RuleFilter selects rules to list or delete. RuleText.swift reads and writes them.
// Invariants: there is one table, 0. An entry's id is never used again while the process lives.
// Threads: Rule and RuleFilter are values, shared freely; a RuleEntry is confined to the pipeline thread.
// Cost: a rule is about 300 bytes and its actions.

import Dataplane

/// A rule as somebody asked for it.
public struct Rule: Hashable, Sendable {
  /// The priority of a rule that does not say one (OpenFlow's OFP_DEFAULT_PRIORITY).
  public static let defaultPriority: UInt16 = 32768

  /// Higher priorities win. Which of two matching rules of equal priority wins is not defined, as in OpenFlow.
  public var priority: UInt16
  /// A number that means something to whoever added the rule.
  public var cookie: UInt64
  public var match: FlowMatch
  public var actions: [RuleAction]

  public init(
    priority: UInt16 = Rule.defaultPriority, cookie: UInt64 = 0, match: FlowMatch = .any, actions: [RuleAction]
  ) {
    self.priority = priority
    self.cookie = cookie
    self.match = match
    self.actions = actions
  }
}

/// A rule in the table.
public final class RuleEntry {
  /// Unique in this process; a rule that replaces another gets a new one.
  public let id: UInt64
  public let rule: Rule
  /// When the rule was added: nanoseconds of the monotonic clock.
  public let createdNanoseconds: UInt64

  /// Packets that the rule decided, and their bytes from the Ethernet header on. The switch adds to them as it collects the
  /// counters of the flows that came from this rule.
  public var packets: UInt64 = 0
  public var bytes: UInt64 = 0
  /// When a packet last met the rule: nanoseconds of the monotonic clock, 0 for never.
  public var usedNanoseconds: UInt64 = 0

  /// The next entry of the same subtable slot, in falling priority. RuleTable's own.
  var next: RuleEntry?
  /// True from being added until being replaced or deleted.
  public internal(set) var isInstalled = true

  init(id: UInt64, rule: Rule, createdNanoseconds: UInt64) {
    self.id = id
    self.rule = rule
    self.createdNanoseconds = createdNanoseconds
  }
}

/// Selects rules, as `ovs-ofctl dump-flows` and `del-flows` do.
public struct RuleFilter: Hashable, Sendable {
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

  public init(
    match: FlowMatch = .any, isStrict: Bool = false, priority: UInt16 = Rule.defaultPriority, cookie: UInt64 = 0,
    cookieMask: UInt64 = 0, outPort: UInt32? = nil
  ) {
    self.match = match
    self.isStrict = isStrict
    self.priority = priority
    self.cookie = cookie
    self.cookieMask = cookieMask
    self.outPort = outPort
  }

  /// Selects every rule.
  public static let all = RuleFilter()

  /// True when the filter selects this rule.
  public func selects(_ rule: Rule) -> Bool {
    guard (rule.cookie ^ cookie) & cookieMask == 0 else { return false }
    if isStrict {
      guard rule.priority == priority, rule.match == match else { return false }
    } else {
      guard rule.match.isWithin(match) else { return false }
    }
    guard let outPort else { return true }
    return rule.actions.contains { $0.sends(to: outPort) }
  }
}

extension RuleAction {
  /// True for an output to exactly this port number, reserved ports included.
  func sends(to number: UInt32) -> Bool {
    switch self {
    case .output(let port): port == number
    case .inPort: number == ReservedPort.inPort
    case .normal: number == ReservedPort.normal
    case .flood: number == ReservedPort.flood
    case .all: number == ReservedPort.all
    case .controller: number == ReservedPort.controller
    default: false
    }
  }
}
