// FrameCatalog.swift
//
// What: one frame of each shape that the parser knows, the malformed ones with the name of what is wrong, and random ones.

/// A frame and what it is called in test output.
public struct NamedFrame: Sendable, CustomStringConvertible {
  public let name: String
  public let bytes: [UInt8]

  public init(_ name: String, _ bytes: [UInt8]) {
    self.name = name
    self.bytes = bytes
  }

  public var description: String { name }
}

public enum FrameCatalog {
  private static let v4 = FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: 9, tos: 0x2e)
  private static let v6 = FramePacket().ipv6("fd00::1", "fd00::2", hopLimit: 9, trafficClass: 0x2e, label: 0x12345)
  private static let text = Array("payload!".utf8)

  /// Well-formed frames.
  public static let wellFormed: [NamedFrame] =
    [
      ("other EtherType", FramePacket().etherType(0x88b5, payload: text)),
      ("ARP request", arp(1)), ("ARP reply, padded", arp(2).padded()),
      ("ARP, tagged", arp(1).vlan(7)),
      ("IPv4 TCP", v4.tcp(1000, 80, flags: 0x012, payload: text)),
      ("IPv4 TCP, padded", v4.tcp(1000, 80, flags: 0x010).padded()),
      ("IPv4 UDP", v4.udp(1000, 53, payload: text)),
      ("IPv4 UDP without payload", v4.udp(1000, 53)),
      ("IPv4 UDP without checksum", v4.udp(1000, 53, payload: text, withChecksum: false)),
      ("IPv4 UDP of odd length", v4.udp(1000, 53, payload: [1, 2, 3])),
      ("IPv4 SCTP", v4.sctp(1000, 2000, payload: text)),
      ("IPv4 ICMP", v4.icmp(type: 8, code: 0)),
      ("IPv4 protocol 253", v4.ip(proto: 253, payload: text)),
      ("IPv4 with options", FramePacket().ipv4("10.0.0.1", "10.0.0.2", options: [7, 7, 4, 1, 2, 3, 4]).tcp(1, 2)),
      ("IPv4 with 40 bytes of options", FramePacket().ipv4("10.0.0.1", "10.0.0.2", options: .init(repeating: 1, count: 40)).udp(1, 2)),
      ("IPv4 first fragment", FramePacket().ipv4("10.0.0.1", "10.0.0.2", moreFragments: true).udp(1, 2, payload: text)),
      ("IPv4 later fragment", FramePacket().ipv4("10.0.0.1", "10.0.0.2", fragmentOffset: 16).udp(1, 2, payload: text)),
      ("IPv4 TCP, DF", FramePacket().ipv4("10.0.0.1", "10.0.0.2", dontFragment: true).tcp(1, 2, flags: 0xfff)),
      ("IPv4 UDP, tagged", v4.vlan(100, priority: 5, dei: true).udp(1000, 53, payload: text)),
      ("IPv4 TCP, 802.1ad and 802.1Q", v4.vlan(4094, tpid: 0x88a8).vlan(1, priority: 7).tcp(1000, 80)),
      ("IPv6 TCP", v6.tcp(1000, 80, flags: 0x002, payload: text)),
      ("IPv6 UDP", v6.udp(1000, 53, payload: text)),
      ("IPv6 SCTP", v6.sctp(1000, 2000, payload: text)),
      ("IPv6 UDP, two tags", v6.vlan(5).vlan(6).udp(1000, 53, payload: text)),
      ("IPv6 echo", v6.icmpv6(type: 128, code: 0)),
      ("IPv6 neighbour solicitation", v6.neighbour(type: 135, target: "fd00::9", linkAddress: "02:00:00:00:00:09")),
      ("IPv6 neighbour advertisement", v6.neighbour(type: 136, target: "fd00::9", linkAddress: "02:00:00:00:00:09")),
      ("IPv6 neighbour solicitation without option", v6.neighbour(type: 135, target: "fd00::9")),
      ("IPv6 no next header", v6.ip(proto: 59, payload: [])),
      ("IPv6 all extensions", extended(.hopByHop(length: 16), .destinationOptions(), .routing(), .authentication(), .mobility).tcp(1, 2)),
      ("IPv6 routed", extended(.routing(segmentsLeft: 1, lastAddress: "fd00::99")).udp(1, 2, payload: text)),
      ("IPv6 eight extensions", extendedEight.udp(1, 2)),
      ("IPv6 first fragment", extended(.fragment(offset: 0, more: true)).udp(1, 2, payload: text)),
      ("IPv6 later fragment", extended(.fragment(offset: 64, more: false)).udp(1, 2, payload: text)),
      ("IPv6 fragment that is whole", extended(.fragment(offset: 0, more: false)).udp(1, 2, payload: text)),
      ("IPv6 extensions out of order", extended(.routing(), .hopByHop(), .destinationOptions(), .routing()).udp(1, 2, payload: text)),
      ("IPv6 ESP", v6.ip(proto: 50, payload: .init(repeating: 3, count: 24))),
      ("RARP", FramePacket().etherType(0x8035, payload: Array(arp(3).bytes.dropFirst(14)))),
      ("MPLS, IPv4 UDP", v4.mpls(label: 16, trafficClass: 3).udp(1000, 53, payload: text)),
      ("MPLS, two entries, IPv6 TCP", v6.mpls(label: 0xfffff, ttl: 1).mpls(label: 17).tcp(1000, 80)),
      ("MPLS multicast, tagged", v4.vlan(7).mpls(label: 99, etherType: 0x8848).udp(1000, 53)),
      ("PBB, IPv4 UDP", FramePacket().etherType(0x88e7, payload: [0x40, 0x12, 0x34, 0x56] + v4.udp(1000, 53).bytes)),
      ("PBB, service tag in front", FramePacket().vlan(8, tpid: 0x88a8).etherType(0x88e7, payload: [0, 0, 0, 1] + v6.udp(1000, 53).bytes)),
    ].map { NamedFrame($0.0, $0.1.bytes) }

  /// Malformed frames, each with the name of its malformation.
  public static let malformed: [(reason: String, bytes: [UInt8])] = [
    ("ethernet-truncated", [2, 0, 0, 0, 0, 2, 2]),
    ("vlan-truncated", Array(FramePacket().vlan(1).bytes.prefix(17))),
    ("vlan-too-many-tags", v4.vlan(1).vlan(2).vlan(3).udp(1, 2).bytes),
    ("ipv4-truncated", Array(v4.udp(1, 2).bytes.prefix(33))),
    ("ipv4-bad-header", v4.udp(1, 2).bytes.changed(at: 14, to: 0x44)),
    ("ipv4-bad-header", v4.udp(1, 2).bytes.changed(at: 14, to: 0x65)),
    ("ipv4-bad-length", v4.udp(1, 2).bytes.changed(at: 16, to: 0xff)),
    ("ipv4-bad-length", v4.udp(1, 2).bytes.changed(at: 17, to: 19)),
    ("ipv4-bad-length", v4.udp(1, 2).bytes.changed(at: 14, to: 0x4f)),
    ("ipv6-truncated", Array(v6.udp(1, 2).bytes.prefix(53))),
    ("ipv6-bad-header", v6.udp(1, 2).bytes.changed(at: 14, to: 0x40)),
    ("ipv6-bad-length", v6.udp(1, 2).bytes.changed(at: 18, to: 0xff)),
    ("ipv6-bad-extension", extended(.hopByHop()).udp(1, 2).bytes.changed(at: 55, to: 0xff)),
    ("ipv6-bad-extension", extended(.hopByHop(), .hopByHop(), .hopByHop(), .hopByHop(), .hopByHop(), .hopByHop(), .hopByHop(), .hopByHop(), .hopByHop()).udp(1, 2).bytes),
    ("arp-bad", Array(arp(1).bytes.prefix(41))),
    ("arp-bad", arp(1).bytes.changed(at: 18, to: 7)),
    ("mpls-truncated", Array(FramePacket().mpls(label: 16).bytes.prefix(17))),
    ("mpls-truncated", Array(FramePacket().vlan(1).vlan(2).mpls(label: 16).bytes.prefix(25))),
    ("pbb-truncated", FramePacket().etherType(0x88e7, payload: .init(repeating: 0, count: 17)).bytes),
    ("l4-truncated", v4.ip(proto: 6, payload: .init(repeating: 0, count: 19)).bytes),
    ("l4-truncated", v4.ip(proto: 17, payload: .init(repeating: 0, count: 7)).bytes),
    ("l4-truncated", v4.ip(proto: 132, payload: .init(repeating: 0, count: 11)).bytes),
    ("l4-truncated", v4.ip(proto: 1, payload: .init(repeating: 0, count: 7)).bytes),
    ("l4-truncated", v6.ip(proto: 58, payload: .init(repeating: 0, count: 3)).bytes),
  ]

  /// A random frame: one of the well-formed ones with other addresses, ports and payload, and now and then a few bytes changed.
  public static func random(using generator: inout SeededGenerator) -> [UInt8] {
    var frame = wellFormed[Int(generator.next() % UInt64(wellFormed.count))].bytes
    // A quarter of them plain IPv4, because that is what the fast path takes.
    if generator.next() & 3 == 0 {
      frame = v4.udp(.init(truncatingIfNeeded: generator.next()), 53, payload: generator.bytes(Int(generator.next() % 40))).bytes
    }
    for _ in 0..<(generator.next() % 6) {
      frame[Int(generator.next() % UInt64(frame.count))] = UInt8(truncatingIfNeeded: generator.next())
    }
    if generator.next() & 3 == 0 { frame.removeLast(Int(generator.next() % UInt64(frame.count))) }
    if generator.next() & 3 == 0 { frame += generator.bytes(Int(generator.next() % 20)) }
    return frame
  }

  private static func arp(_ operation: UInt16) -> FramePacket {
    FramePacket().arp(
      operation: operation, senderMAC: "02:00:00:00:00:01", senderIP: "10.0.0.1", targetMAC: "02:00:00:00:00:02",
      targetIP: "10.0.0.2")
  }

  private static func extended(_ extensions: IPv6Extension...) -> FramePacket {
    FramePacket().ipv6("fd00::1", "fd00::2", extensions: extensions)
  }

  private static let extendedEight = FramePacket().ipv6(
    "fd00::1", "fd00::2", extensions: .init(repeating: .destinationOptions(), count: 8))
}

extension [UInt8] {
  /// The same bytes with one of them changed.
  public func changed(at place: Int, to value: UInt8) -> [UInt8] {
    var copy = self
    copy[place] = value
    return copy
  }
}
