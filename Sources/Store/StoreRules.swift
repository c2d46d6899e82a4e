// StoreRules.swift
//
// Rules, groups and meters in the store. A change of all three is one transaction, and can be taken back.
// Invariants: rules belong to the configuration until the first change through the API marks them as the operator's; from then
//             on the store holds all of them. Rules are listed in the order they were first added.
// Threads: as StateStore.
// Cost: see RuleRows.

import Foundation
import GRDB

extension StateStore {
  /// True once somebody changed rules, groups or meters through the API: from then on those in the store are the ones, even
  /// when there are none.
  public func rulesAreOperators() throws(StoreError) -> Bool {
    try read("rules") { try Self.meta(StoreSchema.Meta.rulesOwner, in: $0) == "operator" }
  }

  /// Hands over all rules, in the order they were first added.
  public func forEachRule(_ body: (StoredRule) throws -> Void) throws(StoreError) {
    try read("rules") { [path] database in
      let rows = try Row.fetchCursor(database, sql: "SELECT key, text, ends FROM rule ORDER BY id")
      while let row = try rows.next() {
        guard let key = try row.withUnsafeData(atIndex: 0, { $0.flatMap { RuleKey(bytes: $0) } }) else {
          throw StoreError.badRow(path: path, table: "rule", reason: "a key is not 16 bytes")
        }
        try body(StoredRule(key: key, text: row[1], endUnixSeconds: row[2]))
      }
    }
  }

  /// All rules, in the order they were first added.
  public func rules() throws(StoreError) -> [StoredRule] {
    var rules: [StoredRule] = []
    try forEachRule { rules.append($0) }
    return rules
  }

  /// All groups, in the order of their numbers.
  public func groups() throws(StoreError) -> [StoredItem] { try items(.group) }

  /// All meters, in the order of their numbers.
  public func meters() throws(StoreError) -> [StoredItem] { try items(.meter) }

  /// Carries out a change in one transaction and marks the rules as the operator's. What is deleted and not there is passed over.
  ///
  /// - Parameter present: the rules in force that the store does not hold yet (the configuration's), stored first when this is
  ///   the first change through the API.
  @discardableResult
  public func apply(_ change: StoredChange, alsoKeeping present: [StoredRule] = []) throws(StoreError) -> StoredUndo {
    try write(change.words) { database in
      let rows = try RuleRows(database)
      var undo = StoredUndo(owner: try Self.meta(StoreSchema.Meta.rulesOwner, in: database))
      undo.lastRuleRow = try Int64.fetchOne(database, sql: "SELECT max(id) FROM rule") ?? 0
      if undo.owner != "operator" {
        for rule in present { try rows.add(rule).map { undo.rules.append($0) } }
      }
      for key in change.deletedRules {
        guard let old = try rows.delete(key), old.id <= undo.lastRuleRow else { continue }
        undo.rules.append(old)
      }
      for rule in change.rules {
        guard let old = try rows.add(rule), old.id <= undo.lastRuleRow else { continue }
        undo.rules.append(old)
      }
      undo.groups = try Self.apply(change.groups, to: .group, in: database)
      undo.meters = try Self.apply(change.meters, to: .meter, in: database)
      try Self.setMeta(StoreSchema.Meta.rulesOwner, "operator", in: database)
      return undo
    }
  }

  /// Takes a change back, for when the switch refused what the store had already written.
  public func undo(_ change: StoredUndo) throws(StoreError) {
    try write("rules (taking a change back)") { database in
      let rows = try RuleRows(database)
      try database.execute(sql: "DELETE FROM rule WHERE id > ?", arguments: [change.lastRuleRow])
      // A rule that a change replaced twice was first what it is to be again.
      for row in change.rules.reversed() { try rows.restore(row) }
      _ = try Self.apply(change.groups, to: .group, in: database)
      _ = try Self.apply(change.meters, to: .meter, in: database)
      try Self.setMeta(StoreSchema.Meta.rulesOwner, change.owner, in: database)
    }
  }

  // MARK: - Keys

  /// Which way of making keys those in the file come from; nil when the file is from before there were keys.
  public func ruleKeyScheme() throws(StoreError) -> String? {
    try read("rules") { try Self.meta(StoreSchema.Meta.ruleKeys, in: $0) }
  }

  /// Gives rules other keys, in the order of `rules()`.
  ///
  /// - Parameters:
  ///   - keys: by position; nil leaves a key as it is, for a rule that is not understood.
  ///   - scheme: the way of making keys that they come from.
  public func setRuleKeys(_ keys: [RuleKey?], scheme: String) throws(StoreError) {
    try write("rule keys") { database in
      let ids = try Int64.fetchAll(database, sql: "SELECT id FROM rule ORDER BY id")
      // Of two rules that are one by the new keys the later one is the one in force.
      let update = try database.cachedStatement(sql: "UPDATE OR REPLACE rule SET key = ? WHERE id = ?")
      for (id, key) in zip(ids, keys) {
        guard let key else { continue }
        let bytes = withUnsafeBytes(of: (key.high.bigEndian, key.low.bigEndian)) { Data($0) }
        try update.execute(arguments: [bytes, id])
      }
      try Self.setMeta(StoreSchema.Meta.ruleKeys, scheme, in: database)
    }
  }

  // MARK: - Parts

  /// A table of numbered texts.
  private enum ItemTable: String {
    case group = "ruleGroup", meter
  }

  private func items(_ table: ItemTable) throws(StoreError) -> [StoredItem] {
    try read(table.rawValue) { [path] database in
      try Row.fetchAll(database, sql: "SELECT id, text FROM \(table.rawValue) ORDER BY id").map { row in
        let id: Int64 = row[0]
        guard let id = UInt32(exactly: id) else {
          throw StoreError.badRow(path: path, table: table.rawValue, reason: "number \(id) is out of range")
        }
        return StoredItem(id: id, text: row[1])
      }
    }
  }

  /// - Returns: the change that takes this one back.
  private static func apply(
    _ change: StoredItemChange, to table: ItemTable, in database: Database
  ) throws -> StoredItemChange {
    guard !change.isEmpty else { return change }
    let name = table.rawValue
    let find = try database.cachedStatement(sql: "SELECT text FROM \(name) WHERE id = ?")
    let delete = try database.cachedStatement(sql: "DELETE FROM \(name) WHERE id = ?")
    let put = try database.cachedStatement(sql: "INSERT OR REPLACE INTO \(name) (id, text) VALUES (?, ?)")
    var before: [UInt32: String?] = [:]
    func note(_ id: UInt32) throws {
      guard before[id] == nil else { return }
      before[id] = .some(try String.fetchOne(find, arguments: [Int64(id)]))
    }
    for id in change.deleted {
      try note(id)
      try delete.execute(arguments: [Int64(id)])
    }
    for item in change.put {
      try note(item.id)
      try put.execute(arguments: [Int64(item.id), item.text])
    }
    return StoredItemChange(
      put: before.compactMap { id, text in text.map { StoredItem(id: id, text: $0) } },
      deleted: before.compactMap { id, text in text == nil ? id : nil })
  }

  private static func meta(_ key: String, in database: Database) throws -> String? {
    try String.fetchOne(database, sql: "SELECT value FROM meta WHERE key = ?", arguments: [key])
  }

  private static func setMeta(_ key: String, _ value: String?, in database: Database) throws {
    try database.execute(sql: "DELETE FROM meta WHERE key = ?", arguments: [key])
    guard let value else { return }
    try database.execute(sql: "INSERT INTO meta (key, value) VALUES (?, ?)", arguments: [key, value])
  }
}
