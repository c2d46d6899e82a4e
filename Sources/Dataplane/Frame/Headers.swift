// Headers.swift
//
// What: the numbers of the protocols that Sluice parses and rewrites, in host byte order, and big-endian access to frame bytes.
// Sources: IEEE 802.3 and 802.1Q (EtherTypes, tags, PBB I-TAG), RFC 3032 (MPLS), RFC 903 (RARP), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 4302 (AH), RFC 826 (ARP), RFC 4861 (ND),
//          RFC 9293 (TCP), RFC 768 (UDP), RFC 9260 (SCTP), RFC 792 and 4443 (ICMP); IANA's protocol numbers.

/// EtherTypes.
public enum EtherType {
  public static let ipv4: UInt16 = 0x0800
  public static let arp: UInt16 = 0x0806
  public static let rarp: UInt16 = 0x8035
  /// 802.1Q customer tag.
  public static let vlan: UInt16 = 0x8100
  /// 802.1ad service tag.
  public static let serviceVLAN: UInt16 = 0x88a8
  public static let ipv6: UInt16 = 0x86dd
  public static let mpls: UInt16 = 0x8847
  /// MPLS with an upstream-assigned label (RFC 5332); "multicast" before that.
  public static let mplsMulticast: UInt16 = 0x8848
  /// 802.1ah service tag (I-TAG).
  public static let pbb: UInt16 = 0x88e7

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
  static let encryption: UInt8 = 50
  static let authentication: UInt8 = 51
  static let noNextHeader: UInt8 = 59
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

/// Bits of the ipv6ExtHdr field: which extension headers a packet has, and whether they are as they should be.
/// - Source: OpenFlow Switch Specification 1.3.5, section 7.2.3.8 (ofp_ipv6exthdr_flags).
public enum ExtensionHeaderBits {
  /// There is no next header: nothing follows the extension headers.
  public static let noNext: UInt16 = 1 << 0
  /// Encapsulating security payload.
  public static let encryption: UInt16 = 1 << 1
  public static let authentication: UInt16 = 1 << 2
  /// One or two headers of destination options.
  public static let destination: UInt16 = 1 << 3
  public static let fragment: UInt16 = 1 << 4
  public static let routing: UInt16 = 1 << 5
  /// Hop-by-hop options, as the first extension header.
  public static let hopByHop: UInt16 = 1 << 6
  /// A header that is there more often than it should be.
  public static let repeated: UInt16 = 1 << 7
  /// Headers in another order than RFC 8200, section 4.1 recommends.
  public static let outOfOrder: UInt16 = 1 << 8
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
