// FrameLayout.swift
//
// What: where the headers of one parsed frame are, and what is wrong with a frame that cannot be parsed.
// Threads: a value.
// Cost: 8 bytes beside each key.

/// Where the parser found the headers of a frame: offsets in bytes from the frame's first byte; 0 means "not there".
///
/// One word, so that the parser's fast path stores a constant: l3 in bits 0-15, l4 in 16-31, then a byte each for tags, lines, IP version and problem.
@frozen
public struct FrameLayout: BitwiseCopyable, Sendable {
  @usableFromInline var word: UInt64

  /// Nothing found yet; line 0 is always written.
  @inline(__always)
  public init() { word = 1 << 40 }

  /// An IPv4 header without options right behind an untagged Ethernet header, and its L4 header.
  @inline(__always)
  static var plainIPv4: FrameLayout {
    var layout = FrameLayout()
    layout.word = 14 | 34 << 16 | 1 << 40 | 4 << 48
    return layout
  }

  @inline(__always)
  private func bits(_ shift: UInt64, _ mask: UInt64) -> UInt64 { word >> shift & mask }

  @inline(__always)
  private mutating func set(_ shift: UInt64, _ mask: UInt64, _ value: UInt64) {
    word = word & ~(mask << shift) | (value & mask) << shift
  }

  /// The first byte of the IPv4, IPv6, ARP or RARP header.
  @inline(__always)
  public var l3: UInt16 {
    get { UInt16(truncatingIfNeeded: bits(0, 0xffff)) }
    set { set(0, 0xffff, UInt64(newValue)) }
  }

  /// The first byte of the TCP, UDP, SCTP, ICMP or ICMPv6 header; 0 for later fragments and other protocols.
  @inline(__always)
  public var l4: UInt16 {
    get { UInt16(truncatingIfNeeded: bits(16, 0xffff)) }
    set { set(16, 0xffff, UInt64(newValue)) }
  }

  /// VLAN tags in front of the EtherType: 0, 1 or 2.
  @inline(__always)
  public var tags: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(32, 0xff)) }
    set { set(32, 0xff, UInt64(newValue)) }
  }

  /// The key lines that the parser wrote: 1, or 3 when line 1 was written too.
  @inline(__always)
  public var lines: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(40, 0xff)) }
    set { set(40, 0xff, UInt64(newValue)) }
  }

  /// 4 for IPv4, 6 for IPv6, 0 for neither.
  @inline(__always)
  public var ipVersion: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(48, 0xff)) }
    set { set(48, 0xff, UInt64(newValue)) }
  }

  /// 0, or the raw value of a Malformation.
  @inline(__always)
  public var problem: UInt8 {
    get { UInt8(truncatingIfNeeded: bits(56, 0xff)) }
    set { set(56, 0xff, UInt64(newValue)) }
  }
}

/// Why a frame cannot be parsed. Such a frame is dropped and counted under the reason of the same name.
public enum Malformation: UInt8, CaseIterable, Sendable {
  /// Shorter than an Ethernet header (14 bytes).
  case ethernetTruncated = 1
  /// A TPID whose tag or following EtherType lies outside the frame.
  case vlanTruncated
  /// A third VLAN tag: two are supported.
  case tooManyTags
  /// An IPv4 EtherType with fewer than 20 bytes behind it.
  case ipv4Truncated
  /// A version other than 4, or IHL below 5 or beyond the packet.
  case ipv4BadHeader
  /// Total length below the header length or beyond the frame.
  case ipv4BadLength
  /// An IPv6 EtherType with fewer than 40 bytes behind it.
  case ipv6Truncated
  /// A version other than 6.
  case ipv6BadHeader
  /// Payload length beyond the frame.
  case ipv6BadLength
  /// An extension header that lies outside the packet, or more than eight of them.
  case ipv6BadExtension
  /// An ARP or RARP packet that is not Ethernet/IPv4 or is cut short.
  case arpBad
  /// A TCP, UDP, SCTP, ICMP or ICMPv6 header that lies outside the packet.
  case l4Truncated
  /// An MPLS EtherType with fewer than 4 bytes behind it: no label stack entry.
  case mplsTruncated
  /// A PBB service tag with less behind it than the tag and the Ethernet header that it stands in front of (18 bytes).
  case pbbTruncated

  /// The reason's name in counters and events.
  public var name: String {
    switch self {
    case .ethernetTruncated: "ethernet-truncated"
    case .vlanTruncated: "vlan-truncated"
    case .tooManyTags: "vlan-too-many-tags"
    case .ipv4Truncated: "ipv4-truncated"
    case .ipv4BadHeader: "ipv4-bad-header"
    case .ipv4BadLength: "ipv4-bad-length"
    case .ipv6Truncated: "ipv6-truncated"
    case .ipv6BadHeader: "ipv6-bad-header"
    case .ipv6BadLength: "ipv6-bad-length"
    case .ipv6BadExtension: "ipv6-bad-extension"
    case .arpBad: "arp-bad"
    case .l4Truncated: "l4-truncated"
    case .mplsTruncated: "mpls-truncated"
    case .pbbTruncated: "pbb-truncated"
    }
  }
}
