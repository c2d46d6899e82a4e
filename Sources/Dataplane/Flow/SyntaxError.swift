// SyntaxError.swift
//
// What: what is wrong with a piece of rule text, where it is, and what would have been right.
// Invariant: `description` is one line whatever the text held: control characters and bytes that are not UTF-8 are shown as "?".

/// Text that is not in the rule syntax.
public struct SyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The piece that is wrong, made printable and cut at 80 characters.
  public let text: String
  /// Bytes in front of the piece.
  public let offset: Int
  /// What is wrong, such as "10.0.0.300 is not an IPv4 address".
  public let message: String
  /// What would have been right, such as "an address or prefix such as 10.0.0.0/8"; may be empty.
  public let expected: String

  public init(text: String, offset: Int, message: String, expected: String) {
    self.text = text
    self.offset = offset
    self.message = message
    self.expected = expected
  }

  /// The same error with its place counted from a later byte.
  public func counted(from start: Int) -> SyntaxError {
    SyntaxError(text: text, offset: offset - start, message: message, expected: expected)
  }

  /// One sentence: the place, what is wrong, what was expected.
  public var description: String {
    let place = text.isEmpty ? "column \(offset + 1): " : "column \(offset + 1), '\(text)': "
    return place + message + (expected.isEmpty ? "" : "; expected \(expected)")
  }
}
