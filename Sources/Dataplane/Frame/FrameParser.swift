// FrameParser.swift
//
// What: reads a frame into a FlowKey and a FrameLayout. The one place where bytes from the wire are looked at for the
//       first time.
// Invariants: never reads at or past `length`; reads each byte at most a fixed number of times (no loop over packet-controlled
//             counts but the eight IPv6 extension headers); writes line 0 always, and line 1 exactly when `lines` says so.
// Threads: pure.
// Cost: a plain IPv4 TCP or UDP packet takes one path of about 40 instructions (`parse`); everything else goes through
//       `parseGeneral`, a call. Key words are built in registers and stored once.
//
// The caller guarantees that the frame buffer has at least `length` readable bytes; nothing else about the bytes is trusted.

/// IPv6 extension headers that are followed before the packet is called malformed.
let extensionHeaderLimit = 8

/// Reads a frame.
///
/// - Parameters:
///   - frame: the first byte of the Ethernet header.
///   - length: bytes in the frame, without the FCS.
///   - inPortBigEndian: the ingress port's OpenFlow number, in network byte order.
///   - key: written; line 1 only when the result's `lines` is 3.
/// - Returns: where the headers are, or the problem that makes the frame unparsable.
@inline(__always)
func parse(
  _ frame: UnsafePointer<UInt8>, length: Int, inPortBigEndian: UInt32, into key: UnsafeMutablePointer<FlowKey>
) -> FrameLayout {
  // Ethernet + IPv4 without options + the first 8 bytes of L4 are 42 bytes: one length test covers all loads below.
  guard length >= 42 else {
    return parseGeneral(frame, length: length, inPortBigEndian: inPortBigEndian, into: key)
  }
  let word1 = loadRaw(frame, 8, as: UInt64.self).littleEndian  // src[2...], EtherType, version/IHL, TOS
  let fragment = loadRaw(frame, 20, as: UInt16.self).littleEndian & 0xff3f  // MF and offset; DF and the reserved bit do not matter
  let totalLength = Int(load16(frame, 16))
  let ttlProto = loadRaw(frame, 22, as: UInt16.self).littleEndian
  let isPlainIPv4 = word1 & 0x00ff_ffff_0000_0000 == 0x0045_0008_0000_0000
  let proto = UInt8(truncatingIfNeeded: ttlProto >> 8)
  let isTCP = proto == IPProtocol.tcp
  let l4Bytes = isTCP ? 20 : 8
  guard isPlainIPv4, fragment == 0, isTCP || proto == IPProtocol.udp,
    totalLength &- 20 >= l4Bytes, totalLength &+ 14 <= length
  else {
    return parseGeneral(frame, length: length, inPortBigEndian: inPortBigEndian, into: key)
  }
  var line = FlowLine()
  line.w0 = loadRaw(frame, 0, as: UInt64.self).littleEndian
  line.w1 = word1 & 0x0000_ffff_ffff_ffff
  line.w2 = loadRaw(frame, 26, as: UInt64.self).littleEndian
  var ports = UInt64(loadRaw(frame, 34, as: UInt32.self).littleEndian)
  if isTCP { ports |= UInt64(loadRaw(frame, 46, as: UInt16.self).littleEndian & 0xff0f) << 32 }
  line.w3 = ports
  line.w4 =
    UInt64(ttlProto) | (word1 >> 56) << 16 | UInt64(inPortBigEndian.littleEndian) << 32
  key.pointee.line0 = line
  return FrameLayout.plainIPv4
}

/// Reads any frame: the rare shapes, and the malformed ones.
@inline(never)
func parseGeneral(
  _ frame: UnsafePointer<UInt8>, length: Int, inPortBigEndian: UInt32, into key: UnsafeMutablePointer<FlowKey>
) -> FrameLayout {
  var parser = GeneralParser(frame: frame, length: length)
  parser.run()
  parser.line0.w4 |= UInt64(inPortBigEndian.littleEndian) << 32
  key.pointee.line0 = parser.line0
  if parser.layout.lines == 3 { key.pointee.line1 = parser.line1 }
  return parser.layout
}

/// Parses one frame header by header.
private struct GeneralParser {
  let frame: UnsafePointer<UInt8>
  let length: Int
  var line0 = FlowLine()
  var line1 = FlowLine()
  var layout = FrameLayout()

