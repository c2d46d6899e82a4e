// ReferencePacket.swift
//
// What: a packet on its way through the reference: its bytes, its pipeline fields, and what each action does to the bytes.
// Invariant: after each action the checksums are those that a sender of these bytes would have put in.
// Threads: a value.
// Source: OpenFlow Switch Specification 1.3.5, sections 5.12 (actions, default values of pushed fields) and 7.2.5. What the specification leaves
//         open is decided here as the project's documentation of actions has it: an action on a header that the packet lacks does nothing; MPLS
//         entries and I-TAGs are pushed directly behind the Ethernet addresses; headers under MPLS or PBB are out of reach.

/// One packet.
public struct ReferencePacket: Sendable {
  public var bytes: [UInt8]
  public private(set) var headers: ReferenceHeaders
  public let inPort: UInt32
  /// metadata, tun_id, reg0...reg7.
  private var pipeline = [UInt128](repeating: 0, count: 11)
  /// The packet's TTL ran out: nothing more leaves.
  public private(set) var isDead = false
  /// Why what happens to this packet is nobody's promise.
  public private(set) var undefined: String?
  private let originalLength: Int
  /// A label was pushed in front of what is neither a label nor IP (a VLAN tag, an I-TAG, an unknown EtherType): the bytes below it may look
  /// like an IP header.
  private var isGuessedBelowLabel = false

  public init(_ bytes: [UInt8], inPort: UInt32) {
    self.bytes = bytes
    self.inPort = inPort
    originalLength = bytes.count
    headers = ReferenceHeaders(bytes)
    pipeline[0] = UInt128(inPort)
  }

  /// A field's value as rules see it: 0 for what the packet lacks, because prerequisites keep rules from looking there.
  public func value(_ field: ReferenceField) -> UInt128 {
    field.isPipeline ? pipeline[Int(field.rawValue)] : headers.value(field, bytes) ?? 0
  }

  public func has(_ field: ReferenceField) -> Bool { field.isPipeline || headers.value(field, bytes) != nil }

  public mutating func kill() { isDead = true }

  /// Does what an action says, unless it is an output or a group.
  public mutating func apply(_ action: ReferenceAction) {
    switch action {
    case .set(let bits): set(bits)
    case .modVLAN(let vlan):
      if headers.tags == 0 { pushVLAN(0x8100) }
      set(FieldBits(.vlanVID, UInt128(vlan), 0xfff))
    case .modPriority(let priority):
      if headers.tags == 0 { pushVLAN(0x8100) }
      set(FieldBits(.vlanPCP, UInt128(priority)))
    case .pushVLAN(let type): pushVLAN(type)
    case .popVLAN: if headers.tags > 0 { change { $0.removeSubrange(12..<16) } }
    case .pushMPLS(let type): pushMPLS(type)
    case .popMPLS(let type): popMPLS(type)
    case .pushPBB: pushPBB()
    case .popPBB: if headers.network == .pbb, headers.tags == 0 { change { $0.removeSubrange(0..<18) } }
    case .decrementTTL: if headers.isIP { decrement(.ipTTL) }
    case .decrementMPLSTTL: if headers.network == .mpls { decrement(.mplsTTL) }
    case .copyTTLIn: copyTTL(isInward: true)
    case .copyTTLOut: copyTTL(isInward: false)
    case .output, .inPort, .flood, .all, .normal, .controller, .group, .setQueue: break
    }
  }

  public mutating func set(_ bits: FieldBits) {
    if bits.field.isPipeline {
      let place = Int(bits.field.rawValue)
      pipeline[place] = pipeline[place] & ~bits.mask | bits.value
      return
    }
    guard let (offset, count, shift) = headers.place(bits.field, bytes) else { return }
    if headers.proto == 132, headers.isFragment, [.sctpSrc, .sctpDst].contains(bits.field) {
      // The CRC covers bytes that are not here.
      undefined = "ports of an SCTP fragment are set"
      return
    }
    var mask = bits.mask
    // The bit that says "there is a tag" is not in the frame.
    if bits.field == .vlanVID { mask &= 0xfff }
    change { bytes in
      let old = number(bytes, offset, count)
      store(old & ~(mask << UInt128(shift)) | (bits.value & mask) << UInt128(shift), &bytes, offset, count)
    }
  }

  // MARK: Pieces

