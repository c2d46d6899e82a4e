// ReferenceFrame.swift
//
// What: where the headers of a frame are, read naively from its bytes, and the fields in them.
// Invariants: stateless: every question is asked of the bytes as they are now. Checksums are computed anew over whole packets; only a
//             fragment's, whose other pieces are not here, is moved by the difference of two plain sums.
// Threads: a value.
// Sources: IEEE 802.1Q (tags, I-TAG of PBB), RFC 3032 (MPLS), RFC 791, RFC 8200, RFC 826, RFC 4861, RFC 768, RFC 9293, RFC 9260.

import TestSupport

/// The headers of a frame, found anew whenever somebody asks.
public struct ReferenceHeaders: Sendable {
  public enum Network: Sendable { case ipv4, ipv6, arp, mpls, pbb, other }

  public private(set) var tags = 0
  public private(set) var etherType: UInt16 = 0
  /// Where the EtherType behind the tags is.
  public private(set) var typeOffset = 12
  public private(set) var network = Network.other
  /// The L4 protocol, or for ARP nothing.
  public private(set) var proto: UInt8 = 0
  /// The first byte of the L4 header; nil when there is none that is known and wholly in this packet.
  public private(set) var l4: Int?
  public private(set) var isFragment = false
  public private(set) var isLaterFragment = false
  /// The end of the IP packet.
  public private(set) var end = 0
  /// Where the address that the L4 checksum covers as the destination of an IPv6 packet is.
  public private(set) var checksummedDestination = 0
  /// A routing header names that address in a way that is not known here.
  public private(set) var hasOtherRoute = false
  /// The offset of the neighbour discovery target, and of the option's link-layer address behind it.
  public private(set) var target: Int?
  public private(set) var linkAddress: Int?
  public private(set) var extensionBits: UInt16 = 0
  /// True when the bytes are not what their EtherType or protocol says.
  public private(set) var isMalformed = false

  public var l3: Int { typeOffset + 2 }
  public var isIP: Bool { network == .ipv4 || network == .ipv6 }

