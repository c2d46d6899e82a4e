// NetlinkError.swift
//
// What: why a request to the kernel's network configuration failed, as one sentence that a person can act on. Every case
//       carries the operation in the words of the command line tool that does the same, so the sentence can be tried by
//       hand: `ip link add veth0 type veth peer name veth1: File exists`.
// Invariants: the kernel's own explanation (extack), when there is one, is never dropped.
// Threads: a value; any.

import Glibc

/// Why the kernel's network configuration could not be read or changed.
public enum NetlinkError: Error, Equatable, Sendable {
  /// The kernel refused. `extack` is its explanation, nil when it gave none.
  case kernel(operation: String, errno: Int32, extack: String?)
  /// The interface, address, namespace or netlink family is not there.
  case notFound(operation: String, what: String)
  /// The answer contradicts itself: an attribute that is longer than its message, a number without its bytes.
  case malformedReply(operation: String, reason: String)
  /// The request was not sent because it cannot be right; `reason` says what was expected.
  case invalidArgument(operation: String, reason: String)
  /// The configuration changed during every one of several attempts to list it.
  case interrupted(operation: String)
  /// The kernel did not answer in time, or the answer was lost for lack of memory.
  case noReply(operation: String)
  /// The kernel accepted the request, but did not do it.
  case notApplied(operation: String, reason: String)

  /// What was tried, in the words of the command line.
  public var operation: String {
    switch self {
    case .kernel(let operation, _, _), .notFound(let operation, _), .malformedReply(let operation, _),
      .invalidArgument(let operation, _), .interrupted(let operation), .noReply(let operation),
      .notApplied(let operation, _):
      operation
    }
  }

  /// Whether the kernel or the driver does not know this operation at all, so that trying again is no use.
  public var isUnsupported: Bool {
    if case .kernel(_, EOPNOTSUPP, _) = self { true } else { false }
  }

  /// Whether the interface, address, namespace or family is gone.
  public var isNotFound: Bool {
    if case .notFound = self { true } else { false }
  }

  /// The error of a failed call, from errno: "not found" codes become `.notFound`.
  init(operation: String, errno code: Int32, extack: String?) {
    // ENODEV is what the kernel answers for an interface that is not there, in this namespace, now.
    if code == ENODEV {
      self = .notFound(operation: operation, what: extack ?? "no such interface")
    } else {
      self = .kernel(operation: operation, errno: code, extack: extack)
    }
  }

  /// The same error, with another account of what was tried.
  func during(_ operation: String) -> NetlinkError {
    switch self {
    case .kernel(_, let errno, let extack): .kernel(operation: operation, errno: errno, extack: extack)
    case .notFound(_, let what): .notFound(operation: operation, what: what)
    case .malformedReply(_, let reason): .malformedReply(operation: operation, reason: reason)
    case .invalidArgument(_, let reason): .invalidArgument(operation: operation, reason: reason)
    case .interrupted: .interrupted(operation: operation)
    case .noReply: .noReply(operation: operation)
    case .notApplied(_, let reason): .notApplied(operation: operation, reason: reason)
    }
  }
}

extension NetlinkError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .kernel(let operation, let errno, let extack):
      // glibc's strerror is thread-safe since 2.32.
      "\(operation): \(String(cString: strerror(errno)))" + (extack.map { " (\($0))" } ?? "")
        + (errno == EPERM ? "; it needs root or CAP_NET_ADMIN" : "")
    case .notFound(let operation, let what): "\(operation): \(what)"
    case .malformedReply(let operation, let reason): "\(operation): the kernel's answer makes no sense: \(reason)"
    case .invalidArgument(let operation, let reason): "\(operation): \(reason)"
    case .interrupted(let operation):
      "\(operation): the list changed during each of \(NetlinkSocket.dumpAttempts) attempts to read it; try again"
    case .noReply(let operation): "\(operation): no answer from the kernel within \(NetlinkSocket.replySeconds) s"
    case .notApplied(let operation, let reason): "\(operation): accepted, but not done: \(reason)"
    }
  }
}
