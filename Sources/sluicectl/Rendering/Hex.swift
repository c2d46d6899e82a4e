/// Hexadecimal text of numbers and bytes.
enum Hex {
  /// - Parameter digits: at least so many, zeros in front.
  static func text(_ value: UInt64, digits: Int = 1) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// Two digits for each byte.
  static func text(_ bytes: some Sequence<UInt8>) -> String {
    var out = ""
    for byte in bytes { out += text(UInt64(byte), digits: 2) }
    return out
  }

  /// The bytes that pairs of digits say; white space and colons between pairs are allowed.
  ///
  /// - Returns: nil when there is anything else, or half a byte.
  static func bytes(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var high: UInt8?
    for character in text.unicodeScalars {
      if character == ":" || character.properties.isWhitespace {
        if high != nil { return nil }
        continue
      }
      guard let digit = UInt8(String(character), radix: 16) else { return nil }
      if let first = high {
        bytes.append(first << 4 | digit)
        high = nil
      } else {
        high = digit
      }
    }
    return high == nil ? bytes : nil
  }
}
