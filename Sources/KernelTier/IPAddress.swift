// IPAddress.swift
//
// An IPv4 or IPv6 address as a value.
// Invariant: numbers are in host order, so that masks and order are arithmetic; `bytes` is the order of the wire. An IPv4-mapped
//       IPv6 address stays IPv6.
// Threads: values only.

import Glibc

/// An IPv4 or IPv6 address.
public enum IPAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
  case v4(UInt32)
  case v6(high: UInt64, low: UInt64)

  public enum Family: Sendable, Hashable, CustomStringConvertible {
    case v4, v6

    /// Bits of an address.
    public var width: Int { self == .v4 ? 32 : 128 }
    public var description: String { self == .v4 ? "IPv4" : "IPv6" }
  }

  public var family: Family {
    switch self {
    case .v4: .v4
    case .v6: .v6
    }
  }

  /// Reads `192.0.2.1` or `2001:db8::1`: all four decimal parts without leading zeros, no zone, no brackets, no spaces.
  ///
  ///     IPAddress("192.0.2.1")   // .v4(0xc0000201)
  ///     IPAddress("192.0.2")     // nil
  public init?(_ text: String) {
    // libc stops at a zero byte; the rest must not be ignored.
    guard !text.utf8.contains(0) else { return nil }
    var v4 = in_addr()
    var v6 = in6_addr()
    if inet_pton(AF_INET, text, &v4) == 1 {
      self = .v4(UInt32(bigEndian: v4.s_addr))
    } else if inet_pton(AF_INET6, text, &v6) == 1 {
      self = withUnsafeBytes(of: v6) { bytes in
        .v6(
          high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
          low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
      }
    } else {
      return nil
    }
  }

  /// Makes an address of 4 or 16 bytes in the order of the wire.
  public init?(bytes: some Collection<UInt8>) {
    switch bytes.count {
    case 4:
      self = .v4(bytes.reduce(0) { $0 << 8 | UInt32($1) })
    case 16:
      self = .v6(
        high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, low: bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) })
    default:
      return nil
    }
  }

  /// 4 or 16 bytes in the order of the wire.
  public var bytes: [UInt8] {
    switch self {
    case .v4(let value): withUnsafeBytes(of: value.bigEndian) { Array($0) }
    case .v6(let high, let low):
      withUnsafeBytes(of: high.bigEndian) { Array($0) } + withUnsafeBytes(of: low.bigEndian) { Array($0) }
    }
  }

  /// The shortest form, as RFC 5952 wants it.
  public var description: String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let bytes = self.bytes
    inet_ntop(family == .v4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
    return text.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
  }

  /// IPv4 before IPv6, then by number.
  public static func < (left: IPAddress, right: IPAddress) -> Bool {
    switch (left, right) {
    case (.v4(let a), .v4(let b)): a < b
    case (.v6(let aHigh, let aLow), .v6(let bHigh, let bLow)): (aHigh, aLow) < (bHigh, bLow)
    case (.v4, .v6): true
    case (.v6, .v4): false
    }
  }

  /// The address with everything behind the first `length` bits zeroed.
  func masked(to length: Int) -> IPAddress {
    // Swift's smart shifts by the whole width or more give 0, which is what a mask of length 0 needs.
    switch self {
    case .v4(let value):
      .v4(value & (UInt32.max << (32 - length)))
    case .v6(let high, let low):
      .v6(
        high: high & (UInt64.max << max(0, 64 - length)), low: low & (UInt64.max << min(64, 128 - length)))
    }
  }
}
