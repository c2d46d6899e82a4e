// FrameLayout.swift
//
// What: where the headers of one parsed frame are, and what is wrong with a frame that cannot be parsed.
// Threads: a value.
// Cost: 8 bytes beside each key.

/// Where the parser found the headers of a frame: offsets in bytes from the frame's first byte; 0 means "not there".
@frozen
public struct FrameLayout: BitwiseCopyable, Sendable {
  /// The first byte of the IPv4, IPv6 or ARP header.
  public var l3: UInt16 = 0
  /// The first byte of the TCP, UDP, SCTP, ICMP or ICMPv6 header; 0 for later fragments and other protocols.
  public var l4: UInt16 = 0
  /// VLAN tags in front of the EtherType: 0, 1 or 2.
  public var tags: UInt8 = 0
  /// The key lines that the parser wrote: 1, or 3 when line 1 was written too.
  public var lines: UInt8 = 1
  /// 4 for IPv4, 6 for IPv6, 0 for neither.
  public var ipVersion: UInt8 = 0
  /// nil (as raw value 0) or a Malformation.
  public var problem: UInt8 = 0

  @inline(__always)
  public init() {}
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
  /// An ARP packet that is not Ethernet/IPv4 or is cut short.
  case arpBad
  /// A TCP, UDP, SCTP, ICMP or ICMPv6 header that lies outside the packet.
  case l4Truncated

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
    }
  }
}
