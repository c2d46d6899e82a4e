// PortNames.swift
//
// What: how rule text names ports: by number, by name, or LOCAL.
// Threads: a value; holds closures over a snapshot of the ports.

/// Translates between port names and OpenFlow port numbers.
public struct PortNames: Sendable {
  /// The number of the host's own port, which text calls LOCAL.
  /// - Source: OpenFlow Switch Specification 1.0.0, section 5.2.1 (OFPP_LOCAL).
  public static let localNumber: UInt32 = 0xfffe

  private let numberOfName: @Sendable (String) -> UInt32?
  private let nameOfNumber: @Sendable (UInt32) -> String?

  /// - Parameters:
  ///   - number: the number of a named port, nil when there is none of this name.
  ///   - name: the name to print for a number, nil to print the number.
  public init(number: @escaping @Sendable (String) -> UInt32?, name: @escaping @Sendable (UInt32) -> String?) {
    numberOfName = number
    nameOfNumber = name
  }

  /// Knows no port: text uses numbers.
  public static var none: PortNames { PortNames(number: { _ in nil }, name: { _ in nil }) }

  /// Reads a port: a number, LOCAL, or a name.
  public func parse(_ piece: TextPiece) throws(SyntaxError) -> UInt32 {
    if let number = piece.number {
      guard number <= 0xffff else { throw piece.error("the port number is too large", expected: "a number from 0 to 65535, or a name") }
      return UInt32(number)
    }
    if piece.equals("LOCAL") || piece.equals("local") { return Self.localNumber }
    if let number = numberOfName(piece.string) { return number }
    throw piece.error("there is no port of this name", expected: "a port's number or name, or LOCAL")
  }

  /// Writes a port so that `parse` reads the same number.
  public func format(_ number: UInt32) -> String {
    if number == Self.localNumber { return "LOCAL" }
    if let name = nameOfNumber(number), (try? parse(TextPiece(name))) == number { return name }
    return String(number)
  }
}
