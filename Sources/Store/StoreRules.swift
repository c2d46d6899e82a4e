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
        let text: String = row[1]
        try body(StoredRule(key: key, text: text, endUnixSeconds: row[2]))
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
      var undo = try Self.begin(alsoKeeping: present, rows, in: database)
      try Self.apply(change, rows, in: database, &undo)
      return undo
    }
  }

  /// Carries out a change that comes in parts, in one transaction: a part is written while the next one is still being made.
  ///
  /// - Parameter next: hands over a part; nil after the last one. Groups and meters are in one part at most.
  /// - Returns: nil when no part had anything in it; the rules are whose they were then.
  /// - Throws: what `next` throws, or `StoreError`; nothing is stored then.
  public func apply(
    alsoKeeping present: [StoredRule] = [], parts next: () throws -> StoredChange?
  ) throws -> StoredUndo? {
    var refusal: (any Error)?
    do {
      return try write("rules") { database in
        let rows = try RuleRows(database)
        var undo: StoredUndo?
        while true {
          let part: StoredChange?
          do { part = try next() } catch {
            refusal = error
            throw error
          }
          guard let part else { return undo }
          guard !part.isEmpty else { continue }
          var soFar = try undo ?? Self.begin(alsoKeeping: present, rows, in: database)
          undo = nil
          try Self.apply(part, rows, in: database, &soFar)
          undo = soFar
        }
      }
    } catch {
      throw refusal ?? error
    }
  }

  private static func begin(
    alsoKeeping present: [StoredRule], _ rows: RuleRows, in database: Database
  ) throws -> StoredUndo {
    var undo = StoredUndo(owner: try meta(StoreSchema.Meta.rulesOwner, in: database))
    undo.lastRuleRow = try Int64.fetchOne(database, sql: "SELECT max(id) FROM rule") ?? 0
    if undo.owner != "operator" {
      for rule in present { try rows.add(rule).map { undo.rules.append($0) } }
    }
    try setMeta(StoreSchema.Meta.rulesOwner, "operator", in: database)
    return undo
  }

  private static func apply(_ change: StoredChange, _ rows: RuleRows, in database: Database, _ undo: inout StoredUndo) throws {
    for key in change.deletedRules {
      guard let old = try rows.delete(key), old.id <= undo.lastRuleRow else { continue }
      undo.rules.append(old)
    }
    for rule in change.rules {
      guard let old = try rows.add(rule), old.id <= undo.lastRuleRow else { continue }
      undo.rules.append(old)
    }
    if !change.groups.isEmpty { undo.groups = try apply(change.groups, to: .group, in: database) }
    if !change.meters.isEmpty { undo.meters = try apply(change.meters, to: .meter, in: database) }
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
