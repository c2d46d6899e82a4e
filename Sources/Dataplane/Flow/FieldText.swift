// FieldText.swift
//
// What: how the value of one field is written: 10.0.0.0/8, 00:11:22:33:44:55, 0x0800, +syn-ack. Values and masks are
//       numbers, right-aligned.
// Invariants: reading what `format` wrote gives the same value and mask. A parsed value has no bit outside its mask, and no
//             bit that the field is too narrow for.
// Threads: pure.
// Cost: one walk over the bytes; no allocation but for errors.
// Source: ovs-fields(7); OpenFlow Switch Specification 1.3.5, section 7.2.3.8 (extension headers); RFC 4291 section 2.2 and RFC 5952 (IPv6 text); IEEE 802-2014 section 8.1 (MAC text).

/// A value and the bits of it that count.
public struct MaskedValue: Equatable, Sendable {
  public var value: UInt128
  public var mask: UInt128
}

extension FlowField {
  /// How values of the field are written.
  public var format: Format {
    switch self {
    case .inPort: .port
    case .ethDst, .ethSrc, .arpSHA, .arpTHA, .ndSLL, .ndTLL: .mac
    case .ipv4Src, .ipv4Dst, .arpSPA, .arpTPA: .ipv4
    case .ipv6Src, .ipv6Dst, .ndTarget: .ipv6
    case .ethType, .vlanTCI, .innerVLANTCI, .ipv6Label, .metadata, .tunnelID, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7,
      .recircID:
      .hexadecimal
    case .ipFrag: .frag
    case .tcpFlags: .tcpFlags
    case .ipv6ExtHdr: .extensionHeaders
    default: .decimal
    }
  }

  /// Reads `value` or `value/mask`; bits of the value outside the mask are cleared.
  ///
  /// - Parameter names: for fields that hold a port.
  public func parse(_ piece: TextPiece, names: PortNames = .none) throws(SyntaxError) -> MaskedValue {
    switch format {
    case .port: return MaskedValue(value: UInt128(try names.parse(piece)), mask: allOnes)
    case .frag: return try parseFragment(piece)
    case .tcpFlags where FlagNames.isList(piece): return try FlagNames.tcp.parse(piece)
    case .extensionHeaders where FlagNames.isList(piece): return try FlagNames.extensionHeaders.parse(piece)
    default: break
    }
    guard let (before, after) = piece.split(at: UInt8(ascii: "/")) else {
      return MaskedValue(value: try parseValue(piece), mask: allOnes)
    }
    let mask = try parseMask(after)
    return MaskedValue(value: try parseValue(before) & mask, mask: mask)
  }

  /// Writes a value and mask so that `parse` reads the same.
  public func format(_ value: UInt128, mask: UInt128, names: PortNames = .none) -> String {
    switch format {
    case .port where mask == allOnes: return names.format(UInt32(truncatingIfNeeded: value))
    case .frag:
      // The mask is written even when it is whole: a bare number is no kind of fragment.
      return FragmentWords.word(value, mask) ?? "\(value)/\(mask)"
    case .tcpFlags:
      if mask != allOnes, let text = FlagNames.tcp.format(value, mask) { return text }
    case .extensionHeaders:
      if mask != allOnes, let text = FlagNames.extensionHeaders.format(value, mask) { return text }
    case .ipv4, .ipv6:
      let text = formatValue(value)
      if mask == allOnes { return text }
      guard let length = prefixLength(mask) else { return text + "/" + formatValue(mask) }
      return "\(text)/\(length)"
    default: break
    }
    guard mask != allOnes else { return formatValue(value) }
    return format == .mac
      ? formatValue(value) + "/" + formatValue(mask)
      : "0x" + String(value, radix: 16) + "/0x" + String(mask, radix: 16)
  }

  // MARK: Pieces

  private func parseValue(_ piece: TextPiece) throws(SyntaxError) -> UInt128 {
    switch format {
    case .mac:
      guard let value = AddressText.mac(piece) else {
        throw piece.error("not a MAC address", expected: "six bytes such as 00:11:22:33:44:55")
      }
      return UInt128(value)
    case .ipv4:
      guard let value = AddressText.ipv4(piece) else {
        throw piece.error("not an IPv4 address", expected: "an address or prefix such as 10.0.0.0/8")
      }
      return UInt128(value)
    case .ipv6:
      guard let value = AddressText.ipv6(piece) else {
        throw piece.error("not an IPv6 address", expected: "an address or prefix such as 2001:db8::/32")
      }
      return value
    default:
      guard let value = piece.number, UInt128(value) <= allOnes else { throw numberError(piece) }
      return UInt128(value)
    }
  }

  private func parseMask(_ piece: TextPiece) throws(SyntaxError) -> UInt128 {
    switch format {
    case .ipv4, .ipv6:
      guard let length = piece.number else { return try parseValue(piece) }
      guard length <= UInt64(place.width) else {
        throw piece.error("the prefix is too long", expected: "0 to \(place.width)")
      }
      return length == 0 ? 0 : allOnes & ~((UInt128(1) << UInt128(place.width - Int(length))) &- 1)
    default:
      return try parseValue(piece)
    }
  }

