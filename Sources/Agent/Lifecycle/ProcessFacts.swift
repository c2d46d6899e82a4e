// ProcessFacts.swift
//
// What the kernel says about this process and its machine.
// Threads: any; each call reads a file of /proc or /etc.

import Glibc

enum ProcessFacts {
  /// Resident memory in bytes; 0 when the kernel does not say.
  static func residentBytes() -> UInt64 {
    let fields = text(of: "/proc/self/statm").split(separator: " ")
    guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
    return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// CPUs that this process may run on, ascending.
  static func allowedCPUs() -> [Int] {
    let lines = text(of: "/proc/self/status").split(separator: "\n")
    guard let line = lines.first(where: { $0.hasPrefix("Cpus_allowed_list:") }),
      let list = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last
    else { return [] }
    return list.split(separator: ",").flatMap { range -> [Int] in
      let ends = range.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }

  /// As `uname -r`.
  static func kernelRelease() -> String {
    text(of: "/proc/sys/kernel/osrelease").split(separator: "\n").first.map(String.init) ?? "unknown"
  }

  /// What the kernel calls this run of the machine; nil when it does not say.
  static func bootIdentifier() -> String? {
    text(of: "/proc/sys/kernel/random/boot_id").split(separator: "\n").first.map(String.init)
  }

  /// A number that is this machine's own and the same after every start: of its machine-id, or of its host name where it has none, as in many
  /// containers.
  ///
  /// - Source: machine-id(5).
  static func machineSeed() -> UInt64 {
    let id = text(of: "/etc/machine-id").prefix { $0.isHexDigit }
    return seed(of: id.count == 32 ? String(id) : text(of: "/proc/sys/kernel/hostname"))
  }

  /// FNV-1a; nobody can tell the machine-id from it, which is not to leave the machine.
  static func seed(of name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }

  private static func text(of path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 16384)
    let count = read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }
}
