// MetricsSection.swift
//
// Section `metrics` of the configuration: the address of /metrics, /healthz and /readyz.
// Invariant: the address is a loopback address: the pages have no access control, so only this machine may read them.
// Threads: a value.

/// An address on this machine.
public struct LoopbackAddress: Sendable, Equatable, CustomStringConvertible {
  /// As `inet_pton` reads it, without brackets.
  public let host: String
  public let port: Int

  /// Reads "127.0.0.1:9474", "[::1]:9474" or "localhost:9474".
  ///
  /// - Returns: nil when the text is none of these or the address is not a loopback address.
  public init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
      return nil
    }
    switch text[..<colon] {
    case "[::1]": host = "::1"
    case "localhost": host = "127.0.0.1"
    case let name:
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 4, parts.first == "127", parts.allSatisfy({ UInt8($0) != nil && $0.utf8.first != 0x2B }) else {
        return nil
      }
      host = String(name)
    }
    self.port = Int(port)
  }

  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Section `metrics`.
public struct MetricsSection: Sendable, Equatable {
  /// Where the pages are served; nil means nowhere.
  public var address: LoopbackAddress?

  public init() {}

  static let keys = ["address"]

  init(_ node: ConfigurationNode) {
    guard let values = node.mapping(keys: Self.keys), let value = values["address"], let text = value.text() else { return }
    guard let address = LoopbackAddress(text) else {
      value.problem(
        "expected a loopback address with a port such as 127.0.0.1:9474 or [::1]:9474, found the text \"\(text)\"; "
          + "the pages have no access control and are for this machine only")
      return
    }
    self.address = address
  }
}
