// RuleChange.swift
//
// What: changing rules, groups and meters: many changes, all or nothing, in force at one moment. `apply` returns only when no worker can execute a flow that
//       the change made stale.
// How: the requests are carried out on the tables one after the other, and undone backwards when one cannot be. Misses wait meanwhile,
//      so nobody sees the middle; then the flows that are concerned are looked at again and changed with one command per worker.
// Invariants: a rule that takes the place of another with the same table, match and priority is another entry and inherits its
//             counters, unless the request resets them. A modified rule stays the same entry and keeps its cookie, timeouts, flags,
//             counters and age. A rule names only groups and meters that are there; it goes with the one that it names.
// Threads: the pipeline thread.
// Cost: about a microsecond per added rule, and a translation per flow concerned.
// Source: OpenFlow Switch Specification 1.3.5, section 6.4.

import CSluice
import Dataplane

/// One change of the rules, groups and meters.
public enum RuleChangeRequest: Sendable {
  /// Adds a rule, in the place of one with the same table, match and priority.
  case add(Rule)
  /// Gives other instructions to the rules that match as `delete` would, with the cookie in the bits of `cookieMask`. Changes nothing when
  /// there is none.
  case modify(Rule, isStrict: Bool, cookieMask: UInt64 = 0)
  /// Deletes rules.
  case delete(RuleFilter)
  case addGroup(Group)
  case modifyGroup(Group)
  /// Deletes a group, or all (nil), and the rules that send to it.
  case deleteGroup(UInt32?)
  case addMeter(MeterSpec)
  case modifyMeter(MeterSpec)
  /// Deletes a meter, or all (nil), and the rules that use it.
  case deleteMeter(UInt32?)
}

/// A change that cannot be made; nothing has been changed then.
public struct RuleChangeError: Error, Equatable, CustomStringConvertible {
  public enum Reason: Error, Equatable {
    /// The rule asks for `check_overlap`, and this one is in its way.
    case overlap(rule: String, with: String)
    /// The rule goes on in a table that is not a later one.
    case badGoto(rule: String, table: UInt8)
    /// There is no such table.
    case badTable(UInt8)
    case unknownGroup(rule: String, group: UInt32)
    case unknownMeter(rule: String, meter: UInt32)
    case group(GroupError)
    case meter(MeterError)
  }

  /// The place of the request among those that were to be carried out.
  public let requestIndex: Int
  public let reason: Reason

  public var description: String {
    switch reason {
    case .overlap(let rule, let other):
      "the rule '\(rule)' overlaps with '\(other)' of the same priority; choose another priority, or leave out check_overlap"
    case .badGoto(let rule, let table):
      "the rule '\(rule)' goes to table \(table); a packet only goes on to a later table, up to \(Rule.lastTable)"
    case .badTable(let table): "there is no table \(table); tables are 0 to \(Rule.lastTable)"
    case .unknownGroup(let rule, let group): "the rule '\(rule)' sends to group \(group), which is not there; add the group first"
    case .unknownMeter(let rule, let meter): "the rule '\(rule)' uses meter \(meter), which is not there; add the meter first"
    case .group(let error): error.description
    case .meter(let error): error.description
    }
  }
}

/// What a change of rules did.
public struct RuleChange: Sendable, Equatable {
  public var added = 0
  /// Rules that gave way to a new one with the same table, match and priority.
  public var replaced = 0
  /// Rules that do something else now.
  public var modified = 0
  public var removed = 0
  public var removedGroups = 0
  public var removedMeters = 0

  public init(added: Int = 0, replaced: Int = 0, modified: Int = 0, removed: Int = 0) {
    self.added = added
    self.replaced = replaced
    self.modified = modified
    self.removed = removed
  }
}

extension SwitchCore {
  /// Carries out changes in their order, all of them or, when one cannot be made, none.
  @discardableResult
  public func apply(_ requests: [RuleChangeRequest]) throws(RuleChangeError) -> RuleChange {
    try apply(batches: [requests])
  }

  /// Carries out the changes of all batches as one; a place among the requests is counted over all of them.
  @discardableResult
  public func apply(batches: [[RuleChangeRequest]]) throws(RuleChangeError) -> RuleChange {
    prepareChange()
    var transaction = transaction()
    var index = 0
    for batch in batches {
      for request in batch {
        do throws(RuleChangeError.Reason) {
          try transaction.carryOut(request)
        } catch {
          transaction.undo()
          throw RuleChangeError(requestIndex: index, reason: error)
        }
        index += 1
      }
    }
    complete(&transaction)
    return transaction.change
  }

