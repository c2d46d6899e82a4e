// RuleText.swift
//
// What: reads and writes a whole rule on one line, as ovs-ofctl's add-flow takes and dump-flows prints it, and the filters of
//       dump-flows and del-flows.
// Invariants: what `text` writes is read back as the same rule. A line that dump-flows prints can be added again: its
//             counters and times are skipped.
// Threads: pure.
// Cost: a microsecond or two per rule.

import Dataplane

extension Rule {
  /// Reads a rule: `cookie=0x1,table=1,priority=100,ip,nw_dst=10.0.0.0/8 actions=output:2`.
  ///
  /// - Parameter names: knows the names of ports.
  public init(text: String, names: PortNames = .none) throws(SyntaxError) {
    try self.init(text: TextPiece(text), names: names)
  }

  /// Reads a rule that is a part of a longer text; the places of errors are counted from the start of the whole.
  public init(text line: TextPiece, names: PortNames = .none) throws(SyntaxError) {
    var items = TextItems(line)
    var builder = MatchBuilder(names: names)
    var actionText: TextPiece?
    self.init(instructions: RuleInstructions())
    while let item = items.nextField() {
      guard let word = RuleWord.words[item.key] else {
        guard try builder.add(item) else { throw MatchBuilder.unknown(item, alsoKnown: RuleWord.inRules) }
        continue
      }
      switch word {
      case .priority: priority = try RuleItem.priority(item)
      case .cookie: cookie = try RuleItem.number(item, "a number up to 64 bits, such as cookie=0x1f")
      case .table: table = try RuleItem.table(item)
      case .idleTimeout: idleTimeout = try RuleItem.timeout(item)
      case .hardTimeout: hardTimeout = try RuleItem.timeout(item)
      case .flag(let flag):
        guard item.value == nil else { throw item.whole.error("this flag takes no value", expected: item.key.printable) }
        flags.insert(flag)
      case .actions: actionText = item.value ?? item.key
      case .statistic: break
      case .outPort, .outGroup:
        throw item.whole.error("this selects rules, it is no part of one", expected: "the actions behind actions=")
      }
    }
    match = try builder.finish()
    guard let actionText else {
      throw line.error("the rule has no actions", expected: "actions=... at its end, such as actions=output:2")
    }
    instructions = try RuleInstructions(actionText, table: table, match: match, names: names)
  }

  /// Writes the rule on one line.
  public func text(names: PortNames = .none) -> String {
    let matchText = match.text(names: names)
    var line = "cookie=0x\(String(cookie, radix: 16)), "
    if table != 0 { line += "table=\(table), " }
    if idleTimeout != 0 { line += "idle_timeout=\(idleTimeout), " }
    if hardTimeout != 0 { line += "hard_timeout=\(hardTimeout), " }
    if !flags.isEmpty {
      for (word, flag) in RuleWord.flags where flags.contains(flag) { line += word + " " }
    }
    return line + "priority=\(priority)\(matchText.isEmpty ? "" : ",")\(matchText) actions=\(instructions.text(names: names))"
  }
}

extension RuleFilter {
  /// Reads a filter: a match, and perhaps `table=N`, `cookie=VALUE/MASK`, `out_port=PORT`, `out_group=GROUP` and, for a strict one,
  /// `priority=N`. The empty text selects every rule; a strict filter without a table means table 0.
  ///
  /// - Parameter isStrict: select the rule with exactly this match and priority.
  public init(text: String, isStrict: Bool = false, names: PortNames = .none) throws(SyntaxError) {
    self.init(isStrict: isStrict)
    var items = TextItems(TextPiece(text))
    var builder = MatchBuilder(names: names)
    while let item = items.nextField() {
      guard let word = RuleWord.words[item.key] else {
        guard try builder.add(item) else { throw MatchBuilder.unknown(item, alsoKnown: RuleWord.inFilters) }
        continue
      }
      switch word {
      case .priority:
        guard isStrict else {
          throw item.whole.error("only a strict filter has a priority", expected: "no priority, or --strict")
        }
        priority = try RuleItem.priority(item)
      case .cookie: (cookie, cookieMask) = try RuleItem.maskedCookie(item)
      case .table: table = item.value?.equals("255") == true ? nil : try RuleItem.table(item)
      case .outPort:
        guard let value = item.value else { throw item.whole.error("no port is named", expected: "out_port=PORT") }
        let reserved = ReservedOutput(value.string.lowercased())
        outPort = if let reserved { reserved.number } else { try names.parse(value) }
      case .outGroup:
        outGroup = UInt32(truncatingIfNeeded: try RuleItem.number(item, "a group's number, such as out_group=1", limit: 0xffff_ffff))
      case .actions:
        throw item.whole.error("rules are not selected by their actions", expected: "a match, and perhaps out_port=PORT")
      case .idleTimeout, .hardTimeout, .flag, .statistic:
        throw MatchBuilder.unknown(item, alsoKnown: RuleWord.inFilters)
      }
    }
    match = try builder.finish()
    if isStrict, table == nil { table = 0 }
  }
}

