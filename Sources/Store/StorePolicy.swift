// StorePolicy.swift
//
// The early drop policy in the store: denied prefixes, denied five-tuples, and rate limits, each in its canonical text.
// Invariants: as those of StateStore. A change of any number of entries is one transaction.
// Threads: see StateStore.swift.

import GRDB

/// A source prefix and the rate that it is held to.
public struct StoredLimit: Sendable, Hashable {
  public var prefix: String
  public var packetsPerSecond: UInt64
  public var burst: UInt32

  public init(prefix: String, packetsPerSecond: UInt64, burst: UInt32) {
    self.prefix = prefix
    self.packetsPerSecond = packetsPerSecond
    self.burst = burst
  }
}

/// Entries of the policy, whole or as a part of a change.
public struct StoredPolicy: Sendable, Hashable {
  public var prefixes: [String]
  public var tuples: [String]
  public var limits: [StoredLimit]

  public init(prefixes: [String] = [], tuples: [String] = [], limits: [StoredLimit] = []) {
    self.prefixes = prefixes
    self.tuples = tuples
    self.limits = limits
  }

  public var count: Int { prefixes.count + tuples.count + limits.count }
}

extension StateStore {
  /// Everything, sorted as text.
  public func policy() throws(StoreError) -> StoredPolicy {
    try read("the early drop policy") { database in
      StoredPolicy(
        prefixes: try String.fetchAll(database, sql: "SELECT prefix FROM denyPrefix ORDER BY prefix"),
        tuples: try String.fetchAll(database, sql: "SELECT tuple FROM denyTuple ORDER BY tuple"),
        limits: try Row.fetchAll(database, sql: "SELECT prefix, packetsPerSecond, burst FROM rateLimit ORDER BY prefix").map { row in
          let rate: Int64 = row["packetsPerSecond"]
          let burst: Int64 = row["burst"]
          return StoredLimit(
            prefix: row["prefix"], packetsPerSecond: UInt64(truncatingIfNeeded: rate), burst: UInt32(truncatingIfNeeded: burst))
        })
    }
  }

  /// Deletes and adds entries in one transaction. What is to be deleted and is not there is passed over; of a limit's deletion only
  /// the prefix counts; what is added takes the place of what is there.
  public func changePolicy(delete: StoredPolicy = StoredPolicy(), add: StoredPolicy = StoredPolicy()) throws(StoreError) {
    try write("\(delete.count + add.count) entries of the early drop policy") { database in
      func each(_ sql: String, _ arguments: [StatementArguments]) throws {
        guard !arguments.isEmpty else { return }
        let statement = try database.cachedStatement(sql: sql)
        for one in arguments { try statement.execute(arguments: one) }
      }
      try each("DELETE FROM denyPrefix WHERE prefix = ?", delete.prefixes.map { [$0] })
      try each("DELETE FROM denyTuple WHERE tuple = ?", delete.tuples.map { [$0] })
      try each("DELETE FROM rateLimit WHERE prefix = ?", delete.limits.map { [$0.prefix] })
      try each("INSERT OR IGNORE INTO denyPrefix (prefix) VALUES (?)", add.prefixes.map { [$0] })
      try each("INSERT OR IGNORE INTO denyTuple (tuple) VALUES (?)", add.tuples.map { [$0] })
      try each(
        "INSERT OR REPLACE INTO rateLimit (prefix, packetsPerSecond, burst) VALUES (?, ?, ?)",
        add.limits.map { [$0.prefix, Int64($0.packetsPerSecond), Int64($0.burst)] })
    }
  }
}
