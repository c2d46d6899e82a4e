// ActionReader.swift
//
// What: turns the items of an action list into RuleActions, checking each against the match.
// Invariant: `tags` is the number of VLAN tags that every packet of the match is sure to have at this point of the list.
// Threads: a value inside one call of ActionText.parse.

import Dataplane

/// Reads actions one after the other.
struct ActionReader {
  let match: FlowMatch
  let names: PortNames
  private(set) var actions: [RuleAction] = []
  private var tags = 0

  init(match: FlowMatch, names: PortNames) {
    self.match = match
    self.names = names
    for field in [FlowField.vlanTCI, .innerVLANTCI] {
      if match.key[field] & UInt128(vlanPresent) != 0 { tags += 1 } else { break }
    }
  }

  mutating func read(_ item: TextItem) throws(SyntaxError) {
    let name = item.key.string.lowercased()
    switch name {
    case "output": actions.append(try output(try value(item, "a port: output:2 or output:eth1")))
    case "drop", "in_port", "normal", "flood", "all", "pop_vlan", "strip_vlan", "dec_ttl": try readPlain(name, item)
    case "controller": actions.append(try controller(item))
    case "set_field": try readSetField(item)
    case "push_vlan": try readPush(item)
    case "mod_vlan_vid":
      actions.append(.setVLAN(UInt16(try number(item, limit: 4095, "a VLAN ID from 0 to 4095"))))
      tags = max(tags, 1)
    case "mod_vlan_pcp":
      actions.append(.setVLANPriority(UInt8(try number(item, limit: 7, "a VLAN priority from 0 to 7"))))
      tags = max(tags, 1)
    case "mod_nw_tos":
      let tos = try number(item, limit: 252, "a multiple of 4 from 0 to 252")
      guard tos & 3 == 0 else {
        throw item.whole.error("the lowest two bits of the TOS are ECN", expected: "a multiple of 4; for ECN, mod_nw_ecn")
      }
      try set(.ipDSCP, UInt128(tos >> 2), FlowField.ipDSCP.allOnes, item)
    case "mod_nw_ecn": try readModify(.ipECN, item)
    case "mod_nw_ttl": try readModify(.ipTTL, item)
    case "mod_dl_src": try readModify(.ethSrc, item)
    case "mod_dl_dst": try readModify(.ethDst, item)
    case "mod_nw_src": try readModify(.ipv4Src, item)
    case "mod_nw_dst": try readModify(.ipv4Dst, item)
    case "mod_tp_src": try readModify(try transport(.tcpSrc, item), item)
    case "mod_tp_dst": try readModify(try transport(.tcpDst, item), item)
    default: try readBarePort(item)
    }
  }

  // MARK: Outputs

  private mutating func readPlain(_ name: String, _ item: TextItem) throws(SyntaxError) {
    guard item.value == nil else { throw item.whole.error("this action takes no argument", expected: name) }
    switch name {
    case "drop": actions.append(.drop)
    case "pop_vlan", "strip_vlan":
      actions.append(.popVLAN)
      tags = max(0, tags - 1)
    case "dec_ttl":
      guard FieldRequirement(.ipTTL).isMet(by: match) else {
        throw item.whole.error("only IP packets have a TTL", expected: "ip or ipv6 in the match")
      }
      actions.append(.decrementTTL)
    default:
      if let reserved = ReservedOutput(name) { actions.append(reserved.action) }
    }
  }

  private mutating func readBarePort(_ item: TextItem) throws(SyntaxError) {
    guard item.value == nil, let number = try? names.parse(item.key) else {
      throw item.whole.error("not an action that is supported, nor a port", expected: suggestion(item))
    }
    actions.append(try output(number, item.key))
  }

  private func suggestion(_ item: TextItem) -> String {
    let known = [
      "output", "drop", "normal", "flood", "controller", "set_field", "mod_dl_src", "mod_dl_dst", "mod_vlan_vid", "mod_vlan_pcp",
      "mod_nw_src", "mod_nw_dst", "mod_nw_tos", "mod_nw_ecn", "mod_nw_ttl", "mod_tp_src", "mod_tp_dst", "push_vlan", "pop_vlan",
      "strip_vlan", "dec_ttl", "in_port",
    ]
    return nearestName(to: item.key.string.lowercased(), among: known) ?? "a port, \(ActionText.supported)"
  }

  private func output(_ piece: TextPiece) throws(SyntaxError) -> RuleAction {
    if let reserved = ReservedOutput(piece.string.lowercased()) { return reserved.action }
    return try output(try names.parse(piece), piece)
  }

  private func output(_ number: UInt32, _ piece: TextPiece) throws(SyntaxError) -> RuleAction {
    if let reserved = ReservedOutput(number) { return reserved.action }
    guard (1...ReservedPort.largestOrdinary).contains(number) || number == ReservedPort.local else {
      throw piece.error("no port can have this number", expected: "1 to \(ReservedPort.largestOrdinary), LOCAL or a port's name")
    }
    return .output(number)
  }

