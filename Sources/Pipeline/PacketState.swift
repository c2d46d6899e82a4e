// PacketState.swift
//
// What: a packet on its way through the tables, as the actions so far have left it: its fields, and for every bit where it comes from: written
//       by an action, still the packet's own (perhaps from another place: a popped tag brings the next one forward, a decremented TTL
//       depends on the one that came in), or not known, because it lies below a header that the parser did not look behind.
// Invariants: a bit is in `known` only if it is the same for all packets of the flow. `origin(of:)` names the bits of the packet as it
//             came in that decide the asked ones. Pipeline fields (line 2) are always known: they start at zero.
// Threads: a value inside one translation.
// Cost: a packet that nothing was done to answers with the bits that it is asked for; 700 bytes.

import Dataplane

struct PacketState {
  /// VLAN tags that a packet can have: what the parser reads.
  static let tagLimit = 2

  /// The fields as they are now.
  var key: FlowKey
  /// Bits that actions have set.
  private(set) var known = FlowMask()
  /// Bits that nobody can tell before the frame is parsed again.
  private var unknown = FlowMask()
  /// The packet's own place of the tag that is now the outermost, and of the one behind it.
  private var outerTag = TagPlace.outer
  private var innerTag = TagPlace.inner
  private var ttl = TTLPlace.own
  private var mplsTTL = TTLPlace.own
  /// What pushed headers hide, the outermost last.
  private var hidden: [Hidden] = []
  /// False while lines 0 and 1 are the packet's own.
  private(set) var isRewritten = false
  private(set) var hasUnknown = false
  /// True when some bit has another place than its own.
  private var isMoved = false

  private enum TagPlace { case outer, inner }
  /// Where a TTL comes from: its own place, or computed from the whole of one of the packet's TTLs.
  private enum TTLPlace { case own, ip, mpls }

  /// What a pushed header hides.
  private struct Hidden {
    let key: FlowKey
    let known: FlowMask
    let unknown: FlowMask
    let outerTag: TagPlace
    let innerTag: TagPlace
    var ttl: TTLPlace
    var mplsTTL: TTLPlace
    /// The TTL that copy_ttl_in has written since, or the one that was there.
    var topTTL: UInt128
    var isTopTTLKnown: Bool
    var isTagged: Bool
  }

  init(_ key: FlowKey) { self.key = key }

  // MARK: Asking

  /// The EtherType behind the tags.
  var etherType: UInt16 { UInt16(truncatingIfNeeded: key.line0.w1 >> 32).byteSwapped }
  var isEtherTypeUnknown: Bool { hasUnknown && unknown[.ethType] != 0 }
  var isMPLS: Bool { etherType == 0x8847 || etherType == 0x8848 }
  var isIP: Bool { etherType == EtherType.ipv4 || etherType == EtherType.ipv6 }
  var isPBB: Bool { etherType == 0x88e7 }

  /// The bits of the packet as it came in that decide some bits of it as it is now; nil when that cannot be told without parsing it again.
  func origin(of asked: FlowMask) -> FlowMask? {
    guard isRewritten else { return asked }
    var bits = asked.subtracting(known)
    if hasUnknown, !bits.intersection(unknown).isEmpty { return nil }
    guard isMoved else { return bits }
    let outer = bits[.vlanTCI]
    let inner = bits[.innerVLANTCI]
    let timeToLive = bits[.ipTTL]
    let labelTTL = bits[.mplsTTL]
    bits[.vlanTCI] = 0
    bits[.innerVLANTCI] = 0
    bits[outerTag == .outer ? .vlanTCI : .innerVLANTCI] |= outer
    bits[innerTag == .outer ? .vlanTCI : .innerVLANTCI] |= inner
    bits[.ipTTL] = 0
    bits[.mplsTTL] = 0
    Self.add(timeToLive, from: ttl, own: .ipTTL, to: &bits)
    Self.add(labelTTL, from: mplsTTL, own: .mplsTTL, to: &bits)
    return bits
  }

  private static func add(_ asked: UInt128, from place: TTLPlace, own: FlowField, to bits: inout FlowMask) {
    guard asked != 0 else { return }
    switch place {
    case .own: bits[own] |= asked
    case .ip: bits.include(.ipTTL)
    case .mpls: bits.include(.mplsTTL)
    }
  }

