// TextPiece.swift
//
// What: a part of a line of rule text, and how a line is cut into items: `key`, `key=value`, `name:value`, `name(value)`.
// Invariant: 0 <= start <= end <= bytes.count; no operation reads outside, whatever the bytes are.
// Threads: a value.
// Cost: the bytes of the line are shared, not copied; cutting walks each byte once.

/// A part of a line.
public struct TextPiece: Sendable {
  public let bytes: [UInt8]
  public private(set) var start: Int
  public private(set) var end: Int

  /// A whole line.
  public init(_ line: String) {
    bytes = Array(line.utf8)
    start = 0
    end = bytes.count
  }

  /// The piece without blanks around it, and without the carriage return that may end a line.
  public var trimmed: TextPiece {
    var (start, end) = (start, end)
    while start < end, Self.isBlank(bytes[end - 1]) || bytes[end - 1] == 0x0D { end -= 1 }
    while start < end, Self.isBlank(bytes[start]) { start += 1 }
    return part(start, end)
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

  private init(_ bytes: [UInt8], _ start: Int, _ end: Int) {
    self.bytes = bytes
    self.start = start
    self.end = end
  }

  public var isEmpty: Bool { start == end }
  public var count: Int { end - start }

  /// The text; bytes that are not UTF-8 become U+FFFD.
  public var string: String { String(decoding: bytes[start..<end], as: UTF8.self) }

  /// The text as it may be printed on one line of a terminal.
  public var printable: String {
    let limit = 80
    var text = ""
    for scalar in string.unicodeScalars.prefix(limit) {
      switch scalar.value {
      case 32..<127: text.unicodeScalars.append(scalar)
      case 160... where scalar.properties.generalCategory != .format && scalar.value != 0xfffd:
        text.unicodeScalars.append(scalar)
      default: text.append("?")
      }
    }
    return count > limit ? text + "..." : text
  }

  /// The part from `from` to `to`, both counted from the start of the whole line.
  public func part(_ from: Int, _ to: Int) -> TextPiece { TextPiece(bytes, from, to) }

  /// The piece without its last byte; an empty one stays empty.
  public func dropLast() -> TextPiece { part(start, max(start, end - 1)) }

  /// An error about this piece.
  public func error(_ message: String, expected: String = "") -> SyntaxError {
    SyntaxError(text: printable, offset: start, message: message, expected: expected)
  }

  /// True when the piece is exactly this ASCII text.
  public func equals(_ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    for i in 0..<count where bytes[start + i] != text.utf8Start[i] { return false }
    return true
  }

  /// Splits at the first occurrence of a byte; nil when it does not occur.
  public func split(at byte: UInt8) -> (before: TextPiece, after: TextPiece)? {
    for i in start..<end where bytes[i] == byte { return (part(start, i), part(i + 1, end)) }
    return nil
  }

  /// Splits at the last `->`; nil when there is none.
  public func splitAtArrow() -> (before: TextPiece, after: TextPiece)? {
    guard count >= 2 else { return nil }
    for i in stride(from: end - 2, through: start, by: -1)
    where bytes[i] == UInt8(ascii: "-") && bytes[i + 1] == UInt8(ascii: ">") {
      return (part(start, i), part(i + 2, end))
    }
    return nil
  }

  /// A number, decimal or hexadecimal with 0x; nil when it is none or does not fit into 64 bits.
  public var number: UInt64? {
    guard !isEmpty else { return nil }
    var value: UInt64 = 0
    if count > 2, bytes[start] == UInt8(ascii: "0"), bytes[start + 1] | 0x20 == UInt8(ascii: "x") {
      for i in (start + 2)..<end {
        guard let digit = hexDigit(bytes[i]), value >> 60 == 0 else { return nil }
        value = value << 4 | UInt64(digit)
      }
      return value
    }
    for i in start..<end {
      let digit = bytes[i] &- UInt8(ascii: "0")
      guard digit < 10 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
      guard !overflow, !carry else { return nil }
      value = sum
    }
    return value
  }
}

/// The value of a hexadecimal digit.
func hexDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}

/// One item of a list: `key`, `key=value`, `name:value` or `name(value)`.
///
/// Its pieces share one reference to the line, because counting references is dear where a million lines are read.
public struct TextItem: Sendable {
  /// The item as it is written.
  public let whole: TextPiece
  private let keyEnd: Int
  /// -1 when there is no value.
  private let valueStart: Int
  private let valueEnd: Int

