// NetlinkSocket.swift
//
// What: a conversation with one netlink family: send a request, collect what answers it. The only file that touches a
//       netlink socket; the files named after things (Links, Addresses, ...) extend it with operations.
// Invariants: one request at a time; an answer is taken only from the kernel, and only with the sequence number of the
//             request, so what is left over from a failed call cannot be mistaken for the next answer. No datagram is cut:
//             its size is asked for before it is read.
// Threads: confined to its owner (~Copyable); may be handed to another thread. The namespace is that of the thread that
//          opened it, for good.
// Cost: an operation is a sendto and, per datagram, two recv; the calling thread waits in them, for as long as the kernel
//       needs for the change: 10 us for most, 10 to 20 ms for the removal of an interface.

import CLibmnl
import CSluice
import Glibc

/// A socket to one netlink family of the kernel.
public struct NetlinkSocket: ~Copyable, @unchecked Sendable {
  // @unchecked: the libmnl handle has no thread affinity, and this value, which cannot be copied, is its only user.

  public enum Family: Int32, Sendable {
    /// Links, addresses, routes, queueing: NETLINK_ROUTE.
    case route = 0
    /// Families that are found by name, such as ethtool and devlink: NETLINK_GENERIC.
    case generic = 16
  }

  /// How often a list is read again because it changed while it was read.
  static let dumpAttempts = 16
  /// How long an answer may take, in seconds.
  static let replySeconds = 10

  private let handle: OpaquePointer
  private var sequence: UInt32 = 0
  private var buffer = [UInt8](repeating: 0, count: 32 << 10)

  /// Opens a socket in the network namespace of the calling thread.
  ///
  /// - Throws: `.kernel` when the process is out of descriptors or may not have such sockets.
  public init(_ family: Family) throws(NetlinkError) {
    handle = try Self.open(family, groups: 0)
  }

  /// Opens a socket in `namespace`.
  ///
  /// Cost: a short-lived thread.
  public init(_ family: Family, in namespace: borrowing NetworkNamespace) throws(NetlinkError) {
    handle = try namespace.perform { () throws(NetlinkError) in try Self.open(family, groups: 0) }
  }

