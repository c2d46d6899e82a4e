// FrameShape.swift
//
// What: a frame in the making, as a list of properties, so that a twin of it that differs in one of them is made easily; and the draws of
//       such shapes out of small pools, so that rules and frames meet.
// Invariants: every frame is well formed and its checksums are right, but for a UDP checksum of zero ("none") over IPv4. Its last eight bytes
//             are its number, by which it is known again when it leaves.
// Threads: a value.

import TestSupport

/// A frame in the making.
public struct FrameShape: Sendable {
  public enum Network: Sendable { case ipv4, ipv6, arp, other }
  public enum Transport: CaseIterable, Sendable { case tcp, udp, udpWithoutSum, sctp, icmp, solicitation, advertisement, other }

  var destination: UInt64
  var source: UInt64
  /// TPID and control word, outermost first.
  var tags: [(UInt16, UInt16)] = []
  /// Label stack entries without the bottom bit, outermost first.
  var labels: [UInt32] = []
  /// The I-TAG of PBB and the addresses of the backbone; labels are not combined with it.
  var service: UInt32?
  var network: Network
  var transport: Transport
  var ipv4Source: UInt32, ipv4Destination: UInt32
  var ipv6Source: UInt128, ipv6Destination: UInt128
  var label: UInt32
  var ttl: UInt8, tos: UInt8
  var options = 0
  /// 0 none, 1 first fragment, 2 later fragment.
  var fragment = 0
  /// IPv6 extension headers.
  var extensions: [UInt8] = []
  var ports: (UInt16, UInt16)
  var flags: UInt16
  var icmp: (UInt8, UInt8)
  var hasLinkAddress: Bool
  var operation: UInt16
  var etherType: UInt16
  var payload: Int

  /// Properties that `redraw` knows.
  static let propertyCount = 20

  public init(using random: inout SeededGenerator) {
    (destination, source, network, transport) = (0, 0, .other, .other)
    (ipv4Source, ipv4Destination, ipv6Source, ipv6Destination) = (0, 0, 0, 0)
    (label, ttl, tos, ports, flags, icmp, hasLinkAddress, operation, etherType, payload) = (0, 64, 0, (0, 0), 0, (8, 0), true, 1, 0x88b5, 0)
    for property in 0..<Self.propertyCount { redraw(property, &random) }
  }

  /// Draws one property anew.
  mutating func redraw(_ property: Int, _ random: inout SeededGenerator) {
    switch property {
    case 0: destination = Draw.mac(&random)
    case 1: source = Draw.mac(&random) & ~0x0100_0000_0000
    case 2:
      tags = []
      for _ in 0..<random.pick([0, 0, 0, 1, 1, 2]) { tags.append((random.pick([0x8100, 0x8100, 0x88a8]), Draw.tag(&random))) }
    case 3:
      (labels, service) = ([], nil)
      switch random.next() % 10 {
      case 0, 1: for _ in 0...Int(random.next() % 3) { labels.append(Draw.labelEntry(&random)) }
      case 2: service = UInt32(random.pick([1, 2, 0x123456]))
      default: break
      }
    case 4: network = random.pick([.ipv4, .ipv4, .ipv4, .ipv4, .ipv6, .ipv6, .arp, .other])
    case 5: transport = random.pick([.tcp, .tcp, .udp, .udp, .udpWithoutSum, .sctp, .icmp, .solicitation, .advertisement, .other])
    case 6: ipv4Source = Draw.ipv4(&random)
    case 7: ipv4Destination = Draw.ipv4(&random)
    case 8: ipv6Source = Draw.ipv6(&random)
    case 9: ipv6Destination = Draw.ipv6(&random)
    case 10: label = UInt32(random.pick([0, 1, 0xfffff]))
    case 11: ttl = random.pick([64, 64, 64, 63, 128, 2, 1, 0])
    case 12: tos = random.pick([0, 0xb8, 0x2e, 1, 0xff])
    case 13: ports = (Draw.port(&random), Draw.port(&random))
    case 14: flags = random.pick([0x002, 0x010, 0x012, 0x111])
    case 15: icmp = (random.pick([0, 8, 128, 129, 3]), random.pick([0, 1]))
    case 16: hasLinkAddress = random.next() % 4 != 0
    case 17: operation = random.pick([1, 2])
    case 18:
      etherType = random.pick([0x88b5, 0x0842])
      payload = Int(random.next() % 9)
    default:
      fragment = random.pick([0, 0, 0, 0, 0, 0, 1, 2])
      options = random.pick([0, 0, 0, 0, 4, 40])
      extensions = []
      if random.next() % 4 == 0 { for _ in 0...Int(random.next() % 3) { extensions.append(random.pick([0, 60, 43, 44, 51, 135, 60])) } }
    }
  }

