// UnixAddress.swift
//
// The address of a Unix socket as the kernel wants it.
// Invariant: the path fits; `init?` is the only way in.
// Threads: a value.

import Glibc

/// A path in a `sockaddr_un`. A path that begins with "@" is in the abstract namespace.
struct UnixAddress {
  private var address = sockaddr_un()
  private let length: socklen_t

  /// - Returns: nil when the path is empty or longer than 107 bytes.
  init?(_ path: String) {
    var bytes = Array(path.utf8)
    guard (1...AgentSection.longestSocketPath).contains(bytes.count), !bytes.contains(0) else { return nil }
    let isAbstract = bytes[0] == 0x40
    if isAbstract { bytes[0] = 0 }
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    // An abstract name has no zero at its end: the length ends it.
    length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1))
  }

  func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }
}
