// IPPrefix.swift
//
// A range of addresses that share their first bits: an entry of the early drop policy.
// Invariant: bits behind the length are zero, so equal ranges are equal values and print alike.
// Threads: values only.

/// An IPv4 or IPv6 prefix, such as `10.0.0.0/8`.
public struct IPPrefix: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let address: IPAddress
  /// 0 to 32 for IPv4, 0 to 128 for IPv6.
  public let length: Int

  /// One address alone.
  public init(_ address: IPAddress) {
    self.address = address
    self.length = address.family.width
  }

  /// - Throws: `IPPrefixError` when the length is out of range or bits behind it are set.
  public init(_ address: IPAddress, length: Int) throws(IPPrefixError) {
    let text = "\(address)/\(length)"
    guard 0...address.family.width ~= length else { throw .badLength(value: text, family: address.family) }
    guard address.masked(to: length) == address else {
      throw .hostBits(value: text, canonical: "\(address.masked(to: length))/\(length)")
    }
    self.address = address
    self.length = length
  }

  /// Reads an address, or an address, a slash and a decimal length.
  ///
  ///     try IPPrefix("10.0.0.0/8").description      // "10.0.0.0/8"
  ///     try IPPrefix("2001:db8::1").description     // "2001:db8::1/128"
  ///     try IPPrefix("10.0.0.1/8")                  // throws: did you mean 10.0.0.0/8
  ///
  /// - Throws: `IPPrefixError`, which names the text and what was expected.
  public init(_ text: String) throws(IPPrefixError) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = parts.first.flatMap({ IPAddress(String($0)) }) else { throw .notAPrefix(value: text) }
    guard parts.count == 2 else {
      self.init(address)
      return
    }
    // Int accepts a sign and leading zeros; a prefix length has neither.
    let digits = parts[1].utf8
    guard (1...3).contains(digits.count), digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      digits.count == 1 || digits.first != UInt8(ascii: "0"), let length = Int(parts[1])
    else { throw .badLength(value: text, family: address.family) }
    try self.init(address, length: length)
  }

  public var family: IPAddress.Family { address.family }

  /// Always with the length, so that `1.2.3.4/32` cannot be taken for a name.
  public var description: String { "\(address)/\(length)" }

  public func contains(_ other: IPAddress) -> Bool {
    other.family == family && other.masked(to: length) == address
  }

  /// By address, the wider prefix first.
  public static func < (left: IPPrefix, right: IPPrefix) -> Bool {
    (left.address, left.length) < (right.address, right.length)
  }
}

/// Why a text or a pair of values is not a prefix; `description` is one sentence for a person.
public enum IPPrefixError: Error, Sendable, Equatable, CustomStringConvertible {
  case notAPrefix(value: String)
  case badLength(value: String, family: IPAddress.Family)
  case hostBits(value: String, canonical: String)

  public var description: String {
    switch self {
    case .notAPrefix(let value):
      "\(quotedForPeople(value)) is not an IP prefix: expected an address with an optional length, such as 10.0.0.0/8, 192.0.2.1 or "
        + "2001:db8::/32"
    case .badLength(let value, let family):
      "\(quotedForPeople(value)) has no valid prefix length: expected 0 to \(family.width) for \(family)"
    case .hostBits(let value, let canonical):
      "\(quotedForPeople(value)) has bits set behind its length: expected \(canonical)"
    }
  }
}

extension IPPrefix {
  /// A prefix that came out of the kernel, where only checked ones go in.
  init(canonical address: IPAddress, length: Int) {
    self.address = address
    self.length = length
  }
}