  init(frame: UnsafePointer<UInt8>, length: Int) {
    self.frame = frame
    self.length = length
  }

  mutating func run() {
    guard length >= 14 else { return fail(.ethernetTruncated) }
    line0.w0 = loadRaw(frame, 0, as: UInt64.self).littleEndian
    line0.w1 = UInt64(loadRaw(frame, 8, as: UInt32.self).littleEndian)
    var type = load16(frame, 12)
    var offset = 14
    while EtherType.isTag(type) {
      guard offset + 4 <= length else { return fail(.vlanTruncated) }
      guard layout.tags < 2 else { return fail(.tooManyTags) }
      let control = UInt64(((load16(frame, offset) & 0xefff) | vlanPresent).byteSwapped)
      if layout.tags == 0 { line0.w1 |= control << 48 } else { line0.w3 |= control << 48 }
      layout.tags += 1
      type = load16(frame, offset + 2)
      offset += 4
    }
    line0.w1 |= UInt64(type.byteSwapped) << 32
    switch type {
    case EtherType.ipv4: ipv4(at: offset)
    case EtherType.ipv6: ipv6(at: offset)
    case EtherType.arp, EtherType.rarp: arp(at: offset)
    case EtherType.mpls, EtherType.mplsMulticast: mpls(at: offset)
    case EtherType.pbb: pbb(at: offset)
    default: break
    }
  }

  /// The outermost label stack entry. What is below it is not known: a switch that does not know the label cannot tell.
  private mutating func mpls(at offset: Int) {
    guard offset + 4 <= length else { return fail(.mplsTruncated) }
    line0.w7 = UInt64(loadRaw(frame, offset, as: UInt32.self).littleEndian)
  }

  /// The service ID. Behind the four bytes of the tag there must be a whole Ethernet header, so that what is left when the tag is popped is a frame.
  private mutating func pbb(at offset: Int) {
    guard offset + 18 <= length else { return fail(.pbbTruncated) }
    line0.w7 = UInt64(loadRaw(frame, offset, as: UInt32.self).littleEndian & 0xffff_ff00) << 32
  }

  private mutating func fail(_ problem: Malformation) { layout.problem = problem.rawValue }

  private mutating func setIP(proto: UInt8, ttl: UInt8, tos: UInt8, fragment: UInt8) {
    line0.w4 |= UInt64(ttl) | UInt64(proto) << 8 | UInt64(tos) << 16 | UInt64(fragment) << 24
  }

  private mutating func ipv4(at offset: Int) {
    guard offset + 20 <= length else { return fail(.ipv4Truncated) }
    let first = frame[offset]
    let headerLength = Int(first & 15) * 4
    let totalLength = Int(load16(frame, offset + 2))
    guard first >> 4 == 4, headerLength >= 20 else { return fail(.ipv4BadHeader) }
    guard totalLength >= headerLength, offset + totalLength <= length else { return fail(.ipv4BadLength) }
    let fragmentWord = load16(frame, offset + 6)
    var fragment: UInt8 = 0
    if fragmentWord & 0x3fff != 0 { fragment = FragmentBits.any }
    if fragmentWord & 0x1fff != 0 { fragment |= FragmentBits.later }
    let proto = frame[offset + 9]
    layout.l3 = UInt16(offset)
    layout.ipVersion = 4
    line0.w2 = loadRaw(frame, offset + 12, as: UInt64.self).littleEndian
    setIP(proto: proto, ttl: frame[offset + 8], tos: frame[offset + 1], fragment: fragment)
    if fragment & FragmentBits.later == 0 {
      l4(proto, at: offset + headerLength, end: offset + totalLength, isFirstFragment: fragment != 0)
    }
  }

