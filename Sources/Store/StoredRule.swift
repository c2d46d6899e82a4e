// StoredRule.swift
//
// A rule as the store keeps it: its canonical text, cut into the columns that identify it.
// Invariant: (table, priority, match) is unique; `match` and `actions` are canonical text of the Pipeline module, so
//            equal rules have equal text.
// Threads: a value.

import GRDB

/// A rule in canonical text.
public struct StoredRule: Sendable, Hashable {
  public var table: UInt8
  public var priority: UInt16
  public var cookie: UInt64
  public var match: String
  public var actions: String

  public init(table: UInt8 = 0, priority: UInt16, cookie: UInt64, match: String, actions: String) {
    self.table = table
    self.priority = priority
    self.cookie = cookie
    self.match = match
    self.actions = actions
  }

  /// What makes two rules the same rule with other actions.
  public struct Identity: Sendable, Hashable {
    public var table: UInt8
    public var priority: UInt16
    public var match: String

    public init(table: UInt8 = 0, priority: UInt16, match: String) {
      self.table = table
      self.priority = priority
      self.match = match
    }
  }

  public var identity: Identity { Identity(table: table, priority: priority, match: match) }
}

extension StoredRule {
  static let columns = "tableID, priority, cookie, match, actions"

  init(row: Row, path: String) throws(StoreError) {
    let table: Int64 = row["tableID"]
    let priority: Int64 = row["priority"]
    guard let table = UInt8(exactly: table), let priority = UInt16(exactly: priority) else {
      throw .badRow(path: path, table: "rule", reason: "table \(table), priority \(priority) is out of range")
    }
    let cookie: Int64 = row["cookie"]
    // SQLite's integers are signed; a cookie is 64 unsigned bits.
    self.init(
      table: table, priority: priority, cookie: UInt64(bitPattern: cookie), match: row["match"], actions: row["actions"])
  }

  var arguments: StatementArguments {
    [Int64(table), Int64(priority), Int64(bitPattern: cookie), match, actions]
  }
}
