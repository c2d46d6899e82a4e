// ActionReader.swift
//
// What: turns the items of an action list into RuleActions, checking each against what is known of the packets at that point.
// Invariants: `packets` says what every packet is sure to be after the actions so far, nil when nothing is known of any packet and
//             nothing is to be checked. `tags` is the number of VLAN tags that every packet is sure to have.
// Threads: a value inside one call of a reader of text.

import Dataplane

/// Reads actions one after the other.
struct ActionReader {
  let names: PortNames
  private(set) var actions: [RuleAction] = []
  /// `drop` was said, which stands alone.
  private(set) var saysDrop = false
  private var packets: FlowMatch?
  private var tags = 0

  init(match: FlowMatch?, names: PortNames) {
    packets = match
    self.names = names
    guard let match else { return }
    for field in [FlowField.vlanTCI, .innerVLANTCI] {
      if match.key[field] & UInt128(vlanPresent) != 0 { tags += 1 } else { break }
    }
  }

  /// Reads a whole list; what it does to the packets is known to the list that is read next.
  mutating func readList(_ text: TextPiece) throws(SyntaxError) -> [RuleAction] {
    var items = TextItems(text)
    while let item = try items.nextAction() { try read(item, ActionWord.words[item.key]) }
    return try takeList(text)
  }

  /// Ends the list and returns it.
  mutating func takeList(_ text: TextPiece) throws(SyntaxError) -> [RuleAction] {
    guard saysDrop || !actions.isEmpty else {
      throw text.error("there is no action", expected: "drop, or one of \(ActionText.supported)")
    }
    guard !saysDrop || actions.isEmpty else { throw text.error("drop stands with other actions", expected: "drop alone") }
    defer {
      actions = []
      saysDrop = false
    }
    return actions
  }

  /// True when nothing has been read.
  var isEmpty: Bool { actions.isEmpty && !saysDrop }

  /// Reads one action.
  ///
  /// - Parameter word: what its name stands for; nil for an unknown one, which may be a port.
  mutating func read(_ item: TextItem, _ word: ActionWord?) throws(SyntaxError) {
    guard actions.count < ActionText.limit else {
      throw item.whole.error("too many actions", expected: "at most \(ActionText.limit)")
    }
    switch word {
    case nil: try readBarePort(item)
    case .drop:
      try checkPlain(item, "drop")
      saysDrop = true
    case .instruction:
      throw item.whole.error("this is an instruction of a rule, not an action", expected: "actions only")
    case .output: actions.append(try output(try value(item, "a port: output:2 or output:eth1")))
    case .reserved(let reserved): try readReserved(reserved, item)
    case .plain(let action, let name): try readPlain(action, name, item)
    case .group: actions.append(.group(try id(item, "a group's number: group:1", limit: 0xffff_ff00)))
    case .setQueue: actions.append(.setQueue(try id(item, "a queue's number: set_queue:1", limit: 0xffff_fffe)))
    case .setField: try readSetField(item)
    case .load: try readLoad(item)
    case .modify(let field): try readModify(field, item)
    case .modifyTransport(let field): try readModify(try transport(field, item), item)
    case .modifyNamed(let name): try readModify(named: name, item)
    case .pushVLAN: try readPushVLAN(item)
    case .pushMPLS: try readPushMPLS(item)
    case .popMPLS: try readPopMPLS(item)
    case .pushPBB: try readPushPBB(item)
    case .setVLAN:
      actions.append(.setVLAN(UInt16(try number(item, limit: 4095, "a VLAN ID from 0 to 4095"))))
      tags = max(tags, 1)
    case .setVLANPriority:
      actions.append(.setVLANPriority(UInt8(try number(item, limit: 7, "a VLAN priority from 0 to 7"))))
      tags = max(tags, 1)
    case .modifyTOS:
      let tos = try number(item, limit: 252, "a multiple of 4 from 0 to 252")
      guard tos & 3 == 0 else {
        throw item.whole.error("the lowest two bits of the TOS are ECN", expected: "a multiple of 4; for ECN, mod_nw_ecn")
      }
      try set(.ipDSCP, UInt128(tos >> 2), FlowField.ipDSCP.allOnes, item)
    }
  }