  public init(_ bytes: [UInt8]) {
    func word(_ at: Int) -> UInt16 { UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) }
    guard bytes.count >= 14 else { isMalformed = true; return }
    while word(typeOffset) == 0x8100 || word(typeOffset) == 0x88a8 {
      guard tags < 2, typeOffset + 6 <= bytes.count else { isMalformed = true; return }
      tags += 1
      typeOffset += 4
    }
    etherType = word(typeOffset)
    let left = bytes.count - l3
    switch etherType {
    case 0x0800:
      network = .ipv4
      guard left >= 20, bytes[l3] >> 4 == 4, bytes[l3] & 15 >= 5 else { isMalformed = true; return }
      let header = Int(bytes[l3] & 15) * 4
      let total = Int(word(l3 + 2))
      guard total >= header, total <= left else { isMalformed = true; return }
      end = l3 + total
      proto = bytes[l3 + 9]
      isFragment = word(l3 + 6) & 0x3fff != 0
      isLaterFragment = word(l3 + 6) & 0x1fff != 0
      transport(bytes, at: l3 + header)
    case 0x86dd:
      network = .ipv6
      guard left >= 40, bytes[l3] >> 4 == 6, Int(word(l3 + 4)) + 40 <= left else { isMalformed = true; return }
      end = l3 + 40 + Int(word(l3 + 4))
      checksummedDestination = l3 + 24
      extensions(bytes)
    case 0x0806:
      network = .arp
      guard left >= 28, word(l3) == 1, word(l3 + 2) == 0x0800, word(l3 + 4) == 0x0604 else { isMalformed = true; return }
    case 0x8847, 0x8848:
      network = .mpls
      guard left >= 4 else { isMalformed = true; return }
    case 0x88e7:
      network = .pbb
      guard left >= 18 else { isMalformed = true; return }
    default: break
    }
  }

  /// Walks the extension headers of an IPv6 packet.
  private mutating func extensions(_ bytes: [UInt8]) {
    var at = l3 + 40
    proto = bytes[l3 + 6]
    // OFPXMT_OFB_IPV6_EXTHDR: which headers there are, whether one came twice, whether they came in another order than RFC 8200 wants.
    var (seen, seenTwice): (UInt16, UInt16) = (0, 0)
    var lastRank = 0
    var isFirst = true
    func bit(_ number: UInt8) -> UInt16 {
      switch number {
      case 59: 1 << 0
      case 50: 1 << 1
      case 51: 1 << 2
      case 60: 1 << 3
      case 44: 1 << 4
      case 43: 1 << 5
      case 0: 1 << 6
      default: 0
      }
    }
    func note(_ number: UInt8) {
      // A hop-by-hop header counts as one only directly behind the IPv6 header; elsewhere it is out of order.
      defer { isFirst = false }
      // Others than those of the list, such as mobility, change nothing.
      guard bit(number) != 0 else { return }
      extensionBits |= number != 0 || isFirst ? bit(number) : seen & bit(0) == 0 ? 1 << 8 : 0
      let isAgain = seen & bit(number) != 0
      // Destination options may come twice: before a routing header and at the end.
      if number == 60 ? seenTwice & bit(60) != 0 : isAgain { extensionBits |= 1 << 7 }
      if isAgain { seenTwice |= bit(number) }
      seen |= bit(number)
      let rank: Int
      switch number {
      case 0: rank = 1
      case 60: rank = seen & bit(43) == 0 && lastRank < 3 && !isAgain ? 2 : 7
      case 43: rank = 3
      case 44: rank = 4
      case 51: rank = 5
      case 50: rank = 6
      default: return
      }
      if rank < lastRank { extensionBits |= 1 << 8 }
      lastRank = max(lastRank, rank)
    }
    while Self.isExtension(proto) {
      guard at + 8 <= end else { isMalformed = true; return }
      note(proto)
      let next = bytes[at]
      switch proto {
      case 44:
        let word = UInt16(bytes[at + 2]) << 8 | UInt16(bytes[at + 3])
        if word & 0xfff9 != 0 { isFragment = true }
        if word & 0xfff8 != 0 { isLaterFragment = true }
        at += 8
      case 51: at += (Int(bytes[at + 1]) + 2) * 4
      default:
        let size = (Int(bytes[at + 1]) + 1) * 8
        if proto == 43, bytes[at + 3] > 0 {
          // One address is what a header of 24 bytes has room for; what others mean depends on their type.
          if size == 24, at + size <= end { checksummedDestination = at + 8 } else { hasOtherRoute = true }
        }
        at += size
      }
      guard at <= end else { isMalformed = true; return }
      proto = next
      if isLaterFragment { break }
    }
    if !isLaterFragment, proto == 59 || proto == 50 { note(proto) }
    transport(bytes, at: at)
  }

  private static func isExtension(_ number: UInt8) -> Bool {
    switch number {
    case 0, 43, 44, 51, 60, 135: true
    default: false
    }
  }

  private mutating func transport(_ bytes: [UInt8], at offset: Int) {
    guard !isLaterFragment else { return }
    let needed: Int
    switch (proto, network) {
    case (6, _): needed = 20
    case (17, _): needed = 8
    case (132, _): needed = 12
    case (1, .ipv4): needed = 8
    case (58, .ipv6): needed = 4
    default: return
    }
    guard offset + needed <= end else { isMalformed = true; return }
    l4 = offset
    guard proto == 58, !isFragment, offset + 24 <= end, bytes[offset + 1] == 0 else { return }
    guard bytes[offset] == 135 || bytes[offset] == 136 else { return }
    target = offset + 8
    let wanted: UInt8 = bytes[offset] == 135 ? 1 : 2
    if offset + 32 <= end, bytes[offset + 24] == wanted, bytes[offset + 25] == 1 { linkAddress = offset + 26 }
  }

  /// Where a field lies: `count` bytes from `offset`, of them `width` bits above the lowest `shift`. Nil when the frame lacks it.
  public func place(_ field: ReferenceField, _ bytes: [UInt8]) -> (offset: Int, count: Int, shift: Int)? {
    if isMalformed { return nil }
    func l4(_ wanted: UInt8, _ offset: Int, _ count: Int) -> (Int, Int, Int)? {
      guard let start = self.l4, proto == wanted, isIP else { return nil }
      return (start + offset, count, 0)
    }
    func arp(_ offset: Int, _ count: Int) -> (Int, Int, Int)? { network == .arp ? (l3 + offset, count, 0) : nil }
    func mpls(_ shift: Int) -> (Int, Int, Int)? { network == .mpls ? (l3, 4, shift) : nil }
    switch field {
    case .ethDst: return (0, 6, 0)
    case .ethSrc: return (6, 6, 0)
    case .ethType: return (typeOffset, 2, 0)
    case .vlanVID: return tags > 0 ? (14, 2, 0) : nil
    case .vlanPCP: return tags > 0 ? (14, 2, 13) : nil
    case .ipTTL: return network == .ipv4 ? (l3 + 8, 1, 0) : network == .ipv6 ? (l3 + 7, 1, 0) : nil
    case .ipDSCP: return network == .ipv4 ? (l3 + 1, 1, 2) : network == .ipv6 ? (l3, 2, 6) : nil
    case .ipECN: return network == .ipv4 ? (l3 + 1, 1, 0) : network == .ipv6 ? (l3, 2, 4) : nil
    case .ipv4Src: return network == .ipv4 ? (l3 + 12, 4, 0) : nil
    case .ipv4Dst: return network == .ipv4 ? (l3 + 16, 4, 0) : nil
    case .ipv6Src: return network == .ipv6 ? (l3 + 8, 16, 0) : nil
    case .ipv6Dst: return network == .ipv6 ? (l3 + 24, 16, 0) : nil
    case .ipv6Label: return network == .ipv6 ? (l3, 4, 0) : nil
    case .tcpSrc: return l4(6, 0, 2)
    case .tcpDst: return l4(6, 2, 2)
    case .tcpFlags: return l4(6, 12, 2)
    case .udpSrc: return l4(17, 0, 2)
    case .udpDst: return l4(17, 2, 2)
    case .sctpSrc: return l4(132, 0, 2)
    case .sctpDst: return l4(132, 2, 2)
    // Rule text has icmp_type for both protocols.
    case .icmpType: return l4(network == .ipv4 ? 1 : 58, 0, 1)
    case .icmpCode: return l4(network == .ipv4 ? 1 : 58, 1, 1)
    case .icmpv6Type: return network == .ipv6 ? l4(58, 0, 1) : nil
    case .icmpv6Code: return network == .ipv6 ? l4(58, 1, 1) : nil
    case .ndTarget: return target.map { ($0, 16, 0) }
    case .ndSLL: return self.l4.flatMap { bytes[$0] == 135 ? linkAddress : nil }.map { ($0, 6, 0) }
    case .ndTLL: return self.l4.flatMap { bytes[$0] == 136 ? linkAddress : nil }.map { ($0, 6, 0) }
    case .arpOp: return arp(7, 1)
    case .arpSHA: return arp(8, 6)
    case .arpSPA: return arp(14, 4)
    case .arpTHA: return arp(18, 6)
    case .arpTPA: return arp(24, 4)
    case .mplsLabel: return mpls(12)
    case .mplsTC: return mpls(9)
    case .mplsBOS: return mpls(8)
    case .mplsTTL: return mpls(0)
    case .pbbISID: return network == .pbb ? (l3 + 1, 3, 0) : nil
    default: return nil
    }
  }

  /// A field of the frame; nil when the frame lacks it.
  public func value(_ field: ReferenceField, _ bytes: [UInt8]) -> UInt128? {
    if isMalformed { return nil }
    func tag(_ at: Int) -> UInt128 { (UInt128(bytes[at]) << 8 | UInt128(bytes[at + 1])) & 0xefff | 0x1000 }
    switch field {
    // A tag's presence is a value of the field: 0 says that there is none.
    case .vlanTCI: return tags > 0 ? tag(14) : 0
    case .vlanVID: return tags > 0 ? tag(14) & 0x1fff : 0
    case .vlanTCI2: return tags > 1 ? tag(18) : 0
    case .ipProto: return isIP ? UInt128(proto) : nil
    case .ipFrag: return isIP ? (isFragment ? 1 : 0) | (isLaterFragment ? 2 : 0) : nil
    case .ipv6ExtHdr: return network == .ipv6 ? UInt128(extensionBits) : nil
    default:
      guard let (offset, count, shift) = place(field, bytes) else { return nil }
      return number(bytes, offset, count) >> UInt128(shift) & field.allOnes
    }
  }
}

