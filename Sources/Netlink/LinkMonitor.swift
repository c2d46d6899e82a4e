// LinkMonitor.swift
//
// What: what happens to the interfaces of a namespace, as it happens: made, changed, removed, addresses come and gone.
// Invariants: events are in the kernel's order. A loss is always told (`overflow`): the reader then lists links and
//             addresses again, and what it missed no longer matters. A message that cannot be read counts as a loss.
// Threads: confined to its owner (~Copyable); may be handed to another thread.
// Cost: nothing while nothing happens; poll `fileDescriptor` (level-triggered) and read when it is readable.

import CLibmnl

/// Something that happened to an interface.
public enum LinkEvent: Sendable, Equatable {
  /// Made, or changed; this is what it is now.
  case linkChanged(Link)
  /// Removed, or moved to another namespace.
  case linkRemoved(index: Int32, name: String)
  /// An address came or went.
  case addressesChanged(index: Int32)
  /// Events were lost: list links and addresses again.
  case overflow
}

/// A subscription to the interfaces of a namespace.
///
/// `// ip monitor link address`
public struct LinkMonitor: ~Copyable, Sendable {
  private var socket: NetlinkSocket

  /// Datagrams that one `read` takes, so that a storm of events does not keep its caller from other work.
  private static let batch = 256

  /// Subscribes, in the network namespace of the calling thread.
  ///
  /// List the links after this, not before: then nothing falls between the list and the first event.
  /// - Parameter receiveBufferBytes: memory for events that wait to be read; an event is about 1.5 KB.
  public init(receiveBufferBytes: Int32 = 1 << 20) throws(NetlinkError) {
    let groups = [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR].reduce(UInt32(0)) { $0 | 1 << ($1.rawValue - 1) }
    socket = try NetlinkSocket(notifications: groups, receiveBufferBytes: receiveBufferBytes)
  }

  /// Subscribes to the interfaces of `namespace`.
  public init(in namespace: borrowing NetworkNamespace, receiveBufferBytes: Int32 = 1 << 20) throws(NetlinkError) {
    self = try namespace.perform { () throws(NetlinkError) in try LinkMonitor(receiveBufferBytes: receiveBufferBytes) }
  }

  /// Readable when there are events; closed with this value.
  public var fileDescriptor: Int32 { socket.fileDescriptor }

  /// Reads the events that wait, without waiting for any.
  ///
  /// - Throws: `.kernel` when the socket itself fails.
  public mutating func read() throws(NetlinkError) -> [LinkEvent] {
    var events: [LinkEvent] = []
    for _ in 0..<Self.batch {
      do {
        guard let messages = try socket.notifications(operation: "ip monitor link address") else { break }
        for message in messages { events += Self.events(in: message) }
      } catch .noReply, .malformedReply {
        if events.last != .overflow { events.append(.overflow) }
      }
    }
    return events
  }

  /// What a notification says; none for what this monitor does not follow.
  static func events(in message: NetlinkMessage) -> [LinkEvent] {
    do {
      switch message.type {
      case RTM_NEWLINK: return try Link(message).map { [.linkChanged($0)] } ?? []
      case RTM_DELLINK: return try Link(message).map { [.linkRemoved(index: $0.index, name: $0.name)] } ?? []
      case RTM_NEWADDR, RTM_DELADDR:
        return try InterfaceAddress(message).map { [.addressesChanged(index: $0.interfaceIndex)] } ?? []
      default: return []
      }
    } catch {
      return [.overflow]
    }
  }
}
