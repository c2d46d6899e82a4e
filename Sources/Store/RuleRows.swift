// RuleRows.swift
//
// The statements of table `rule`, through SQLite's own interface: a million rules are stored while somebody waits, and what a
// general layer costs per row (an array of boxed arguments, a row object) would be more than half of the time.
// Invariant: every statement is reset after its step, so that no read transaction stays open.
// Threads: inside a transaction of the store's queue only.
// Cost: about 3 microseconds to add a rule.

import GRDB
import GRDBSQLite

/// Prepared statements on the rules of one database.
struct RuleRows {
  private let database: Database
  private let insert: Statement
  private let replace: Statement
  private let find: Statement
  private let remove: Statement
  private let put: Statement

  /// - Throws: `DatabaseError`.
  init(_ database: Database) throws {
    self.database = database
    insert = try database.cachedStatement(
      sql: "INSERT INTO rule (key, text, ends) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING")
    replace = try database.cachedStatement(sql: "UPDATE rule SET text = ?2, ends = ?3 WHERE key = ?1")
    find = try database.cachedStatement(sql: "SELECT id, text, ends FROM rule WHERE key = ?")
    remove = try database.cachedStatement(sql: "DELETE FROM rule WHERE key = ? RETURNING id, text, ends")
    put = try database.cachedStatement(sql: "INSERT OR REPLACE INTO rule (key, text, ends, id) VALUES (?, ?, ?, ?)")
  }

  /// Adds a rule, or gives the one with its key other text.
  ///
  /// - Returns: what it replaced.
  func add(_ rule: StoredRule) throws -> RuleRow? {
    try write(rule, by: insert)
    guard sqlite3_changes(database.sqliteConnection) == 0 else { return nil }
    let old = try row(of: find, key: rule.key)
    try write(rule, by: replace)
    return old
  }

  /// Deletes a rule.
  ///
  /// - Returns: what was deleted; nil when there was none.
  func delete(_ key: RuleKey) throws -> RuleRow? { try row(of: remove, key: key) }

  /// Puts a row back where it was.
  func restore(_ row: RuleRow) throws {
    sqlite3_bind_int64(put.sqliteStatement, 4, row.id)
    try write(row.rule, by: put)
  }

  private func write(_ rule: StoredRule, by prepared: Statement) throws {
    let statement = prepared.sqliteStatement
    if let end = rule.endUnixSeconds { sqlite3_bind_int64(statement, 3, end) } else { sqlite3_bind_null(statement, 3) }
    var text = rule.text
    try text.withUTF8 { bytes in
      try bytes.withMemoryRebound(to: CChar.self) { characters in
        // Without a destructor (SQLITE_STATIC): SQLite need not copy the text, which lives until the statement has run.
        sqlite3_bind_text(statement, 2, characters.baseAddress, Int32(characters.count), nil)
        try run(prepared, key: rule.key)
      }
    }
  }

  private func row(of prepared: Statement, key: RuleKey) throws -> RuleRow? {
    var found: RuleRow?
    try run(prepared, key: key) { statement in
      found = RuleRow(
        id: sqlite3_column_int64(statement, 0),
        rule: StoredRule(
          key: key, text: sqlite3_column_text(statement, 1).map { String(cString: $0) } ?? "",
          endUnixSeconds: sqlite3_column_type(statement, 2) == SQLITE_NULL ? nil : sqlite3_column_int64(statement, 2)))
    }
    return found
  }

  /// Runs a statement whose first argument is a key.
  private func run(_ prepared: Statement, key: RuleKey, row: (OpaquePointer) -> Void = { _ in }) throws {
    let statement = prepared.sqliteStatement
    let code = withUnsafeBytes(of: (key.high.bigEndian, key.low.bigEndian)) { bytes in
      sqlite3_bind_blob(statement, 1, bytes.baseAddress, Int32(bytes.count), nil)
      var code = sqlite3_step(statement)
      while code == SQLITE_ROW {
        row(statement)
        code = sqlite3_step(statement)
      }
      return code
    }
    sqlite3_reset(statement)
    guard code == SQLITE_DONE else {
      throw DatabaseError(
        resultCode: ResultCode(rawValue: code), message: sqlite3_errmsg(database.sqliteConnection).map { String(cString: $0) })
    }
  }
}

extension RuleKey {
  /// - Parameter bytes: a blob of column `key`.
  /// - Returns: nil when it is not 16 bytes.
  init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    self.init(
      high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }, low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
  }
}