/// Big-endian bytes as a number.
func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt128 {
  var value: UInt128 = 0
  for i in 0..<count { value = value << 8 | UInt128(bytes[offset + i]) }
  return value
}

/// Writes a number as big-endian bytes.
func store(_ value: UInt128, _ bytes: inout [UInt8], _ offset: Int, _ count: Int) {
  for i in 0..<count { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> UInt128(8 * (count - 1 - i))) }
}

/// Sums over the bytes of a frame, computed from nothing.
enum ReferenceChecksum {
  /// Brings the checksums of an IP packet in line with its bytes. `before` is the packet before it was changed.
  static func renew(_ bytes: inout [UInt8], before: [UInt8]) {
    let headers = ReferenceHeaders(bytes)
    guard headers.isIP, !headers.isMalformed else { return }
    if headers.network == .ipv4 { renewIPv4(&bytes, at: headers.l3) }
    guard let l4 = headers.l4 else { return }
    guard let place = checksumPlace(headers) else {
      // SCTP's CRC has no difference that could be taken.
      if headers.proto == 132, !headers.isFragment { renewCRC(&bytes, l4, headers.end) }
      return
    }
    let isUDP = headers.proto == 17
    if isUDP, number(bytes, l4 + place, 2) == 0 { return }
    var new: UInt16
    if headers.isFragment {
      let old = UInt16(number(before, l4 + place, 2))
      // What the sum of the visible bytes gained, the checksum loses (RFC 1624, equation 3).
      let was = sum(before, ReferenceHeaders(before), l4, without: place)
      let now = sum(bytes, headers, l4, without: place)
      new = ~add(add(~old, ~was), now)
    } else {
      new = ~sum(bytes, headers, l4, without: place)
    }
    if isUDP, new == 0 { new = 0xffff }
    store(UInt128(new), &bytes, l4 + place, 2)
  }