  private func numberError(_ piece: TextPiece) -> SyntaxError {
    let range = place.width <= 16 ? "0 to \(allOnes)" : "0 to 0x\(String(allOnes, radix: 16))"
    return piece.error(
      piece.number == nil ? "not a number" : "the number is too large", expected: "\(range), decimal or 0x...")
  }

  private func parseFragment(_ piece: TextPiece) throws(SyntaxError) -> MaskedValue {
    if let known = FragmentWords.value(piece) { return known }
    guard let (before, after) = piece.split(at: UInt8(ascii: "/")), let value = before.number, let mask = after.number,
      mask <= 3, value <= 3
    else { throw piece.error("not a kind of fragment", expected: "no, yes, first, later or not_later") }
    return MaskedValue(value: UInt128(value & mask), mask: UInt128(mask))
  }

  private func formatValue(_ value: UInt128) -> String {
    switch format {
    case .mac: AddressText.formatMAC(UInt64(truncatingIfNeeded: value))
    case .ipv4: AddressText.formatIPv4(UInt32(truncatingIfNeeded: value))
    case .ipv6: AddressText.formatIPv6(value)
    case .tcpFlags, .extensionHeaders: "0x" + padded(String(value, radix: 16), to: 3)
    case .hexadecimal where place.width == 16: "0x" + padded(String(value, radix: 16), to: 4)
    case .hexadecimal: "0x" + String(value, radix: 16)
    default: String(value)
    }
  }

  /// The length of a mask that is a prefix and not the whole field.
  private func prefixLength(_ mask: UInt128) -> Int? {
    let zeros = mask.trailingZeroBitCount
    guard mask != 0 else { return 0 }
    return mask >> UInt128(zeros) == allOnes >> UInt128(zeros) ? place.width - zeros : nil
  }
}

/// Puts zeros in front of a short number.
func padded(_ text: String, to width: Int) -> String {
  String(repeating: "0", count: max(0, width - text.utf8.count)) + text
}

/// The words for kinds of fragments.
/// - Source: ovs-fields(7), ip_frag.
private enum FragmentWords {
  static let table: [(word: StaticString, value: UInt8, mask: UInt8)] = [
    ("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2),
  ]

  static func value(_ piece: TextPiece) -> MaskedValue? {
    for entry in table where piece.equals(entry.word) {
      return MaskedValue(value: UInt128(entry.value), mask: UInt128(entry.mask))
    }
    return nil
  }

  static func word(_ value: UInt128, _ mask: UInt128) -> String? {
    for entry in table where UInt128(entry.value) == value && UInt128(entry.mask) == mask {
      return entry.word.description
    }
    return nil
  }
}

/// Bits by name: `+syn-ack` is "SYN set and ACK not set".
private struct FlagNames {
  /// The names, lowest bit first.
  let names: [StaticString]
  /// What one bit is called in errors.
  let noun: String

  static let tcp = FlagNames(names: ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"], noun: "TCP flag")
  /// The bits of OpenFlow's ofp_ipv6exthdr_flags, by its names.
  static let extensionHeaders = FlagNames(
    names: ["nonext", "esp", "auth", "dest", "frag", "router", "hop", "unrep", "unseq"], noun: "kind of extension header")

  private static func isSign(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") }

  /// True when a value begins with a sign: it is a list of names, not a number.
  static func isList(_ piece: TextPiece) -> Bool { !piece.isEmpty && isSign(piece.bytes[piece.start]) }

  func parse(_ piece: TextPiece) throws(SyntaxError) -> MaskedValue {
    var result = MaskedValue(value: 0, mask: 0)
    var position = piece.start
    while position < piece.end {
      let sign = position
      position += 1
      while position < piece.end, !Self.isSign(piece.bytes[position]) { position += 1 }
      let name = piece.part(sign + 1, position)
      guard let bit = names.firstIndex(where: { name.equals($0) }) else {
        let known = names.dropLast().map(\.description).joined(separator: ", ")
        throw name.error("not a \(noun)", expected: "\(known) or \(names[names.count - 1]), each behind + or -")
      }
      guard result.mask & 1 << UInt128(bit) == 0 else { throw name.error("the \(noun) is given twice") }
      result.mask |= 1 << UInt128(bit)
      if piece.bytes[sign] == UInt8(ascii: "+") { result.value |= 1 << UInt128(bit) }
    }
    return result
  }

  /// The bits by name when all bits of the mask have one.
  func format(_ value: UInt128, _ mask: UInt128) -> String? {
    guard mask != 0, mask >> UInt128(names.count) == 0 else { return nil }
    var text = ""
    for (bit, name) in names.enumerated() where mask >> UInt128(bit) & 1 != 0 {
      text += (value >> UInt128(bit) & 1 != 0 ? "+" : "-") + name.description
    }
    return text
  }
}
