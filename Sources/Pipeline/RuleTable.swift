// RuleTable.swift
//
// What: the rules of one table and the search for the one that a packet meets: tuple space search, one subtable per mask,
//       visited in falling order of their highest priority.
// Invariants: a match and a priority belong to at most one entry. `ordered` is in its order whenever a search begins.
// Threads: confined to the pipeline thread.
// Cost: a search visits subtables until the next one's highest priority is not above the best rule found. Adding or deleting
//       a rule is O(1) hash operations; the order is repaired once, at the next search.

import Dataplane

/// The rules and the search among them.
public final class RuleTable {
  private var subtables: [FlowMask: RuleSubtable] = [:]
  private var ordered: [RuleSubtable] = []
  private var isOrdered = true
  private var nextSequence: UInt64 = 0
  private let ledger: RuleLedger
  /// The table's number.
  public let number: UInt8

  init(number: UInt8, ledger: RuleLedger) {
    self.number = number
    self.ledger = ledger
  }

  /// Rules in the table.
  public private(set) var count = 0

  /// Different masks among the rules: subtables.
  public var maskCount: Int { subtables.count }

  /// Adds a rule, in the place of one with the same match and priority if there is one.
  ///
  /// - Returns: the new entry, its counters at zero, and the entry it replaced.
  func add(_ rule: Rule, nowNanoseconds: UInt64 = 0) -> (entry: RuleEntry, replaced: RuleEntry?) {
    let subtable = subtable(for: rule.match.mask)
    let replaced = subtable.find(rule.match.key, priority: rule.priority)
    if let replaced { remove(replaced, from: subtable) }
    let entry = ledger.entry(rule, shape: subtable.shape, nowNanoseconds: nowNanoseconds)
    if subtable.count == 0 || rule.priority > subtable.highestPriority { isOrdered = false }
    subtable.insert(entry)
    count += 1
    return (entry, replaced)
  }

  /// Puts an entry back that was removed.
  func restore(_ entry: RuleEntry) {
    let subtable = subtable(for: entry.shape.mask)
    if subtable.count == 0 || entry.priority > subtable.highestPriority { isOrdered = false }
    subtable.insert(entry)
    entry.isInstalled = true
    ledger.restore(entry)
    count += 1
  }

  /// The entry with this rule's match and priority.
  func find(_ rule: Rule) -> RuleEntry? { subtables[rule.match.mask]?.find(rule.match.key, priority: rule.priority) }

  /// An entry of this rule's priority that shares packets with it.
  func overlapping(_ rule: Rule) -> RuleEntry? {
    for subtable in subtables.values where subtable.has(priority: rule.priority) {
      if let found = subtable.first(where: { $0.priority == rule.priority && $0.match.overlaps(rule.match) }) { return found }
    }
    return nil
  }

  /// Removes one entry; does nothing when it was removed or replaced before.
  func remove(_ entry: RuleEntry) {
    guard entry.isInstalled, let subtable = subtables[entry.shape.mask] else { return }
    remove(entry, from: subtable)
    dropIfEmpty(subtable)
  }

  /// The entries that a filter selects, in falling priority; the one added first comes first among equals.
  func entries(_ filter: RuleFilter = .all) -> [RuleEntry] {
    var selected: [RuleEntry] = []
    if filter.isStrict {
      if let entry = subtables[filter.match.mask]?.find(filter.match.key, priority: filter.priority),
        filter.selects(entry)
      {
        selected.append(entry)
      }
      return selected
    }
    for subtable in subtables.values where subtable.mask.contains(filter.match.mask) {
      subtable.forEach { entry in
        if filter.selects(entry) { selected.append(entry) }
      }
    }
    selected.sort { ($1.priority, $0.id) < ($0.priority, $1.id) }
    return selected
  }

  /// Finds the rule that a packet meets.
  ///
  /// - Parameter looked: gains every bit that the answer depends on: any packet that agrees with `key` in these bits
  ///   meets the same rule.
  /// - Returns: the matching rule of highest priority, or nil when no rule matches.
  public func lookup(_ key: FlowKey, looked: inout FlowMask) -> RuleEntry? {
    if !isOrdered { order() }
    var best: RuleEntry?
    for subtable in ordered {
      if let best, best.priority >= subtable.highestPriority { break }
      guard let found = subtable.lookup(key, looked: &looked) else { continue }
      if best.map({ found.priority > $0.priority }) ?? true { best = found }
    }
    return best
  }

  private func subtable(for mask: FlowMask) -> RuleSubtable {
    if let existing = subtables[mask] { return existing }
    let made = RuleSubtable(mask: mask, sequence: nextSequence)
    nextSequence += 1
    subtables[mask] = made
    ordered.append(made)
    isOrdered = false
    return made
  }

  private func remove(_ entry: RuleEntry, from subtable: RuleSubtable) {
    let before = subtable.highestPriority
    subtable.remove(entry)
    entry.isInstalled = false
    ledger.release(entry)
    count -= 1
    if subtable.highestPriority != before { isOrdered = false }
  }

  private func dropIfEmpty(_ subtable: RuleSubtable) {
    guard subtable.count == 0 else { return }
    subtables[subtable.mask] = nil
    // Its place in `ordered` goes at the next search, so that deleting many rules does not shift the array for each.
    isOrdered = false
  }

  private func order() {
    ordered.removeAll { $0.count == 0 }
    ordered.sort { ($1.highestPriority, $0.sequence) < ($0.highestPriority, $1.sequence) }
    isOrdered = true
  }
}