  private func checkPlain(_ item: TextItem, _ name: String) throws(SyntaxError) {
    guard item.value == nil else { throw item.whole.error("this action takes no argument", expected: name) }
  }

  // MARK: Outputs

  private mutating func readReserved(_ reserved: ReservedOutput, _ item: TextItem) throws(SyntaxError) {
    if case .controller = reserved { return actions.append(try controller(item)) }
    try checkPlain(item, item.key.string.lowercased())
    actions.append(try action(reserved, item.key))
  }

  private mutating func readBarePort(_ item: TextItem) throws(SyntaxError) {
    guard item.value == nil, let number = try? names.parse(item.key) else {
      throw item.whole.error("not an action that is supported, nor a port", expected: suggestion(item))
    }
    actions.append(try output(number, item.key))
  }

  private func suggestion(_ item: TextItem) -> String {
    nearestName(to: item.key.string.lowercased(), among: ActionWord.all.map(\.word))
      ?? "a port, \(ActionText.supported)"
  }

  private func output(_ piece: TextPiece) throws(SyntaxError) -> RuleAction {
    if let number = piece.number, number <= UInt64(ReservedPort.largestOrdinary) { return try output(UInt32(number), piece) }
    if let reserved = ReservedOutput(piece.string.lowercased()) { return try action(reserved, piece) }
    return try output(try names.parse(piece), piece)
  }

  private func output(_ number: UInt32, _ piece: TextPiece) throws(SyntaxError) -> RuleAction {
    if let reserved = ReservedOutput(number) { return try action(reserved, piece) }
    guard (1...ReservedPort.largestOrdinary).contains(number) || number == ReservedPort.local else {
      throw piece.error("no port can have this number", expected: "1 to \(ReservedPort.largestOrdinary), LOCAL or a port's name")
    }
    return .output(number)
  }

  private func action(_ reserved: ReservedOutput, _ piece: TextPiece) throws(SyntaxError) -> RuleAction {
    guard let action = reserved.action else {
      throw piece.error("a rule cannot send a packet to the first table again", expected: "goto_table:N, N a later table")
    }
    return action
  }

  private func controller(_ item: TextItem) throws(SyntaxError) -> RuleAction {
    guard let text = item.value else { return .controller(maxLength: .max) }
    guard text.split(at: UInt8(ascii: "=")) != nil else { return .controller(maxLength: try length(text, item)) }
    var length = UInt16.max
    var options = TextItems(text)
    while let option = options.nextField() {
      switch option.key.string {
      case "max_len": length = try self.length(option.value ?? option.key, item)
      case "reason" where option.value?.equals("action") == true, "id" where option.value?.number == 0: break
      default:
        throw item.whole.error("controller has no such option here", expected: "controller(max_len=BYTES)")
      }
    }
    return .controller(maxLength: length)
  }

  private func length(_ piece: TextPiece, _ item: TextItem) throws(SyntaxError) -> UInt16 {
    guard let length = piece.number, length <= UInt64(UInt16.max) else {
      throw item.whole.error("not a length", expected: "0 to 65535 bytes, such as controller(max_len=128)")
    }
    return UInt16(length)
  }

  // MARK: Tags, labels, TTLs

  private mutating func readPlain(_ action: RuleAction, _ name: String, _ item: TextItem) throws(SyntaxError) {
    try checkPlain(item, name)
    switch action {
    case .popVLAN: tags = max(0, tags - 1)
    case .decrementTTL: try need(.ip, item, "only IP packets have a TTL")
    case .decrementMPLSTTL:
      try need(isMPLS, item, "only MPLS packets have a label's TTL", expected: "mpls or mplsm in the match, or push_mpls before it")
    case .popPBB:
      try need(etherType == 0x88e7, item, "only PBB packets have such a header", expected: "pbb in the match, or push_pbb before it")
      becomes(etherType: nil)
    default: break
    }
    actions.append(action)
  }

