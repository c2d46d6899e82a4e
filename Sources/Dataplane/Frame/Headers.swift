// Headers.swift
//
// What: the numbers of the protocols that Sluice parses and rewrites, in host byte order, and big-endian access to frame bytes.
// Sources: IEEE 802.3 and 802.1Q (EtherTypes, tags), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 4302 (AH), RFC 826 (ARP), RFC 4861 (ND),
//          RFC 9293 (TCP), RFC 768 (UDP), RFC 9260 (SCTP), RFC 792 and 4443 (ICMP); IANA's protocol numbers.

/// EtherTypes.
public enum EtherType {
  public static let ipv4: UInt16 = 0x0800
  public static let arp: UInt16 = 0x0806
  /// 802.1Q customer tag.
  public static let vlan: UInt16 = 0x8100
  /// 802.1ad service tag.
  public static let serviceVLAN: UInt16 = 0x88a8
  public static let ipv6: UInt16 = 0x86dd

  @inline(__always)
  static func isTag(_ type: UInt16) -> Bool { type == vlan || type == serviceVLAN }
}

/// IP protocol numbers.
public enum IPProtocol {
  public static let icmp: UInt8 = 1
  public static let tcp: UInt8 = 6
  public static let udp: UInt8 = 17
  public static let icmpv6: UInt8 = 58
  public static let sctp: UInt8 = 132
  // IPv6 extension headers.
  static let hopByHop: UInt8 = 0
  static let routing: UInt8 = 43
  static let fragment: UInt8 = 44
  static let authentication: UInt8 = 51
  static let destinationOptions: UInt8 = 60
  static let mobility: UInt8 = 135
}

/// Bits of the ipFrag field, as ovs-fields(7) has them.
public enum FragmentBits {
  /// The packet is a fragment.
  public static let any: UInt8 = 1
  /// A fragment other than the first: it has no L4 header.
  public static let later: UInt8 = 2
}

/// The bit of a tag control word in a key that says "there is a tag" (OpenFlow's OFPVID_PRESENT).
public let vlanPresent: UInt16 = 0x1000

typealias FrameBytes = UnsafeMutablePointer<UInt8>

@inline(__always)
func load16(_ p: UnsafePointer<UInt8>, _ offset: Int) -> UInt16 {
  UnsafeRawPointer(p).loadUnaligned(fromByteOffset: offset, as: UInt16.self).bigEndian
}

@inline(__always)
func load32(_ p: UnsafePointer<UInt8>, _ offset: Int) -> UInt32 {
  UnsafeRawPointer(p).loadUnaligned(fromByteOffset: offset, as: UInt32.self).bigEndian
}

/// Bytes as they lie in memory: for copying between frame and key.
@inline(__always)
func loadRaw<T: BitwiseCopyable>(_ p: UnsafePointer<UInt8>, _ offset: Int, as type: T.Type) -> T {
  UnsafeRawPointer(p).loadUnaligned(fromByteOffset: offset, as: T.self)
}

@inline(__always)
func store16(_ p: FrameBytes, _ offset: Int, _ value: UInt16) {
  UnsafeMutableRawPointer(p).storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
}

@inline(__always)
func store32(_ p: FrameBytes, _ offset: Int, _ value: UInt32) {
  UnsafeMutableRawPointer(p).storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
}
