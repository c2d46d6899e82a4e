// RuleTables.swift
//
// What: all tables of the switch. A packet begins in table 0; a rule can send it on to a later one.
// Invariants: a table exists from its first rule on. Ids of entries are unique over all tables.
// Threads: confined to the pipeline thread.
// Cost: that of RuleTable; finding the table is an array access.

import Dataplane

/// The tables of a switch.
public final class RuleTables {
  private var tables: [RuleTable?] = Array(repeating: nil, count: Int(Rule.lastTable) + 1)
  private let ledger = RuleLedger()
  /// Rules with timeouts.
  var deadlines = RuleDeadlines()

  public init() {}

  /// Rules in all tables.
  public var count: Int { ledger.count }

  /// Different masks among the rules of all tables; a mask that two tables have counts twice.
  public var maskCount: Int { tables.reduce(0) { $0 + ($1?.maskCount ?? 0) } }

  /// Different instructions among the rules.
  public var instructionCount: Int { ledger.instructionCount }

  /// A table that has or had rules.
  public subscript(number: UInt8) -> RuleTable? { number <= Rule.lastTable ? tables[Int(number)] : nil }

  /// The tables that have rules, in their order.
  public var inUse: [RuleTable] { tables.compactMap { $0 }.filter { $0.count > 0 } }

  /// Adds a rule, in the place of one with the same table, match and priority if there is one.
  ///
  /// - Returns: the new entry, its counters at zero, and the entry it replaced.
  @discardableResult
  public func add(_ rule: Rule, nowNanoseconds: UInt64 = 0) -> (entry: RuleEntry, replaced: RuleEntry?) {
    let result = table(rule.table).add(rule, nowNanoseconds: nowNanoseconds)
    deadlines.insert(result.entry)
    return result
  }

  /// Puts an entry back that was removed a moment ago; it is still among the deadlines.
  func restore(_ entry: RuleEntry) { table(entry.table).restore(entry) }

  /// Gives an entry other instructions.
  func change(_ entry: RuleEntry, to new: RuleInstructions) { ledger.change(entry, to: new) }

  /// Does what adding rules has left for the next search, so that no packet waits for it.
  func settle() {
    for table in tables { table?.settle() }
  }

  /// The id that the next entry will get.
  var nextID: UInt64 { ledger.nextID }

  /// Removes one entry; does nothing when it was removed or replaced before.
  public func remove(_ entry: RuleEntry) { self[entry.table]?.remove(entry) }

  /// Removes the entries that a filter selects, and returns them.
  public func remove(_ filter: RuleFilter) -> [RuleEntry] {
    let selected = entries(filter)
    for entry in selected { remove(entry) }
    return selected
  }

  /// The entries that a filter selects: by table, in falling priority; the one added first comes first among equals.
  public func entries(_ filter: RuleFilter = .all) -> [RuleEntry] {
    if let number = filter.table { return self[number]?.entries(filter) ?? [] }
    return tables.flatMap { $0?.entries(filter) ?? [] }
  }

  /// True when a rule of this table, match and priority is in force.
  public func holds(_ rule: Rule) -> Bool { self[rule.table]?.find(rule) != nil }

  /// How many rules have instructions that `selects` selects; looks once at each different ones.
  public func count(where selects: (RuleInstructions) -> Bool) -> Int { ledger.count(where: selects) }

  /// A rule of the same table and priority that shares packets with this one.
  func overlapping(_ rule: Rule) -> RuleEntry? { self[rule.table]?.overlapping(rule) }

  /// Finds the rule that a packet meets in a table.
  ///
  /// - Parameter looked: gains every bit that the answer depends on: any packet that agrees with `key` in these bits
  ///   meets the same rule.
  /// - Returns: the matching rule of highest priority, or nil when no rule matches.
  public func lookup(table number: UInt8, _ key: FlowKey, looked: inout FlowMask) -> RuleEntry? {
    self[number]?.lookup(key, looked: &looked)
  }

  private func table(_ number: UInt8) -> RuleTable {
    precondition(number <= Rule.lastTable, "tables are 0 to 254; the readers of rules make sure of it")
    if let table = tables[Int(number)] { return table }
    let made = RuleTable(number: number, ledger: ledger)
    tables[Int(number)] = made
    return made
  }
}

/// What the tables share: ids, the count of all rules, instructions.
final class RuleLedger {
  private(set) var nextID: UInt64 = 1
  private var instructions = InstructionInterner()
  private(set) var count = 0

  var instructionCount: Int { instructions.count }

  /// Makes the entry of a rule.
  func entry(_ rule: Rule, shape: RuleShape, nowNanoseconds: UInt64) -> RuleEntry {
    count += 1
    defer { nextID += 1 }
    return RuleEntry(
      id: nextID, rule: rule, shape: shape, shared: instructions.take(rule.instructions), createdNanoseconds: nowNanoseconds)
  }

  /// Notes that an entry is in force again.
  func restore(_ entry: RuleEntry) {
    count += 1
    entry.shared = instructions.take(entry.instructions)
  }

  func count(where selects: (RuleInstructions) -> Bool) -> Int { instructions.count(where: selects) }

  /// Notes that an entry is not in force any more.
  func release(_ entry: RuleEntry) {
    count -= 1
    instructions.release(entry.shared)
  }

  /// Gives an entry other instructions.
  func change(_ entry: RuleEntry, to new: RuleInstructions) {
    let old = entry.shared
    entry.shared = instructions.take(new)
    instructions.release(old)
  }
}
