// IPHeaders.swift
//
// What: the IP headers of a FramePacket, and addresses from text.

/// An IPv4 header to be.
struct IPv4Header: Sendable {
  var source: [UInt8]
  var destination: [UInt8]
  var ttl: UInt8
  var tos: UInt8
  var options: [UInt8]
  var fragmentOffset: Int
  var moreFragments: Bool
  var dontFragment: Bool
  var identification: UInt16

  /// The header and what stands behind it.
  func packet(_ frame: FramePacket) -> [UInt8] {
    let isLater = fragmentOffset > 0
    let segment =
      isLater
      ? frame.payload
      : frame.segment { source + destination + [0, frame.proto] + bigEndian(UInt16(truncatingIfNeeded: $0)) }
    let padded = options + [UInt8](repeating: 0, count: (4 - options.count % 4) % 4)
    let total = UInt16(truncatingIfNeeded: 20 + padded.count + segment.count)
    let fragment = UInt16(fragmentOffset / 8) | (moreFragments ? 0x2000 : 0) | (dontFragment ? 0x4000 : 0)
    var header = [0x45 + UInt8(padded.count / 4), tos] + bigEndian(total) + bigEndian(identification)
    header += bigEndian(fragment) + [ttl, frame.proto, 0, 0] + source + destination + padded
    header.replaceSubrange(10..<12, with: bigEndian(~PlainChecksum.internet(header)))
    return header + segment
  }
}

/// An IPv6 extension header.
public enum IPv6Extension: Sendable {
  /// Hop-by-hop options of `length` bytes, a multiple of eight.
  case hopByHop(length: Int = 8)
  /// A routing header; with segments left the destination address is not yet the last one.
  case routing(segmentsLeft: UInt8 = 0, lastAddress: String = "::")
  /// Destination options of `length` bytes, a multiple of eight.
  case destinationOptions(length: Int = 8)
  case mobility
  /// AH with `length` bytes, a multiple of four.
  case authentication(length: Int = 24)
  /// A fragment header. `offset` in bytes, a multiple of eight.
  case fragment(offset: Int, more: Bool)

  var number: UInt8 {
    switch self {
    case .hopByHop: 0
    case .routing: 43
    case .destinationOptions: 60
    case .mobility: 135
    case .authentication: 51
    case .fragment: 44
    }
  }

  func bytes(next: UInt8) -> [UInt8] {
    func plain(_ length: Int) -> [UInt8] {
      [next, UInt8(length / 8 - 1)] + [UInt8](repeating: 0, count: length - 2)
    }
    switch self {
    case .hopByHop(let length), .destinationOptions(let length): return plain(length)
    case .mobility: return plain(8)
    case .routing(let segmentsLeft, let address):
      return [next, 2, 4, segmentsLeft, 0, 0, 0, 0] + FramePacket.ipv6(address)
    case .authentication(let length):
      return [next, UInt8(length / 4 - 2)] + [UInt8](repeating: 0, count: length - 2)
    case .fragment(let offset, let more):
      return [next, 0] + bigEndian(UInt16(offset) | (more ? 1 : 0)) + [0, 0, 0, 9]
    }
  }
}

/// An IPv6 header to be.
struct IPv6Header: Sendable {
  var source: [UInt8]
  var destination: [UInt8]
  var hopLimit: UInt8
  var trafficClass: UInt8
  var label: UInt32
  var extensions: [IPv6Extension]

  /// The header and what stands behind it.
  func packet(_ frame: FramePacket) -> [UInt8] {
    var isLater = false
    var finalDestination = destination
    for item in extensions {
      if case .fragment(let offset, _) = item, offset > 0 { isLater = true }
      // The checksum covers the address of the last hop (RFC 8200, section 8.1).
      if case .routing(let left, let address) = item, left > 0 { finalDestination = FramePacket.ipv6(address) }
    }
    var body =
      isLater
      ? frame.payload
      : frame.segment {
        source + finalDestination + [0, 0] + bigEndian(UInt16(truncatingIfNeeded: $0)) + [0, 0, 0, frame.proto]
      }
    var next = frame.proto
    for item in extensions.reversed() {
      body = item.bytes(next: next) + body
      next = item.number
    }
    let first = 6 << 28 | UInt32(trafficClass) << 20 | label & 0xfffff
    var header = bigEndian(UInt16(first >> 16)) + bigEndian(UInt16(truncatingIfNeeded: first))
    header += bigEndian(UInt16(truncatingIfNeeded: body.count)) + [next, hopLimit] + source + destination
    return header + body
  }
}

extension FramePacket {
  /// The six bytes of `02:00:00:00:00:01`.
  public static func mac(_ text: String) -> [UInt8] {
    let bytes = text.split(separator: ":").compactMap { UInt8($0, radix: 16) }
    precondition(bytes.count == 6, "\(text) is not a MAC address")
    return bytes
  }

  /// The four bytes of `10.0.0.1`.
  public static func ipv4(_ text: String) -> [UInt8] {
    let bytes = text.split(separator: ".").compactMap { UInt8($0) }
    precondition(bytes.count == 4, "\(text) is not an IPv4 address")
    return bytes
  }

  /// The sixteen bytes of `fd00::1`.
  public static func ipv6(_ text: String) -> [UInt8] {
    func groups(_ part: Substring) -> [UInt8] {
      part.split(separator: ":").flatMap { bigEndian(UInt16($0, radix: 16) ?? 0) }
    }
    guard let gap = text.firstRange(of: "::") else {
      let bytes = groups(text[...])
      precondition(bytes.count == 16, "\(text) is not an IPv6 address")
      return bytes
    }
    let front = groups(text[..<gap.lowerBound])
    let back = groups(text[gap.upperBound...])
    return front + [UInt8](repeating: 0, count: 16 - front.count - back.count) + back
  }
}