  /// Removes rules; their counters are final afterwards.
  func removeRules(_ victims: [RuleEntry]) {
    var transaction = transaction()
    for entry in victims { transaction.remove(entry) }
    complete(&transaction)
  }

  private func transaction() -> RuleTransaction {
    RuleTransaction(rules: rules, groups: groups, meters: meters, nowNanoseconds: sluice_monotonic_nanoseconds())
  }

  /// Brings the flows in line with what a transaction did, and hands on counters.
  private func complete(_ transaction: inout RuleTransaction) {
    let (added, removed) = transaction.outcome
    let hasRules = !added.isEmpty || !removed.isEmpty || !transaction.resets.isEmpty
    guard hasRules || !transaction.groupIDs.isEmpty || !transaction.meterIDs.isEmpty else { return }
    if hasRules {
      rules.settle()
      credit(removed)
      revalidate(.rules(added: added, removed: removed))
    }
    if !transaction.groupIDs.isEmpty { revalidate(.groups(transaction.groupIDs)) }
    if !transaction.meterIDs.isEmpty { revalidate(.meters(transaction.meterIDs)) }
    let changesFlows = !staged.isEmpty
    settle()
    if changesFlows { noteChange() }
    // Only now are the counts of what went final.
    for (new, old) in transaction.inheritances { new.inherit(from: old) }
    if !transaction.resets.isEmpty {
      credit(transaction.resets)
      for entry in transaction.resets { entry.resetCounts() }
    }
    let gone = removed.filter { !$0.isInstalled && !transaction.replacedIDs.contains($0.id) }
    announce(gone, .deleted)
    guard hasRules else { return }
    events.publish(.rulesChanged(added: added.count, removed: removed.count))
  }

  /// Tells of rules that are no more.
  func announce(_ gone: [RuleEntry], _ end: SwitchEvent.RuleEnd) {
    guard events.isWatched else { return }
    for entry in gone { events.publish(.ruleRemoved(snapshot(entry), end)) }
  }
}

extension RuleEntry {
  /// Takes over the counters of the rule that it replaces.
  fileprivate func inherit(from old: RuleEntry) {
    packets += old.packets
    bytes += old.bytes
  }

  fileprivate func resetCounts() {
    packets = 0
    bytes = 0
  }
}

/// Changes of the tables that can be undone.
struct RuleTransaction {
  private enum Step {
    case added(RuleEntry)
    case removed(RuleEntry)
    case changed(RuleEntry, before: RuleInstructions)
  }

  private let rules: RuleTables
  private let groups: GroupTable
  private let meters: MeterTable
  private let groupsBefore: GroupTable.Checkpoint
  private let metersBefore: MeterTable.Checkpoint
  /// Groups and meters that are new, gone or changed.
  private(set) var groupIDs: Set<UInt32> = []
  private(set) var meterIDs: Set<UInt32> = []
  private let nowNanoseconds: UInt64
  /// Entries from this id on were made here.
  private let firstID: UInt64
  private var steps: [Step] = []
  private(set) var change = RuleChange()
  /// New entries and the ones whose place they took, whose counters they inherit.
  private(set) var inheritances: [(new: RuleEntry, old: RuleEntry)] = []
  /// Entries that gave way to a new one.
  private(set) var replacedIDs: Set<UInt64> = []
  /// Modified entries that begin to count anew.
  private(set) var resets: [RuleEntry] = []

  init(rules: RuleTables, groups: GroupTable, meters: MeterTable, nowNanoseconds: UInt64) {
    self.rules = rules
    self.groups = groups
    self.meters = meters
    groupsBefore = groups.checkpoint()
    metersBefore = meters.checkpoint()
    self.nowNanoseconds = nowNanoseconds
    firstID = rules.nextID
  }

  mutating func carryOut(_ request: RuleChangeRequest) throws(RuleChangeError.Reason) {
    switch request {
    case .add(let rule): try add(rule)
    case .modify(let rule, let isStrict, let cookieMask): try modify(rule, isStrict: isStrict, cookieMask: cookieMask)
    case .delete(let filter): for entry in rules.entries(filter) { remove(entry) }
    case .addGroup(let group):
      do { try groups.add(group, nowNanoseconds: nowNanoseconds) } catch { throw .group(error) }
      groupIDs.insert(group.id)
    case .modifyGroup(let group):
      do { try groups.modify(group, nowNanoseconds: nowNanoseconds) } catch { throw .group(error) }
      groupIDs.insert(group.id)
    case .deleteGroup(let id): try deleteGroup(id)
    case .addMeter(let meter):
      do { try meters.add(meter, nowNanoseconds: nowNanoseconds) } catch { throw .meter(error) }
      meterIDs.insert(meter.id)
    case .modifyMeter(let meter):
      do { try meters.modify(meter, nowNanoseconds: nowNanoseconds) } catch { throw .meter(error) }
      meterIDs.insert(meter.id)
    case .deleteMeter(let id): deleteMeter(id)
    }
  }