/// The items of a rule or a filter that belong neither to the match nor to the actions.
private enum RuleWord: Sendable {
  case priority, cookie, table, idleTimeout, hardTimeout, actions, outPort, outGroup
  case flag(RuleFlags)
  /// Says what happened to a printed rule, not what it is.
  case statistic

  static let flags: [(word: String, flag: RuleFlags)] = [
    ("send_flow_rem", .sendFlowRemoved), ("check_overlap", .checkOverlap), ("reset_counts", .resetCounts),
    ("no_packet_counts", .noPacketCounts), ("no_byte_counts", .noByteCounts),
  ]
  static let inFilters = ["priority", "cookie", "table", "out_port", "out_group"]
  static let inRules = ["priority", "cookie", "table", "idle_timeout", "hard_timeout", "actions"] + flags.map(\.word)

  static let words = WordTable<RuleWord>(
    [
      ("priority", .priority), ("cookie", .cookie), ("table", .table), ("idle_timeout", .idleTimeout), ("hard_timeout", .hardTimeout),
      ("actions", .actions), ("action", .actions), ("out_port", .outPort), ("out_group", .outGroup), ("duration", .statistic),
      ("n_packets", .statistic), ("n_bytes", .statistic), ("idle_age", .statistic), ("hard_age", .statistic),
    ] + flags.map { ($0.word, .flag($0.flag)) })
}

private enum RuleItem {
  static func number(_ item: TextItem, _ expected: String, limit: UInt64 = .max) throws(SyntaxError) -> UInt64 {
    guard let number = item.value?.number, number <= limit else { throw item.whole.error("not a number", expected: expected) }
    return number
  }

  static func priority(_ item: TextItem) throws(SyntaxError) -> UInt16 {
    guard let number = item.value?.number, number <= 65535 else {
      throw item.whole.error("not a priority", expected: "priority=0 to priority=65535")
    }
    return UInt16(number)
  }

  static func timeout(_ item: TextItem) throws(SyntaxError) -> UInt16 {
    guard let number = item.value?.number, number <= 65535 else {
      throw item.whole.error("not a timeout", expected: "0 to 65535 seconds; 0 is never")
    }
    return UInt16(number)
  }

  static func table(_ item: TextItem) throws(SyntaxError) -> UInt8 {
    guard let number = item.value?.number, number <= UInt64(Rule.lastTable) else {
      throw item.whole.error("not a table", expected: "table=0 to table=\(Rule.lastTable)")
    }
    return UInt8(number)
  }

  static func maskedCookie(_ item: TextItem) throws(SyntaxError) -> (cookie: UInt64, mask: UInt64) {
    let expected = "cookie=VALUE or cookie=VALUE/MASK, such as cookie=0x10/-1"
    guard let value = item.value else { throw item.whole.error("no cookie is given", expected: expected) }
    guard let (before, after) = value.split(at: UInt8(ascii: "/")) else { return (try number(item, expected), .max) }
    guard let cookie = before.number, let mask = after.equals("-1") ? .max : after.number else {
      throw item.whole.error("not a cookie and mask", expected: expected)
    }
    return (cookie, mask)
  }
}