  /// Changes bytes, and everything that follows from them.
  private mutating func change(_ edit: (inout [UInt8]) -> Void) {
    let before = bytes
    // Below a label whose bottom bit is not where it was, nobody put it in when the packet was numbered.
    if ReferenceChecksum.hasWrongCRC(bytes, headers) { undefined = "an SCTP packet that came with a wrong CRC is changed" }
    edit(&bytes)
    // Lengths change only in front of the IP packet, so its own sums stay right then.
    if bytes.count == before.count { ReferenceChecksum.renew(&bytes, before: before) }
    headers = ReferenceHeaders(bytes)
    if headers.isMalformed { undefined = "an action makes the frame malformed" }
    if bytes.count > originalLength + 180 { undefined = "more headers are pushed than there is room for" }
  }

  private mutating func pushVLAN(_ type: UInt16) {
    guard headers.tags < 2 else {
      isDead = true
      return
    }
    // VID and priority of the tag in front of which it is put; DEI is not copied.
    let tag = headers.tags > 0 ? UInt16(number(bytes, 14, 2)) & 0xefff : 0
    change { $0.insert(contentsOf: [UInt8(type >> 8), UInt8(type & 255), UInt8(tag >> 8), UInt8(tag & 255)], at: 12) }
  }

  private mutating func pushMPLS(_ type: UInt16) {
    if headers.tags > 0 || headers.network != .mpls && !headers.isIP { isGuessedBelowLabel = true }
    var entry: UInt128 = 0x100
    if headers.network == .mpls {
      entry = number(bytes, headers.l3, 4) | 0x100
      if headers.tags == 0 { entry &= ~0x100 }
    } else if headers.isIP {
      entry |= value(.ipTTL)
    }
    change { bytes in
      bytes.insert(contentsOf: [0, 0, 0, 0], at: 14)
      store(UInt128(type), &bytes, 12, 2)
      store(entry, &bytes, 14, 4)
    }
  }

  private mutating func popMPLS(_ type: UInt16) {
    guard headers.network == .mpls else { return }
    let at = headers.l3
    let typeOffset = headers.typeOffset
    change { bytes in
      bytes.removeSubrange(at..<at + 4)
      store(UInt128(type), &bytes, typeOffset, 2)
    }
  }

  private mutating func pushPBB() {
    // The I-SID of an I-TAG that is there already, and the priority of the outermost tag.
    let service = headers.network == .pbb ? value(.pbbISID) : 0
    let priority = headers.tags > 0 ? bytes[14] >> 5 : 0
    change { bytes in
      var front = Array(bytes[0..<12]) + [0x88, 0xe7, priority << 5, 0, 0, 0]
      store(service, &front, 15, 3)
      bytes.insert(contentsOf: front, at: 0)
    }
  }

  private mutating func decrement(_ field: ReferenceField) {
    let ttl = value(field)
    guard ttl > 1 else {
      isDead = true
      return
    }
    set(FieldBits(field, ttl - 1))
  }

  /// Copies the TTL between the outermost MPLS entry and the header under it: the next entry, or IP.
  private mutating func copyTTL(isInward: Bool) {
    guard headers.network == .mpls else { return }
    if isGuessedBelowLabel {
      undefined = "what is below a label in front of something that is not IP is guessed"
      return
    }
    let outer = headers.l3 + 3
    let below = headers.l3 + 4
    var inner: Int?
    if bytes[headers.l3 + 2] & 1 == 0 {
      if below + 4 <= bytes.count { inner = below + 3 }
    } else if below + 20 <= bytes.count, bytes[below] >> 4 == 4 {
      // What is no whole IPv4 header is taken for something else.
      let header = Int(bytes[below] & 15) * 4
      if header >= 20, below + header <= bytes.count { inner = below + 8 }
    } else if below + 40 <= bytes.count, bytes[below] >> 4 == 6 {
      inner = below + 7
    }
    guard let inner else { return }
    change { bytes in
      if isInward {
        let was = bytes[inner]
        bytes[inner] = bytes[outer]
        let isIPv4 = bytes[outer - 1] & 1 == 1 && bytes[below] >> 4 == 4
        // An IPv4 header's sum covers its TTL.
        if isIPv4, was != bytes[inner] { ReferenceChecksum.renewIPv4(&bytes, at: below) }
      } else {
        bytes[outer] = bytes[inner]
      }
    }
  }
}
