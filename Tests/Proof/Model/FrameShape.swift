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
  /// - Parameter isSummed: false leaves the checksums to `ReferenceNumber.numbered`.
  public func bytes(number: UInt32, isSummed: Bool = true) -> [UInt8] {
    var frame: [UInt8] = []
    frame.reserveCapacity(256)
    func addresses() {
      frame.put(UInt128(destination), 6)
      frame.put(UInt128(source), 6)
    }
    addresses()
    for (tpid, control) in tags {
      frame.put(UInt128(tpid), 2)
      frame.put(UInt128(control), 2)
    }
    if let service {
      frame.put(0x88e7, 2)
      frame.put(UInt128(service), 4)
      addresses()
    }
    frame.put(labels.isEmpty ? UInt128(networkType) : 0x8847, 2)
    for (i, entry) in labels.enumerated() { frame.put(UInt128(entry & ~0x100 | (i == labels.count - 1 ? 0x100 : 0)), 4) }
    let start = frame.count
    switch network {
    case .other: break
    case .arp: putARP(&frame)
    case .ipv4: putIPv4(&frame)
    case .ipv6: putIPv6(&frame)
    }
    for _ in 0..<payload { frame.append(0x5a) }
    frame += ReferenceNumber.tail(number)
    // The lengths behind which all is there now.
    switch network {
    case .ipv4: store(UInt128(frame.count - start), &frame, start + 2, 2)
    case .ipv6: store(UInt128(frame.count - start - 40), &frame, start + 4, 2)
    default: break
    }
    if hasUDPLength { store(UInt128(8 + payload + ReferenceNumber.tailCount), &frame, frame.count - payload - ReferenceNumber.tailCount - 4, 2) }
    if isSummed, network == .ipv4 || network == .ipv6 { frame.replaceSubrange(start..., with: summed(Array(frame[start...]))) }
    return frame
  }

  private var networkType: UInt16 {
    switch network {
    case .ipv4: 0x0800
    case .ipv6: 0x86dd
    case .arp: 0x0806
    case .other: etherType
    }
  }

  private func putARP(_ frame: inout [UInt8]) {
    frame += [0, 1, 8, 0, 6, 4]
    frame.put(UInt128(operation), 2)
    frame.put(0x0200_0000_0000 | UInt128(ipv4Source), 6)
    frame.put(UInt128(ipv4Source), 4)
    frame.put(0x0200_0000_0000 | UInt128(ipv4Destination), 6)
    frame.put(UInt128(ipv4Destination), 4)
  }

  /// Header and segment without lengths.
  private func putIPv4(_ frame: inout [UInt8]) {
    let field: UInt128 = fragment == 1 ? 0x2000 : fragment == 2 ? 0x2003 : 0x4000
    frame += [0x45 + UInt8(options / 4), tos, 0, 0, 0, 1]
    frame.put(field, 2)
    frame += [ttl, proto, 0, 0]
    frame.put(UInt128(ipv4Source), 4)
    frame.put(UInt128(ipv4Destination), 4)
    for _ in 0..<options { frame.append(1) }
    putSegment(&frame)
  }

  /// Header, extension headers and segment without lengths.
  private func putIPv6(_ frame: inout [UInt8]) {
    let last = fragment > 0 ? 44 : proto
    frame.put(UInt128(6) << 28 | UInt128(tos) << 20 | UInt128(label), 4)
    frame += [0, 0, extensions.first ?? last, ttl]
    frame.put(ipv6Source, 16)
    frame.put(ipv6Destination, 16)
    for (i, kind) in extensions.enumerated() { putExtension(kind, next: i + 1 < extensions.count ? extensions[i + 1] : last, &frame) }
    if fragment > 0 {
      frame += [proto, 0]
      frame.put(fragment == 1 ? 1 : 0x19, 2)
      frame += [0, 0, 0, 7]
    }
    putSegment(&frame)
  }

  private func putExtension(_ kind: UInt8, next: UInt8, _ frame: inout [UInt8]) {
    switch kind {
    case 43:
      frame += [next, 2, 0, UInt8(options == 40 ? 1 : 0), 0, 0, 0, 0]
      frame.put(ipv6Source ^ 0x77, 16)
    case 44: frame += [next, 0, 0, 0, 0, 0, 0, 9]
    case 51:
      frame += [next, 4]
      for _ in 0..<22 { frame.append(3) }
    default: frame += [next, 0, 1, 4, 0, 0, 0, 0]
    }
  }

  /// The number of the protocol over IP.
  private var proto: UInt8 {
    let isIPv6 = network == .ipv6
    return switch transport {
    case .tcp: 6
    case .udp, .udpWithoutSum: 17
    case .sctp: 132
    case .icmp, .solicitation, .advertisement: isIPv6 ? 58 : 1
    case .other: isIPv6 ? 59 : 47
    }
  }

  private var hasUDPLength: Bool {
    (network == .ipv4 || network == .ipv6) && (transport == .udp || transport == .udpWithoutSum) && fragment != 2
  }

  /// The header over IP, without a length; its checksum is 0, or 1 where UDP has one.
  private func putSegment(_ frame: inout [UInt8]) {
    let isIPv6 = network == .ipv6
    guard fragment != 2 else { return }
    func putPorts() {
      frame.put(UInt128(ports.0), 2)
      frame.put(UInt128(ports.1), 2)
    }
    switch transport {
    case .tcp:
      putPorts()
      frame += [0, 0, 0, 1, 0, 0, 0, 2]
      frame.put(UInt128(0x5000 | flags), 2)
      frame += [0x20, 0, 0, 0, 0, 0]
    case .udp, .udpWithoutSum:
      putPorts()
      frame += [0, 0, 0, transport == .udp || isIPv6 ? 1 : 0]
    case .sctp:
      putPorts()
      frame += [0, 0, 0, 7, 0, 0, 0, 0]
    case .icmp: frame += [icmp.0, icmp.1, 0, 0, 0, 1, 0, 1]
    case .solicitation, .advertisement:
      guard isIPv6 else {
        frame += [13, 0, 0, 0, 0, 0, 0, 0]
        return
      }
      let type: UInt8 = transport == .solicitation ? 135 : 136
      frame += [type, 0, 0, 0, 0, 0, 0, 0]
      frame.put(ipv6Source ^ 3, 16)
      guard hasLinkAddress else { return }
      frame += [type - 134, 1]
      frame.put(UInt128(source), 6)
    case .other: break
    }
  }

  /// The packet with its checksums.
  private func summed(_ packet: [UInt8]) -> [UInt8] {
    var frame = [UInt8](repeating: 0, count: 12)
    frame.put(UInt128(networkType), 2)
    frame += packet
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

extension [UInt8] {
  /// Appends a number as big-endian bytes.
  fileprivate mutating func put(_ value: UInt128, _ count: Int) {
    for i in 0..<count { append(UInt8(truncatingIfNeeded: value >> UInt128(8 * (count - 1 - i)))) }
  }
}
