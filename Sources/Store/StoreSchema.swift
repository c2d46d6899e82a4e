// StoreSchema.swift
//
// The tables of the store, as a list of migrations. A migration that has shipped is never edited; a change is a new one.
// Invariants: names sort in the order they run. A file with a migration that is not in this list is of a newer version.
// Threads: values only.

import GRDB

enum StoreSchema {
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("001 ports, rules, deny prefixes") { database in
      try database.execute(
        sql: """
          CREATE TABLE port (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            interface TEXT NOT NULL,
            mode TEXT NOT NULL,
            queues TEXT NOT NULL
          ) STRICT;
          CREATE TABLE configuredPort (
            name TEXT PRIMARY KEY,
            number INTEGER NOT NULL UNIQUE
          ) STRICT;
          CREATE TABLE rule (
            id INTEGER PRIMARY KEY,
            tableID INTEGER NOT NULL,
            priority INTEGER NOT NULL,
            cookie INTEGER NOT NULL,
            match TEXT NOT NULL,
            actions TEXT NOT NULL,
            UNIQUE (tableID, priority, match)
          ) STRICT;
          CREATE TABLE denyPrefix (
            prefix TEXT PRIMARY KEY
          ) STRICT, WITHOUT ROWID;
          CREATE TABLE meta (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL
          ) STRICT, WITHOUT ROWID;
          """)
    }
    // Every table of rules, groups, meters. A rule is identified by a hash now (RuleKey), which only the agent can make; until
    // it has, which it does when it finds no `rules.keys` in meta, the old rows have keys that are merely unique.
    migrator.registerMigration("002 rule keys, groups, meters") { database in
      try database.execute(
        sql: """
          ALTER TABLE rule RENAME TO oldRule;
          CREATE TABLE rule (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL UNIQUE,
            text TEXT NOT NULL,
            ends INTEGER
          ) STRICT;
          INSERT INTO rule (id, key, text)
            SELECT id, CAST(printf('%016d', id) AS BLOB),
              printf('cookie=0x%x,table=%d,priority=%d', cookie, tableID, priority)
                || iif(match = '', '', ',' || match) || ' actions=' || actions
            FROM oldRule;
          DROP TABLE oldRule;
          CREATE TABLE ruleGroup (
            id INTEGER PRIMARY KEY,
            text TEXT NOT NULL
          ) STRICT;
          CREATE TABLE meter (
            id INTEGER PRIMARY KEY,
            text TEXT NOT NULL
          ) STRICT;
          """)
    }
    // The defaults are what a port was before there was anything to choose.
    migrator.registerMigration("003 placement and hook of ports") { database in
      try database.execute(
        sql: """
          ALTER TABLE port ADD COLUMN placement TEXT NOT NULL DEFAULT '';
          ALTER TABLE port ADD COLUMN hook TEXT NOT NULL DEFAULT 'auto';
          """)
    }
    migrator.registerMigration("004 five-tuples and rate limits") { database in
      try database.execute(
        sql: """
          CREATE TABLE denyTuple (
            tuple TEXT PRIMARY KEY
          ) STRICT, WITHOUT ROWID;
          CREATE TABLE rateLimit (
            prefix TEXT PRIMARY KEY,
            packetsPerSecond INTEGER NOT NULL,
            burst INTEGER NOT NULL
          ) STRICT, WITHOUT ROWID;
          """)
    }
    migrator.registerMigration("005 changes of interfaces") { database in
      try database.execute(
        sql: """
          CREATE TABLE interfaceChange (
            interface TEXT PRIMARY KEY,
            changes TEXT NOT NULL
          ) STRICT, WITHOUT ROWID;
          """)
    }
    return migrator
  }

  /// Keys of table `meta`.
  enum Meta {
    /// "operator" once a rule was changed through the API; until then the rules are the configuration's.
    static let rulesOwner = "rules.owner"
    /// Which way of making rule keys those in the file come from (`StateStore.ruleKeyScheme`).
    static let ruleKeys = "rules.keys"
  }
}