  /// Puts the checksums into a frame that was just built; a first fragment's is what the sender of these bytes alone would have put in.
  static func fill(_ bytes: inout [UInt8]) {
    let headers = ReferenceHeaders(bytes)
    renew(&bytes, before: bytes)
    guard headers.isFragment, let l4 = headers.l4, let place = checksumPlace(headers) else { return }
    if headers.proto == 17, number(bytes, l4 + place, 2) == 0 { return }
    let new = ~sum(bytes, headers, l4, without: place)
    store(UInt128(headers.proto == 17 && new == 0 ? 0xffff : new), &bytes, l4 + place, 2)
  }

  /// Computes the checksum of the IPv4 header that begins at `l3`.
  static func renewIPv4(_ bytes: inout [UInt8], at l3: Int) {
    let header = Int(bytes[l3] & 15) * 4
    guard header >= 20, l3 + header <= bytes.count else { return }
    store(0, &bytes, l3 + 10, 2)
    store(UInt128(~folded(words(bytes, l3..<l3 + header))), &bytes, l3 + 10, 2)
  }

  private static func add(_ a: UInt16, _ b: UInt16) -> UInt16 {
    let sum = UInt32(a) + UInt32(b)
    return UInt16(sum & 0xffff) + UInt16(sum >> 16)
  }

  /// Where the checksum is in the L4 header.
  private static func checksumPlace(_ headers: ReferenceHeaders) -> Int? {
    switch headers.proto {
    case 6: 16
    case 17: 6
    case 1, 58: 2
    default: nil
    }
  }

  /// The sum of pseudo header and segment, as if the checksum were zero.
  private static func sum(_ bytes: [UInt8], _ headers: ReferenceHeaders, _ l4: Int, without place: Int) -> UInt16 {
    var sum = words(bytes, l4..<l4 + place) + words(bytes, l4 + place + 2..<headers.end)
    if headers.network == .ipv6 {
      let destination = headers.checksummedDestination
      sum += words(bytes, headers.l3 + 8..<headers.l3 + 24) + words(bytes, destination..<destination + 16)
    } else if headers.proto != 1 {
      sum += words(bytes, headers.l3 + 12..<headers.l3 + 20)
    }
    // ICMP has no pseudo header.
    if headers.network == .ipv6 || headers.proto != 1 { sum += (headers.end - l4) & 0xffff + Int(headers.proto) }
    return folded(sum)
  }

  /// The sum of big-endian words; an odd byte at the end is a word's first.
  private static func words(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
    var sum = 0
    for i in stride(from: range.lowerBound, to: range.upperBound, by: 2) {
      sum += Int(bytes[i]) << 8 | (i + 1 < range.upperBound ? Int(bytes[i + 1]) : 0)
    }
    return sum
  }

  /// A sum of words as a ones' complement sum of 16 bits.
  private static func folded(_ sum: Int) -> UInt16 {
    var sum = sum
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return UInt16(sum)
  }

  /// True for an SCTP packet with a wrong CRC.
  static func hasWrongCRC(_ bytes: [UInt8], _ headers: ReferenceHeaders) -> Bool {
    guard headers.isIP, headers.proto == 132, !headers.isFragment, let l4 = headers.l4 else { return false }
    var copy = bytes
    renewCRC(&copy, l4, headers.end)
    return copy != bytes
  }

  private static func renewCRC(_ bytes: inout [UInt8], _ l4: Int, _ end: Int) {
    store(0, &bytes, l4 + 8, 4)
    let crc = PlainChecksum.crc32c(Array(bytes[l4..<end]))
    for i in 0..<4 { bytes[l4 + 8 + i] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * i)) }
  }
}
