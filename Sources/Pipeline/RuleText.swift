// RuleText.swift
//
// What: reads and writes a whole rule on one line, as ovs-ofctl's add-flow takes and dump-flows prints it, and the filters of
//       dump-flows and del-flows.
// Invariants: what `text` writes is read back as the same rule. A line that dump-flows prints can be added again: its
//             counters and times are skipped.
// Threads: pure.
// Cost: a few microseconds per rule.

import Dataplane

extension Rule {
  /// Items of a printed rule that say what happened to it, not what it is.
  private static let passedOver: Set<String> = ["duration", "n_packets", "n_bytes", "idle_age", "hard_age"]

  /// Reads a rule: `cookie=0x1,priority=100,ip,nw_dst=10.0.0.0/8 actions=output:2`.
  ///
  /// - Parameter names: knows the names of ports.
  public init(text: String, names: PortNames = .none) throws(SyntaxError) {
    let line = TextPiece(text)
    var items = TextItems(line)
    var builder = MatchBuilder(names: names)
    var priority = Rule.defaultPriority
    var cookie: UInt64 = 0
    var actionText: TextPiece?
    while let item = items.nextField() {
      if try builder.add(item) { continue }
      switch item.key.string {
      case "priority": priority = try RuleItem.priority(item)
      case "cookie": cookie = try RuleItem.number(item, "a number up to 64 bits, such as cookie=0x1f")
      case "table": try RuleItem.checkTable(item)
      case "idle_timeout", "hard_timeout":
        guard item.value?.number == 0 else {
          throw item.whole.error("rules do not time out here", expected: "no timeout, or 0")
        }
      case "actions", "action": actionText = item.value ?? item.key
      case let key where Rule.passedOver.contains(key): break
      default:
        throw MatchBuilder.unknown(item, alsoKnown: ["priority", "cookie", "table", "actions"])
      }
    }
    let match = try builder.finish()
    guard let actionText else {
      throw line.error("the rule has no actions", expected: "actions=... at its end, such as actions=output:2")
    }
    self.init(
      priority: priority, cookie: cookie, match: match,
      actions: try ActionText.parse(actionText, match: match, names: names))
  }

  /// Writes the rule on one line.
  public func text(names: PortNames = .none) -> String {
    let matchText = match.text(names: names)
    return "cookie=0x\(String(cookie, radix: 16)), priority=\(priority)\(matchText.isEmpty ? "" : ",")\(matchText)"
      + " actions=\(ActionText.text(actions, names: names))"
  }
}

extension RuleFilter {
  /// Reads a filter: a match, and perhaps `cookie=VALUE/MASK`, `out_port=PORT`, `table=0` and, for a strict one, `priority=N`.
  /// The empty text selects every rule.
  ///
  /// - Parameter isStrict: select the rule with exactly this match and priority.
  public init(text: String, isStrict: Bool = false, names: PortNames = .none) throws(SyntaxError) {
    self.init(isStrict: isStrict)
    var items = TextItems(TextPiece(text))
    var builder = MatchBuilder(names: names)
    while let item = items.nextField() {
      if try builder.add(item) { continue }
      switch item.key.string {
      case "priority":
        guard isStrict else {
          throw item.whole.error("only a strict filter has a priority", expected: "no priority, or --strict")
        }
        priority = try RuleItem.priority(item)
      case "cookie": (cookie, cookieMask) = try RuleItem.maskedCookie(item)
      case "table": try RuleItem.checkTable(item)
      case "out_port":
        guard let value = item.value else { throw item.whole.error("no port is named", expected: "out_port=PORT") }
        let number = RuleItem.reservedNumber(value.string.lowercased())
        outPort = if let number { number } else { try names.parse(value) }
      case "actions", "action":
        throw item.whole.error("rules are not selected by their actions", expected: "a match, and perhaps out_port=PORT")
      default:
        throw MatchBuilder.unknown(item, alsoKnown: ["priority", "cookie", "table", "out_port"])
      }
    }
    match = try builder.finish()
  }
}

/// The items of a rule that belong neither to the match nor to the actions.
private enum RuleItem {
  static func number(_ item: TextItem, _ expected: String) throws(SyntaxError) -> UInt64 {
    guard let number = item.value?.number else { throw item.whole.error("not a number", expected: expected) }
    return number
  }

  static func priority(_ item: TextItem) throws(SyntaxError) -> UInt16 {
    guard let number = item.value?.number, number <= 65535 else {
      throw item.whole.error("not a priority", expected: "priority=0 to priority=65535")
    }
    return UInt16(number)
  }

  static func checkTable(_ item: TextItem) throws(SyntaxError) {
    guard item.value?.number == 0 else { throw item.whole.error("there is one table, number 0", expected: "table=0") }
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

  static func reservedNumber(_ lowercaseWord: String) -> UInt32? {
    switch ReservedOutput(lowercaseWord) {
    case .inPort: ReservedPort.inPort
    case .normal: ReservedPort.normal
    case .flood: ReservedPort.flood
    case .all: ReservedPort.all
    case .controller: ReservedPort.controller
    case nil: nil
    }
  }
}