  private mutating func readPushVLAN(_ item: TextItem) throws(SyntaxError) {
    let tpid = try etherType(item, [0x8100, 0x88a8], "not the EtherType of a VLAN tag", "push_vlan:0x8100 or push_vlan:0x88a8")
    guard tags < PacketState.tagLimit else {
      throw item.whole.error("the packet has two VLAN tags already", expected: "at most two")
    }
    actions.append(.pushVLAN(tpid: tpid))
    tags += 1
  }

  private mutating func readPushMPLS(_ item: TextItem) throws(SyntaxError) {
    let pushed = try etherType(item, [0x8847, 0x8848], "not an EtherType of MPLS", "push_mpls:0x8847 or push_mpls:0x8848")
    actions.append(.pushMPLS(etherType: pushed))
    becomes(etherType: pushed)
    // The label goes in front of the tags: there is none to see any more.
    tags = 0
  }

  private mutating func readPopMPLS(_ item: TextItem) throws(SyntaxError) {
    let expected = "the EtherType of what is below the label, such as pop_mpls:0x0800"
    guard let number = try value(item, expected).number, number <= 0xffff, number >= 0x600 else {
      throw item.whole.error("not an EtherType", expected: expected)
    }
    try need(isMPLS, item, "only MPLS packets have a label to pop", expected: "mpls or mplsm in the match, or push_mpls before it")
    actions.append(.popMPLS(etherType: UInt16(number)))
    becomes(etherType: UInt16(number))
  }

  private mutating func readPushPBB(_ item: TextItem) throws(SyntaxError) {
    if item.value != nil { _ = try etherType(item, [0x88e7], "not the EtherType of PBB", "push_pbb:0x88e7") }
    actions.append(.pushPBB)
    becomes(etherType: 0x88e7)
    tags = 0
  }

  private var etherType: UInt16? {
    packets?.exactValue(of: .ethType).map { UInt16($0) }
  }

  private var isMPLS: Bool { etherType == 0x8847 || etherType == 0x8848 }

  /// Notes that the packets are of another type now, of which no more is known.
  private mutating func becomes(etherType: UInt16?) {
    guard packets != nil else { return }
    var key = FlowKey()
    var mask = FlowMask()
    if let etherType {
      key[.ethType] = UInt128(etherType)
      mask.include(.ethType)
    }
    packets = FlowMatch(key, mask)
  }

  // MARK: Fields

  /// The old actions mod_FIELD:VALUE.
  private mutating func readModify(_ field: FlowField, _ item: TextItem) throws(SyntaxError) {
    let piece = try value(item, "\(item.key.printable):VALUE")
    guard piece.split(at: UInt8(ascii: "/")) == nil else {
      throw item.whole.error("this action takes no mask", expected: "set_field:VALUE/MASK->\(field.setFieldName)")
    }
    let parsed = try field.parse(piece)
    try set(field, parsed.value, parsed.mask, item)
  }

  private mutating func readModify(named name: String, _ item: TextItem) throws(SyntaxError) {
    guard let field = FieldName.named(name)?.field else {
      throw item.whole.error("not an action that is supported, nor a port", expected: suggestion(item))
    }
    try readModify(field, item)
  }

