// StoreFile.swift
//
// The file under the store: whose it is, and who has it open.
// Invariants: a file that is not Sluice's is never opened by SQLite, because opening alone can change it.
//             The lock is held from before the first read until the store is closed; the kernel drops it when the agent
//             dies, however it dies.
// Threads: used by whoever opens the store; FileLock is Sendable because its only state is an owned descriptor.

#if canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// What a path holds, judged by the first bytes alone.
enum StoreFile {
  /// Written to the header of every store: "SLCE".
  static let applicationID: UInt32 = 0x534C_4345

  enum Content: Equatable {
    case absent
    case sluice
    case foreign(what: String)
  }

  /// Looks at the header without opening the file as a database.
  ///
  /// - Source: https://www.sqlite.org/fileformat2.html, "The Database Header": magic at 0, application id at 68,
  ///   big-endian.
  static func inspect(_ path: String) throws(StoreError) -> Content {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return .absent }
      throw .cannotOpen(path: path, reason: words(errno))
    }
    defer { close(descriptor) }
    var header = [UInt8](repeating: 0, count: 100)
    let count = read(descriptor, &header, header.count)
    guard count >= 0 else { throw .cannotOpen(path: path, reason: words(errno)) }
    // SQLite makes an empty file and fills it with its first transaction; a crash may fall between the two.
    if count == 0 { return .absent }
    guard count == header.count, header.starts(with: Array("SQLite format 3\0".utf8)) else {
      return .foreign(what: "it is no SQLite database")
    }
    let identifier = header[68..<72].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard identifier == applicationID else {
      return .foreign(what: "an SQLite database with application id \(identifier)")
    }
    return .sluice
  }

  /// Makes the folder of the file, and the folders above it, as far as they are missing.
  static func makeFolder(of path: String) throws(StoreError) {
    var made = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/").dropLast() {
      made += "/" + part
      if mkdir(made, 0o750) != 0, errno != EEXIST {
        throw .cannotOpen(path: path, reason: "folder \(made) cannot be made: \(words(errno))")
      }
    }
  }

  static func words(_ errno: Int32) -> String {
    guard let text = strerror(errno) else { return "error \(errno)" }
    return String(cString: text)
  }
}

/// A lock beside the store that says which process has it.
final class FileLock: Sendable {
  private let descriptor: Int32

  /// Takes the lock of the store at `path`.
  ///
  /// The lock is on a file of its own, because closing any descriptor of the database itself would drop SQLite's locks.
  /// - Throws: `StoreError.inUse` when another process has it.
  init(storePath path: String) throws(StoreError) {
    let lockPath = path + ".lock"
    let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: "\(lockPath): \(StoreFile.words(errno))") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let holder = Self.processID(in: descriptor)
      close(descriptor)
      throw .inUse(path: path, processID: holder)
    }
    let text = Array("\(getpid())\n".utf8)
    // The number is only for the other agent's message, so a disk too full to hold it is no reason not to start.
    if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  private static func processID(in descriptor: Int32) -> Int32? {
    var text = [UInt8](repeating: 0, count: 16)
    let count = pread(descriptor, &text, text.count, 0)
    guard count > 0 else { return nil }
    return Int32(String(decoding: text.prefix(while: { $0 >= 0x30 && $0 <= 0x39 }), as: UTF8.self))
  }
}