  private mutating func ipv6(at offset: Int) {
    guard offset + 40 <= length else { return fail(.ipv6Truncated) }
    let first = load32(frame, offset)
    guard first >> 28 == 6 else { return fail(.ipv6BadHeader) }
    let end = offset + 40 + Int(load16(frame, offset + 4))
    guard end <= length else { return fail(.ipv6BadLength) }
    layout.l3 = UInt16(offset)
    layout.ipVersion = 6
    layout.lines = 3
    line1.w0 = loadRaw(frame, offset + 8, as: UInt64.self).littleEndian
    line1.w1 = loadRaw(frame, offset + 16, as: UInt64.self).littleEndian
    line1.w2 = loadRaw(frame, offset + 24, as: UInt64.self).littleEndian
    line1.w3 = loadRaw(frame, offset + 32, as: UInt64.self).littleEndian

    var proto = frame[offset + 6]
    var at = offset + 40
    var fragment: UInt8 = 0
    var seen = 0
    var extensions = ExtensionHeaders()
    walk: while true {
      switch proto {
      case IPProtocol.hopByHop, IPProtocol.routing, IPProtocol.destinationOptions, IPProtocol.mobility,
        IPProtocol.authentication, IPProtocol.fragment:
        extensions.note(proto)
        seen += 1
        guard seen <= extensionHeaderLimit, at + 8 <= end else { return fail(.ipv6BadExtension) }
        let next = frame[at]
        if proto == IPProtocol.fragment {
          let word = load16(frame, at + 2)
          if word & 0xfff9 != 0 { fragment = FragmentBits.any }
          if word & 0xfff8 != 0 { fragment |= FragmentBits.later }
          at += 8
        } else {
          // AH counts in 4-byte units minus 2 (RFC 4302 section 2.2), the others in 8-byte units minus 1 (RFC 8200).
          let size = Int(frame[at + 1])
          at += proto == IPProtocol.authentication ? (size + 2) * 4 : (size + 1) * 8
        }
        guard at <= end else { return fail(.ipv6BadExtension) }
        proto = next
        // What follows in a later fragment is a piece of the payload, not a header.
        if fragment & FragmentBits.later != 0 { break walk }
      default:
        extensions.note(proto)
        break walk
      }
    }
    line1.w6 = UInt64((first & 0xfffff | UInt32(extensions.bits) << 20).byteSwapped)
    setIP(
      proto: proto, ttl: frame[offset + 7], tos: UInt8(truncatingIfNeeded: first >> 20), fragment: fragment)
    if fragment & FragmentBits.later == 0 { l4(proto, at: at, end: end, isFirstFragment: fragment != 0) }
  }

  private mutating func l4(_ proto: UInt8, at offset: Int, end: Int, isFirstFragment: Bool) {
    let needed: Int
    switch proto {
    case IPProtocol.tcp: needed = 20
    case IPProtocol.udp: needed = 8
    case IPProtocol.sctp: needed = 12
    case IPProtocol.icmp where layout.ipVersion == 4: needed = 8
    case IPProtocol.icmpv6 where layout.ipVersion == 6: needed = 4
    default: return
    }
    guard offset + needed <= end else { return fail(.l4Truncated) }
    layout.l4 = UInt16(offset)
    switch proto {
    case IPProtocol.icmp, IPProtocol.icmpv6:
      // Type and code as 16-bit numbers where TCP has its ports.
      line0.w3 |= UInt64(frame[offset]) << 8 | UInt64(frame[offset + 1]) << 24
      if proto == IPProtocol.icmpv6, !isFirstFragment { neighbourDiscovery(at: offset, end: end) }
    case IPProtocol.tcp:
      line0.w3 |=
        UInt64(loadRaw(frame, offset, as: UInt32.self).littleEndian)
        | UInt64(loadRaw(frame, offset + 12, as: UInt16.self).littleEndian & 0xff0f) << 32
    default:
      line0.w3 |= UInt64(loadRaw(frame, offset, as: UInt32.self).littleEndian)
    }
  }

  /// Neighbour solicitation and advertisement: target, and the first link-layer address option (RFC 4861, 4.3, 4.4, 4.6.1).
  private mutating func neighbourDiscovery(at offset: Int, end: Int) {
    let type = frame[offset]
    guard type == 135 || type == 136, frame[offset + 1] == 0, offset + 24 <= end else { return }
    line1.w4 = loadRaw(frame, offset + 8, as: UInt64.self).littleEndian
    line1.w5 = loadRaw(frame, offset + 16, as: UInt64.self).littleEndian
    // An option of 8 bytes right behind the target is where senders put the link-layer address.
    guard offset + 32 <= end, frame[offset + 25] == 1 else { return }
    let option = frame[offset + 24]
    if option == 1, type == 135 {
      line1.w6 |= UInt64(loadRaw(frame, offset + 26, as: UInt32.self).littleEndian) << 32
      line1.w7 |= UInt64(loadRaw(frame, offset + 30, as: UInt16.self).littleEndian)
    } else if option == 2, type == 136 {
      line1.w7 |= loadRaw(frame, offset + 24, as: UInt64.self).littleEndian & 0xffff_ffff_ffff_0000
    }
  }

