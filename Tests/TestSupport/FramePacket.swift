// FramePacket.swift
//
// What: builds frames for tests, header by header, with the lengths and checksums that a sender would put in:
//
//     FramePacket(to: "02:00:00:00:00:02", from: "02:00:00:00:00:01")
//       .vlan(100, priority: 3)
//       .ipv4("10.0.0.1", "10.0.0.2", ttl: 9)
//       .udp(1000, 53, payload: [1, 2, 3])
//       .bytes
//
//       A test that needs something wrong builds the frame right and then changes the byte that lies.
// Threads: a value.

/// One frame in the making.
public struct FramePacket: Sendable {
  /// A VLAN tag: TPID and tag control word.
  struct Tag: Sendable {
    var tpid: UInt16
    var control: UInt16
  }

  /// An MPLS label stack entry; the bottom-of-stack bit comes from its place.
  struct Label: Sendable {
    var etherType: UInt16
    var label: UInt32
    var trafficClass: UInt8
    var ttl: UInt8
  }

  /// What stands behind the EtherType.
  enum Network: Sendable {
    case raw(etherType: UInt16)
    case ipv4(IPv4Header)
    case ipv6(IPv6Header)
    case arp([UInt8])
  }

  /// What stands behind the network header.
  enum Transport: Sendable {
    case none
    case tcp(flags: UInt16)
    case udp(withChecksum: Bool)
    case sctp
    case icmp(type: UInt8, code: UInt8)
    case icmpv6(type: UInt8, code: UInt8)
    case raw(proto: UInt8)
  }

  var destination: [UInt8]
  var source: [UInt8]
  var tags: [Tag] = []
  var labels: [Label] = []
  var network: Network = .raw(etherType: 0x88b5)
  var transport: Transport = .none
  var ports: (UInt16, UInt16) = (0, 0)
  var payload: [UInt8] = []
  var minimumLength = 0

  /// A frame with EtherType 0x88b5 (local experiments) and nothing in it.
  public init(to destination: String = "02:00:00:00:00:02", from source: String = "02:00:00:00:00:01") {
    self.destination = Self.mac(destination)
    self.source = Self.mac(source)
  }

  // MARK: - Link

  /// Adds a VLAN tag inside the ones that are there.
  public func vlan(_ id: UInt16, priority: UInt8 = 0, dei: Bool = false, tpid: UInt16 = 0x8100) -> Self {
    with { $0.tags.append(Tag(tpid: tpid, control: UInt16(priority) << 13 | (dei ? 0x1000 : 0) | id & 0xfff)) }
  }

  /// Adds an MPLS label stack entry below the ones that are there; the network header stands behind the last one.
  /// - Parameter etherType: 0x8847 or 0x8848; that of the outermost entry counts.
  public func mpls(label: UInt32, trafficClass: UInt8 = 0, ttl: UInt8 = 64, etherType: UInt16 = 0x8847) -> Self {
    with { $0.labels.append(Label(etherType: etherType, label: label, trafficClass: trafficClass, ttl: ttl)) }
  }

  /// Another EtherType, with these bytes behind it.
  public func etherType(_ type: UInt16, payload: [UInt8] = []) -> Self {
    with {
      $0.network = .raw(etherType: type)
      $0.payload = payload
    }
  }

  /// Pads with zeros, as Ethernet pads to 60 bytes.
  public func padded(to length: Int = 60) -> Self { with { $0.minimumLength = length } }

  // MARK: - Network

  /// An IPv4 header.
  /// - Parameters:
  ///   - options: padded with zeros to a multiple of four bytes.
  ///   - fragmentOffset: in bytes, a multiple of eight. A later fragment carries its payload and no transport header.
  public func ipv4(
    _ source: String, _ destination: String, ttl: UInt8 = 64, tos: UInt8 = 0, options: [UInt8] = [],
    fragmentOffset: Int = 0, moreFragments: Bool = false, dontFragment: Bool = false, identification: UInt16 = 1
  ) -> Self {
    with {
      $0.network = .ipv4(
        IPv4Header(
          source: Self.ipv4(source), destination: Self.ipv4(destination), ttl: ttl, tos: tos, options: options,
          fragmentOffset: fragmentOffset, moreFragments: moreFragments, dontFragment: dontFragment,
          identification: identification))
    }
  }

  /// An IPv6 header; `extensions` stand behind it in order.
  /// - Parameters:
  ///   - source: eight groups of hexadecimal digits; `::` once for zeros.
  public func ipv6(
    _ source: String, _ destination: String, hopLimit: UInt8 = 64, trafficClass: UInt8 = 0, label: UInt32 = 0,
    extensions: [IPv6Extension] = []
  ) -> Self {
    with {
      $0.network = .ipv6(
        IPv6Header(
          source: Self.ipv6(source), destination: Self.ipv6(destination), hopLimit: hopLimit, trafficClass: trafficClass,
          label: label, extensions: extensions))
    }
  }

  /// An ARP packet.
  /// - Parameter operation: 1 for a request, 2 for a reply.
  public func arp(
    operation: UInt16, senderMAC: String, senderIP: String, targetMAC: String, targetIP: String
  ) -> Self {
    with {
      $0.network = .arp(
        [0, 1, 8, 0, 6, 4] + bigEndian(operation) + Self.mac(senderMAC) + Self.ipv4(senderIP) + Self.mac(targetMAC)
          + Self.ipv4(targetIP))
    }
  }

  // MARK: - Transport

