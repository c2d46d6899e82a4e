// MatchText.swift
//
// What: reads a match in ovs-ofctl's syntax: `ip,nw_src=10.0.0.0/8,tp_dst=80`. MatchPrinter.swift writes it.
// Invariants: hostile text is refused with a SyntaxError, never a trap. Bits of a value outside its mask are cleared, as
//             ovs-ofctl does. A field whose prerequisite the match lacks is refused, and so are two items that contradict
//             each other.
// Threads: pure.
// Cost: tens of nanoseconds per item; nothing is allocated but the bytes of the line.
//
// What differs from ovs-ofctl: the inner tag of a packet with two has names of its own, `dl_vlan2`, `dl_vlan_pcp2` and `vlan_tci2`;
// `nw_tos` with a mask is all eight bits of the octet; `vlan_vid` without the bit 0x1000, which could match no packet,
// is refused; `ipv6_exthdr`, `pbb_isid` and the shorthand `pbb`, which ovs-ofctl does not have, can be matched, the first also by
// names (`ipv6_exthdr=+hop-frag`).

extension FlowMatch {
  /// Reads a match.
  ///
  /// - Parameter names: knows the names of ports, for `in_port=eth1`.
  public init(text: String, names: PortNames = .none) throws(SyntaxError) {
    var items = TextItems(TextPiece(text))
    var builder = MatchBuilder(names: names)
    while let item = items.nextField() {
      guard try builder.add(item) else { throw MatchBuilder.unknown(item) }
    }
    self = try builder.finish()
  }
}

/// Collects the items of a match.
public struct MatchBuilder {
  private let names: PortNames
  private var key = FlowKey()
  private var mask = FlowMask()
  /// Prerequisites to check once all items are known, because they may stand behind the field that needs them: a bit per
  /// FieldRequirement, and where the first item that needs it begins.
  private var needs: UInt32 = 0
  private var needed = InlineArray<24, UInt32>(repeating: 0)
  /// The line, once an item has a prerequisite.
  private var line: TextPiece?

  public init(names: PortNames = .none) { self.names = names }

  /// Adds one item.
  ///
  /// - Returns: false when the item's key is no field and no shorthand; nothing is changed then.
  public mutating func add(_ item: TextItem) throws(SyntaxError) -> Bool {
    let name: FieldName
    switch MatchWord.named(item.key) {
    case nil: return false
    case .field(let field): name = field
    case .shorthand(let shorthand):
      guard item.value == nil else { throw item.whole.error("\(shorthand.name) takes no value") }
      try pin(.ethType, UInt128(shorthand.etherType), .max, item)
      if let proto = shorthand.ipProtocol { try pin(.ipProto, UInt128(proto), .max, item) }
      return true
    }
    guard let value = item.value, !value.isEmpty else {
      throw item.whole.error("the field has no value", expected: "\(item.key.printable)=VALUE")
    }
    if !name.isMaskable, value.split(at: UInt8(ascii: "/")) != nil {
      throw item.whole.error("only a whole value can be matched of this field", expected: "a value without a mask")
    }
    try add(name, value, item)
    note(name.requirement, item)
    return true
  }

  /// Checks the prerequisites and returns the match.
  public func finish() throws(SyntaxError) -> FlowMatch {
    let match = FlowMatch(key, mask)
    var left = needs
    var unmet: (requirement: FieldRequirement, start: UInt32)?
    while left != 0 {
      let number = left.trailingZeroBitCount
      left &= left - 1
      guard let requirement = FieldRequirement(rawValue: UInt8(number)), !requirement.isMet(by: match) else { continue }
      if needed[number] <= unmet?.start ?? .max { unmet = (requirement, needed[number]) }
    }
    if let unmet { throw lacking(unmet.requirement, at: Int(unmet.start)) }
    return match
  }

  /// The error for an item that is neither a field nor anything else that may stand there.
  ///
  /// - Parameter alsoKnown: names that the caller would have understood.
  public static func unknown(_ item: TextItem, alsoKnown: [String] = []) -> SyntaxError {
    let known = FieldName.allNames + ProtocolName.all.map(\.name.description) + alsoKnown
    let guess = nearestName(to: item.key.string, among: known)
    return item.key.error(
      "not a field that can be matched",
      expected: guess ?? "a field such as in_port, dl_vlan, nw_src, tp_dst, or a protocol such as ip, tcp, arp, ipv6")
  }

  // MARK: Pieces

  private mutating func note(_ requirement: FieldRequirement, _ item: TextItem) {
    let bit: UInt32 = 1 << UInt32(requirement.rawValue)
    guard requirement != .none, needs & bit == 0 else { return }
    needs |= bit
    needed[Int(requirement.rawValue)] = UInt32(truncatingIfNeeded: item.whole.start)
    if line == nil { line = item.whole }
  }

  private func lacking(_ requirement: FieldRequirement, at start: Int) -> SyntaxError {
    let rest = line.map { $0.part(min(start, $0.bytes.count), $0.bytes.count) } ?? TextPiece("")
    var items = TextItems(rest)
    return (items.nextField()?.whole ?? rest).error(
      "this field needs \(requirement.words) in the match", expected: "the protocol to be named as well")
  }

  private mutating func add(_ name: FieldName, _ value: TextPiece, _ item: TextItem) throws(SyntaxError) {
    let present = UInt128(vlanPresent)
    switch name.style {
    case .plain:
      let parsed = try name.field.parse(value, names: names)
      try pin(name.field, parsed.value, parsed.mask, item)
    case .vlan:
      guard let number = value.number, number <= 0xfff || number == 0xffff else {
        throw value.error("not a VLAN ID", expected: "0 to 4095, or 0xffff for untagged packets")
      }
      try pin(name.field, number == 0xffff ? 0 : present | UInt128(number), 0x1fff, item)
    case .vlanPriority:
      guard let number = value.number, number <= 7 else {
        throw value.error("not a VLAN priority", expected: "0 to 7")
      }
      let tci: FlowField = name.field == .vlanPCP ? .vlanTCI : .innerVLANTCI
      try pin(tci, UInt128(number) << 13 | present, 0xf000, item)
    case .vlanID:
      let parsed = try name.field.parse(value)
      guard parsed.value & present != 0 || parsed.mask != name.field.allOnes || parsed.value == 0 else {
        throw value.error(
          "no packet has a VLAN ID without the bit 0x1000, which says that there is a tag",
          expected: "dl_vlan=\(parsed.value) or vlan_vid=0x\(String(parsed.value | present, radix: 16))")
      }
      try pin(name.field, parsed.value, parsed.mask, item)
    case .tos:
      let parsed = try name.field.parse(value)
      guard value.split(at: UInt8(ascii: "/")) == nil else { return try pin(.ipTOS, parsed.value, parsed.mask, item) }
      guard parsed.value & 3 == 0 else {
        throw value.error(
          "nw_tos matches the six DSCP bits, the lowest two bits are ECN", expected: "a multiple of 4; for ECN, nw_ecn")
      }
      try pin(.ipTOS, parsed.value, 0xfc, item)
    }
  }

  /// Says that the bits `bits` of a field must be those of `value`.
  private mutating func pin(_ field: FlowField, _ value: UInt128, _ bits: UInt128, _ item: TextItem) throws(SyntaxError) {
    let bits = bits & field.allOnes
    let known = mask[field]
    let old = key[field]
    guard (old ^ value) & known & bits == 0 else {
      throw item.whole.error("this contradicts an item before it in the match", expected: "each field once")
    }
    key[field] = old | value & bits
    mask[field] = known | bits
  }
}
