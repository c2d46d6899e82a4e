// ControlSocket.swift
//
// The Unix socket of the API in the file system: taking the path, its owner and mode, and its removal.
// Invariants: the path of a living agent is never taken away from it; the path of a dead one is. The socket is never, not
//             even for an instant, open to more than its final owner and mode allow. It is removed only while it is still
//             this agent's.
// Threads: used by the start and the end of the agent.

import Glibc

/// Why the API cannot be served at a path.
enum ControlSocketError: Error, Equatable, CustomStringConvertible {
  case anotherAgent(path: String, processID: Int32)
  case notASocket(path: String)
  case failed(path: String, step: String, reason: String)

  var description: String {
    switch self {
    case .anotherAgent(let path, let processID):
      "another agent (pid \(processID)) is serving \(path); stop it first, or give this one its own agent.socket and agent.store"
    case .notASocket(let path):
      "agent.socket \(path): something that is not a socket is there; move it away or set another path"
    case .failed(let path, let step, let reason):
      "agent.socket \(path): cannot \(step): \(reason)"
    }
  }
}

/// A listening socket that has its path.
struct ControlSocket: Sendable {
  let path: String
  /// Listening; whoever serves it closes it.
  let descriptor: Int32
  /// Tells this socket from one that a later agent may have put at the same path.
  private let inode: UInt64

  /// Connections that may wait to be accepted.
  private static let backlog: Int32 = 128

  /// Takes the path: looks for a living agent, removes what a dead one left, binds and listens.
  ///
  /// - Parameter groupID: owner group of the socket, whose members may connect; nil leaves it to root.
  /// - Throws: `ControlSocketError`.
  static func claim(path: String, groupID: UInt32?) throws(ControlSocketError) -> ControlSocket {
    guard let address = UnixAddress(path) else {
      throw .failed(path: path, step: "use it", reason: "a socket's path has 1 to \(AgentSection.longestSocketPath) bytes")
    }
    try makeFolder(of: path)
    try removeDead(path: path, address: address)
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .failed(path: path, step: "make a socket", reason: words(errno)) }
    do {
      // The file gets the mode of the socket's inode, so it is narrow from its first instant (net/unix/af_unix.c,
      // unix_bind_bsd).
      try check(fchmod(descriptor, 0o600), path, "set its mode")
      try check(address.withPointer { bind(descriptor, $0, $1) }, path, "bind")
      try check(chown(path, 0, groupID ?? 0), path, "give it to its group")
      try check(chmod(path, 0o660), path, "set its mode")
      try check(listen(descriptor, backlog), path, "listen")
      var status = stat()
      try check(stat(path, &status), path, "look at it")
      return ControlSocket(path: path, descriptor: descriptor, inode: UInt64(status.st_ino))
    } catch {
      close(descriptor)
      throw error
    }
  }

  /// Removes the path, unless another socket is there by now.
  func removePath() {
    var status = stat()
    guard lstat(path, &status) == 0, UInt64(status.st_ino) == inode else { return }
    unlink(path)
  }

  private static func removeDead(path: String, address: UnixAddress) throws(ControlSocketError) {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return }
      throw .failed(path: path, step: "look at it", reason: words(errno))
    }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { throw .failed(path: path, step: "make a socket", reason: words(errno)) }
    defer { close(probe) }
    if address.withPointer({ connect(probe, $0, $1) }) == 0 {
      throw .anotherAgent(path: path, processID: PeerCredentials(of: probe)?.processID ?? 0)
    }
    // Refused means that nobody has listened since the file was made; any other answer is not proof of death.
    guard errno == ECONNREFUSED else { throw .failed(path: path, step: "ask who serves it", reason: words(errno)) }
    try check(unlink(path), path, "remove what a dead agent left")
  }

  private static func makeFolder(of path: String) throws(ControlSocketError) {
    var made = ""
    for part in path.split(separator: "/").dropLast() {
      made += "/" + part
      if mkdir(made, 0o755) != 0, errno != EEXIST {
        throw .failed(path: path, step: "make the folder \(made)", reason: words(errno))
      }
    }
  }

  private static func check(_ result: Int32, _ path: String, _ step: String) throws(ControlSocketError) {
    guard result == 0 else { throw .failed(path: path, step: step, reason: words(errno)) }
  }

  private static func words(_ errno: Int32) -> String { String(cString: strerror(errno)) }
}

/// Looks up a group of the system.
enum SystemGroup {
  /// - Returns: nil when the system has no such group.
  static func identifier(of name: String) -> UInt32? {
    getgrnam(name)?.pointee.gr_gid
  }
}