  public func tcp(_ source: UInt16, _ destination: UInt16, flags: UInt16 = 0x010, payload: [UInt8] = []) -> Self {
    transport(.tcp(flags: flags), source, destination, payload)
  }

  /// - Parameter withChecksum: false leaves the checksum zero: "none", over IPv4.
  public func udp(_ source: UInt16, _ destination: UInt16, payload: [UInt8] = [], withChecksum: Bool = true) -> Self {
    transport(.udp(withChecksum: withChecksum), source, destination, payload)
  }

  public func sctp(_ source: UInt16, _ destination: UInt16, payload: [UInt8] = []) -> Self {
    transport(.sctp, source, destination, payload)
  }

  /// - Parameter payload: what stands behind type, code and checksum.
  public func icmp(type: UInt8, code: UInt8, payload: [UInt8] = [0, 1, 0, 1]) -> Self {
    transport(.icmp(type: type, code: code), 0, 0, payload)
  }

  /// - Parameter payload: what stands behind type, code and checksum.
  public func icmpv6(type: UInt8, code: UInt8, payload: [UInt8] = [0, 0, 0, 0]) -> Self {
    transport(.icmpv6(type: type, code: code), 0, 0, payload)
  }

  /// Neighbour solicitation (135) or advertisement (136), with a link-layer address option if `linkAddress` is not nil.
  public func neighbour(type: UInt8, target: String, linkAddress: String? = nil) -> Self {
    let option = linkAddress.map { [type == 135 ? 1 : 2, 1] + Self.mac($0) } ?? []
    return icmpv6(type: type, code: 0, payload: [0, 0, 0, 0] + Self.ipv6(target) + option)
  }

  /// Any other protocol above IP.
  public func ip(proto: UInt8, payload: [UInt8]) -> Self { transport(.raw(proto: proto), 0, 0, payload) }

  // MARK: - The frame

  /// The frame as it goes over the wire, without FCS.
  public var bytes: [UInt8] {
    var frame = destination + source
    for tag in tags { frame += bigEndian(tag.tpid) + bigEndian(tag.control) }
    let type: UInt16
    let body: [UInt8]
    switch network {
    case .raw(let etherType): (type, body) = (etherType, payload)
    case .arp(let packet): (type, body) = (0x0806, packet)
    case .ipv4(let header): (type, body) = (0x0800, header.packet(self))
    case .ipv6(let header): (type, body) = (0x86dd, header.packet(self))
    }
    frame += bigEndian(labels.first?.etherType ?? type)
    for (place, entry) in labels.enumerated() {
      let word = entry.label << 12 | UInt32(entry.trafficClass) << 9 | (place == labels.count - 1 ? 0x100 : 0) | UInt32(entry.ttl)
      frame += bigEndian(UInt16(word >> 16)) + bigEndian(UInt16(truncatingIfNeeded: word))
    }
    frame += body
    if frame.count < minimumLength { frame += [UInt8](repeating: 0, count: minimumLength - frame.count) }
    return frame
  }

  /// Where the network header begins.
  public var networkOffset: Int { 14 + 4 * (tags.count + labels.count) }

  /// The protocol number of the transport header.
  var proto: UInt8 {
    switch transport {
    case .none: 253
    case .tcp: 6
    case .udp: 17
    case .sctp: 132
    case .icmp: 1
    case .icmpv6: 58
    case .raw(let proto): proto
    }
  }

  /// Transport header and payload; `pseudoHeader` goes into the checksum.
  func segment(pseudoHeader: (_ length: Int) -> [UInt8]) -> [UInt8] {
    let portBytes = bigEndian(ports.0) + bigEndian(ports.1)
    switch transport {
    case .none, .raw: return payload
    case .tcp(let flags):
      let header = portBytes + [0, 0, 0, 1, 0, 0, 0, 2] + bigEndian(0x5000 | flags) + [0x20, 0, 0, 0, 0, 0]
      return summed(header + payload, at: 16, pseudoHeader)
    case .udp(let withChecksum):
      let whole = portBytes + bigEndian(UInt16(truncatingIfNeeded: 8 + payload.count)) + [0, 0] + payload
      guard withChecksum else { return whole }
      var result = summed(whole, at: 6, pseudoHeader)
      if result[6] == 0, result[7] == 0 { result.replaceSubrange(6..<8, with: [0xff, 0xff]) }
      return result
    case .sctp:
      var whole = portBytes + [0, 0, 0, 7, 0, 0, 0, 0] + payload
      let crc = PlainChecksum.crc32c(whole)
      for i in 0..<4 { whole[8 + i] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * i)) }
      return whole
    case .icmp(let type, let code): return summed([type, code, 0, 0] + payload, at: 2) { _ in [] }
    case .icmpv6(let type, let code): return summed([type, code, 0, 0] + payload, at: 2, pseudoHeader)
    }
  }

  private func summed(_ bytes: [UInt8], at place: Int, _ pseudoHeader: (Int) -> [UInt8]) -> [UInt8] {
    var result = bytes
    let sum = PlainChecksum.internet(pseudoHeader(bytes.count) + bytes)
    result.replaceSubrange(place..<place + 2, with: bigEndian(~sum))
    return result
  }

  private func transport(_ kind: Transport, _ source: UInt16, _ destination: UInt16, _ payload: [UInt8]) -> Self {
    with {
      $0.transport = kind
      $0.ports = (source, destination)
      $0.payload = payload
    }
  }

  private func with(_ change: (inout Self) -> Void) -> Self {
    var copy = self
    change(&copy)
    return copy
  }
}

func bigEndian(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
