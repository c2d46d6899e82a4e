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
  /// Rules that the agent holds at most.
  static let ruleLimit = 1_000_000
  /// After changes of more rules than this the memory that they took on their way is given back to the kernel.
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
    try checkDraining()
    let count = try onPlane { core in core.rules.count }
    let additions = bundle.rulesToAdd()
    if count + additions > Self.ruleLimit {
      // Some of them may replace others, which only the switch can tell.
      let wanted = try onPlane { core in core.rules.count + bundle.rulesToAdd { !core.rules.holds($0) } }
      guard wanted <= Self.ruleLimit else { throw RuleFailure.tooMany(limit: Self.ruleLimit, wanted: wanted) }
    }
    let stored =
      additions == bundle.requests.count
      ? StoredBundle(additions: bundle) : try onPlane { core in StoredBundle(bundle, core: core) }
    // A deletion that selects nothing does not make the configuration's rules the operator's.
    guard !stored.change.isEmpty else { return RuleChange() }
    let undo = try store.apply(stored.change, alsoKeeping: rulesToKeep())
    do {
      let requests = bundle.requests
      let change = try onPlane { core in try core.apply(requests) }
      rulesAreOperators = true
      announce(bundle, change)
      if bundle.requests.count > Self.rulesWorthTrimming { hasMemoryToGiveBack = true }
      return change
    } catch {
      try store.undo(undo)
      guard let refusal = error as? RuleChangeError else { throw error }
      let line = bundle.lines.indices.contains(refusal.requestIndex) ? bundle.lines[refusal.requestIndex] : 0
      throw RefusedChange(reason: refusal, line: line == 0 ? nil : line)
    }
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