  /// A frame like this one but for one or two properties.
  func twin(_ random: inout SeededGenerator) -> FrameShape {
    var copy = self
    for _ in 0...Int(random.next() % 2) { copy.redraw(Int(random.next() % UInt64(Self.propertyCount)), &random) }
    return copy
  }

  // MARK: Bytes

  /// The frame, with `number` in its last bytes.
  public func bytes(number: UInt32) -> [UInt8] {
    let tail = [UInt8](repeating: 0x5a, count: payload) + ReferenceNumber.tail(number)
    var (type, body) = networkPacket(tail)
    if !labels.isEmpty {
      var stack: [UInt8] = []
      for (i, entry) in labels.enumerated() { stack += big(UInt128(entry & ~0x100 | (i == labels.count - 1 ? 0x100 : 0)), 4) }
      (type, body) = (0x8847, stack + body)
    }
    var front = big(UInt128(destination), 6) + big(UInt128(source), 6)
    if let service {
      let inside = front + big(UInt128(type), 2) + body
      (type, body) = (0x88e7, [0] + big(UInt128(service), 3) + inside)
    }
    for (tpid, control) in tags { front += big(UInt128(tpid), 2) + big(UInt128(control), 2) }
    return front + big(UInt128(type), 2) + body
  }

  private func networkPacket(_ tail: [UInt8]) -> (type: UInt16, body: [UInt8]) {
    switch network {
    case .other: return (etherType, tail)
    case .arp:
      let addresses = big(0x0200_0000_0000 | UInt128(ipv4Source), 6) + big(UInt128(ipv4Source), 4) + big(0x0200_0000_0000 | UInt128(ipv4Destination), 6)
      return (0x0806, [0, 1, 8, 0, 6, 4] + big(UInt128(operation), 2) + addresses + big(UInt128(ipv4Destination), 4) + tail)
    case .ipv4:
      let pad = [UInt8](repeating: 1, count: options)
      let (proto, segment) = segment(tail, isIPv6: false)
      let field: UInt16 = fragment == 1 ? 0x2000 : fragment == 2 ? 0x2003 : 0x4000
      let header =
        [0x45 + UInt8(options / 4), tos] + big(UInt128(20 + options + segment.count), 2) + [0, 1] + big(UInt128(field), 2) + [ttl, proto, 0, 0]
        + big(UInt128(ipv4Source), 4) + big(UInt128(ipv4Destination), 4) + pad
      return (0x0800, summed(header + segment, 0x0800))
    case .ipv6:
      var (proto, body) = segment(tail, isIPv6: true)
      if fragment > 0 {
        body = [proto, 0] + big(fragment == 1 ? 1 : 0x19, 2) + [0, 0, 0, 7] + body
        proto = 44
      }
      for kind in extensions.reversed() {
        body = extensionHeader(kind, next: proto) + body
        proto = kind
      }
      let first = UInt128(6) << 28 | UInt128(tos) << 20 | UInt128(label)
      let header = big(first, 4) + big(UInt128(body.count), 2) + [proto, ttl] + big(ipv6Source, 16) + big(ipv6Destination, 16)
      return (0x86dd, summed(header + body, 0x86dd))
    }
  }

