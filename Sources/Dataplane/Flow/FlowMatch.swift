// FlowMatch.swift
//
// What: a class of packets: the bits that are looked at (mask) and what they must be (key). Rules, flows and filters are
//       all described by one.
// Invariant: `key` has no bit outside `mask`, so that two equal classes are equal values.
// Threads: a value; shared freely.
// Cost: 384 bytes; each question is a few vector instructions over three cache lines.

/// The packets whose masked bits equal a key.
public struct FlowMatch: Hashable, Sendable {
  public let key: FlowKey
  public let mask: FlowMask

  /// Makes a match; bits of `key` outside `mask` are cleared.
  public init(_ key: FlowKey, _ mask: FlowMask) {
    self.key = key & mask
    self.mask = mask
  }

  /// The match that every packet satisfies.
  public static let any = FlowMatch(FlowKey(), FlowMask())

  /// True when a packet with this key belongs to the class.
  public func matches(_ packet: FlowKey) -> Bool { packet & mask == key }

  /// True when some packet could belong to both classes.
  public func overlaps(_ other: FlowMatch) -> Bool { FlowMask.overlap(key, mask, other.key, other.mask) }

  /// True when every packet of this class belongs to `other` as well.
  public func isWithin(_ other: FlowMatch) -> Bool { mask.contains(other.mask) && key & other.mask == other.key }

  /// The bits of a field that are looked at.
  public func mask(of field: FlowField) -> UInt128 { mask[field] }

  /// The value of a field when every bit of it is looked at, else nil.
  public func exactValue(of field: FlowField) -> UInt128? { mask[field] == field.allOnes ? key[field] : nil }
}