  private mutating func deleteGroup(_ id: UInt32?) throws(RuleChangeError.Reason) {
    let gone: Set<UInt32>
    do { gone = Set(try groups.delete(id).map(\.group.id)) } catch { throw .group(error) }
    guard !gone.isEmpty else { return }
    groupIDs.formUnion(gone)
    change.removedGroups += gone.count
    removeRules { instructions in gone.contains { instructions.uses(group: $0) } }
  }

  private mutating func deleteMeter(_ id: UInt32?) {
    let gone = Set(meters.delete(id).map(\.spec.id))
    guard !gone.isEmpty else { return }
    meterIDs.formUnion(gone)
    change.removedMeters += gone.count
    removeRules { $0.meter.map(gone.contains) ?? false }
  }

  private mutating func removeRules(where selects: (RuleInstructions) -> Bool) {
    guard rules.count(where: selects) > 0 else { return }
    for entry in rules.entries() where selects(entry.instructions) { remove(entry) }
  }

  /// Removes an entry.
  mutating func remove(_ entry: RuleEntry) {
    rules.remove(entry)
    steps.append(.removed(entry))
    change.removed += 1
  }

  /// Undoes everything, last things first.
  mutating func undo() {
    for step in steps.reversed() {
      switch step {
      case .added(let entry): rules.remove(entry)
      case .removed(let entry): rules.restore(entry)
      case .changed(let entry, let before): rules.change(entry, to: before)
      }
    }
    steps = []
    groups.restore(groupsBefore)
    meters.restore(metersBefore)
  }

  /// The entries that are new, and those that are gone or mean something else; what came and went in between is neither.
  var outcome: (added: [RuleEntry], removed: [RuleEntry]) {
    var added: [RuleEntry] = []
    var removed: [RuleEntry] = []
    for step in steps {
      switch step {
      case .added(let entry): if entry.isInstalled { added.append(entry) }
      case .removed(let entry): if entry.id < firstID { removed.append(entry) }
      case .changed(let entry, _): if entry.id < firstID, entry.isInstalled { removed.append(entry) }
      }
    }
    return (added, removed)
  }

  private mutating func add(_ rule: Rule) throws(RuleChangeError.Reason) {
    try check(rule)
    if rule.flags.contains(.checkOverlap), let other = rules.overlapping(rule) {
      throw .overlap(rule: rule.text(), with: other.rule.text())
    }
    let (entry, replaced) = rules.add(rule, nowNanoseconds: nowNanoseconds)
    guard let replaced else {
      steps.append(.added(entry))
      change.added += 1
      return
    }
    steps.append(.removed(replaced))
    steps.append(.added(entry))
    change.replaced += 1
    replacedIDs.insert(replaced.id)
    if !rule.flags.contains(.resetCounts) { inheritances.append((entry, replaced)) }
  }

  private mutating func modify(_ rule: Rule, isStrict: Bool, cookieMask: UInt64) throws(RuleChangeError.Reason) {
    try check(rule)
    for entry in rules.entries(RuleFilter(modifying: rule, isStrict: isStrict, cookieMask: cookieMask)) {
      if rule.flags.contains(.resetCounts) { resets.append(entry) }
      change.modified += 1
      let before = entry.instructions
      guard before != rule.instructions else { continue }
      rules.change(entry, to: rule.instructions)
      steps.append(.changed(entry, before: before))
    }
  }

  /// Refuses what the readers of text refuse, for rules that were made otherwise.
  private func check(_ rule: Rule) throws(RuleChangeError.Reason) {
    guard rule.table <= Rule.lastTable else { throw .badTable(rule.table) }
    if let goto = rule.instructions.goto, goto <= rule.table || goto > Rule.lastTable {
      throw .badGoto(rule: rule.text(), table: goto)
    }
    if let meter = rule.instructions.meter, meters[meter] == nil { throw .unknownMeter(rule: rule.text(), meter: meter) }
    try check(rule.instructions.apply, of: rule)
    try check(rule.instructions.write, of: rule)
  }

  private func check(_ list: [RuleAction], of rule: Rule) throws(RuleChangeError.Reason) {
    for case .group(let id) in list where groups[id] == nil { throw .unknownGroup(rule: rule.text(), group: id) }
  }
}
