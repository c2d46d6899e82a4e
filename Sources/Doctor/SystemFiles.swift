// SystemFiles.swift
//
// What the kernel says in /proc and /sys, read under a root that tests replace.
// Threads: a value; any. Under /proc/sys/net are the settings of the calling thread's network namespace.

import Glibc

public struct SystemFiles: Sendable {
  let root: String

  /// - Parameter root: in front of every path; empty for the machine itself.
  public init(root: String = "") { self.root = root }

  func exists(_ path: String) -> Bool { access(root + path, F_OK) == 0 }

  /// The text of a file without white space at its end; nil when it cannot be read.
  func text(_ path: String) -> String? {
    let file = open(root + path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(file, &part, part.count)
      guard count >= 0 else { return nil }
      if count == 0 { break }
      bytes += part.prefix(count)
    }
    while let last = bytes.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: " ") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  func number(_ path: String) -> Int? { text(path).flatMap { Int($0) } }

  /// What follows a key at the beginning of a line.
  func value(_ key: String, in path: String) -> String? {
    text(path)?.split(separator: "\n").first { $0.hasPrefix(key) }.map { line in
      String(line.dropFirst(key.count).drop { $0 == " " || $0 == "\t" || $0 == ":" })
    }
  }
}