  private mutating func readSetField(_ item: TextItem) throws(SyntaxError) {
    let form = "set_field:VALUE->FIELD or set_field:VALUE/MASK->FIELD"
    guard let (text, target) = try value(item, form).splitAtArrow() else {
      throw item.whole.error("set_field does not say which field", expected: form)
    }
    let field = try settable(target, item)
    let parsed = try field.parse(text)
    guard parsed.mask != 0 else { throw item.whole.error("the mask is zero: nothing would be set") }
    switch field {
    case .vlanVID, .vlanPCP:
      try needTag(item)
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

  /// `load:VALUE->FIELD[FIRST..LAST]`.
  private mutating func readLoad(_ item: TextItem) throws(SyntaxError) {
    let form = "load:VALUE->FIELD[FIRST..LAST], such as load:1->NXM_NX_REG0[0..7]"
    guard let (text, target) = try value(item, form).splitAtArrow() else {
      throw item.whole.error("load does not say which field", expected: form)
    }
    guard let (name, rest) = target.split(at: UInt8(ascii: "[")), rest.count > 0, rest.bytes[rest.end - 1] == UInt8(ascii: "]") else {
      throw target.error("the bits of the field are not given", expected: form)
    }
    let field = try settable(name, item)
    let (first, last) = try bits(rest.dropLast(), field)
    let ones = last - first == 127 ? UInt128.max : (UInt128(1) << UInt128(last - first + 1)) - 1
    guard let number = text.number, UInt128(number) <= ones else {
      throw text.error("not a number that fits into \(last - first + 1) bits", expected: form)
    }
    let mask = ones << UInt128(first)
    let loaded = UInt128(number) << UInt128(first)
    guard field == .vlanVID || field == .vlanPCP else { return try set(field, loaded, mask, item) }
    try needTag(item)
    let isWhole = field == .vlanVID && mask & 0xfff == 0xfff
    let usable = field == .vlanVID ? mask & 0xfff : mask
    guard usable != 0 else { throw item.whole.error("the mask has no bit of the VLAN ID") }
    actions.append(
      .setField(field, value: isWhole ? loaded | UInt128(vlanPresent) : loaded & usable, mask: isWhole ? 0x1fff : usable))
  }

  /// `3..7`, `3` or nothing for all.
  private func bits(_ piece: TextPiece, _ field: FlowField) throws(SyntaxError) -> (first: Int, last: Int) {
    let width = field.place.width
    if piece.isEmpty { return (0, width - 1) }
    let first: UInt64?
    let last: UInt64?
    if let (low, high) = piece.split(at: UInt8(ascii: ".")), let dot = high.split(at: UInt8(ascii: ".")), dot.before.isEmpty {
      (first, last) = (low.number, dot.after.number)
    } else {
      (first, last) = (piece.number, piece.number)
    }
    guard let first, let last, first <= last, last < UInt64(width) else {
      throw piece.error("not bits of this field", expected: "FIRST..LAST within 0..\(width - 1)")
    }
    return (Int(first), Int(last))
  }

  /// The field that a name stands for.
  private func settable(_ target: TextPiece, _ item: TextItem) throws(SyntaxError) -> FlowField {
    guard let field = FieldName.named(target)?.field, field.isSettable else {
      throw target.error(
        "not a field that can be set",
        expected: FlowField.allCases.filter(\.isSettable).map(\.setFieldName).joined(separator: ", "))
    }
    return target.equals("tp_src") || target.equals("tp_dst") ? try transport(field, item) : field
  }

  private mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128, _ item: TextItem) throws(SyntaxError) {
    let requirement = FieldRequirement(field)
    if let packets, !requirement.isMet(by: packets) {
      throw item.whole.error(
        "setting \(field.setFieldName) needs \(requirement.words) in the match", expected: "the protocol to be matched")
    }
    actions.append(.setField(field, value: value, mask: mask))
  }

  /// The port field of the protocol that the match names, for tp_src and tp_dst.
  private func transport(_ tcpField: FlowField, _ item: TextItem) throws(SyntaxError) -> FlowField {
    guard let packets else { return tcpField }
    let isSource = tcpField == .tcpSrc
    for field in isSource ? [FlowField.tcpSrc, .udpSrc, .sctpSrc] : [.tcpDst, .udpDst, .sctpDst]
    where FieldRequirement(field).isMet(by: packets) {
      return field
    }
    throw item.whole.error(
      "setting ports needs \(FieldRequirement.transport.words) in the match", expected: "the protocol to be matched")
  }

  // MARK: Pieces

  private func need(_ requirement: FieldRequirement, _ item: TextItem, _ message: String) throws(SyntaxError) {
    guard let packets else { return }
    try need(requirement.isMet(by: packets), item, message, expected: "\(requirement.words) in the match")
  }

  private func need(_ isMet: Bool, _ item: TextItem, _ message: String, expected: String) throws(SyntaxError) {
    guard packets == nil || isMet else { throw item.whole.error(message, expected: expected) }
  }

  private func needTag(_ item: TextItem) throws(SyntaxError) {
    try need(
      tags > 0, item, "packets of this match may have no VLAN tag",
      expected: "dl_vlan=... or vlan_vid=0x1000/0x1000 in the match, push_vlan before it, or mod_vlan_vid, which pushes one")
  }

  private func value(_ item: TextItem, _ expected: @autoclosure () -> String) throws(SyntaxError) -> TextPiece {
    guard let value = item.value, !value.isEmpty else {
      throw item.whole.error("the action has no argument", expected: expected())
    }
    return value
  }

  private func number(_ item: TextItem, limit: UInt64, _ expected: String) throws(SyntaxError) -> UInt64 {
    guard let number = try value(item, expected).number, number <= limit else {
      throw item.whole.error("not a value for this action", expected: expected)
    }
    return number
  }

  private func id(_ item: TextItem, _ expected: String, limit: UInt32) throws(SyntaxError) -> UInt32 {
    UInt32(try number(item, limit: UInt64(limit), expected))
  }

  private func etherType(_ item: TextItem, _ allowed: [UInt16], _ message: String, _ expected: String) throws(SyntaxError) -> UInt16 {
    guard let number = try value(item, expected).number, let type = UInt16(exactly: number), allowed.contains(type) else {
      throw item.whole.error(message, expected: expected)
    }
    return type
  }
}

/// What the name of an action stands for.
enum ActionWord: Sendable {
  case instruction(InstructionWord)
  case output, drop
  case reserved(ReservedOutput)
  case plain(RuleAction, String)
  case group, setQueue, setField, load
  case modify(FlowField)
  case modifyTransport(FlowField)
  /// A field by its name in FieldName's table.
  case modifyNamed(String)
  case modifyTOS, setVLAN, setVLANPriority
  case pushVLAN, pushMPLS, popMPLS, pushPBB

