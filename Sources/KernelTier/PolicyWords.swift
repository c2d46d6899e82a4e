// PolicyWords.swift
//
// How entries of the early drop policy are written in the table, and read back.
// Invariant: words of a key and key are the same thing: reading what was written gives the key again.
// Threads: values only.

import CSluice

extension PolicyWords {
  init(_ key: PolicyKey) {
    switch key {
    case .prefix(let prefix): self.init(prefix, v4: SLUICE_KIND_DENY_V4, v6: SLUICE_KIND_DENY_V6)
    case .limit(let prefix): self.init(prefix, v4: SLUICE_KIND_LIMIT_V4, v6: SLUICE_KIND_LIMIT_V6)
    case .tuple(let tuple): self.init(tuple)
    }
  }

  private init(_ prefix: IPPrefix, v4: sluice_policy_kind, v6: sluice_policy_kind) {
    let (first, second) = Self.words(prefix.address)
    let kind = prefix.family == .v4 ? v4 : v6
    self.init(word0: sluice_policy_word(kind.rawValue, UInt32(prefix.length), 0, 0, 0), word1: first, word2: second)
  }

  private init(_ tuple: FiveTuple) {
    var fields: UInt32 = 0
    if tuple.source != nil { fields |= SLUICE_TUPLE_SOURCE.rawValue }
    if tuple.destination != nil { fields |= SLUICE_TUPLE_DESTINATION.rawValue }
    if tuple.transport != nil { fields |= SLUICE_TUPLE_PROTOCOL.rawValue }
    if tuple.sourcePort != nil { fields |= SLUICE_TUPLE_SOURCE_PORT.rawValue }
    if tuple.destinationPort != nil { fields |= SLUICE_TUPLE_DESTINATION_PORT.rawValue }
    let kind = tuple.family == .v4 ? SLUICE_KIND_TUPLE_V4 : SLUICE_KIND_TUPLE_V6
    let (source, sourceRest) = tuple.source.map(Self.words) ?? (0, 0)
    let (destination, destinationRest) = tuple.destination.map(Self.words) ?? (0, 0)
    self.init(
      word0: sluice_policy_word(
        kind.rawValue, fields, UInt32(tuple.transport ?? 0), UInt32(tuple.sourcePort ?? 0), UInt32(tuple.destinationPort ?? 0)),
      word1: source, word2: sourceRest, word3: destination, word4: destinationRest)
  }

  /// The entry that this is the key of; nil for words that were never written so.
  var key: PolicyKey? {
    switch kind {
    case SLUICE_KIND_DENY_V4: prefix(.v4).map { .prefix($0) }
    case SLUICE_KIND_DENY_V6: prefix(.v6).map { .prefix($0) }
    case SLUICE_KIND_LIMIT_V4: prefix(.v4).map { .limit($0) }
    case SLUICE_KIND_LIMIT_V6: prefix(.v6).map { .limit($0) }
    case SLUICE_KIND_TUPLE_V4: tuple(.v4).map { .tuple($0) }
    case SLUICE_KIND_TUPLE_V6: tuple(.v6).map { .tuple($0) }
    default: nil
    }
  }

  private func prefix(_ family: IPAddress.Family) -> IPPrefix? {
    try? IPPrefix(Self.address(family, word1, word2), length: detail)
  }

  private func tuple(_ family: IPAddress.Family) -> FiveTuple? {
    func has(_ field: sluice_tuple_field) -> Bool { UInt32(detail) & field.rawValue != 0 }
    return try? FiveTuple(
      source: has(SLUICE_TUPLE_SOURCE) ? Self.address(family, word1, word2) : nil,
      destination: has(SLUICE_TUPLE_DESTINATION) ? Self.address(family, word3, word4) : nil,
      transport: has(SLUICE_TUPLE_PROTOCOL) ? UInt8(word0 >> 16 & 0xff) : nil,
      sourcePort: has(SLUICE_TUPLE_SOURCE_PORT) ? UInt16(word0 >> 32 & 0xffff) : nil,
      destinationPort: has(SLUICE_TUPLE_DESTINATION_PORT) ? UInt16(word0 >> 48) : nil)
  }

  private static func words(_ address: IPAddress) -> (UInt64, UInt64) {
    switch address {
    case .v4(let value): (UInt64(value), 0)
    case .v6(let high, let low): (high, low)
    }
  }

  private static func address(_ family: IPAddress.Family, _ first: UInt64, _ second: UInt64) -> IPAddress {
    family == .v4 ? .v4(UInt32(truncatingIfNeeded: first)) : .v6(high: first, low: second)
  }
}