  private func extensionHeader(_ kind: UInt8, next: UInt8) -> [UInt8] {
    switch kind {
    case 43: [next, 2, 0, UInt8(options == 40 ? 1 : 0), 0, 0, 0, 0] + big(ipv6Source ^ 0x77, 16)
    case 44: [next, 0, 0, 0, 0, 0, 0, 9]
    case 51: [next, 4] + [UInt8](repeating: 3, count: 22)
    default: [next, 0, 1, 4, 0, 0, 0, 0]
    }
  }

  /// Protocol number and segment, its checksum zero.
  private func segment(_ tail: [UInt8], isIPv6: Bool) -> (UInt8, [UInt8]) {
    let isLater = fragment == 2
    let both = big(UInt128(ports.0), 2) + big(UInt128(ports.1), 2)
    let (proto, header): (UInt8, [UInt8])
    switch transport {
    case .tcp: (proto, header) = (6, both + [0, 0, 0, 1, 0, 0, 0, 2] + big(UInt128(0x5000 | flags), 2) + [0x20, 0, 0, 0, 0, 0])
    case .udp, .udpWithoutSum: (proto, header) = (17, both + big(UInt128(8 + tail.count), 2) + [0, transport == .udp || isIPv6 ? 1 : 0])
    case .sctp: (proto, header) = (132, both + [0, 0, 0, 7, 0, 0, 0, 0])
    case .icmp: (proto, header) = (isIPv6 ? 58 : 1, [icmp.0, icmp.1, 0, 0, 0, 1, 0, 1])
    case .solicitation, .advertisement:
      let type: UInt8 = transport == .solicitation ? 135 : 136
      let option = hasLinkAddress ? [type - 134, 1] + big(UInt128(source), 6) : []
      (proto, header) = isIPv6 ? (58, [type, 0, 0, 0, 0, 0, 0, 0] + big(ipv6Source ^ 3, 16) + option) : (1, [13, 0, 0, 0, 0, 0, 0, 0])
    case .other: (proto, header) = (isIPv6 ? 59 : 47, [])
    }
    return (proto, isLater ? tail : header + tail)
  }

  /// The packet with its checksums.
  private func summed(_ packet: [UInt8], _ type: UInt16) -> [UInt8] {
    var frame = [UInt8](repeating: 0, count: 12) + big(UInt128(type), 2) + packet
    ReferenceChecksum.fill(&frame)
    return Array(frame[14...])
  }
}

/// Values out of small pools.
enum Draw {
  static func mac(_ random: inout SeededGenerator) -> UInt64 {
    random.pick([0x0200_0000_000a, 0x0200_0000_000b, 0x0200_0000_000c, 0x0100_5e00_0001, 0xffff_ffff_ffff, 0x0180_c200_0002])
  }
  static func ipv4(_ random: inout SeededGenerator) -> UInt32 { 0x0a00_0000 | UInt32(truncatingIfNeeded: random.next()) & 0x0003_0303 }
  static func ipv6(_ random: inout SeededGenerator) -> UInt128 {
    UInt128(0x2001_0db8) << 96 | UInt128(random.next() & 3) << 64 | UInt128(random.next() & 0x103)
  }
  static func port(_ random: inout SeededGenerator) -> UInt16 { random.pick([80, 81, 443, 0x1000, 0x1001]) }
  static func tag(_ random: inout SeededGenerator) -> UInt16 {
    random.pick([0, 1, 2, 0xfff]) | random.pick([0, 0, 0x6000, 0xe000]) | random.pick([0, 0, 0x1000])
  }
  static func labelEntry(_ random: inout SeededGenerator) -> UInt32 {
    UInt32(random.pick([16, 17, 0xfffff])) << 12 | random.pick([0, 0xe00]) | random.pick([64, 64, 2, 1])
  }
}

extension SeededGenerator {
  mutating func pick<T>(_ values: [T]) -> T { values[Int(next() % UInt64(values.count))] }
  mutating func chance(_ oneIn: UInt64) -> Bool { next() % oneIn == 0 }
}

private func big(_ value: UInt128, _ count: Int) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  store(value, &bytes, 0, count)
  return bytes
}
