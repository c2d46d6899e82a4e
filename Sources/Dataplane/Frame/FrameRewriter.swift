// FrameRewriter.swift
//
// What: carries out set_field on a frame. Checksums that cover changed bytes are updated with them. FrameTags.swift pushes and pops,
//       FrameLabels.swift has MPLS and the TTLs.
// Invariants: writes only inside the frame or, for what is pushed, into the headroom of its chunk; keeps `layout` true
//             to the frame, so that actions can follow each other. An action whose header is missing changes nothing and says so. Checksums
//             are updated by the difference, so one that was wrong stays wrong.
// Threads: confined to the worker that owns the frame.
// Cost: only flows with a program come here; a MAC rewrite is a masked 8-byte store, an address rewrite adds two checksum updates, SCTP costs two
//       passes over the packet.

import CSluice

/// A frame on its way through a program.
struct ActiveFrame {
  /// The first byte of the Ethernet header.
  var bytes: FrameBytes
  /// Bytes in the frame.
  var length: Int
  /// Where its headers are.
  var layout: FrameLayout
  /// Free bytes in front of `bytes`.
  var room: Int

  /// What came of a rewriting action.
  enum Outcome { case done, failed, ttlExpired }

  /// Replaces the bits `mask` of a field by `value` (both right-aligned).
  mutating func set(_ field: FlowField, value: UInt128, mask: UInt128) -> Outcome {
    let l3 = Int(layout.l3)
    switch field {
    case .ethDst: replace(at: 0, 6, value, mask)
    case .ethSrc: replace(at: 6, 6, value, mask)
    case .vlanTCI, .vlanVID:
      guard layout.tags > 0 else { return .failed }
      // The present bit of the key is the DEI bit of the frame: it is not written.
      replace(at: 14, 2, value, mask & 0xefff)
    case .vlanPCP:
      guard layout.tags > 0 else { return .failed }
      replace(at: 14, 2, value << 13, mask << 13)
    case .ipv4Src, .ipv4Dst:
      guard layout.ipVersion == 4 else { return .failed }
      let place = l3 + (field == .ipv4Src ? 12 : 16)
      let difference = replaceSummed(at: place, 4, value, mask)
      adjust16(at: l3 + 10, by: difference)
      adjustL4(by: difference)
    case .ipv6Src:
      guard layout.ipVersion == 6 else { return .failed }
      adjustL4(by: replaceSummed(at: l3 + 8, 16, value, mask))
    case .ipv6Dst:
      guard layout.ipVersion == 6 else { return .failed }
      let difference = replaceSummed(at: l3 + 24, 16, value, mask)
      // On its way through a routing header a packet's checksum covers the last address there, not this one (RFC 8200, section 8.1).
      if !walkExtensions().isRouted { adjustL4(by: difference) }
    case .ipv6Label:
      guard layout.ipVersion == 6 else { return .failed }
      replace(at: l3, 4, value, mask & 0xfffff)
    case .ipTOS: return setTOS(value, mask)
    case .ipDSCP: return setTOS(value << 2, mask << 2)
    case .ipECN: return setTOS(value, mask & 3)
    case .ipTTL:
      switch layout.ipVersion {
      case 4: adjust16(at: l3 + 10, by: replaceSummed(at: l3 + 8, 2, value << 8, mask << 8))
      case 6: replace(at: l3 + 7, 1, value, mask)
      default: return .failed
      }
    case .tcpSrc, .tcpDst: return setPort(field == .tcpSrc ? 0 : 2, IPProtocol.tcp, value, mask)
    case .udpSrc, .udpDst: return setPort(field == .udpSrc ? 0 : 2, IPProtocol.udp, value, mask)
    case .sctpSrc, .sctpDst: return setPort(field == .sctpSrc ? 0 : 2, IPProtocol.sctp, value, mask)
    // As in a match, icmp_type and icmp_code are those of ICMPv6 in an IPv6 packet.
    case .icmpType: return setICMP(layout.ipVersion == 6 ? IPProtocol.icmpv6 : IPProtocol.icmp, value << 8, mask << 8)
    case .icmpCode: return setICMP(layout.ipVersion == 6 ? IPProtocol.icmpv6 : IPProtocol.icmp, value, mask)
    case .icmpv6Type: return setICMP(IPProtocol.icmpv6, value << 8, mask << 8)
    case .icmpv6Code: return setICMP(IPProtocol.icmpv6, value, mask)
    case .ndTarget, .ndSLL, .ndTLL: return setNeighbour(field, value, mask)
    case .mplsLabel: return setLabel(value << 12, mask << 12)
    case .mplsTC: return setLabel(value << 9, mask << 9)
    case .mplsTTL: return setLabel(value, mask)
    case .pbbISID:
      guard etherType == EtherType.pbb, networkOffset + 4 <= length else { return .failed }
      replace(at: networkOffset + 1, 3, value, mask)
    case .arpOp, .arpSPA, .arpTPA, .arpSHA, .arpTHA:
      guard layout.ipVersion == 0, l3 != 0 else { return .failed }
      switch field {
      case .arpOp: replace(at: l3 + 6, 2, value, mask)
      case .arpSHA: replace(at: l3 + 8, 6, value, mask)
      case .arpSPA: replace(at: l3 + 14, 4, value, mask)
      case .arpTHA: replace(at: l3 + 18, 6, value, mask)
      default: replace(at: l3 + 24, 4, value, mask)
      }
    default:
      return .failed
    }
    return .done
  }