  /// The fields as they are now, for people: what nobody knows is zero, but for TTLs, which would end the packet.
  var keyWithGuesses: FlowKey {
    var key = key
    for field in [FlowField.ipTTL, .mplsTTL] where hasUnknown && unknown[field] != 0 && (field == .ipTTL ? isIP : isMPLS) {
      key[field] = 64
    }
    return key
  }

  // MARK: Writing

  /// Sets the bits `mask` of a field.
  mutating func write(_ field: FlowField, _ value: UInt128, _ mask: UInt128) {
    key[field] = key[field] & ~mask | value & mask
    // Pipeline fields are nobody's but the pipeline's: they make no difference to what the packet itself looks like.
    guard !field.isPipelineField else { return }
    isRewritten = true
    known[field] |= mask
    if hasUnknown { unknown[field] &= ~mask }
    // With another type the parser would find other options behind it.
    switch field {
    case .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code: if etherType == EtherType.ipv6 { forget([.ndTarget, .ndSLL, .ndTLL]) }
    default: break
    }
  }

  /// Says that some fields are not what they were, and that nobody knows what they are.
  mutating func forget(_ fields: [FlowField]) {
    isRewritten = true
    hasUnknown = true
    for field in fields {
      known[field] = 0
      unknown.include(field)
    }
  }

  /// Takes one from the IP TTL.
  mutating func decrementTTL() {
    guard let place = derived(.ipTTL, ttl, own: .ip) else { return }
    ttl = place
    key[.ipTTL] = (key[.ipTTL] + 255) & 255
  }

  /// Takes one from the TTL of the outermost label.
  mutating func decrementMPLSTTL() {
    guard let place = derived(.mplsTTL, mplsTTL, own: .mpls) else { return }
    mplsTTL = place
    key[.mplsTTL] = (key[.mplsTTL] + 255) & 255
  }

  /// Where the TTL comes from once something has been computed from it; nil when it is not known and stays so.
  private mutating func derived(_ field: FlowField, _ place: TTLPlace, own: TTLPlace) -> TTLPlace? {
    isRewritten = true
    if known[field] == field.allOnes { return place }
    if hasUnknown, unknown[field] != 0 {
      unknown.include(field)
      return nil
    }
    known[field] = 0
    isMoved = true
    return place == .own ? own : place
  }

  // MARK: Tags

  /// Pushes a tag; it takes VID and priority from the one that was the outermost.
  mutating func pushTag() {
    isRewritten = true
    isMoved = true
    moveTag(from: .vlanTCI, to: .innerVLANTCI)
    innerTag = outerTag
    key[.vlanTCI] |= UInt128(vlanPresent)
    known[.vlanTCI] |= UInt128(vlanPresent)
    if hasUnknown { unknown[.vlanTCI] &= ~UInt128(vlanPresent) }
  }

  /// Removes the outermost tag, which is there.
  mutating func popTag() {
    isRewritten = true
    isMoved = true
    moveTag(from: .innerVLANTCI, to: .vlanTCI)
    outerTag = innerTag
    write(.innerVLANTCI, 0, FlowField.innerVLANTCI.allOnes)
  }

  private mutating func moveTag(from: FlowField, to: FlowField) {
    key[to] = key[from]
    known[to] = known[from]
    if hasUnknown { unknown[to] = unknown[from] }
  }

  // MARK: Labels

  /// Pushes a label, in front of the tags.
  ///
  /// - Parameter isTagged: there is a tag now.
  mutating func pushMPLS(_ type: UInt16, isTagged: Bool) {
    let wasMPLS = isMPLS
    let wasIP = isIP
    let label = (key, known, unknown, mplsTTL)
    hide(isTagged: isTagged)
    clear(Self.belowAddresses)
    write(.ethType, UInt128(type), FlowField.ethType.allOnes)
    write(.mplsBOS, wasMPLS && !isTagged ? 0 : 1, 1)
    if wasMPLS {
      for field in [FlowField.mplsLabel, .mplsTC, .mplsTTL] { take(field, label.0, label.1, label.2) }
      mplsTTL = label.3
    } else if wasIP {
      takeTTL(label.0, label.1, label.2)
    }
  }

