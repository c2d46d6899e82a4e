// ControlRules.swift
//
// Rules, groups and meters: until somebody changes them through the API, rules are the configuration's (or the one default
//        rule); from then on they are the operator's, and the store holds all of them.
// Invariants: the switch's rules are the store's once they are the operator's, timed-out ones included for a second at most. Text in
//             the store names ports by number.
// Threads: the control thread (see Control.swift).
// Cost: a change is one transaction of the store and one of the switch.

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

/// The switch refuses a change whose text was right.
struct RefusedChange: Error, CustomStringConvertible {
  var reason: RuleChangeError
  /// The line of the call that it is about; nil when it is about none.
  var line: UInt32?

  var description: String { "\(reason)" }
}

extension Control {
  /// Rules that the agent holds at most: a bound on its memory, of which a rule takes some 400 bytes.
  static let ruleLimit = 2_097_152
  /// After calls about more rules than this the memory that they took on their way is given back to the kernel.
  private static let rulesWorthTrimming = 10_000

  /// How rule text names ports, those whose interface is missing included.
  func portNames(printsNames: Bool = false) -> PortNames {
    let numbers = portNumbers()
    let names = Dictionary(uniqueKeysWithValues: numbers.map { ($1, $0) })
    return PortNames(number: { numbers[$0] }, name: { printsNames ? names[$0] : nil })
  }

  /// The numbers of the ports by name, those whose interface is missing included.
  func portNumbers() -> [String: UInt32] { ports.mapValues(\.number) }

  /// Carries out changes, all or none; returns when no worker follows what they replaced.
  func apply(_ bundle: RuleBundle) throws -> RuleChange {
    var waiting: RuleBundle? = bundle
    return try apply { waiting.take() }
  }

  /// Adds rules, all or none, and stores each batch while the next one is still being read.
  func add(_ batches: RuleBatches) throws -> RuleChange { try apply { try batches.next() } }

  /// - Parameter next: hands over a bundle, nil after the last one; when there are several they hold nothing but additions.
  private func apply(_ next: () throws -> RuleBundle?) throws -> RuleChange {
    try checkDraining()
    var bundles: [RuleBundle] = []
    defer { noteCall(rules: bundles.reduce(0) { $0 + $1.requests.count }) }
    let undo = try store.apply(alsoKeeping: rulesToKeep()) {
      guard let bundle = try next() else {
        try checkRoom(for: bundles)
        return nil
      }
      let stored =
        bundle.additionCount == bundle.requests.count
        ? StoredBundle(additions: bundle) : try onPlane { core in StoredBundle(bundle, core: core) }
      bundles.append(bundle)
      return stored.change
    }
    // A deletion that selects nothing does not make the configuration's rules the operator's.
    guard let undo else { return RuleChange() }
    do {
      let batches = bundles.map(\.requests)
      let change = try onPlane { core in try core.apply(batches: batches) }
      rulesAreOperators = true
      for bundle in bundles { announce(bundle, change) }
      return change
    } catch {
      try store.undo(undo)
      guard let refusal = error as? RuleChangeError else { throw error }
      throw RefusedChange(reason: refusal, line: bundles.line(ofRequest: refusal.requestIndex))
    }
  }

  /// Refuses additions beyond the number of rules that the agent holds.
  private func checkRoom(for bundles: [RuleBundle]) throws {
    let count = try onPlane { core in core.rules.count }
    guard count + bundles.reduce(0, { $0 + $1.additionCount }) > Self.ruleLimit else { return }
    // Some of them may replace others, which only the switch can tell.
    let wanted = try onPlane { core in bundles.reduce(core.rules.count) { $0 + $1.newRules(in: core.rules) } }
    guard wanted <= Self.ruleLimit else { throw RuleFailure.tooMany(limit: Self.ruleLimit, wanted: wanted) }
  }

  /// Notes a call about so many rules, whether or not it changed anything, or that they were loaded.
  func noteCall(rules count: Int) {
    if count > Self.rulesWorthTrimming { ticksUntilTrim = 2 }
  }

  /// Makes the rules that a bundle adds the only ones.
  func replaceRules(_ wanted: RuleBundle) throws -> RuleReplacement {
    let replacement = try onPlane { core in RuleReplacement(wanted: wanted, core: core) }
    // Even when nothing changes the rules are the operator's from now on.
    _ = try apply(replacement.bundle)
    return replacement
  }

  func listRules(_ filter: RuleFilter) throws -> [RuleSnapshot] { try onPlane { core in core.ruleList(filter) } }

  /// Forgets rules in the store that have timed out in the switch.
  func forgetEndedRules() {
    do {
      // One that was added again since is there for good.
      let ended = try onPlane { core in core.takeEndedRules().map(\.rule).filter { !core.rules.holds($0) } }
      guard rulesAreOperators, !ended.isEmpty else { return }
      try store.apply(StoredChange(deletedRules: ended.map { RuleKey($0) }))
    } catch {
      logger.error("a rule that timed out stays in the store", metadata: ["reason": "\(error)"])
    }
  }

  /// What the store has to take over with the first change through the API.
  func rulesToKeep() throws -> [StoredRule] {
    guard !rulesAreOperators else { return [] }
    return try onPlane { core in core.ruleList().map { StoredRule($0.rule) } }
  }

  private func announce(_ bundle: RuleBundle, _ change: RuleChange) {
    guard events.isWatched else { return }
    for request in bundle.requests {
      switch request {
      case .add(let rule): publish(rule, .added)
      case .modify(let rule, _, _): publish(rule, .modified)
      default: break
      }
    }
  }

  private func publish(_ rule: Rule, _ kind: Sluice_V1_RuleChange) {
    var event = Sluice_V1_Event()
    event.unixNanoseconds = WallClock.nanoseconds()
    event.rule.change = kind
    event.rule.rule = Sluice_V1_Rule(rule)
    events.publish(event)
  }
}
