// ManagedPort.swift
//
// A port that is wanted, and how it is doing: what was asked for, where that came from, and the hold on its interface
// while there is one.
// Invariants: name and number never change while the port lives. The switch has the port exactly while `attachment` is
//             there. Counters go on over losses of the interface: what was counted before is carried.
// Threads: confined to the control thread.

import Dataplane
import KernelTier
import Netlink

/// How a port is doing.
enum PortCondition: Equatable {
  case up
  case down(String)
  case degraded(String)
  case missing(String)
  case failed(String)

  /// The word in the log.
  var word: String {
    switch self {
    case .up: "up"
    case .down: "down"
    case .degraded: "degraded"
    case .missing: "missing"
    case .failed: "failed"
    }
  }

  /// Why it is so; empty when it is up.
  var message: String {
    switch self {
    case .up: ""
    case .down(let text), .degraded(let text), .missing(let text), .failed(let text): text
    }
  }
}

/// A port that is wanted.
final class ManagedPort {
  /// Who asked for it.
  enum Origin {
    case configuration
    case `operator`
  }

  let request: PortRequest
  let number: UInt32
  let origin: Origin
  var condition = PortCondition.missing("not looked for yet")
  var attachment: InterfaceAttachment?
  /// The host's end of an internal port's pair.
  var hostEnd: Link?
  /// What earlier attachments counted.
  var carried = PortCounters()
  var carriedXDP = XDPCounters()
  /// Times that a queue was opened again because it was stuck, by queue.
  var restarts: [UInt32: UInt64] = [:]

  init(request: PortRequest, number: UInt32, origin: Origin) {
    self.request = request
    self.number = number
    self.origin = origin
  }

  var name: String { request.name }

  /// The names of interfaces whose coming the port waits for.
  var awaitedNames: [String] {
    request.kind == .internal ? [InternalPair(hostName: name).switchName, name] : [request.interface]
  }

  /// True when an event about the interface with this index or name concerns the port.
  func isConcerned(index: Int32, name: String?) -> Bool {
    if let attachment { return attachment.link.index == index || hostEnd?.index == index }
    return name.map { awaitedNames.contains($0) } ?? false
  }
}

extension PortCounters {
  mutating func add(_ other: PortCounters) {
    receivedPackets += other.receivedPackets
    receivedBytes += other.receivedBytes
    sentPackets += other.sentPackets
    sentBytes += other.sentBytes
    drops.merge(other.drops, uniquingKeysWith: +)
  }
}

extension XDPCounters {
  mutating func add(_ other: XDPCounters) {
    redirected = redirected + other.redirected
    passedToHost = passedToHost + other.passedToHost
    droppedDenyV4 = droppedDenyV4 + other.droppedDenyV4
    droppedDenyV6 = droppedDenyV6 + other.droppedDenyV6
    droppedDenyTuple = droppedDenyTuple + other.droppedDenyTuple
    droppedLimit = droppedLimit + other.droppedLimit
    noSocket = noSocket + other.noSocket
    malformed = malformed + other.malformed
  }

  /// The counters by their names in the API and in metrics.
  var named: [(name: String, counter: XDPCounter)] {
    [
      ("redirected", redirected), ("passed-to-host", passedToHost), ("deny-v4", droppedDenyV4), ("deny-v6", droppedDenyV6),
      ("deny-tuple", droppedDenyTuple), ("limit", droppedLimit),
      ("no-socket", noSocket), ("malformed", malformed),
    ]
  }
}