  // MARK: - Pieces

  /// Where the header behind the VLAN tags begins.
  var networkOffset: Int { 14 + 4 * Int(layout.tags) }

  /// The EtherType behind the VLAN tags.
  var etherType: UInt16 { load16(bytes, 12 + 4 * Int(layout.tags)) }

  private mutating func setTOS(_ value: UInt128, _ mask: UInt128) -> Outcome {
    let l3 = Int(layout.l3)
    switch layout.ipVersion {
    case 4: adjust16(at: l3 + 10, by: replaceSummed(at: l3, 2, value, mask))
    case 6: replace(at: l3, 2, value << 4, mask << 4)
    default: return .failed
    }
    return .done
  }

  private mutating func setPort(_ offset: Int, _ proto: UInt8, _ value: UInt128, _ mask: UInt128) -> Outcome {
    guard layout.ipVersion != 0 else { return .failed }
    // A later fragment has no L4 header: it goes on as it is.
    guard layout.l4 != 0 else { return .done }
    guard l4Protocol == proto else { return .failed }
    let l4 = Int(layout.l4)
    if proto == IPProtocol.sctp { return setSCTPPort(offset, value, mask) }
    let difference = replaceSummed(at: l4 + offset, 2, value, mask)
    let place = l4 + (proto == IPProtocol.tcp ? 16 : 6)
    if proto == IPProtocol.udp { adjustUDP(at: place, by: difference) } else { adjust16(at: place, by: difference) }
    return .done
  }

  /// SCTP has a CRC32c over the whole packet instead of a sum (RFC 9260, section 6.8); a fragment's cannot be computed.
  private mutating func setSCTPPort(_ offset: Int, _ value: UInt128, _ mask: UInt128) -> Outcome {
    let l4 = Int(layout.l4)
    let end = packetEnd
    guard !isFragment, end <= length, l4 + 12 <= end else { return .failed }
    let raw = UnsafeMutableRawPointer(bytes)
    let was = UInt32(littleEndian: loadRaw(bytes, l4 + 8, as: UInt32.self))
    raw.storeBytes(of: 0, toByteOffset: l4 + 8, as: UInt32.self)
    let before = sluice_crc32c(bytes + l4, end - l4, 0)
    replace(at: l4 + offset, 2, value, mask)
    let after = sluice_crc32c(bytes + l4, end - l4, 0)
    // A CRC is linear: what was wrong in the old one is wrong in the new one.
    raw.storeBytes(of: (was ^ before ^ after).littleEndian, toByteOffset: l4 + 8, as: UInt32.self)
    return .done
  }

  /// Sets type and code, which stand where the first 16-bit word of the checksum is.
  private mutating func setICMP(_ proto: UInt8, _ value: UInt128, _ mask: UInt128) -> Outcome {
    guard layout.ipVersion == (proto == IPProtocol.icmp ? 4 : 6) else { return .failed }
    guard layout.l4 != 0 else { return .done }
    guard l4Protocol == proto else { return .failed }
    let l4 = Int(layout.l4)
    adjust16(at: l4 + 2, by: replaceSummed(at: l4, 2, value, mask))
    // A message of nothing but zeros is the only one whose checksum is 0xffff and not 0; only ICMP can be one, because the others cover addresses.
    if proto == IPProtocol.icmp, !isFragment, packetEnd <= length, !(l4..<packetEnd).contains(where: { bytes[$0] != 0 }) {
      store16(bytes, l4 + 2, 0xffff)
    }
    return .done
  }