  /// Opens a socket that also gets notifications of multicast groups, and never blocks.
  ///
  /// - Parameter groups: a bit per group: group n is bit n - 1.
  init(notifications groups: UInt32, receiveBufferBytes: Int32) throws(NetlinkError) {
    handle = try Self.open(.route, groups: groups)
    var bytes = receiveBufferBytes
    let descriptor = mnl_socket_get_fd(handle)
    let size = socklen_t(MemoryLayout<Int32>.size)
    // The forced size needs CAP_NET_ADMIN; without it the system's limit has to do, and a loss is reported as such.
    if setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, size) != 0 {
      _ = setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, size)
    }
  }

  deinit { mnl_socket_close(handle) }

  /// The socket itself, to poll or to run an ioctl on; it is closed with this value.
  public var fileDescriptor: Int32 { mnl_socket_get_fd(handle) }

  /// The name of an interface, for an error message; its index when it is gone. Works on sockets of every family.
  func nameForPeople(_ index: Int32) -> String {
    var name = [CChar](repeating: 0, count: Link.longestName + 1)
    guard sluice_interface_name(fileDescriptor, index, &name) == 0 else { return "(index \(index))" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Sends a request and returns the messages that answer it.
  ///
  /// - Parameter operation: what this is in the words of the command line; the start of any error.
  /// - Throws: what the kernel answered, or `.noReply`.
  mutating func request(
    _ request: consuming NetlinkRequest, operation: @autoclosure () -> String
  ) throws(NetlinkError) -> [NetlinkMessage] {
    let expected = try send(&request, flags: NLM_F_ACK, operation: operation())
    var answers: [NetlinkMessage] = []
    while true {
      for message in try receive(answering: expected, operation: operation()) {
        if try finished(by: message, operation: operation()) { return answers }
        answers.append(message)
      }
    }
  }

  /// Sends a request that lists things, and returns one message for each.
  ///
  /// Asks again when the kernel says that the list changed while it was read.
  /// - Throws: `.interrupted` when it changed every time.
  mutating func dump(
    _ request: consuming NetlinkRequest, operation: @autoclosure () -> String
  ) throws(NetlinkError) -> [NetlinkMessage] {
    for _ in 0..<Self.dumpAttempts {
      let expected = try send(&request, flags: NLM_F_DUMP, operation: operation())
      var answers: [NetlinkMessage] = []
      var consistent = true
      var complete = false
      while !complete {
        for message in try receive(answering: expected, operation: operation()) where !complete {
          if message.flags & NLM_F_DUMP_INTR != 0 { consistent = false }
          complete = try finished(by: message, operation: operation())
          if !complete { answers.append(message) }
        }
      }
      if consistent { return answers }
    }
    throw .interrupted(operation: operation())
  }

  /// Reads one datagram of notifications.
  ///
  /// - Returns: nil when there is none now.
  /// - Throws: `.noReply` when the kernel had to drop some (ENOBUFS).
  mutating func notifications(operation: @autoclosure () -> String) throws(NetlinkError) -> [NetlinkMessage]? {
    try datagram(flags: Int32(MSG_DONTWAIT), operation: operation())
  }

  /// Reads one datagram and keeps what answers request number `expected`.
  private mutating func receive(
    answering expected: UInt32, operation: @autoclosure () -> String
  ) throws(NetlinkError) -> [NetlinkMessage] {
    let port = mnl_socket_get_portid(handle)
    guard let messages = try datagram(flags: 0, operation: operation()) else { throw .noReply(operation: operation()) }
    return messages.filter { $0.sequence == expected && $0.port == port }
  }

  /// Whether `message` is the end of an answer.
  private func finished(
    by message: NetlinkMessage, operation: @autoclosure () -> String
  ) throws(NetlinkError) -> Bool {
    let result = try parsing(operation()) { () throws(MalformedMessage) in try message.acknowledgement() }
    guard let result else { return false }
    guard result.errno != 0 else { return true }
    throw NetlinkError(operation: operation(), errno: result.errno, extack: result.extack)
  }

  private mutating func send(
    _ request: inout NetlinkRequest, flags: Int32, operation: @autoclosure () -> String
  ) throws(NetlinkError) -> UInt32 {
    guard !request.isTooLong else {
      throw .invalidArgument(operation: operation(), reason: "an argument is longer than the 65535 bytes of an attribute")
    }
    // 0 is the sequence number of notifications.
    sequence = sequence == .max ? 1 : sequence + 1
    let sent = request.withBytes(sequence: sequence, flags: flags) { bytes in
      mnl_socket_sendto(handle, bytes.baseAddress, bytes.count) < 0 ? errno : 0
    }
    guard sent == 0 else { throw NetlinkError(operation: operation(), errno: sent, extack: nil) }
    return sequence
  }

  /// Reads one datagram from the kernel, whatever its size; nil when there is none (in time).
  private mutating func datagram(
    flags: Int32, operation: @autoclosure () -> String
  ) throws(NetlinkError) -> [NetlinkMessage]? {
    let descriptor = fileDescriptor
    while true {
      let size = recv(descriptor, nil, 0, Int32(MSG_PEEK | MSG_TRUNC) | flags)
      if size > buffer.count { buffer = [UInt8](repeating: 0, count: size) }
      var sender = sockaddr_nl()
      var senderLength = socklen_t(MemoryLayout<sockaddr_nl>.size)
      var received = -1
      if size >= 0 {
        received = withUnsafeMutablePointer(to: &sender) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            recvfrom(descriptor, &buffer, buffer.count, flags, $0, &senderLength)
          }
        }
      }
      guard received >= 0 else {
        switch errno {
        case EINTR: continue
        case EAGAIN: return nil
        case ENOBUFS: throw .noReply(operation: operation())
        default: throw NetlinkError(operation: operation(), errno: errno, extack: nil)
        }
      }
      // Other processes can send to this socket too; only the kernel's port number is 0.
      guard sender.nl_pid == 0 else { continue }
      return try parsing(operation()) { () throws(MalformedMessage) in
        try NetlinkMessage.split(Array(buffer.prefix(received)))
      }
    }
  }

  private static func open(_ family: Family, groups: UInt32) throws(NetlinkError) -> OpaquePointer {
    let operation = "open a \(family == .route ? "route" : "generic") netlink socket"
    guard let handle = mnl_socket_open2(family.rawValue, Int32(SOCK_CLOEXEC.rawValue)) else {
      throw NetlinkError(operation: operation, errno: errno, extack: nil)
    }
    guard mnl_socket_bind(handle, groups, MNL_SOCKET_AUTOPID) == 0 else {
      let code = errno
      mnl_socket_close(handle)
      throw NetlinkError(operation: operation, errno: code, extack: nil)
    }
    // The explanation in every error, no echo of the request, and requests checked to the last bit. Kernels before 4.20
    // lack the last one and check less.
    for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
      var on: Int32 = 1
      _ = mnl_socket_setsockopt(handle, Int32(option), &on, socklen_t(MemoryLayout<Int32>.size))
    }
    // The kernel answers within the call that sends the request; the limit is for an answer it had no memory for.
    var limit = timeval(tv_sec: replySeconds, tv_usec: 0)
    _ = setsockopt(
      mnl_socket_get_fd(handle), SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return handle
  }
}

/// Runs a parser and says during which operation the kernel's answer made no sense.
func parsing<Result>(
  _ operation: @autoclosure () -> String, _ body: () throws(MalformedMessage) -> Result
) throws(NetlinkError) -> Result {
  do {
    return try body()
  } catch {
    throw .malformedReply(operation: operation(), reason: error.reason)
  }
}
