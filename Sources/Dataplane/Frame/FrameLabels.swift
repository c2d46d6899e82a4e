// FrameLabels.swift
//
// What: pushes and pops MPLS label stack entries, and everything that is done to a TTL: taken one from, copied inwards and outwards; and the
//       DSCP that a meter changes.
// Invariants: as FrameRewriter says. Only the lowest entry of a stack has the bottom-of-stack bit. Pushing and popping parse anew, so that the
//             actions behind a pop find the IP packet that was below.
// Threads: confined to the worker that owns the frame.
// Cost: a push or a pop is a parse of the general kind; the rest are a few loads and stores.
// Source: RFC 3032 (label stack), RFC 3443 (TTL), OpenFlow 1.3.5, section 5.12.

/// The bottom-of-stack bit of a label stack entry (RFC 3032, section 2.1).
private let bottomOfStack: UInt32 = 0x100

extension ActiveFrame {
  /// A whole label stack entry stands behind the VLAN tags.
  private var isLabelled: Bool { Self.isMPLS(etherType) && networkOffset + 4 <= length }

  private static func isMPLS(_ type: UInt16) -> Bool { type == EtherType.mpls || type == EtherType.mplsMulticast }

  /// Pushes an entry right behind the Ethernet addresses.
  mutating func pushMPLS(etherType type: UInt16) -> Outcome {
    guard room >= 4 else { return .failed }
    var entry = isLabelled ? load32(bytes, networkOffset) & ~bottomOfStack : UInt32(ttl ?? 0)
    // What follows is an entry only when its EtherType stands where the new one goes: a VLAN tag in between ends the stack.
    if !Self.isMPLS(load16(bytes, 12)) { entry |= bottomOfStack }
    moveAddresses(by: -4)
    store16(bytes, 12, type)
    store32(bytes, 14, entry)
    relayout()
    return .done
  }

  /// Removes the outermost entry; `type` says what is below.
  mutating func popMPLS(etherType type: UInt16) -> Outcome {
    guard isLabelled else { return .failed }
    let typePlace = 12 + 4 * Int(layout.tags)
    // The tags, if any, move with the addresses.
    for place in stride(from: typePlace - 4, to: 8, by: -4) {
      let word = loadRaw(bytes, place, as: UInt32.self)
      UnsafeMutableRawPointer(bytes).storeBytes(of: word, toByteOffset: place + 4, as: UInt32.self)
    }
    moveAddresses(by: 4)
    store16(bytes, typePlace, type)
    relayout()
    return .done
  }

  /// Replaces bits of the outermost entry.
  mutating func setLabel(_ value: UInt128, _ mask: UInt128) -> Outcome {
    guard isLabelled else { return .failed }
    replace(at: networkOffset, 4, value, mask)
    return .done
  }

  // MARK: - TTL

  /// Takes one from the TTL or hop limit.
  mutating func decrementTTL() -> Outcome {
    guard let ttl else { return .failed }
    guard ttl > 1 else { return .ttlExpired }
    return set(.ipTTL, value: UInt128(ttl - 1), mask: 0xff)
  }

  /// Takes one from the TTL of the outermost entry.
  mutating func decrementMPLSTTL() -> Outcome {
    guard isLabelled else { return .failed }
    let place = networkOffset + 3
    guard bytes[place] > 1 else { return .ttlExpired }
    bytes[place] -= 1
    return .done
  }

  /// Copies the TTL of the outermost entry to the header below it.
  mutating func copyTTLIn() -> Outcome {
    guard isLabelled else { return .failed }
    let ttl = bytes[networkOffset + 3]
    switch below {
    case .entry(let at): bytes[at + 3] = ttl
    case .ipv4(let at): adjust16(at: at + 10, by: replaceSummed(at: at + 8, 2, UInt128(ttl) << 8, 0xff00))
    case .ipv6(let at): bytes[at + 7] = ttl
    case .nothing: break
    }
    return .done
  }

  /// Copies the TTL of the header below the outermost entry to that entry.
  mutating func copyTTLOut() -> Outcome {
    guard isLabelled else { return .failed }
    let place = networkOffset + 3
    switch below {
    case .entry(let at): bytes[place] = bytes[at + 3]
    case .ipv4(let at): bytes[place] = bytes[at + 8]
    case .ipv6(let at): bytes[place] = bytes[at + 7]
    case .nothing: break
    }
    return .done
  }

  /// The TTL or hop limit of the IP packet that the frame shows.
  private var ttl: UInt8? {
    switch layout.ipVersion {
    case 4: bytes[Int(layout.l3) + 8]
    case 6: bytes[Int(layout.l3) + 7]
    default: nil
    }
  }

  /// A header with a TTL, and where it begins.
  private enum Below { case entry(Int), ipv4(Int), ipv6(Int), nothing }

  /// What is below the outermost entry, which is there. Nothing says what follows the last entry, so an IP packet is known by its first
  /// byte, as routers do it (RFC 4928, section 3).
  private var below: Below {
    let at = networkOffset + 4
    guard load32(bytes, networkOffset) & bottomOfStack != 0 else { return at + 4 <= length ? .entry(at) : .nothing }
    guard at + 20 <= length else { return .nothing }
    switch bytes[at] >> 4 {
    case 4 where bytes[at] & 15 >= 5 && at + Int(bytes[at] & 15) * 4 <= length: return .ipv4(at)
    case 6 where at + 40 <= length: return .ipv6(at)
    default: return .nothing
    }
  }

  // MARK: - DSCP

  /// Raises the drop precedence of an assured forwarding packet (AFxy: class x of 1 to 4, precedence y of 1 to 3; RFC 2597) by so much, to 3 at
  /// most; leaves others alone.
  mutating func raiseDropPrecedence(by steps: Int) {
    let l3 = Int(layout.l3)
    let tos: UInt8
    switch layout.ipVersion {
    case 4: tos = bytes[l3 + 1]
    case 6: tos = UInt8(truncatingIfNeeded: load16(bytes, l3) >> 4)
    default: return
    }
    let dscp = Int(tos >> 2)
    let precedence = dscp >> 1 & 3
    guard 1...4 ~= dscp >> 3, precedence > 0, dscp & 1 == 0 else { return }
    _ = set(.ipDSCP, value: UInt128(dscp & 0x38 | min(3, precedence + steps) << 1), mask: 0x3f)
  }
}
