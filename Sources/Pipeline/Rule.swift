// Rule.swift
//
// What: a rule is what somebody asked for: table, priority, match, instructions, cookie, timeouts. RuleText.swift reads and writes
//       rules, RuleEntry.swift is a rule that is in force, RuleFilter.swift selects rules.
// Threads: values, shared freely.
// Cost: a rule is about half a kilobyte, most of it the match; what is in force is kept in a compact form (RuleEntry).

import Dataplane

/// A rule as somebody asked for it.
public struct Rule: Hashable, Sendable {
  /// The priority of a rule that does not say one (OpenFlow's OFP_DEFAULT_PRIORITY).
  public static let defaultPriority: UInt16 = 32768
  /// The last table; 255 means "all tables" in filters (OpenFlow's OFPTT_ALL).
  public static let lastTable: UInt8 = 254

  public var table: UInt8
  /// Higher priorities win. Which of two matching rules of equal priority wins is not defined, as in OpenFlow.
  public var priority: UInt16
  /// A number that means something to whoever added the rule.
  public var cookie: UInt64
  public var match: FlowMatch
  public var instructions: RuleInstructions
  /// Seconds without a packet after which the rule goes; 0 for never.
  public var idleTimeout: UInt16
  /// Seconds after which the rule goes in any case; 0 for never.
  public var hardTimeout: UInt16
  public var flags: RuleFlags

  public init(
    table: UInt8 = 0, priority: UInt16 = Rule.defaultPriority, cookie: UInt64 = 0, match: FlowMatch = .any,
    instructions: RuleInstructions, idleTimeout: UInt16 = 0, hardTimeout: UInt16 = 0, flags: RuleFlags = []
  ) {
    self.table = table
    self.priority = priority
    self.cookie = cookie
    self.match = match
    self.instructions = instructions
    self.idleTimeout = idleTimeout
    self.hardTimeout = hardTimeout
    self.flags = flags
  }

  /// A rule that applies actions at once and ends the pipeline; no actions drop.
  public init(
    table: UInt8 = 0, priority: UInt16 = Rule.defaultPriority, cookie: UInt64 = 0, match: FlowMatch = .any,
    actions: [RuleAction]
  ) {
    self.init(
      table: table, priority: priority, cookie: cookie, match: match, instructions: RuleInstructions(apply: actions))
  }
}

/// What a rule asks of the switch besides forwarding.
/// - Source: OpenFlow Switch Specification 1.3.5, section 7.3.4.1 (ofp_flow_mod_flags).
public struct RuleFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Tell when the rule times out or is deleted.
  public static let sendFlowRemoved = RuleFlags(rawValue: 1)
  /// Do not add the rule when one of equal priority overlaps with it.
  public static let checkOverlap = RuleFlags(rawValue: 2)
  /// Begin at zero although a rule with the same match and priority is replaced or modified.
  public static let resetCounts = RuleFlags(rawValue: 4)
  /// Nobody will ask for the packets of this rule. They are counted all the same: it costs nothing.
  public static let noPacketCounts = RuleFlags(rawValue: 8)
  /// Nobody will ask for the bytes of this rule. They are counted all the same.
  public static let noByteCounts = RuleFlags(rawValue: 16)

  /// The flags that stay with the rule; the others say how it is to be added.
  public static let kept: RuleFlags = [.sendFlowRemoved, .noPacketCounts, .noByteCounts]
}