  private mutating func arp(at offset: Int) {
    // Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4 (RFC 826).
    guard offset + 28 <= length, load32(frame, offset) == 0x0001_0800, load16(frame, offset + 4) == 0x0604 else {
      return fail(.arpBad)
    }
    layout.l3 = UInt16(offset)
    let operation = load16(frame, offset + 6)
    if operation <= 255 { line0.w4 |= UInt64(operation) << 8 }
    line0.w2 =
      UInt64(loadRaw(frame, offset + 14, as: UInt32.self).littleEndian)
      | UInt64(loadRaw(frame, offset + 24, as: UInt32.self).littleEndian) << 32
    line0.w5 =
      UInt64(loadRaw(frame, offset + 8, as: UInt32.self).littleEndian)
      | UInt64(loadRaw(frame, offset + 12, as: UInt16.self).littleEndian) << 32
    line0.w6 =
      UInt64(loadRaw(frame, offset + 18, as: UInt32.self).littleEndian)
      | UInt64(loadRaw(frame, offset + 22, as: UInt16.self).littleEndian) << 32
  }
}

/// Which extension headers an IPv6 packet has, and whether they follow each other as RFC 8200, section 4.1 recommends: hop-by-hop options,
/// destination options, routing, fragment, authentication, encryption, destination options.
private struct ExtensionHeaders {
  /// As ExtensionHeaderBits has them.
  private(set) var bits: UInt16 = 0
  /// The headers so far, by the bit that each has, also where that bit is not set for it.
  private var found: UInt16 = 0
  private var isFirst = true
  /// The place in the recommended order of the last header that was in order.
  private var rank = -1
  private var destinations = 0

  /// Notes the next header of the chain; other protocols than those of the list change nothing.
  @inline(__always)
  mutating func note(_ proto: UInt8) {
    defer { isFirst = false }
    switch proto {
    case IPProtocol.hopByHop:
      // Anywhere but in front it is a mistake of the sender, not the header that routers look for.
      if !isFirst, found & ExtensionHeaderBits.hopByHop == 0 { bits |= ExtensionHeaderBits.outOfOrder }
      add(ExtensionHeaderBits.hopByHop, rank: 0, isHidden: !isFirst)
    case IPProtocol.destinationOptions:
      // The first may stand in front of a routing header; a second one is expected at the end only.
      destinations += 1
      let bit = ExtensionHeaderBits.destination
      if destinations > 2 { bits |= ExtensionHeaderBits.repeated }
      bits |= bit
      found |= bit
      if destinations == 1, rank < 1 { rank = 1 } else { rank = 6 }
    case IPProtocol.routing: add(ExtensionHeaderBits.routing, rank: 2)
    case IPProtocol.fragment: add(ExtensionHeaderBits.fragment, rank: 3)
    case IPProtocol.authentication: add(ExtensionHeaderBits.authentication, rank: 4)
    case IPProtocol.encryption: add(ExtensionHeaderBits.encryption, rank: 5)
    case IPProtocol.noNextHeader: bits |= ExtensionHeaderBits.noNext
    default: break
    }
  }

  private mutating func add(_ bit: UInt16, rank place: Int, isHidden: Bool = false) {
    if found & bit != 0 { bits |= ExtensionHeaderBits.repeated }
    if place < rank { bits |= ExtensionHeaderBits.outOfOrder }
    rank = max(rank, place)
    found |= bit
    if !isHidden { bits |= bit }
  }
}

/// Parses a frame held in an array: for tests, `trace` and tools.
///
/// - Parameter inPort: the OpenFlow number of the ingress port.
/// - Returns: the key (all lines valid) and the layout.
public func parseFrame(_ bytes: [UInt8], inPort: UInt32) -> (key: FlowKey, layout: FrameLayout) {
  var key = FlowKey()
  let layout = bytes.withUnsafeBufferPointer { buffer -> FrameLayout in
    guard let base = buffer.baseAddress else {
      var empty = FrameLayout()
      empty.problem = Malformation.ethernetTruncated.rawValue
      return empty
    }
    return parse(base, length: buffer.count, inPortBigEndian: inPort.bigEndian, into: &key)
  }
  return (key, layout)
}