  /// Removes the outermost label.
  ///
  /// - Parameters:
  ///   - type: what is below, by the rule's word.
  ///   - isTagged: there is a tag in front of the label.
  mutating func popMPLS(_ type: UInt16, isTagged: Bool) {
    isRewritten = true
    let isTag = type == EtherType.vlan || type == EtherType.serviceVLAN
    if let below = hidden.popLast() {
      let isSame = below.isTagged ? isTag && !isTagged : below.key[.ethType] == UInt128(type)
      if isSame || !below.isTagged && Self.isLabel(type) && Self.isLabel(UInt16(truncatingIfNeeded: below.key[.ethType])) {
        let tags = isTagged ? self : nil
        restore(below, addresses: false)
        if let tags { keepTags(of: tags) }
        if !below.isTagged { write(.ethType, UInt128(type), FlowField.ethType.allOnes) }
        return
      }
      hidden = []
    }
    forgetAll(Self.belowTags)
    if isTag {
      forget([.vlanTCI, .innerVLANTCI, .ethType])
    } else {
      write(.ethType, UInt128(type), FlowField.ethType.allOnes)
    }
  }

  private static func isLabel(_ type: UInt16) -> Bool { type == 0x8847 || type == 0x8848 }

  /// Copies the TTL from the header below the outermost label into the label. False when there is none that has a TTL.
  mutating func copyTTLOut() -> Bool {
    guard let below = hidden.last else {
      forget([.mplsTTL])
      return true
    }
    guard !below.isTagged, Self.hasTTL(below) else { return false }
    write(.mplsTTL, below.topTTL, 0xff)
    guard !below.isTopTTLKnown else { return true }
    known[.mplsTTL] = 0
    let isLabel = Self.isLabel(UInt16(truncatingIfNeeded: below.key[.ethType]))
    guard !below.unknown.covers(isLabel ? .mplsTTL : .ipTTL) else {
      forget([.mplsTTL])
      return true
    }
    isMoved = true
    let place = isLabel ? below.mplsTTL : below.ttl
    mplsTTL = place == .own ? (isLabel ? .mpls : .ip) : place
    return true
  }

  /// Copies the TTL of the outermost label into the header below it. False when that has no TTL.
  mutating func copyTTLIn() -> Bool {
    guard var below = hidden.last else { return true }
    guard !below.isTagged, Self.hasTTL(below) else { return false }
    // What is below is not looked at before it is the outermost again; then it is parsed again.
    below.topTTL = key[.mplsTTL]
    below.isTopTTLKnown = known[.mplsTTL] == 0xff
    if !below.isTopTTLKnown {
      let place = mplsTTL == .own ? TTLPlace.mpls : mplsTTL
      let isUnknown = hasUnknown && unknown[.mplsTTL] != 0
      if Self.isLabel(UInt16(truncatingIfNeeded: below.key[.ethType])) { below.mplsTTL = place } else { below.ttl = place }
      if isUnknown { return copyUnknownTTLIn() }
    }
    hidden[hidden.count - 1] = below
    return true
  }

  /// What is below is forgotten: it has a TTL that nobody knows.
  private mutating func copyUnknownTTLIn() -> Bool {
    hidden = []
    return true
  }

  private static func hasTTL(_ below: Hidden) -> Bool {
    let type = UInt16(truncatingIfNeeded: below.key[.ethType])
    return isLabel(type) || type == EtherType.ipv4 || type == EtherType.ipv6
  }

  // MARK: PBB

  /// Pushes a PBB header; it takes the service identifier of the one that was the outermost.
  mutating func pushPBB(isTagged: Bool) {
    let wasPBB = isPBB
    let before = (key, known, unknown)
    hide(isTagged: isTagged)
    clear(Self.belowAddresses)
    write(.ethType, 0x88e7, FlowField.ethType.allOnes)
    if wasPBB { take(.pbbISID, before.0, before.1, before.2) }
  }

  /// Removes the outermost PBB header, with no tag in front of it.
  mutating func popPBB() {
    isRewritten = true
    guard let below = hidden.popLast() else { return forgetAll(Self.packet) }
    restore(below, addresses: true)
  }

  // MARK: Pieces

  private mutating func hide(isTagged: Bool) {
    isRewritten = true
    let isLabel = isMPLS
    let field: FlowField = isLabel ? .mplsTTL : .ipTTL
    hidden.append(
      Hidden(
        key: key, known: known, unknown: unknown, outerTag: outerTag, innerTag: innerTag, ttl: ttl, mplsTTL: mplsTTL,
        topTTL: key[field], isTopTTLKnown: known[field] == 0xff, isTagged: isTagged))
  }

