// InstructionText.swift
//
// What: reads and writes what stands behind `actions=` in a rule: actions that are applied at once, and the other instructions by their
//       names: `meter:3,dec_ttl,write_actions(output:2),write_metadata:0x1/0xf,goto_table:2`.
// Invariants: each instruction stands at most once; a rule goes on only in a later table. What `text` writes, in the order in which
//             the instructions are carried out, is read back as the same instructions.
// Threads: pure.
// Source: ovs-actions(7), "Instructions".

import Dataplane

/// The instructions that have names of their own.
enum InstructionWord: Sendable {
  case meter, apply, clear, write, metadata, goto
}

extension RuleInstructions {
  /// Reads the text behind `actions=`.
  ///
  /// - Parameters:
  ///   - table: the rule's table.
  ///   - match: the rule's match, for the prerequisites of the fields that are set.
  init(_ text: TextPiece, table: UInt8, match: FlowMatch, names: PortNames) throws(SyntaxError) {
    self.init()
    var reader = ActionReader(match: match, names: names)
    var items = TextItems(text)
    var hasApplyList = false
    var hasWriteList = false
    while let item = try items.nextAction() {
      let word = ActionWord.words[item.key]
      guard case .instruction(let instruction) = word else {
        guard !hasApplyList else {
          throw item.whole.error("the actions that are applied do not stand together", expected: "all of them in front of write_actions")
        }
        try reader.read(item, word)
        continue
      }
      var isRepeated = false
      switch instruction {
      case .meter:
        isRepeated = meter != nil
        meter = UInt32(try Self.number(item, 1...0xffff_0000, "a meter's number: meter:1"))
      case .apply:
        isRepeated = hasApplyList || !reader.isEmpty
        hasApplyList = true
        apply = try reader.readList(try Self.list(item, "apply_actions(...)"))
      case .clear:
        guard item.value == nil else { throw item.whole.error("this instruction takes no argument", expected: "clear_actions") }
        isRepeated = clearsActions
        clearsActions = true
      case .write:
        isRepeated = hasWriteList
        hasWriteList = true
        // The action set runs last: on the packets that the applied actions leave.
        if !hasApplyList, !reader.isEmpty {
          apply = try reader.takeList(text)
          hasApplyList = true
        }
        write = try reader.readList(try Self.list(item, "write_actions(output:2)"))
      case .metadata:
        isRepeated = metadata != nil
        metadata = try Self.metadata(item)
      case .goto:
        isRepeated = goto != nil
        goto = try Self.goto(item, from: table)
      }
      if isRepeated { throw item.whole.error("this instruction is given twice", expected: "each instruction once") }
    }
    if hasApplyList { return }
    if reader.isEmpty, self != RuleInstructions() { return }
    guard !reader.saysDrop || self == RuleInstructions() else {
      throw text.error("drop stands with other actions", expected: "drop alone")
    }
    apply = try reader.takeList(text)
  }

  /// Writes the instructions as `ovs-ofctl dump-flows` does.
  public func text(names: PortNames = .none) -> String {
    // One action is by far the most frequent.
    if self == RuleInstructions(apply: apply) { return ActionText.text(apply, names: names) }
    var items: [String] = []
    if let meter { items.append("meter:\(meter)") }
    if !apply.isEmpty { items.append(ActionText.text(apply, names: names)) }
    if clearsActions { items.append("clear_actions") }
    if !write.isEmpty { items.append("write_actions(\(ActionText.text(write, names: names)))") }
    if let metadata {
      let mask = metadata.mask == .max ? "" : "/0x" + String(metadata.mask, radix: 16)
      items.append("write_metadata:0x\(String(metadata.value, radix: 16))\(mask)")
    }
    if let goto { items.append("goto_table:\(goto)") }
    return items.joined(separator: ",")
  }

  private static func list(_ item: TextItem, _ expected: String) throws(SyntaxError) -> TextPiece {
    guard let value = item.value else { throw item.whole.error("the instruction has no actions", expected: expected) }
    return value
  }

  private static func number(_ item: TextItem, _ range: ClosedRange<UInt64>, _ expected: String) throws(SyntaxError) -> UInt64 {
    guard let number = item.value?.number, range.contains(number) else {
      throw item.whole.error("not a number for this instruction", expected: expected)
    }
    return number
  }

  private static func metadata(_ item: TextItem) throws(SyntaxError) -> MetadataWrite {
    let expected = "write_metadata:VALUE or write_metadata:VALUE/MASK, such as write_metadata:0x1/0xf"
    guard let value = item.value else { throw item.whole.error("no value is given", expected: expected) }
    let (before, after) = value.split(at: UInt8(ascii: "/")).map { ($0.before, Optional($0.after)) } ?? (value, nil)
    guard let number = before.number, let mask = after.map(\.number) ?? .max else {
      throw item.whole.error("not a value and mask", expected: expected)
    }
    guard mask != 0 else { throw item.whole.error("the mask is zero: nothing would be written") }
    return MetadataWrite(value: number, mask: mask)
  }

  private static func goto(_ item: TextItem, from table: UInt8) throws(SyntaxError) -> UInt8 {
    guard table < Rule.lastTable else {
      throw item.whole.error("table \(table) is the last one", expected: "no goto_table in it")
    }
    let expected = "a later table: \(table + 1) to \(Rule.lastTable)"
    guard let number = item.value?.number else { throw item.whole.error("no table is given", expected: expected) }
    guard number > UInt64(table), number <= UInt64(Rule.lastTable) else {
      throw item.whole.error("a packet only goes on to a later table", expected: expected)
    }
    return UInt8(number)
  }
}