  /// Sets the target or the link-layer address option of a neighbour solicitation or advertisement: where the parser finds them.
  private mutating func setNeighbour(_ field: FlowField, _ value: UInt128, _ mask: UInt128) -> Outcome {
    guard layout.ipVersion == 6 else { return .failed }
    guard layout.l4 != 0 else { return .done }
    let l4 = Int(layout.l4)
    let end = min(packetEnd, length)
    let path = walkExtensions()
    guard path.proto == IPProtocol.icmpv6 else { return .failed }
    let type = bytes[l4]
    guard type == 135 || type == 136, bytes[l4 + 1] == 0, l4 + 24 <= end, !path.isFragment else { return .done }
    if field == .ndTarget {
      adjust16(at: l4 + 2, by: replaceSummed(at: l4 + 8, 16, value, mask))
      return .done
    }
    let option: UInt8 = field == .ndSLL ? 1 : 2
    guard type == 134 + option, l4 + 32 <= end, bytes[l4 + 24] == option, bytes[l4 + 25] == 1 else { return .done }
    adjust16(at: l4 + 2, by: replaceSummed(at: l4 + 26, 6, value, mask))
    return .done
  }

  /// Replaces masked bits of `count` big-endian bytes.
  func replace(at offset: Int, _ count: Int, _ value: UInt128, _ mask: UInt128) {
    for i in 0..<count {
      let shift = UInt128((count - 1 - i) * 8)
      let m = UInt8(truncatingIfNeeded: mask >> shift)
      let v = UInt8(truncatingIfNeeded: value >> shift)
      bytes[offset + i] = bytes[offset + i] & ~m | v & m
    }
  }

  /// Replaces masked bits of an even number of bytes and returns what that does to a checksum over them.
  func replaceSummed(at offset: Int, _ count: Int, _ value: UInt128, _ mask: UInt128) -> UInt64 {
    var difference: UInt64 = 0
    for i in stride(from: 0, to: count, by: 2) { difference &+= UInt64(~loadRaw(bytes, offset + i, as: UInt16.self)) }
    replace(at: offset, count, value, mask)
    for i in stride(from: 0, to: count, by: 2) { difference &+= UInt64(loadRaw(bytes, offset + i, as: UInt16.self)) }
    return difference
  }

  func adjust16(at offset: Int, by difference: UInt64) {
    let new = Checksum.updated(loadRaw(bytes, offset, as: UInt16.self), by: difference)
    UnsafeMutableRawPointer(bytes).storeBytes(of: new, toByteOffset: offset, as: UInt16.self)
  }

  private func adjustUDP(at offset: Int, by difference: UInt64) {
    let old = loadRaw(bytes, offset, as: UInt16.self)
    guard old != 0 else { return }
    let new = Checksum.updated(old, by: difference)
    UnsafeMutableRawPointer(bytes).storeBytes(of: new == 0 ? 0xffff : new, toByteOffset: offset, as: UInt16.self)
  }

  /// Adjusts the L4 checksum for a change of the pseudo header.
  private func adjustL4(by difference: UInt64) {
    guard layout.l4 != 0 else { return }
    let l4 = Int(layout.l4)
    switch l4Protocol {
    case IPProtocol.tcp: adjust16(at: l4 + 16, by: difference)
    case IPProtocol.udp: adjustUDP(at: l4 + 6, by: difference)
    case IPProtocol.icmpv6 where layout.ipVersion == 6: adjust16(at: l4 + 2, by: difference)
    default: break
    }
  }

  /// The protocol of the L4 header, which is there.
  private var l4Protocol: UInt8 { layout.ipVersion == 4 ? bytes[Int(layout.l3) + 9] : walkExtensions().proto }

  /// Where the IP packet ends, by its own word.
  private var packetEnd: Int {
    let l3 = Int(layout.l3)
    return layout.ipVersion == 4 ? l3 + Int(load16(bytes, l3 + 2)) : l3 + 40 + Int(load16(bytes, l3 + 4))
  }

  /// True for a fragment, the first included.
  private var isFragment: Bool {
    layout.ipVersion == 4 ? load16(bytes, Int(layout.l3) + 6) & 0x3fff != 0 : walkExtensions().isFragment
  }

  /// Walks the extension headers of an IPv6 packet up to its L4 header; the parser has checked them.
  /// - Returns: the L4 protocol, whether a routing header has segments left, and whether more fragments follow.
  private func walkExtensions() -> (proto: UInt8, isRouted: Bool, isFragment: Bool) {
    var proto = bytes[Int(layout.l3) + 6]
    var isRouted = false
    var isFragment = false
    var at = Int(layout.l3) + 40
    while at < Int(layout.l4) {
      let next = bytes[at]
      if proto == IPProtocol.routing, bytes[at + 3] > 0 { isRouted = true }
      if proto == IPProtocol.fragment, load16(bytes, at + 2) & 0xfff9 != 0 { isFragment = true }
      switch proto {
      case IPProtocol.authentication: at += (Int(bytes[at + 1]) + 2) * 4
      case IPProtocol.fragment: at += 8
      default: at += (Int(bytes[at + 1]) + 1) * 8
      }
      proto = next
    }
    return (proto, isRouted, isFragment)
  }
}
