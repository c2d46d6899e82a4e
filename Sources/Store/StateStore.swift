// StateStore.swift
//
// What of the agent's state survives it: ports, rules, groups, meters and the early drop policy, as they were asked for through the API. One SQLite
// file through GRDB, in WAL mode with synchronous=FULL, so that what a reply acknowledged is on the disk before the
// reply.
//
// Order of a change (kept by the Agent module, stated here because it is why the store is written as it is):
//   1. the request is checked; 2. the store commits it; 3. the switch or the kernel follows; 4. the reply.
//   A crash after 2 leaves a change in the store that nobody was told about; the next start carries it out. When 3 fails,
//   the change is taken back from the store (`undo`), and a crash before that is again carried out or refused by the next
//   start, which reports it. At no line does the store forget what was acknowledged.
//
// Invariants: one process has the file (FileLock). A transaction is all or nothing. A damaged or foreign file is never
//             written.
// Threads: Sendable; a call blocks its thread until it is done, so it does not belong on the concurrency pool; calls are
//          carried out in the order of their arrival.
// Cost: a transaction is one fsync (0.1 ms to 10 ms by disk); a million rules are one transaction of some seconds.

import GRDB

/// The durable state of one agent.
public final class StateStore: Sendable {
  public let path: String
  private let queue: DatabaseQueue
  private let lock: FileLock

  /// Opens the store, making the file and its folder when they are missing, and brings its tables up to date.
  ///
  /// - Throws: `StoreError`; the file is unchanged when it is foreign, damaged, newer or in use.
  public static func open(path: String) throws(StoreError) -> StateStore {
    try StoreFile.makeFolder(of: path)
    let lock = try FileLock(storePath: path)
    let content = try StoreFile.inspect(path)
    if case .foreign(let what) = content { throw .foreign(path: path, what: what) }
    do {
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      try prepare(queue, path: path, isNew: content == .absent)
      return StateStore(path: path, queue: queue, lock: lock)
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError where error.meansDamage {
      throw .damaged(path: path, reason: error.words)
    } catch {
      throw .cannotOpen(path: path, reason: Self.words(error))
    }
  }

  private init(path: String, queue: DatabaseQueue, lock: FileLock) {
    self.path = path
    self.queue = queue
    self.lock = lock
  }

  /// Closes the file; calls after it fail.
  public func close() {
    // Closing can only fail while a statement runs, and the queue lets none run beside it.
    try? queue.close()
  }

  /// Gives back the memory that a large change has left in SQLite's page cache.
  public func releaseMemory() { queue.releaseMemory() }

  private static var configuration: Configuration {
    var configuration = Configuration()
    configuration.label = "sluice.store"
    // A person may look at the file with the sqlite3 shell; wait for them a little instead of failing.
    configuration.busyMode = .timeout(5)
    return configuration
  }

  private static func prepare(_ queue: DatabaseQueue, path: String, isNew: Bool) throws {
    if isNew {
      // Before WAL mode, so that the mark is in the file itself and a crash right after leaves no nameless database.
      try queue.writeWithoutTransaction { database in
        try database.execute(sql: "PRAGMA application_id = \(StoreFile.applicationID)")
      }
    }
    try queue.writeWithoutTransaction { database in
      let verdict = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "no answer"
      guard verdict == "ok" else { throw StoreError.damaged(path: path, reason: verdict) }
      let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL")
      guard mode == "wal" else {
        throw StoreError.cannotOpen(path: path, reason: "its file system does not support SQLite's write-ahead log")
      }
      try database.execute(sql: "PRAGMA synchronous = FULL")
      // The index over a million rule keys; SQLite takes the memory as it needs it, and `releaseMemory` gives it back.
      try database.execute(sql: "PRAGMA cache_size = -65536")
    }
    let migrator = StoreSchema.migrator
    let known = Set(migrator.migrations)
    let applied = try queue.read { try migrator.appliedIdentifiers($0) }
    let unknown = applied.subtracting(known)
    guard unknown.isEmpty else { throw StoreError.newer(path: path, migrations: unknown.sorted()) }
    try migrator.migrate(queue)
  }
}

// MARK: - Ports

extension StateStore {
  /// All ports, in the order of their numbers.
  public func ports() throws(StoreError) -> [StoredPort] {
    try read("ports") { [path] database in
      try Row.fetchAll(database, sql: "SELECT \(StoredPort.columns) FROM port ORDER BY number")
        .map { try StoredPort(row: $0, path: path) }
    }
  }

  /// Adds a port, or replaces the one of its name.
  ///
  /// - Throws: `StoreError.cannotWrite`, also when its number is another port's.
  public func putPort(_ port: StoredPort) throws(StoreError) {
    try write("port \(port.name)") { database in
      try database.execute(sql: "DELETE FROM port WHERE name = ?", arguments: [port.name])
      try database.execute(
        sql: "INSERT INTO port (\(StoredPort.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", arguments: port.arguments)
    }
  }

  /// Deletes a port; one that is not there is fine.
  public func deletePort(named name: String) throws(StoreError) {
    try write("port \(name)") { database in
      try database.execute(sql: "DELETE FROM port WHERE name = ?", arguments: [name])
    }
  }

  /// The numbers that were given to ports of the configuration file which do not say one, by name.
  public func configuredPortNumbers() throws(StoreError) -> [String: UInt32] {
    try read("port numbers") { database in
      var numbers: [String: UInt32] = [:]
      for row in try Row.fetchAll(database, sql: "SELECT name, number FROM configuredPort") {
        let number: Int64 = row["number"]
        numbers[row["name"]] = UInt32(truncatingIfNeeded: number)
      }
      return numbers
    }
  }

  /// Replaces those numbers, so that a configured port has the same one after a restart.
  public func setConfiguredPortNumbers(_ numbers: [String: UInt32]) throws(StoreError) {
    try write("port numbers") { database in
      try database.execute(sql: "DELETE FROM configuredPort")
      for (name, number) in numbers {
        try database.execute(
          sql: "INSERT INTO configuredPort (name, number) VALUES (?, ?)", arguments: [name, Int64(number)])
      }
    }
  }
}

// MARK: - Access

extension StateStore {
  func read<T>(
    _ what: String, _ body: (Database) throws -> T
  ) throws(StoreError) -> T {
    do {
      return try queue.read(body)
    } catch let error as StoreError {
      throw error
    } catch {
      throw .cannotRead(path: path, what: what, reason: Self.words(error))
    }
  }

  func write<T>(
    _ what: String, _ body: (Database) throws -> T
  ) throws(StoreError) -> T {
    do {
      return try queue.write(body)
    } catch let error as StoreError {
      throw error
    } catch {
      throw .cannotWrite(path: path, what: what, reason: Self.words(error))
    }
  }

  private static func words(_ error: any Error) -> String {
    (error as? DatabaseError)?.words ?? "\(error)"
  }
}

extension DatabaseError {
  /// SQLite's own words, without the statement that GRDB adds.
  fileprivate var words: String { message ?? "SQLite error \(resultCode.rawValue)" }

  fileprivate var meansDamage: Bool { resultCode == .SQLITE_CORRUPT || resultCode == .SQLITE_NOTADB }
}
