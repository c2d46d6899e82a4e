// FrameRewriter.swift
//
// What: carries out the actions that change a frame: set_field, push and pop of VLAN tags, dec_ttl. Checksums that cover changed
//       bytes are updated with them.
// Invariants: writes only inside the frame or, for a pushed tag, into the headroom of its chunk; keeps `layout` true
//             to the frame, so that actions can follow each other. An action whose header is missing changes nothing and says so.
// Threads: confined to the worker that owns the frame.
// Cost: only flows with a program come here; a MAC rewrite is a masked 8-byte store, an address rewrite adds two checksum updates.

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
    let l4 = Int(layout.l4)
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
    case .tcpSrc, .tcpDst: return setPort(field == .tcpSrc ? 0 : 2, IPProtocol.tcp, value, mask, l4)
    case .udpSrc, .udpDst: return setPort(field == .udpSrc ? 0 : 2, IPProtocol.udp, value, mask, l4)
    case .sctpSrc, .sctpDst: return setPort(field == .sctpSrc ? 0 : 2, IPProtocol.sctp, value, mask, l4)
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

  /// Pushes a VLAN tag with VID 0 and priority 0 in front of the outermost one.
  mutating func pushVLAN(tpid: UInt16) -> Outcome {
    guard room >= 4, layout.tags < 2 else { return .failed }
    let front = bytes - 4
    let addresses = loadRaw(bytes, 0, as: UInt64.self)
    let rest = loadRaw(bytes, 8, as: UInt32.self)
    UnsafeMutableRawPointer(front).storeBytes(of: addresses, toByteOffset: 0, as: UInt64.self)
    UnsafeMutableRawPointer(front).storeBytes(of: rest, toByteOffset: 8, as: UInt32.self)
    store16(front, 12, tpid)
    store16(front, 14, 0)
    moveStart(by: -4)
    layout.tags += 1
    return .done
  }

  /// Removes the outermost VLAN tag.
  mutating func popVLAN() -> Outcome {
    guard layout.tags > 0 else { return .failed }
    let addresses = loadRaw(bytes, 0, as: UInt64.self)
    let rest = loadRaw(bytes, 8, as: UInt32.self)
    UnsafeMutableRawPointer(bytes).storeBytes(of: addresses, toByteOffset: 4, as: UInt64.self)
    UnsafeMutableRawPointer(bytes).storeBytes(of: rest, toByteOffset: 12, as: UInt32.self)
    moveStart(by: 4)
    layout.tags -= 1
    return .done
  }

  /// Takes one from the TTL or hop limit.
  mutating func decrementTTL() -> Outcome {
    let l3 = Int(layout.l3)
    switch layout.ipVersion {
    case 4:
      let ttl = bytes[l3 + 8]
      guard ttl > 1 else { return .ttlExpired }
      _ = set(.ipTTL, value: UInt128(ttl - 1), mask: 0xff)
    case 6:
      guard bytes[l3 + 7] > 1 else { return .ttlExpired }
      bytes[l3 + 7] -= 1
    default:
      return .failed
    }
    return .done
  }

  // MARK: - Pieces

  private mutating func moveStart(by offset: Int) {
    bytes += offset
    length -= offset
    room += offset
    if layout.l3 != 0 { layout.l3 = UInt16(Int(layout.l3) - offset) }
    if layout.l4 != 0 { layout.l4 = UInt16(Int(layout.l4) - offset) }
  }

  private mutating func setTOS(_ value: UInt128, _ mask: UInt128) -> Outcome {
    let l3 = Int(layout.l3)
    switch layout.ipVersion {
    case 4: adjust16(at: l3 + 10, by: replaceSummed(at: l3, 2, value, mask))
    case 6: replace(at: l3, 2, value << 4, mask << 4)
    default: return .failed
    }
    return .done
  }

  private mutating func setPort(
    _ offset: Int, _ proto: UInt8, _ value: UInt128, _ mask: UInt128, _ l4: Int
  ) -> Outcome {
    // The prerequisite was checked when the rule was added, so only a later fragment has no L4 header here: it goes on as it is.
    guard l4 != 0 else { return .done }
    if proto == IPProtocol.sctp { return setSCTPPort(offset, value, mask, l4) }
    let difference = replaceSummed(at: l4 + offset, 2, value, mask)
    let place = l4 + (proto == IPProtocol.tcp ? 16 : 6)
    if proto == IPProtocol.udp { adjustUDP(at: place, by: difference) } else { adjust16(at: place, by: difference) }
    return .done
  }

  /// SCTP has a CRC32c over the whole packet instead of a sum (RFC 9260, section 6.8); a fragment's cannot be computed.
  private mutating func setSCTPPort(_ offset: Int, _ value: UInt128, _ mask: UInt128, _ l4: Int) -> Outcome {
    let l3 = Int(layout.l3)
    let end: Int
    if layout.ipVersion == 4 {
      guard load16(bytes, l3 + 6) & 0x3fff == 0 else { return .failed }
      end = l3 + Int(load16(bytes, l3 + 2))
    } else {
      guard !walkExtensions().isFragment else { return .failed }
      end = l3 + 40 + Int(load16(bytes, l3 + 4))
    }
    guard end <= length, l4 + 12 <= end else { return .failed }
    replace(at: l4 + offset, 2, value, mask)
    UnsafeMutableRawPointer(bytes).storeBytes(of: 0, toByteOffset: l4 + 8, as: UInt32.self)
    let crc = sluice_crc32c(bytes + l4, end - l4, 0)
    UnsafeMutableRawPointer(bytes).storeBytes(of: crc.littleEndian, toByteOffset: l4 + 8, as: UInt32.self)
    return .done
  }

  /// Replaces masked bits of `count` big-endian bytes.
  private func replace(at offset: Int, _ count: Int, _ value: UInt128, _ mask: UInt128) {
    for i in 0..<count {
      let shift = UInt128((count - 1 - i) * 8)
      let m = UInt8(truncatingIfNeeded: mask >> shift)
      let v = UInt8(truncatingIfNeeded: value >> shift)
      bytes[offset + i] = bytes[offset + i] & ~m | v & m
    }
  }

  /// Replaces masked bits of an even number of bytes and returns what that does to a checksum over them.
  private func replaceSummed(at offset: Int, _ count: Int, _ value: UInt128, _ mask: UInt128) -> UInt64 {
    var difference: UInt64 = 0
    for i in stride(from: 0, to: count, by: 2) { difference &+= UInt64(~loadRaw(bytes, offset + i, as: UInt16.self)) }
    replace(at: offset, count, value, mask)
    for i in stride(from: 0, to: count, by: 2) { difference &+= UInt64(loadRaw(bytes, offset + i, as: UInt16.self)) }
    return difference
  }

  private func adjust16(at offset: Int, by difference: UInt64) {
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
    let l3 = Int(layout.l3)
    let l4 = Int(layout.l4)
    switch layout.ipVersion == 4 ? bytes[l3 + 9] : walkExtensions().proto {
    case IPProtocol.tcp: adjust16(at: l4 + 16, by: difference)
    case IPProtocol.udp: adjustUDP(at: l4 + 6, by: difference)
    case IPProtocol.icmpv6 where layout.ipVersion == 6: adjust16(at: l4 + 2, by: difference)
    default: break
    }
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
