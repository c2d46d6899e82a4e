// StoreInterfaces.swift
//
// What the agent changed on interfaces and has to put back when they are ports no more, so that the next agent can do it.
// Invariants: as those of StateStore. Words of changes and names of interfaces are the agent's; a word has no space.
// Threads: see StateStore.swift.

import GRDB

extension StateStore {
  /// All changes that were not put back, by interface, in the order they were made.
  public func interfaceChanges() throws(StoreError) -> [String: [String]] {
    try read("the changes of interfaces") { database in
      var changes: [String: [String]] = [:]
      for row in try Row.fetchAll(database, sql: "SELECT interface, changes FROM interfaceChange") {
        let words: String = row["changes"]
        changes[row["interface"]] = words.split(separator: " ").map(String.init)
      }
      return changes
    }
  }

  /// Replaces the changes of an interface; empty: there are none.
  public func setInterfaceChanges(_ changes: [String], of interface: String) throws(StoreError) {
    try write("the changes of an interface") { database in
      try database.execute(sql: "DELETE FROM interfaceChange WHERE interface = ?", arguments: [interface])
      guard !changes.isEmpty else { return }
      try database.execute(
        sql: "INSERT INTO interfaceChange (interface, changes) VALUES (?, ?)",
        arguments: [interface, changes.joined(separator: " ")])
    }
  }
}