  static let words = WordTable(all, ignoresCase: true)

  static let all: [(word: String, value: ActionWord)] = [
    ("meter", .instruction(.meter)), ("apply_actions", .instruction(.apply)), ("clear_actions", .instruction(.clear)),
    ("write_actions", .instruction(.write)), ("write_metadata", .instruction(.metadata)), ("goto_table", .instruction(.goto)),
    ("output", .output), ("drop", .drop), ("in_port", .reserved(.inPort)), ("table", .reserved(.table)), ("normal", .reserved(.normal)),
    ("flood", .reserved(.flood)), ("all", .reserved(.all)), ("controller", .reserved(.controller)),
    ("pop_vlan", .plain(.popVLAN, "pop_vlan")), ("strip_vlan", .plain(.popVLAN, "strip_vlan")),
    ("dec_ttl", .plain(.decrementTTL, "dec_ttl")), ("dec_mpls_ttl", .plain(.decrementMPLSTTL, "dec_mpls_ttl")),
    ("copy_ttl_in", .plain(.copyTTLIn, "copy_ttl_in")), ("copy_ttl_out", .plain(.copyTTLOut, "copy_ttl_out")),
    ("pop_pbb", .plain(.popPBB, "pop_pbb")), ("push_pbb", .pushPBB), ("push_vlan", .pushVLAN), ("push_mpls", .pushMPLS),
    ("pop_mpls", .popMPLS), ("group", .group), ("set_queue", .setQueue), ("set_field", .setField), ("load", .load),
    ("mod_vlan_vid", .setVLAN), ("mod_vlan_pcp", .setVLANPriority), ("mod_nw_tos", .modifyTOS), ("mod_nw_ecn", .modify(.ipECN)),
    ("mod_nw_ttl", .modify(.ipTTL)), ("mod_dl_src", .modify(.ethSrc)), ("mod_dl_dst", .modify(.ethDst)),
    ("mod_nw_src", .modify(.ipv4Src)), ("mod_nw_dst", .modify(.ipv4Dst)), ("mod_tp_src", .modifyTransport(.tcpSrc)),
    ("mod_tp_dst", .modifyTransport(.tcpDst)), ("set_mpls_label", .modifyNamed("mpls_label")), ("set_mpls_tc", .modifyNamed("mpls_tc")),
    ("set_mpls_ttl", .modifyNamed("mpls_ttl")), ("set_tunnel", .modifyNamed("tun_id")), ("set_tunnel64", .modifyNamed("tun_id")),
  ]
}
