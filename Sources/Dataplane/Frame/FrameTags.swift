// FrameTags.swift
//
// What: pushes and pops VLAN tags and PBB service tags.
// Invariants: as FrameRewriter says. What is pushed goes in front of all other tags (OpenFlow 1.3.5, section 5.12); fields of
//             a new tag are those of the tag that it covers, else zero.
// Threads: confined to the worker that owns the frame.
// Cost: twelve bytes move; a PBB tag is parsed anew.

extension ActiveFrame {
  /// Bytes of an I-TAG with its EtherType and the customer addresses: how much longer a frame gets.
  private static let pbbBytes = 18

  /// Pushes a VLAN tag; VID and priority are those of the outermost one.
  mutating func pushVLAN(tpid: UInt16) -> Outcome {
    guard room >= 4, layout.tags < 2 else { return .failed }
    let control = layout.tags > 0 ? load16(bytes, 14) & 0xefff : 0
    moveAddresses(by: -4)
    store16(bytes, 12, tpid)
    store16(bytes, 14, control)
    layout.tags += 1
    return .done
  }

  /// Removes the outermost VLAN tag.
  mutating func popVLAN() -> Outcome {
    guard layout.tags > 0 else { return .failed }
    moveAddresses(by: 4)
    layout.tags -= 1
    // A frame that came out of a tunnel can have more tags than the layout tells.
    if EtherType.isTag(etherType) { relayout() }
    return .done
  }

  /// Pushes an I-TAG: from now on the frame has backbone addresses, and its own are the customer's.
  mutating func pushPBB() -> Outcome {
    guard room >= Self.pbbBytes else { return .failed }
    let priority = layout.tags > 0 ? bytes[14] & 0xe0 : 0
    let service = etherType == EtherType.pbb && networkOffset + 4 <= length ? load32(bytes, networkOffset) & 0xff_ffff : 0
    let front = bytes - Self.pbbBytes
    front.update(from: bytes, count: 12)
    store16(front, 12, EtherType.pbb)
    store32(front, 14, UInt32(priority) << 24 | service)
    moveStart(by: -Self.pbbBytes)
    relayout()
    return .done
  }

  /// Removes the I-TAG, which must not be behind a VLAN tag: the customer addresses are the frame's again.
  mutating func popPBB() -> Outcome {
    guard layout.tags == 0, etherType == EtherType.pbb, length >= Self.pbbBytes + 14 else { return .failed }
    moveStart(by: Self.pbbBytes)
    relayout()
    return .done
  }

  /// Lets the frame begin `offset` bytes later, its Ethernet addresses included.
  mutating func moveAddresses(by offset: Int) {
    let addresses = loadRaw(bytes, 0, as: UInt64.self)
    let rest = loadRaw(bytes, 8, as: UInt32.self)
    let front = UnsafeMutableRawPointer(bytes + offset)
    front.storeBytes(of: addresses, toByteOffset: 0, as: UInt64.self)
    front.storeBytes(of: rest, toByteOffset: 8, as: UInt32.self)
    moveStart(by: offset)
  }

  private mutating func moveStart(by offset: Int) {
    bytes += offset
    length -= offset
    room += offset
    if layout.l3 != 0 { layout.l3 = UInt16(Int(layout.l3) - offset) }
    if layout.l4 != 0 { layout.l4 = UInt16(Int(layout.l4) - offset) }
  }

  /// Finds the headers anew. What cannot be parsed can still be sent, but has no headers for further actions than its tags.
  mutating func relayout() {
    var key = FlowKey()
    var found = parseGeneral(bytes, length: length, inPortBigEndian: 0, into: &key)
    if found.problem != 0 {
      found.l3 = 0
      found.l4 = 0
      found.ipVersion = 0
      found.problem = 0
    }
    layout = found
  }
}
