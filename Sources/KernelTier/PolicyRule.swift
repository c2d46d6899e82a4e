// PolicyRule.swift
//
// What the early drop policy is made of: denied prefixes, denied five-tuples, and limited prefixes.
// Invariant: a rule is one value with one key; two rules with one key are the same entry, with another rate perhaps.
// Threads: values only.

/// How many packets a source may send.
public struct PacketRate: Sendable, Hashable {
  public static let rates: ClosedRange<UInt64> = 1...100_000_000
  public static let bursts: ClosedRange<UInt32> = 1...1_000_000

  public let packetsPerSecond: UInt64
  /// Packets that may come at once after a pause.
  public let burst: UInt32

  /// - Parameter burst: nil: what the rate allows in a tenth of a second, and one packet at least.
  /// - Throws: `.invalid` for a rate or burst out of range.
  public init(packetsPerSecond: UInt64, burst: UInt32? = nil) throws(KernelTierError) {
    guard Self.rates ~= packetsPerSecond else {
      throw .invalid(what: "a limit of", value: "\(packetsPerSecond) packets per second", expected: "1 to 100000000")
    }
    let burst = burst ?? UInt32(min(max(packetsPerSecond / 10, 1), UInt64(Self.bursts.upperBound)))
    guard Self.bursts ~= burst else { throw .invalid(what: "a burst of", value: "\(burst) packets", expected: "1 to 1000000") }
    self.packetsPerSecond = packetsPerSecond
    self.burst = burst
  }
}

/// What identifies an entry of the policy.
public enum PolicyKey: Sendable, Hashable, Comparable, CustomStringConvertible {
  case prefix(IPPrefix)
  case tuple(FiveTuple)
  /// The longest limited prefix that holds a source decides; all its addresses share the rate.
  case limit(IPPrefix)

  public var description: String {
    switch self {
    case .prefix(let prefix), .limit(let prefix): prefix.description
    case .tuple(let tuple): tuple.description
    }
  }
}

/// An entry of the policy as it is asked for.
public struct PolicyRule: Sendable, Hashable {
  public let key: PolicyKey
  /// Of limits alone.
  public let rate: PacketRate?

  public static func deny(_ prefix: IPPrefix) -> PolicyRule { PolicyRule(key: .prefix(prefix), rate: nil) }
  public static func deny(_ tuple: FiveTuple) -> PolicyRule { PolicyRule(key: .tuple(tuple), rate: nil) }
  public static func limit(_ prefix: IPPrefix, to rate: PacketRate) -> PolicyRule { PolicyRule(key: .limit(prefix), rate: rate) }
}

/// An entry of the policy and what it did since it was added.
public struct PolicyEntry: Sendable, Hashable {
  public var rule: PolicyRule
  /// Whole frames.
  public var dropped: XDPCounter
  /// Of limits: what kept to the rate.
  public var passed: XDPCounter

  public init(rule: PolicyRule, dropped: XDPCounter = XDPCounter(), passed: XDPCounter = XDPCounter()) {
    self.rule = rule
    self.dropped = dropped
    self.passed = passed
  }
}