  private func controller(_ item: TextItem) throws(SyntaxError) -> RuleAction {
    guard var piece = item.value else { return .controller(maxLength: .max) }
    if let (key, value) = piece.split(at: UInt8(ascii: "=")) {
      guard key.equals("max_len") else {
        throw item.whole.error("controller has no such option here", expected: "controller(max_len=BYTES)")
      }
      piece = value
    }
    guard let length = piece.number, length <= UInt64(UInt16.max) else {
      throw item.whole.error("not a length", expected: "0 to 65535 bytes, such as controller(max_len=128)")
    }
    return .controller(maxLength: UInt16(length))
  }

  // MARK: Modifications

  private mutating func readPush(_ item: TextItem) throws(SyntaxError) {
    let expected = "push_vlan:0x8100 or push_vlan:0x88a8"
    guard let tpid = try value(item, expected).number, tpid == 0x8100 || tpid == 0x88a8 else {
      throw item.whole.error("not the EtherType of a VLAN tag", expected: expected)
    }
    guard tags < TagStack.limit else {
      throw item.whole.error("the packet has two VLAN tags already", expected: "at most two")
    }
    actions.append(.pushVLAN(tpid: UInt16(tpid)))
    tags += 1
  }

  /// The old actions mod_FIELD:VALUE.
  private mutating func readModify(_ field: FlowField, _ item: TextItem) throws(SyntaxError) {
    let piece = try value(item, "\(item.key.printable):VALUE")
    guard piece.split(at: UInt8(ascii: "/")) == nil else {
      throw item.whole.error("this action takes no mask", expected: "set_field:VALUE/MASK->\(field.setFieldName)")
    }
    let parsed = try field.parse(piece)
    try set(field, parsed.value, parsed.mask, item)
  }

  private mutating func readSetField(_ item: TextItem) throws(SyntaxError) {
    let form = "set_field:VALUE->FIELD or set_field:VALUE/MASK->FIELD"
    guard let (text, target) = try value(item, form).splitAtArrow() else {
      throw item.whole.error("set_field does not say which field", expected: form)
    }
    guard let name = FieldName.named(target.string), name.field.isSettable else {
      throw target.error(
        "not a field that can be set",
        expected: FlowField.allCases.filter(\.isSettable).map(\.setFieldName).joined(separator: ", "))
    }
    let field = target.equals("tp_src") || target.equals("tp_dst") ? try transport(name.field, item) : name.field
    let parsed = try field.parse(text)
    guard parsed.mask != 0 else { throw item.whole.error("the mask is zero: nothing would be set") }
    switch field {
    case .vlanVID, .vlanPCP:
      guard tags > 0 else {
        throw item.whole.error(
          "packets of this match may have no VLAN tag",
          expected: "dl_vlan=... or vlan_vid=0x1000/0x1000 in the match, push_vlan before it, or mod_vlan_vid, which pushes one")
      }
      guard field == .vlanVID else { return actions.append(.setField(field, value: parsed.value, mask: parsed.mask)) }
      let isWhole = parsed.mask & 0xfff == 0xfff
      guard isWhole || parsed.mask & 0xfff != 0 else { throw item.whole.error("the mask has no bit of the VLAN ID") }
      let mask: UInt128 = isWhole ? 0x1fff : parsed.mask & 0xfff
      let value = isWhole ? parsed.value | UInt128(vlanPresent) : parsed.value & mask
      actions.append(.setField(field, value: value, mask: mask))
    case .ipTOS where text.split(at: UInt8(ascii: "/")) == nil:
      guard parsed.value & 3 == 0 else {
        throw item.whole.error("the lowest two bits of the TOS are ECN", expected: "a multiple of 4; for ECN, nw_ecn")
      }
      try set(.ipDSCP, parsed.value >> 2, FlowField.ipDSCP.allOnes, item)
    default:
      try set(field, parsed.value, parsed.mask, item)
    }
  }

  private mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128, _ item: TextItem) throws(SyntaxError) {
    let requirement = FieldRequirement(field)
    guard requirement.isMet(by: match) else {
      throw item.whole.error(
        "setting \(field.setFieldName) needs \(requirement.words) in the match", expected: "the protocol to be matched")
    }
    actions.append(.setField(field, value: value, mask: mask))
  }

  /// The port field of the protocol that the match names, for tp_src and tp_dst.
  private func transport(_ tcpField: FlowField, _ item: TextItem) throws(SyntaxError) -> FlowField {
    let isSource = tcpField == .tcpSrc
    for field in isSource ? [FlowField.tcpSrc, .udpSrc, .sctpSrc] : [.tcpDst, .udpDst, .sctpDst]
    where FieldRequirement(field).isMet(by: match) {
      return field
    }
    throw item.whole.error(
      "setting ports needs \(FieldRequirement.transport.words) in the match", expected: "the protocol to be matched")
  }

  // MARK: Pieces

  private func value(_ item: TextItem, _ expected: String) throws(SyntaxError) -> TextPiece {
    guard let value = item.value, !value.isEmpty else {
      throw item.whole.error("the action has no argument", expected: expected)
    }
    return value
  }

  private func number(_ item: TextItem, limit: UInt64, _ expected: String) throws(SyntaxError) -> UInt64 {
    guard let number = try value(item, expected).number, number <= limit else {
      throw item.whole.error("not a value for this action", expected: expected)
    }
    return number
  }
}
