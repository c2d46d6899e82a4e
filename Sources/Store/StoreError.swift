// StoreError.swift
//
// Why durable state could not be read or written. Each case names the file and says what to do about it.
// Invariant: no error of the store is followed by a repair that loses data: a damaged or foreign file stays as it is.
// Threads: a value.

/// What can go wrong with the store.
public enum StoreError: Error, Equatable, CustomStringConvertible {
  /// The file, or the folder it is in, cannot be opened or created.
  case cannotOpen(path: String, reason: String)
  /// The file is not an SQLite database, or belongs to another program.
  case foreign(path: String, what: String)
  /// The file was Sluice's, but SQLite finds it damaged.
  case damaged(path: String, reason: String)
  /// The file was written by a later version whose tables this one does not know.
  case newer(path: String, migrations: [String])
  /// Another agent has the file.
  case inUse(path: String, processID: Int32?)
  /// A write failed; nothing of it is in the file.
  case cannotWrite(path: String, what: String, reason: String)
  /// A read failed.
  case cannotRead(path: String, what: String, reason: String)
  /// A row of the file does not make sense to this version.
  case badRow(path: String, table: String, reason: String)

  public var description: String {
    switch self {
    case .cannotOpen(let path, let reason):
      "store \(path): cannot be opened: \(reason)"
    case .foreign(let path, let what):
      "store \(path): this is not Sluice's file (\(what)); it was left untouched, set agent.store to another path"
    case .damaged(let path, let reason):
      "store \(path): the file is damaged (\(reason)); it was left untouched, restore a copy or move it away to start with an empty one"
    case .newer(let path, let migrations):
      "store \(path): written by a newer version of sluiced (it has \(migrations.joined(separator: ", "))); install that version or set agent.store to another path"
    case .inUse(let path, let processID):
      "store \(path): another agent\(processID.map { " (pid \($0))" } ?? "") is using it; stop that one or set agent.store to another path"
    case .cannotWrite(let path, let what, let reason):
      "store \(path): cannot write \(what): \(reason); nothing was changed"
    case .cannotRead(let path, let what, let reason):
      "store \(path): cannot read \(what): \(reason)"
    case .badRow(let path, let table, let reason):
      "store \(path): table \(table): \(reason); restore a copy or move the file away to start with an empty one"
    }
  }
}
