// RuleBundle.swift
//
// What: changes of rules, groups and meters on their way from text into the switch and the store, and what the store has to write
//       for them.
// Invariant: what is stored is what the switch holds after the change: deletions and modifications select among the rules in
//            force and those that the same bundle added before.
// Threads: a bundle is a value; StoredBundle is made on the pipeline thread, because it looks at the rules in force.
// Cost: additions alone (the million rules of a first load) cost a hash each; mixed bundles a dictionary entry per rule touched.

import AgentAPI
import Dataplane
import Pipeline
import Store

/// Changes that are carried out together.
struct RuleBundle: Sendable {
  private(set) var requests: [RuleChangeRequest] = []
  /// How many of them add a rule.
  private(set) var additionCount = 0
  /// By request: a rule's own text, fit to be stored; nil when it has to be written anew because it names ports.
  var texts: [Substring?] = []
  /// By request: the line that it came from, counted from 1.
  var lines: [UInt32] = []

  var isEmpty: Bool { requests.isEmpty }

  mutating func reserveCapacity(_ count: Int) {
    requests.reserveCapacity(count)
    texts.reserveCapacity(count)
    lines.reserveCapacity(count)
  }

  mutating func add(_ request: RuleChangeRequest, text: Substring? = nil, line: Int = 0) {
    if case .add = request { additionCount += 1 }
    requests.append(request)
    texts.append(text)
    lines.append(UInt32(clamping: line))
  }

  init() {}

  init(_ requests: [RuleChangeRequest]) {
    for request in requests { add(request) }
  }

  /// How many of the rules that the bundle adds are not in force yet.
  func newRules(in rules: RuleTables) -> Int {
    requests.count { request in
      if case .add(let rule) = request { !rules.holds(rule) } else { false }
    }
  }
}

extension [RuleBundle] {
  /// The line that a request came from, counted over all bundles; nil when it came from none.
  func line(ofRequest place: Int) -> UInt32? {
    var place = place
    for bundle in self {
      if bundle.lines.indices.contains(place) { return bundle.lines[place] == 0 ? nil : bundle.lines[place] }
      place -= bundle.lines.count
    }
    return nil
  }
}

extension StoredRule {
  /// - Parameter text: the rule's own text when it is fit to be stored.
  init(_ rule: Rule, key: RuleKey? = nil, text: Substring? = nil) {
    self.init(
      key: key ?? RuleKey(rule), text: text ?? Substring(rule.text(names: .none)),
      endUnixSeconds: rule.hardTimeout == 0 ? nil : Int64(WallClock.nanoseconds() / 1_000_000_000) + Int64(rule.hardTimeout))
  }
}

/// What a bundle writes to the store, and the rules that it ends.
struct StoredBundle: Sendable {
  var change = StoredChange()

  /// - Parameter bundle: holds nothing but additions of rules.
  init(additions bundle: RuleBundle) {
    change.rules.reserveCapacity(bundle.requests.count)
    for (request, text) in zip(bundle.requests, bundle.texts) {
      if case .add(let rule) = request { change.rules.append(StoredRule(rule, text: text)) }
    }
  }

  /// Works out what the rules are to be after a bundle.
  init(_ bundle: RuleBundle, core: SwitchCore) {
    var pending = PendingRules(core: core)
    for (request, text) in zip(bundle.requests, bundle.texts) {
      switch request {
      case .add(let rule): pending.put(rule, text: text)
      case .modify(let rule, let isStrict, let cookieMask):
        let filter = RuleFilter(modifying: rule, isStrict: isStrict, cookieMask: cookieMask)
        for (key, victim) in pending.selected(by: filter) {
          var changed = victim
          changed.instructions = rule.instructions
          pending.put(changed, key: key)
        }
      case .delete(let filter): for (key, _) in pending.selected(by: filter) { pending.delete(key) }
      case .addGroup(let group), .modifyGroup(let group):
        change.groups.deleted.removeAll { $0 == group.id }
        change.groups.put.append(StoredItem(id: group.id, text: group.text(names: .none)))
      case .deleteGroup(let id):
        let gone = id.map { [$0] } ?? (core.groups.all.map(\.group.id) + change.groups.put.map(\.id))
        change.groups.put.removeAll { gone.contains($0.id) }
        change.groups.deleted += gone
        // A rule that sends to a group goes with it.
        pending.deleteRules { instructions in id.map { instructions.uses(group: $0) } ?? instructions.usesGroups }
      case .addMeter(let meter), .modifyMeter(let meter):
        change.meters.deleted.removeAll { $0 == meter.id }
        change.meters.put.append(StoredItem(id: meter.id, text: meter.text))
      case .deleteMeter(let id):
        let gone = id.map { [$0] } ?? (core.meters.all.map(\.spec.id) + change.meters.put.map(\.id))
        change.meters.put.removeAll { gone.contains($0.id) }
        change.meters.deleted += gone
        pending.deleteRules { instructions in id.map { instructions.meter == $0 } ?? (instructions.meter != nil) }
      }
    }
    (change.rules, change.deletedRules) = pending.outcome
  }
}

/// The rules as they would be in the middle of a bundle: those in force, and over them what the bundle has touched so far.
private struct PendingRules {
  private enum State {
    case deleted
    case present(Rule, text: Substring?)
  }

  private let core: SwitchCore
  private var touched: [RuleKey: State] = [:]
  /// In the order in which the bundle first touched them.
  private var order: [RuleKey] = []

  init(core: SwitchCore) { self.core = core }

  mutating func put(_ rule: Rule, key: RuleKey? = nil, text: Substring? = nil) {
    set(.present(rule, text: text), key ?? RuleKey(rule))
  }

  mutating func delete(_ key: RuleKey) { set(.deleted, key) }

  func selected(by filter: RuleFilter) -> [(RuleKey, Rule)] {
    select(among: core.rules.entries(filter)) { filter.selects($0) }
  }

  mutating func deleteRules(where concerns: (RuleInstructions) -> Bool) {
    let victims = select(among: core.rules.entries(.all).filter { concerns($0.instructions) }) { concerns($0.instructions) }
    for (key, _) in victims { delete(key) }
  }

  private func select(among entries: [RuleEntry], _ selects: (Rule) -> Bool) -> [(RuleKey, Rule)] {
    var found: [(RuleKey, Rule)] = []
    for entry in entries {
      let key = RuleKey(entry)
      if touched[key] == nil { found.append((key, entry.rule)) }
    }
    for key in order {
      if case .present(let rule, _)? = touched[key], selects(rule) { found.append((key, rule)) }
    }
    return found
  }

  private mutating func set(_ state: State, _ key: RuleKey) {
    if touched.updateValue(state, forKey: key) == nil { order.append(key) }
  }

  var outcome: (put: [StoredRule], deleted: [RuleKey]) {
    var put: [StoredRule] = []
    var deleted: [RuleKey] = []
    for key in order {
      switch touched[key] {
      case .present(let rule, let text)?: put.append(StoredRule(rule, key: key, text: text))
      case .deleted?: deleted.append(key)
      case nil: break
      }
    }
    return (put, deleted)
  }
}

extension RuleInstructions {
  /// True when an action sends to some group.
  var usesGroups: Bool {
    (apply + write).contains { action in
      if case .group = action { true } else { false }
    }
  }
}
