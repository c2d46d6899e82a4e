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
  var carriedKernel = KernelPortCounters()
  /// Why it is not served as was asked for, while it is attached.
  var shortcoming: String?
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

extension KernelPortCounters {
  mutating func add(_ other: KernelPortCounters) {
    inPackets += other.inPackets
    inBytes += other.inBytes
    outPackets += other.outPackets
    outBytes += other.outBytes
    dropPackets += other.dropPackets
    dropBytes += other.dropBytes
    lostPackets += other.lostPackets
    upPackets += other.upPackets
  }

  /// What was counted since `base`.
  func since(_ base: KernelPortCounters) -> KernelPortCounters {
    var difference = self
    difference.inPackets &-= base.inPackets
    difference.inBytes &-= base.inBytes
    difference.outPackets &-= base.outPackets
    difference.outBytes &-= base.outBytes
    difference.dropPackets &-= base.dropPackets
    difference.dropBytes &-= base.dropBytes
    difference.lostPackets &-= base.lostPackets
    difference.upPackets &-= base.upPackets
    return difference
  }
}

extension PortCounters {
  /// Adds what the kernel forwarded and dropped without the workers.
  mutating func add(_ kernel: KernelPortCounters) {
    receivedPackets += kernel.inPackets
    receivedBytes += kernel.inBytes
    sentPackets += kernel.outPackets
    sentBytes += kernel.outBytes
    if kernel.dropPackets > 0 { drops[.flowDrops, default: 0] += kernel.dropPackets }
    if kernel.lostPackets > 0 { drops[.lostInKernel, default: 0] += kernel.lostPackets }
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
