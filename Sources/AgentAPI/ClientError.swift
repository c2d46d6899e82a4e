// ClientError.swift
//
// Everything that can go wrong between a client and the agent, each as one sentence with a remedy.
// Invariant: a sentence of the agent itself is passed on unchanged; only what the agent could not say is worded here.
// Threads: values only.

#if canImport(Musl)
import Musl
#else
import Glibc
#endif

import GRPCCore

/// Why a call to the agent did not do what was asked; `description` is one sentence for a person.
public enum ClientError: Error, Sendable, CustomStringConvertible {
  /// Nobody answers on the socket.
  case cannotConnect(socket: String, errno: CInt)
  /// The path cannot be a Unix socket's; it may hold at most 107 bytes.
  case badSocketPath(String)
  /// The connection ended before the answer came.
  case connectionLost(socket: String)
  /// The answer did not come in time; when the call changes something, whether it did is not known.
  case deadlineExceeded(method: String, after: Duration, changes: Bool)
  /// The agent answered no.
  case refused(Refusal)

  /// The agent's own answer.
  public struct Refusal: Sendable {
    public var code: RPCError.Code
    public var message: String
    /// Which lines of a `Rules.Add` were wrong, when that is why.
    public var ruleErrors: Sluice_V1_RuleErrors?

    public init(code: RPCError.Code, message: String, ruleErrors: Sluice_V1_RuleErrors? = nil) {
      self.code = code
      self.message = message
      self.ruleErrors = ruleErrors
    }
  }

  public var description: String {
    switch self {
    case .cannotConnect(let socket, let errno):
      Self.cannotReach(socket: socket, errno: errno)
    case .badSocketPath(let path):
      "\(path.isEmpty ? "an empty path" : path) cannot be a Unix socket: a socket's path has 1 to 107 bytes"
    case .connectionLost(let socket):
      "the agent at \(socket) closed the connection before it answered; it may be stopping\(Self.orUnwelcome): "
        + "see journalctl -u sluiced"
    case .deadlineExceeded(let method, let after, let changes):
      "the agent did not answer \(method) within \(Self.seconds(after)) s"
        + (changes ? "; whether it was done is not known" : "") + "; give it longer with --timeout SECONDS"
    case .refused(let refusal):
      refusal.message.isEmpty ? "the agent answered \(refusal.code) without a reason" : refusal.message
    }
  }

  private static func cannotReach(socket: String, errno: CInt) -> String {
    let start = "start it with: systemctl start sluiced (or: sudo sluiced --config FILE)"
    let trouble = "cannot reach the agent at \(socket): "
    switch errno {
    case ECONNREFUSED where !isSocket(socket), ENOTSOCK, EPROTOTYPE:
      return trouble + "it is not a socket that an agent made; give the agent's with --socket PATH"
    case ENOENT: return trouble + "no such file; \(start)"
    case ECONNREFUSED: return trouble + "nobody listens there; \(start)"
    case EACCES, EPERM: return trouble + "permission denied; \(admission(to: socket))"
    default: return trouble + "\(words(of: errno)); is it running? see: systemctl status sluiced"
    }
  }

  private static func isSocket(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
  }

  /// How this user gets permission: the group that owns the socket, when it can be seen, else root.
  private static func admission(to socket: String) -> String {
    var status = stat()
    guard stat(socket, &status) == 0, status.st_gid != 0, status.st_mode & S_IWGRP != 0,
      let group = getgrgid(status.st_gid)
    else { return "run it as root: sudo sluicectl" }
    let name = String(cString: group.pointee.gr_name)
    return "its group is \(name): run it with sudo, or: sudo usermod -aG \(name) \(userName), then log in again"
  }

  /// An agent that does not like its peer's credentials says so by closing the connection; root is always let in.
  private static var orUnwelcome: String { geteuid() == 0 ? "" : ", or may not let \(userName) in" }

  /// "5", "0.25"
  private static func seconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    return attoseconds == 0 ? "\(seconds)" : "\(Double(seconds) + Double(attoseconds) / 1e18)"
  }

  private static var userName: String {
    guard let user = getpwuid(geteuid()) else { return "user \(geteuid())" }
    return String(cString: user.pointee.pw_name)
  }

  private static func words(of errno: CInt) -> String {
    guard let text = strerror(errno) else { return "error \(errno)" }
    return String(cString: text)
  }
}
