// ReferenceNumber.swift
//
// What: the number by which a frame is known again when it leaves: its last four bytes. The two bytes before it balance it: the Internet
//       checksum of any packet that ends with the frame is the same whatever the number, also of one below a label, where no checksum is looked for.
// Invariant: a frame that is to be numbered ends with eight bytes of `tail`.
// Threads: pure.

enum ReferenceNumber {
  static let tailCount = 8

  /// The last bytes of a frame.
  static func tail(_ number: UInt32) -> [UInt8] {
    var sum = number >> 16 + number & 0xffff
    sum = sum & 0xffff + sum >> 16
    var tail: [UInt8] = [0xa5, 0x5a, 0, 0, 0, 0, 0, 0]
    store(UInt128(~sum & 0xffff), &tail, 2, 2)
    store(UInt128(number), &tail, 4, 4)
    return tail
  }

  /// The number at the end of a frame.
  static func of(_ bytes: [UInt8]) -> UInt32 { bytes.count < 4 ? 0 : UInt32(number(bytes, bytes.count - 4, 4)) }

  /// How far the number at the end of a frame is from another one. The lower halves are compared, because an action may write to the upper one,
  /// where it takes a payload for a header, as `copy_ttl_in` does behind `pop_mpls:0x8847`.
  static func distance(_ bytes: [UInt8], from number: UInt32) -> Int { Int(UInt16(truncatingIfNeeded: of(bytes) &- number)) }

  /// The frame with another number, and the checksums of the IP packet in it as a sender of these bytes would put them in.
  static func numbered(_ frame: [UInt8], _ number: UInt32) -> [UInt8] {
    var bytes = frame
    bytes.replaceSubrange(bytes.count - tailCount..<bytes.count, with: tail(number))
    fill(&bytes)
    return bytes
  }

  /// Puts the checksums in, also below labels and an I-TAG: the CRC of SCTP is not balanced.
  private static func fill(_ bytes: inout [UInt8]) {
    let headers = ReferenceHeaders(bytes)
    guard !headers.isMalformed else { return }
    switch headers.network {
    case .ipv4, .ipv6: ReferenceChecksum.fill(&bytes)
    case .pbb:
      var inner = Array(bytes[(headers.l3 + 4)...])
      fill(&inner)
      bytes.replaceSubrange((headers.l3 + 4)..., with: inner)
    case .mpls:
      var bottom = headers.l3
      while bottom + 8 < bytes.count, bytes[bottom + 2] & 1 == 0 { bottom += 4 }
      bottom += 4
      guard bottom < bytes.count, bytes[bottom] >> 4 == 4 || bytes[bottom] >> 4 == 6 else { return }
      var inner = [UInt8](repeating: 0, count: 12) + (bytes[bottom] >> 4 == 4 ? [8, 0] : [0x86, 0xdd]) + bytes[bottom...]
      fill(&inner)
      bytes.replaceSubrange(bottom..., with: inner[14...])
    case .arp, .other: break
    }
  }
}
