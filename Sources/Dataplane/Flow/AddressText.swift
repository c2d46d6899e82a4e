// AddressText.swift
//
// What: MAC, IPv4 and IPv6 addresses as text.
// Invariant: reading what was written gives the same address; what is not exactly an address is refused.
// Threads: pure.
// Source: RFC 4291 section 2.2 and RFC 5952 (IPv6); inet_pton(3) for what an IPv4 address is: four decimal numbers, no more.

/// Reads and writes addresses; numbers have the first byte in front.
public enum AddressText {
  /// Reads six bytes of one or two hexadecimal digits, separated by colons.
  public static func mac(_ piece: TextPiece) -> UInt64? {
    var value: UInt64 = 0
    var groups = 0
    var digits = 0
    var group: UInt64 = 0
    for i in piece.start..<piece.end {
      let byte = piece.bytes[i]
      if byte == UInt8(ascii: ":") {
        guard digits > 0, groups < 5 else { return nil }
        value = value << 8 | group
        groups += 1
        digits = 0
        group = 0
      } else {
        guard let digit = hexDigit(byte), digits < 2 else { return nil }
        group = group << 4 | UInt64(digit)
        digits += 1
      }
    }
    return groups == 5 && digits > 0 ? value << 8 | group : nil
  }

  /// Reads four decimal numbers, separated by dots.
  public static func ipv4(_ piece: TextPiece) -> UInt32? { ipv4(piece.bytes, piece.start, piece.end) }

  private static func ipv4(_ bytes: [UInt8], _ start: Int, _ end: Int) -> UInt32? {
    var value: UInt32 = 0
    var groups = 0
    var digits = 0
    var group: UInt32 = 0
    for i in start..<end {
      if bytes[i] == UInt8(ascii: ".") {
        guard digits > 0, groups < 3 else { return nil }
        value = value << 8 | group
        groups += 1
        digits = 0
        group = 0
      } else {
        let digit = bytes[i] &- UInt8(ascii: "0")
        guard digit < 10, digits < 3 else { return nil }
        group = group * 10 + UInt32(digit)
        guard group < 256 else { return nil }
        digits += 1
      }
    }
    return groups == 3 && digits > 0 ? value << 8 | group : nil
  }

  /// Reads an IPv6 address in any of the forms of RFC 4291.
  public static func ipv6(_ piece: TextPiece) -> UInt128? {
    let bytes = piece.bytes
    let end = piece.end
    var front: UInt128 = 0  // the groups so far, or those before "::"
    var back: UInt128 = 0  // the groups behind "::"
    var count = 0
    var gap = -1  // groups in front of "::"
    var i = piece.start
    func isColon(_ at: Int) -> Bool { at < end && bytes[at] == UInt8(ascii: ":") }

    if isColon(i) {
      guard isColon(i + 1) else { return nil }
      gap = 0
      i += 2
    }
    while i < end {
      let start = i
      var group: UInt32 = 0
      while i < end, let digit = hexDigit(bytes[i]), i - start < 4 {
        group = group << 4 | UInt32(digit)
        i += 1
      }
      var width = 1
      if i < end, bytes[i] == UInt8(ascii: ".") {
        guard let embedded = ipv4(bytes, start, end) else { return nil }
        group = embedded
        width = 2
        i = end
      } else if i == start {
        return nil
      }
      guard count + width <= 8 else { return nil }
      let shift = UInt128(16 * width)
      if gap < 0 { front = front << shift | UInt128(group) } else { back = back << shift | UInt128(group) }
      count += width
      guard i < end else { break }
      guard isColon(i) else { return nil }
      i += 1
      if isColon(i) {
        guard gap < 0 else { return nil }
        gap = count
        i += 1
      } else if i == end {
        return nil
      }
    }
    if gap < 0 { return count == 8 ? front : nil }
    guard count <= 7 else { return nil }
    return gap == 0 ? back : front << UInt128(16 * (8 - gap)) | back
  }

  /// Writes six bytes.
  public static func formatMAC(_ value: UInt64) -> String {
    var text: [UInt8] = []
    text.reserveCapacity(17)
    for i in 0..<6 {
      if i > 0 { text.append(UInt8(ascii: ":")) }
      let byte = UInt8(truncatingIfNeeded: value >> UInt64(40 - 8 * i))
      text.append(hexCharacter(byte >> 4))
      text.append(hexCharacter(byte & 15))
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Writes four numbers.
  public static func formatIPv4(_ value: UInt32) -> String {
    "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
  }

  /// Writes the form of RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as "::".
  public static func formatIPv6(_ value: UInt128) -> String {
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
    var best = 0..<0
    var i = 0
    while i < 8 {
      var j = i
      while j < 8, groups[j] == 0 { j += 1 }
      if j - i >= 2, j - i > best.count { best = i..<j }
      i = max(j, i + 1)
    }
    func join(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    guard !best.isEmpty else { return join(groups[...]) }
    return join(groups[..<best.lowerBound]) + "::" + join(groups[best.upperBound...])
  }

  private static func hexCharacter(_ nibble: UInt8) -> UInt8 {
    nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
  }
}
