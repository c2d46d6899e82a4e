// ControlRules.swift
//
// Rules: until somebody changes them through the API they are the configuration's (or the one default rule); from then on
//        they are the
// operator's, and the store holds all of them.
// Invariant: the switch's rules are the store's once they are the operator's. Text in the store is canonical and names
//            ports by number.
// Threads: the control thread (see Control.swift).

import AgentAPI
import Dataplane
import Logging
import Pipeline
import Store

/// Why rules cannot be changed.
enum RuleFailure: Error, CustomStringConvertible {
  case tooMany(limit: Int, wanted: Int)

  var description: String {
    switch self {
    case .tooMany(let limit, let wanted):
      "\(wanted) rules would be more than the agent holds (\(limit)); nothing was changed"
    }
  }
}

extension Control {
  /// Rules that the agent holds at most.
  static let ruleLimit = 1_000_000

  /// How rule text names ports, those whose interface is missing included.
  func portNames(printsNames: Bool = false) -> PortNames {
    let numbers = ports.mapValues(\.number)
    let names = Dictionary(uniqueKeysWithValues: numbers.map { ($1, $0) })
    return PortNames(number: { numbers[$0] }, name: { printsNames ? names[$0] : nil })
  }

  /// Adds rules, all or none; returns when no worker follows what they replaced.
  func addRules(_ rules: [Rule]) throws -> RuleChange {
    try checkDraining()
    let count = try onPlane { core in core.rules.count }
    guard count + rules.count <= Self.ruleLimit else {
      throw RuleFailure.tooMany(limit: Self.ruleLimit, wanted: count + rules.count)
    }
    let undo = try store.putRules(rules.map(StoredRule.init), alsoKeeping: rulesToKeep())
    do {
      let change = try onPlane { core in core.addRules(rules) }
      rulesAreOperators = true
      announce(rules, .added)
      return change
    } catch {
      try store.undo(undo)
      throw error
    }
  }

  /// Deletes the rules that a filter selects; returns when no worker follows them any more.
  func deleteRules(_ filter: RuleFilter) throws -> Int {
    try checkDraining()
    let victims = try onPlane { core in core.ruleList(filter).map(\.rule) }
    guard !victims.isEmpty else { return 0 }
    let undo = try store.deleteRules(victims.map { StoredRule($0).identity }, alsoKeeping: rulesToKeep())
    do {
      let removed = try onPlane { core in core.deleteRules(filter) }
      rulesAreOperators = true
      announce(removed.map(\.rule), .deleted)
      return removed.count
    } catch {
      try store.undo(undo)
      throw error
    }
  }

  func listRules(_ filter: RuleFilter) throws -> [RuleSnapshot] { try onPlane { core in core.ruleList(filter) } }

  /// Gives the switch the rules of the store, or else those of the configuration.
  func loadRules() throws {
    rulesAreOperators = try store.rulesAreOperators()
    let rules: [Rule]
    if rulesAreOperators {
      rules = try store.rules().compactMap { stored in
        do {
          return try Rule(stored)
        } catch {
          // It stays in the store: a version that understands it may come back.
          logger.error(
            "a rule in the store is not understood and is not in force",
            metadata: ["rule": "\(stored.line)", "reason": "\(error)"])
          troubles["rules"] = "a rule in the store is not understood: \(stored.line): \(error)"
          return nil
        }
      }
      if configuration.rules != nil {
        logger.notice(
          "the rules in the configuration are not used: rules were changed through the API and are in the store")
      }
    } else {
      rules = configuredRules()
    }
    guard !rules.isEmpty else { return }
    _ = try onPlane { core in core.addRules(rules) }
  }

  /// Puts the configuration's rules in force after a reload, if rules are still the configuration's.
  func reloadRules() throws {
    guard !rulesAreOperators else {
      logger.notice(
        "the configuration's rules changed, but rules were changed through the API: those in the store stay in force")
      return
    }
    let wanted = configuredRules()
    let kept = Set(wanted.map { StoredRule($0).identity })
    _ = try onPlane { core in
      for old in core.ruleList() where !kept.contains(StoredRule(old.rule).identity) {
        _ = core.deleteRules(RuleFilter(match: old.rule.match, isStrict: true, priority: old.rule.priority))
      }
      return core.addRules(wanted)
    }
  }

  /// What the store has to take over with the first change through the API.
  private func rulesToKeep() throws -> [StoredRule] {
    guard !rulesAreOperators else { return [] }
    return try onPlane { core in core.ruleList().map { StoredRule($0.rule) } }
  }

  private func configuredRules() -> [Rule] {
    (configuration.rules ?? AgentConfiguration.defaultRules).compactMap { text in
      do {
        return try Rule(text: text, names: portNames())
      } catch {
        // The configuration was checked when it was read, so this is the name of a port that was left out.
        logger.error("a rule of the configuration is not in force", metadata: ["rule": "\(text)", "reason": "\(error)"])
        troubles["rules"] = "a rule of the configuration is not in force: \(text): \(error)"
        return nil
      }
    }
  }

  private func announce(_ rules: [Rule], _ kind: Sluice_V1_RuleChange) {
    guard events.isWatched else { return }
    let now = WallClock.nanoseconds()
    for rule in rules {
      var event = Sluice_V1_Event()
      event.unixNanoseconds = now
      event.rule.change = kind
      event.rule.rule = Sluice_V1_Rule(rule)
      events.publish(event)
    }
  }
}

extension StoredRule {
  init(_ rule: Rule) {
    self.init(
      priority: rule.priority, cookie: rule.cookie, match: rule.match.text(names: .none),
      actions: ActionText.text(rule.actions, names: .none))
  }

  /// The whole rule on one line, as the rule parser reads it.
  var line: String {
    "cookie=0x\(String(cookie, radix: 16)),priority=\(priority)\(match.isEmpty ? "" : ",")\(match) actions=\(actions)"
  }
}

extension Rule {
  init(_ stored: StoredRule) throws(SyntaxError) { try self.init(text: stored.line, names: .none) }
}

extension Sluice_V1_Rule {
  init(_ rule: Rule) {
    self.init()
    table = 0
    priority = UInt32(rule.priority)
    cookie = rule.cookie
    match = rule.match.text(names: .none)
    actions = ActionText.text(rule.actions, names: .none)
    text = rule.text(names: .none)
  }

  init(_ snapshot: RuleSnapshot) {
    self.init(snapshot.rule)
    matched = Sluice_V1_Traffic(packets: snapshot.packets, bytes: snapshot.bytes)
    durationSeconds = UInt64(max(0, snapshot.ageSeconds))
  }
}
