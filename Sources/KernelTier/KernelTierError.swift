// KernelTierError.swift
//
// Everything the kernel, or we on its behalf, can refuse in this tier, each as one sentence with what to do about it.
// Invariant: the kernel's own words are quoted where it gave some; nothing is guessed from a kernel version.
// Threads: values only.

import Glibc

/// Why the kernel tier did not do what was asked; `description` is one sentence for a person.
public enum KernelTierError: Error, Sendable, Equatable, CustomStringConvertible {
  /// An XDP program that is not ours holds the interface. It is never replaced.
  case foreignProgram(interface: String, program: XDPProgramIdentity)
  /// A tc filter that is not ours has the place of ours. It is never replaced.
  case foreignFilter(interface: String, program: XDPProgramIdentity?)
  /// What is pinned cannot be used.
  case pinned(path: String, reason: String)
  /// The interface does not exist any more.
  case noInterface(name: String, index: UInt32)
  /// The kernel takes the program neither in the driver nor in the network stack.
  case attach(interface: String, native: String, generic: String)
  /// The verifier, or the loading of the maps, said no. `log` is the end of what it said, lines and all.
  case load(program: String, code: Int32, log: String)
  /// The early drop policy cannot hold that much. Nothing was changed.
  case policyFull(what: String, capacity: Int, present: Int, adding: Int)
  /// The port has fewer queues.
  case noQueue(queue: Int, queues: Int)
  /// Only a shared port keeps frames for the host.
  case notShared
  /// A value that no caller should have passed.
  case invalid(what: String, value: String, expected: String)
  /// A call failed; `detail` is what the kernel or libbpf added to the error number, and may be empty.
  case system(operation: String, code: Int32, detail: String)

  public var description: String {
    switch self {
    case .foreignProgram(let interface, let program):
      "\(interface) already runs the XDP program \(program), which is not Sluice's and stays; if it is not needed any more, "
        + "remove it with: ip link set dev \(interface) xdp off"
    case .foreignFilter(let interface, let program):
      "\(interface) already has \(program.map { "the tc program \($0)" } ?? "a tc filter") with priority 1, which is not Sluice's and stays; "
        + "if it is not needed any more, remove it with: tc filter del dev \(interface) ingress prio 1"
    case .pinned(let path, let reason):
      "the flow table pinned in \(path) cannot be used: \(reason)"
    case .noInterface(let name, let index):
      "interface \(name) (index \(index)) does not exist any more"
    case .attach(let interface, let native, let generic):
      "\(interface) takes no XDP program: in native mode \(native); in generic mode \(generic)"
    case .load(let program, let code, let log):
      "the kernel refused the BPF program \(program): \(Self.words(code))"
        + (Self.lastLine(of: log).map { " (\($0))" } ?? "")
        // EACCES is the verifier's usual answer to a wrong program, so only EPERM is about rights here.
        + (code == EPERM ? Self.remedy(code) : "")
    case .policyFull(let what, let capacity, let present, let adding):
      "the early drop policy holds \(capacity) \(what) at most: \(present) are there, \(adding) more do not fit; "
        + "nothing was added"
    case .noQueue(let queue, let queues):
      "queue \(queue) does not exist: the port has queues 0 to \(queues - 1)"
    case .notShared:
      "the port is dedicated to the switch and keeps no frames for the host; make it shared first"
    case .invalid(let what, let value, let expected):
      "\(what) \(value) is not possible: expected \(expected)"
    case .system(let operation, let code, let detail):
      "cannot \(operation): \(Self.words(code))" + (detail.isEmpty ? "" : " (\(detail))") + Self.remedy(code)
    }
  }

  /// The error number, for a caller that decides by it; 0 when the kernel was not asked.
  public var code: Int32 {
    switch self {
    case .load(_, let code, _), .system(_, let code, _): code
    case .noInterface: ENODEV
    default: 0
    }
  }

  /// What was asked for is gone.
  var isNotThere: Bool { code == ENOENT || code == ENODEV }

  /// What libc calls an error number.
  static func words(_ code: Int32) -> String {
    // Inside the kernel ENOTSUPP is 524; it leaks out of some BPF calls and libc has no words for it.
    code == 524 ? "Operation not supported" : String(cString: strerror(code))
  }

  private static func remedy(_ code: Int32) -> String {
    code == EPERM || code == EACCES ? "; it takes root, or the capabilities CAP_BPF and CAP_NET_ADMIN" : ""
  }

  /// The line of a verifier log that names the problem: the last one that is not statistics.
  private static func lastLine(of log: String) -> String? {
    log.split(separator: "\n").last { !$0.hasPrefix("processed ") && !$0.hasPrefix("-- ") && !$0.isEmpty }.map(String.init)
  }
}
