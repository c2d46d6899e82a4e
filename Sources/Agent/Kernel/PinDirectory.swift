// PinDirectory.swift
//
// The directory under a BPF file system where maps outlive the agent, and the claim of one agent on it.
// Invariant: two agents never write one table: whoever holds a value of this type is the only one. The kernel lets go of the claim when the
//            agent dies.
// Threads: any.
// Cost: some system calls at start.

import Glibc
import KernelTier

/// Why maps cannot be pinned at a place.
enum PinDirectoryError: Error, CustomStringConvertible {
  case taken(path: String)
  case failed(path: String, step: String, reason: String)

  var description: String {
    switch self {
    case .taken(let path):
      "another agent has its flow table under \(path); give this one its own kernel.directory"
    case .failed(let path, let step, let reason): "kernel.directory \(path): cannot \(step): \(reason)"
    }
  }
}

/// A claimed directory.
final class PinDirectory: Sendable {
  /// Without the version.
  let root: String
  private let descriptor: Int32

  /// Where the maps of this version are.
  var current: String { FlowTableMaps.directory(in: root) }

  /// Claims a directory, which is made if it is not there.
  init(claiming root: String) throws(PinDirectoryError) {
    if mkdir(root, 0o700) != 0, errno != EEXIST {
      throw .failed(path: root, step: "make it", reason: String(cString: strerror(errno)))
    }
    let descriptor = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .failed(path: root, step: "open it", reason: String(cString: strerror(errno))) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(descriptor)
      if code == EWOULDBLOCK { throw .taken(path: root) }
      throw .failed(path: root, step: "lock it", reason: String(cString: strerror(code)))
    }
    self.root = root
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Whether an agent before this one, of whatever version, left something here.
  static func isInUse(_ root: String) -> Bool { !versions(in: root).isEmpty }

  /// The directories of all versions; none where they cannot be read.
  static func versions(in root: String) -> [String] { (try? FlowTableMaps.versions(in: root)) ?? [] }
}
