// RuleTable.swift
//
// What: the rules of one table and the search for the one that a packet meets: tuple space search, one subtable per mask,
//       visited in falling order of their highest priority, helped by tries of the prefixes that rules have.
// Invariants: a match and a priority belong to at most one entry. `ranked` is in its order whenever a search begins. Every entry's
//             prefixes are in the tries by then, too.
// Threads: confined to the pipeline thread.
// Cost: a search visits subtables until the next one's highest priority is not above the best rule found; one that the tries exclude
//       costs a few instructions. Adding or deleting a rule is a few hash operations and a walk per prefix; the order is repaired
//       once, at the next search.

import Dataplane

/// The rules of a table and the search among them.
public final class RuleTable {
  /// The table's number.
  public let number: UInt8
  private let ledger: RuleLedger
  /// By the hash of their masks.
  private var subtables: [UInt64: [RuleSubtable]] = [:]
  /// Where the last rule was added; rules come in runs of one shape.
  private var last: RuleSubtable?
  private var ranked: [Ranked] = []
  private var isOrdered = true
  private var nextSequence: UInt64 = 0
  private var tries = PrefixTries()

  /// A subtable in the order of the search; `subtables` holds the reference.
  private struct Ranked {
    let priority: UInt16
    let subtable: Unmanaged<RuleSubtable>
  }

  init(number: UInt8, ledger: RuleLedger) {
    self.number = number
    self.ledger = ledger
  }

  /// Rules in the table.
  public private(set) var count = 0

  /// Different masks among the rules: subtables.
  public private(set) var maskCount = 0

  /// Adds a rule, in the place of one with the same match and priority if there is one.
  ///
  /// - Returns: the new entry, its counters at zero, and the entry it replaced.
  func add(_ rule: Rule, nowNanoseconds: UInt64) -> (entry: RuleEntry, replaced: RuleEntry?) {
    let subtable = subtable(for: rule.match.mask)
    let replaced = subtable.find(rule.match.key, priority: rule.priority)
    if let replaced { remove(replaced, from: subtable) }
    let entry = ledger.entry(rule, shape: subtable.shape, nowNanoseconds: nowNanoseconds)
    insert(entry, rule.match.key, into: subtable)
    return (entry, replaced)
  }

  /// Puts an entry back that was removed.
  func restore(_ entry: RuleEntry) {
    ledger.restore(entry)
    entry.isInstalled = true
    insert(entry, entry.match.key, into: subtable(for: entry.shape.mask))
  }

  /// Removes one entry; does nothing when it was removed or replaced before.
  func remove(_ entry: RuleEntry) {
    guard entry.isInstalled, let subtable = existingSubtable(for: entry.shape.mask) else { return }
    remove(entry, from: subtable)
    guard subtable.count == 0 else { return }
    forget(subtable)
  }

  /// The entry with this rule's match and priority.
  func find(_ rule: Rule) -> RuleEntry? {
    existingSubtable(for: rule.match.mask)?.find(rule.match.key, priority: rule.priority)
  }

  /// An entry of this rule's priority that shares packets with it.
  func overlapping(_ rule: Rule) -> RuleEntry? {
    for subtable in allSubtables where subtable.has(priority: rule.priority) {
      var found: RuleEntry?
      subtable.forEach { entry in
        if found == nil, entry.priority == rule.priority, entry.match.overlaps(rule.match) { found = entry }
      }
      if let found { return found }
    }
    return nil
  }

  /// The entries that a filter selects, in falling priority; the one added first comes first among equals.
  func entries(_ filter: RuleFilter = .all) -> [RuleEntry] {
    if filter.isStrict {
      guard let entry = existingSubtable(for: filter.match.mask)?.find(filter.match.key, priority: filter.priority),
        filter.selects(entry)
      else { return [] }
      return [entry]
    }
    var selected: [RuleEntry] = []
    for subtable in allSubtables where subtable.mask.contains(filter.match.mask) {
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
    settle()
    return withUnsafeBytes(of: key) { key in
      withUnsafeMutableBytes(of: &looked) { looked in
        guard let key = key.baseAddress, let looked = looked.baseAddress else { return nil }
        return find(key, looked)?.takeUnretainedValue()
      }
    }
  }

  /// Does what adding rules has left for the next search.
  func settle() {
    if !tries.isSettled { tries.settle() }
  }

  private func find(_ key: UnsafeRawPointer, _ looked: UnsafeMutableRawPointer) -> Unmanaged<RuleEntry>? {
    var best: Unmanaged<RuleEntry>?
    var bestPriority = -1
    var search = PrefixSearch()
    for place in ranked.indices {
      let next = ranked[place]
      guard Int(next.priority) > bestPriority else { break }
      let found = next.subtable._withUnsafeGuaranteedRef { $0.lookup(key, looked: looked, &search, tries) }
      guard let found else { continue }
      let priority = Int(found._withUnsafeGuaranteedRef { $0.priority })
      if priority > bestPriority { (best, bestPriority) = (found, priority) }
    }
    return best
  }

  // MARK: Subtables

  private var allSubtables: some Sequence<RuleSubtable> { subtables.values.joined() }

  private func existingSubtable(for mask: FlowMask) -> RuleSubtable? {
    if let last, last.mask == mask { return last }
    return subtables[StageHash.hash(of: mask)]?.first { $0.mask == mask }
  }

  private func subtable(for mask: FlowMask) -> RuleSubtable {
    if let existing = existingSubtable(for: mask) {
      last = existing
      return existing
    }
    let made = RuleSubtable(mask: mask, sequence: nextSequence)
    nextSequence += 1
    subtables[StageHash.hash(of: mask), default: []].append(made)
    maskCount += 1
    last = made
    isOrdered = false
    return made
  }

  private func forget(_ subtable: RuleSubtable) {
    let hash = StageHash.hash(of: subtable.mask)
    subtables[hash]?.removeAll { $0 === subtable }
    if subtables[hash]?.isEmpty == true { subtables[hash] = nil }
    if last === subtable { last = nil }
    maskCount -= 1
    // `ranked` must not be read before it is made again: it does not hold the subtable.
    isOrdered = false
  }

  private func insert(_ entry: RuleEntry, _ key: FlowKey, into subtable: RuleSubtable) {
    if subtable.count == 0 || entry.priority > subtable.highestPriority { isOrdered = false }
    withUnsafeBytes(of: key) { bytes in
      guard let key = bytes.baseAddress else { return }
      subtable.insert(entry, key)
      tries.insert(key, subtable.checks)
    }
    count += 1
  }

  private func remove(_ entry: RuleEntry, from subtable: RuleSubtable) {
    let before = subtable.highestPriority
    withUnsafeBytes(of: entry.match.key) { bytes in
      guard let key = bytes.baseAddress else { return }
      tries.remove(key, subtable.checks)
      subtable.remove(entry, key)
    }
    entry.isInstalled = false
    ledger.release(entry)
    count -= 1
    if subtable.highestPriority != before { isOrdered = false }
  }

  private func order() {
    let inUse = allSubtables.filter { $0.count > 0 }.sorted { ($1.highestPriority, $0.sequence) < ($0.highestPriority, $1.sequence) }
    ranked = inUse.map { Ranked(priority: $0.highestPriority, subtable: .passUnretained($0)) }
    isOrdered = true
  }
}
