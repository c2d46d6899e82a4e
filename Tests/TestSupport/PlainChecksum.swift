// PlainChecksum.swift
//
// What: checksums computed the slow and obvious way, and a check of all checksums in a frame. Tests compare the real code
//       with these, so nothing here may call it.
// Source: RFC 1071 (Internet checksum), RFC 9260 appendix A (CRC32c).

/// Checksums, bit by bit.
public enum PlainChecksum {
  /// The ones' complement sum of big-endian 16-bit words, not complemented.
  public static func internet(_ bytes: [UInt8]) -> UInt16 {
    var sum = 0
    for i in stride(from: 0, to: bytes.count, by: 2) {
      sum += Int(bytes[i]) << 8 | (i + 1 < bytes.count ? Int(bytes[i + 1]) : 0)
      if sum > 0xffff { sum -= 0xffff }
    }
    return UInt16(sum)
  }

  /// CRC32c, reflected, polynomial 0x1edc6f41.
  public static func crc32c(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = 0xffff_ffff
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82f6_3b78 : 0) }
    }
    return ~crc
  }

  /// Every checksum of a well-formed frame that is wrong, by name; empty when all are right. A UDP checksum of zero over IPv4 and
  /// checksums of fragments are not looked at.
  public static func wrong(in frame: [UInt8]) -> [String] {
    var at = 12
    var type = word(frame, at)
    while type == 0x8100 || type == 0x88a8 {
      at += 4
      type = word(frame, at)
    }
    at += 2
    if type == 0x0800 { return wrongInIPv4(frame, at) }
    if type == 0x86dd { return wrongInIPv6(frame, at) }
    return []
  }

  private static func wrongInIPv4(_ frame: [UInt8], _ l3: Int) -> [String] {
    let l4 = l3 + Int(frame[l3] & 15) * 4
    var wrong: [String] = []
    if internet(Array(frame[l3..<l4])) != 0xffff { wrong.append("ipv4") }
    if word(frame, l3 + 6) & 0x3fff != 0 { return wrong }
    let segment = Array(frame[l4..<l3 + Int(word(frame, l3 + 2))])
    let proto = frame[l3 + 9]
    let pseudo = Array(frame[l3 + 12..<l3 + 20]) + [0, proto] + bigEndian(UInt16(segment.count))
    if proto == 17, segment[6] == 0, segment[7] == 0 { return wrong }
    return wrong + wrongIn(segment, proto, pseudo)
  }

  private static func wrongInIPv6(_ frame: [UInt8], _ l3: Int) -> [String] {
    var proto = frame[l3 + 6]
    var at = l3 + 40
    var destination = Array(frame[l3 + 24..<l3 + 40])
    walk: while true {
      switch proto {
      case 0, 43, 60, 135:
        if proto == 43, frame[at + 3] > 0 { destination = Array(frame[at + 8..<at + 24]) }
        proto = frame[at]
        at += (Int(frame[at + 1]) + 1) * 8
      case 51:
        proto = frame[at]
        at += (Int(frame[at + 1]) + 2) * 4
      case 44:
        if word(frame, at + 2) & 0xfff9 != 0 { return [] }
        proto = frame[at]
        at += 8
      default: break walk
      }
    }
    let segment = Array(frame[at..<l3 + 40 + Int(word(frame, l3 + 4))])
    let pseudo =
      Array(frame[l3 + 8..<l3 + 24]) + destination + [0, 0] + bigEndian(UInt16(segment.count)) + [0, 0, 0, proto]
    return wrongIn(segment, proto, pseudo)
  }

  private static func wrongIn(_ segment: [UInt8], _ proto: UInt8, _ pseudo: [UInt8]) -> [String] {
    switch proto {
    case 6: return internet(pseudo + segment) == 0xffff ? [] : ["tcp"]
    case 17: return internet(pseudo + segment) == 0xffff ? [] : ["udp"]
    case 58: return internet(pseudo + segment) == 0xffff ? [] : ["icmpv6"]
    case 1: return internet(segment) == 0xffff ? [] : ["icmp"]
    case 132:
      var zeroed = segment
      zeroed.replaceSubrange(8..<12, with: [0, 0, 0, 0])
      let stored = (0..<4).reduce(UInt32(0)) { $0 | UInt32(segment[8 + $1]) << UInt32(8 * $1) }
      return crc32c(zeroed) == stored ? [] : ["sctp"]
    default: return []
    }
  }

  private static func word(_ bytes: [UInt8], _ at: Int) -> UInt16 { UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) }
}