  private mutating func restore(_ below: Hidden, addresses: Bool) {
    let bits = addresses ? Self.packet : Self.belowAddresses
    key = key.replacing(bits, by: below.key)
    known = known.replacing(bits, by: below.known)
    unknown = unknown.replacing(bits, by: below.unknown)
    hasUnknown = !unknown.isEmpty
    (outerTag, innerTag, ttl, mplsTTL) = (below.outerTag, below.innerTag, below.ttl, below.mplsTTL)
    let isLabel = isMPLS
    if isLabel || isIP {
      let field: FlowField = isLabel ? .mplsTTL : .ipTTL
      key[field] = below.topTTL
      known[field] = below.isTopTTLKnown ? 0xff : 0
      if (isLabel ? mplsTTL : ttl) != .own { isMoved = true }
    }
  }

  /// Puts the tags of another state in place of the ones here, of which there are none.
  private mutating func keepTags(of other: PacketState) {
    for field in [FlowField.vlanTCI, .innerVLANTCI] { take(field, other.key, other.known, other.unknown) }
    (outerTag, innerTag) = (other.outerTag, other.innerTag)
    isMoved = true
  }

  /// Makes a field what it was in another state, bits' origins included.
  private mutating func take(_ field: FlowField, _ from: FlowKey, _ fromKnown: FlowMask, _ fromUnknown: FlowMask) {
    key[field] = from[field]
    known[field] = fromKnown[field]
    unknown[field] = fromUnknown[field]
    if unknown[field] != 0 { hasUnknown = true }
  }

  /// Makes the label's TTL the one that IP had.
  private mutating func takeTTL(_ from: FlowKey, _ fromKnown: FlowMask, _ fromUnknown: FlowMask) {
    key[.mplsTTL] = from[.ipTTL]
    known[.mplsTTL] = fromKnown[.ipTTL]
    unknown[.mplsTTL] = fromUnknown[.ipTTL]
    if unknown[.mplsTTL] != 0 { hasUnknown = true }
    mplsTTL = ttl == .own ? .ip : ttl
    isMoved = true
  }

  /// Sets bits to zero, for all packets.
  private mutating func clear(_ bits: FlowMask) {
    isRewritten = true
    key = key.replacing(bits, by: FlowKey())
    known = known | bits
    if hasUnknown {
      unknown = unknown.subtracting(bits)
      hasUnknown = !unknown.isEmpty
    }
  }

  private mutating func forgetAll(_ bits: FlowMask) {
    isRewritten = true
    hasUnknown = true
    key = key.replacing(bits, by: FlowKey())
    known = known.subtracting(bits)
    unknown = unknown | bits
    (ttl, mplsTTL) = (.own, .own)
  }

  /// Everything that lines 0 and 1 hold of a packet.
  private static let packet: FlowMask = {
    var bits = FlowMask()
    bits.bits.line0 = ~FlowLine()
    bits.bits.line1 = ~FlowLine()
    bits[.inPort] = 0
    bits[.recircID] = 0
    return bits
  }()

  /// All but the addresses.
  private static let belowAddresses: FlowMask = {
    var bits = packet
    bits[.ethDst] = 0
    bits[.ethSrc] = 0
    return bits
  }()

  /// All but addresses, tags and EtherType.
  private static let belowTags: FlowMask = {
    var bits = belowAddresses
    bits[.vlanTCI] = 0
    bits[.innerVLANTCI] = 0
    bits[.ethType] = 0
    return bits
  }()
}

extension FlowMask {
  var isEmpty: Bool { (bits.line0 | bits.line1 | bits.line2).isZero }

  func intersection(_ other: FlowMask) -> FlowMask {
    var result = FlowMask()
    result.bits = bits & other
    return result
  }

  fileprivate func covers(_ field: FlowField) -> Bool { self[field] != 0 }

  fileprivate func replacing(_ places: FlowMask, by other: FlowMask) -> FlowMask {
    var result = FlowMask()
    result.bits = bits.replacing(places, by: other.bits)
    return result
  }
}

extension FlowKey {
  /// The key with some bits taken from another.
  fileprivate func replacing(_ bits: FlowMask, by other: FlowKey) -> FlowKey {
    var result = self
    result.line0 = line0 & ~bits.bits.line0 | other.line0 & bits.bits.line0
    result.line1 = line1 & ~bits.bits.line1 | other.line1 & bits.bits.line1
    return result
  }
}