  /// An item made of pieces of one line; the key begins where the whole item does.
  public init(key: TextPiece, value: TextPiece?, whole: TextPiece) {
    precondition(key.start == whole.start, "an item begins with its key")
    self.whole = whole
    keyEnd = key.end
    valueStart = value?.start ?? -1
    valueEnd = value?.end ?? -1
  }

  fileprivate init(whole: TextPiece, keyEnd: Int) {
    self.whole = whole
    self.keyEnd = keyEnd
    valueStart = -1
    valueEnd = -1
  }

  fileprivate init(whole: TextPiece, keyEnd: Int, value: Range<Int>) {
    self.whole = whole
    self.keyEnd = keyEnd
    valueStart = value.lowerBound
    valueEnd = value.upperBound
  }

  public var key: TextPiece { whole.part(whole.start, keyEnd) }
  public var value: TextPiece? { valueStart < 0 ? nil : whole.part(valueStart, valueEnd) }
}

/// Cuts a piece into items that commas or blanks separate.
public struct TextItems {
  private let text: TextPiece
  private var position: Int

  public init(_ text: TextPiece) {
    self.text = text
    position = text.start
  }

  /// What has not been read yet.
  public var rest: TextPiece { text.part(position, text.end) }

  @inline(__always)
  private static func isSeparator(_ byte: UInt8) -> Bool {
    // Letters, digits and most signs are beyond the comma.
    guard byte <= UInt8(ascii: ",") else { return false }
    return byte == UInt8(ascii: ",") || byte == UInt8(ascii: " ") || byte >= 9 && byte <= 13
  }

  /// The next item of a match: `key` or `key=value`. A key of `actions` takes the rest of the line as its value.
  public mutating func nextField() -> TextItem? {
    let end = text.end
    var at = position
    var start = at
    var keyEnd = at
    text.bytes.withUnsafeBufferPointer { bytes in
      while at < end, Self.isSeparator(bytes[at]) { at += 1 }
      start = at
      while at < end, !Self.isSeparator(bytes[at]), bytes[at] != UInt8(ascii: "=") { at += 1 }
      keyEnd = at
      guard at < end, bytes[at] == UInt8(ascii: "=") else { return }
      at += 1
      guard !Self.isActions(bytes, start, keyEnd) else { return at = end }
      while at < end, !Self.isSeparator(bytes[at]) { at += 1 }
    }
    position = at
    guard start < end else { return nil }
    let whole = text.part(start, at)
    return at == keyEnd
      ? TextItem(whole: whole, keyEnd: keyEnd) : TextItem(whole: whole, keyEnd: keyEnd, value: (keyEnd + 1)..<at)
  }

  /// True for `actions` and `action`.
  @inline(__always)
  private static func isActions(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
    let word: StaticString = "actions"
    guard end - start == 7 || end - start == 6 else { return false }
    for i in 0..<(end - start) where bytes[start + i] != word.utf8Start[i] { return false }
    return true
  }

  /// The next action: `name`, `name:value`, `name=value` or `name(value)`.
  ///
  /// - Throws: when a parenthesis is not closed.
  public mutating func nextAction() throws(SyntaxError) -> TextItem? {
    guard skipSeparators() else { return nil }
    let start = position
    scan: while position < text.end, !Self.isSeparator(text.bytes[position]) {
      switch text.bytes[position] {
      case UInt8(ascii: ":"), UInt8(ascii: "="), UInt8(ascii: "("): break scan
      default: position += 1
      }
    }
    let key = text.part(start, position)
    guard position < text.end, !Self.isSeparator(text.bytes[position]) else {
      return TextItem(whole: key, keyEnd: key.end)
    }
    let isParenthesis = text.bytes[position] == UInt8(ascii: "(")
    position += 1
    let valueStart = position
    var depth = isParenthesis ? 1 : 0
    while position < text.end {
      let byte = text.bytes[position]
      if byte == UInt8(ascii: "(") { depth += 1 }
      if byte == UInt8(ascii: ")") {
        depth -= 1
        if isParenthesis, depth == 0 { break }
      }
      if depth <= 0, Self.isSeparator(byte) { break }
      position += 1
    }
    let value = text.part(valueStart, position)
    if isParenthesis {
      guard position < text.end else {
        throw text.part(start, position).error("the parenthesis is not closed", expected: "')'")
      }
      position += 1
    }
    return TextItem(whole: text.part(start, position), keyEnd: key.end, value: value.start..<value.end)
  }

  private mutating func skipSeparators() -> Bool {
    while position < text.end, Self.isSeparator(text.bytes[position]) { position += 1 }
    return position < text.end
  }
}
