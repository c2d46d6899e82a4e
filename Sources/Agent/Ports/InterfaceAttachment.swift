// InterfaceAttachment.swift
//
// A port's hold on its interface: the XDP program, an AF_XDP socket for each queue, and what was changed on the interface
// to make it work.
// Invariants: `open` either holds everything or has undone everything. `restore` puts back what `open` changed, as far as
//             the interface is still there. The interface is meant by its index.
// Threads: confined to the control thread; the queues belong to their workers from the moment they are handed to the
//          switch.
// Cost: some milliseconds per queue, up to a second when a queue was released a moment ago.

import Dataplane
import KernelTier
import Netlink

/// One AF_XDP queue of a port, as the control thread sees it.
struct AttachedQueue {
  var queue: AFXDPQueue
  var worker: Int
  /// Frames that it may have lent to the kernel for receiving.
  var share: Int
}

/// Where a new queue goes.
struct QueuePlace {
  var worker: Int
  var memory: FrameMemory
  var share: Int
}

/// What `open` found and did.
struct InterfaceAttachment {
  var link: Link
  let xdp: XDPPort
  var queues: [AttachedQueue]
  /// Sentences for `port show`.
  var offloadNotes: [String]
  /// What to put back.
  private var changes: [Change]

  private enum Change {
    case broughtUp
    case madePromiscuous
    case switchedOff([String])
  }

  /// Bytes that a frame has beyond the MTU: the Ethernet header and one VLAN tag, which is what interfaces let pass
  /// (is_skb_forwardable in the kernel's net/core/dev.c).
  static let frameOverhead: UInt32 = 18

  /// Why a veth's other end may send frames longer than the MTU: only a program in the driver makes the kernel switch its
  /// segmentation offload off. nil when frames come in MTU size.
  var unsegmentedReason: String? {
    guard link.kind == "veth", case .generic(let reason) = xdp.attachMode else { return nil }
    return reason
  }

  var maxFrame: UInt32 { link.mtu + Self.frameOverhead }

  /// The largest MTU that a port can carry.
  static let largestMTU = UInt32(AFXDPQueue.largestMTU(chunkSize: 4096))

  /// Takes an interface.
  ///
  /// - Parameters:
  ///   - place: where each queue goes; asked once per queue.
  /// - Throws: `PortFailure`; the interface is as it was before then.
  static func open(
    _ request: PortRequest, link: Link, policy: Policy, place: () -> QueuePlace
  ) throws(PortFailure) -> InterfaceAttachment {
    try check(request, link)
    var changes: [Change] = []
    var notes: [String] = []
    do {
      var socket = try NetlinkSocket(.route)
      var ethtool = try Ethtool()
      let count = receiveQueues(of: link, &ethtool)
      let wanted = request.queues.isEmpty ? Array(0..<UInt32(count)) : request.queues
      if let absent = wanted.first(where: { $0 >= UInt32(count) }) {
        throw PortFailure.invalid(
          "port \(request.name): interface \(link.name) has no queue \(absent); it has \(count == 1 ? "queue 0 only" : "queues 0 to \(count - 1)") (see: ethtool -l \(link.name))"
        )
      }
      if !link.isUp {
        try socket.setUp(index: link.index)
        changes.append(.broughtUp)
      }
      notes += prepare(link, &socket, &ethtool, &changes)
      let xdp = try XDPPort.attach(
        interfaceIndex: UInt32(link.index), interfaceName: link.name, mode: request.mode == .shared ? .shared : .dedicated,
        queues: count, policy: policy)
      if link.kind == "veth", xdp.attachMode == .native {
        notes.append("the kernel switched segmentation offload of the other end off when the XDP program was attached, so frames come in MTU size")
      }
      var queues: [AttachedQueue] = []
      do {
        if request.mode == .shared { try tellHost(xdp, link, &socket) }
        for queue in wanted {
          queues.append(try openQueue(queue, link: link, xdp: xdp, place: place()))
        }
      } catch {
        // The queues go with their objects: nothing was lent to the kernel yet. What is reported is why it failed; a
        // program that cannot be taken off again is removed by the next start.
        _ = try? xdp.detach()
        throw error
      }
      return InterfaceAttachment(
        link: (try? socket.link(index: link.index)) ?? link, xdp: xdp, queues: queues, offloadNotes: notes, changes: changes
      )
    } catch {
      undo(changes, index: link.index)
      throw failure(error, port: request.name)
    }
  }

  /// Opens one queue and binds its socket; frames flow after `connectSockets`.
  private static func openQueue(
    _ queue: UInt32, link: Link, xdp: XDPPort, place: QueuePlace
  ) throws(PortError) -> AttachedQueue {
    let isNative = xdp.attachMode == .native
    let opened = try AFXDPQueue.open(
      interfaceIndex: link.index, interfaceName: link.name, queue: queue, memory: place.memory, fillTarget: place.share,
      allowZeroCopy: isNative, deliversPartialChecksums: link.kind == "veth")
    return AttachedQueue(queue: opened, worker: place.worker, share: place.share)
  }

  /// Lets the XDP program send frames to the queues' sockets. Call when the workers have the queues.
  func connectSockets() throws(KernelTierError) {
    for attached in queues {
      try xdp.setSocket(queue: Int(attached.queue.queue), descriptor: attached.queue.socketDescriptor)
    }
  }

  /// Tells the program of a shared port what is the host's.
  func tellHost(_ socket: inout NetlinkSocket) throws {
    try Self.tellHost(xdp, link, &socket)
  }

  private static func tellHost(_ xdp: XDPPort, _ link: Link, _ socket: inout NetlinkSocket) throws {
    let addresses = try socket.addresses(ofInterface: link.index).compactMap { IPAddress(bytes: $0.bytes) }
    try xdp.setHost(mac: link.macAddress, addresses: addresses)
  }

  /// Puts the interface back as it was. Call when the switch has closed the queues.
  func restore() { Self.undo(changes, index: link.index) }

  // MARK: - Pieces

  private static func check(_ request: PortRequest, _ link: Link) throws(PortFailure) {
    if link.isLoopback { throw .invalid("port \(request.name): the loopback interface cannot be a port") }
    if link.macAddress.count != 6 {
      throw .refused("port \(request.name): interface \(link.name) is no Ethernet interface (it has no MAC address)")
    }
    if link.masterIndex != nil {
      throw .refused(
        "port \(request.name): interface \(link.name) belongs to a bridge or bond; take it out with: ip link set dev \(link.name) nomaster"
      )
    }
    do {
      try AFXDPQueue.check(mtu: Int(link.mtu), interfaceName: link.name, chunkSize: 4096)
    } catch {
      throw .refused("\(error)")
    }
  }

  private static func receiveQueues(of link: Link, _ ethtool: inout Ethtool) -> Int {
    // A driver without channels has the one queue.
    let channels = try? ethtool.channels(of: link.index).receiveQueues
    return Int(max(1, channels ?? 1))
  }

  /// Switches off what would hide a frame's true bytes from XDP, and says so.
  private static func prepare(
    _ link: Link, _ socket: inout NetlinkSocket, _ ethtool: inout Ethtool, _ changes: inout [Change]
  ) -> [String] {
    var notes: [String] = []
    if link.kind == "veth" {
      return ["TCP and UDP checksums that the other end of the veth leaves to hardware are completed by the worker on receive"]
    }
    if !link.isPromiscuous {
      do {
        try socket.setPromiscuous(true, index: link.index)
        changes.append(.madePromiscuous)
        notes.append("promiscuous mode was switched on, so that frames for stations behind the switch are received")
      } catch {
        notes.append("promiscuous mode could not be switched on: \(error)")
      }
    }
    guard let features = try? ethtool.features(of: link.index) else { return notes }
    let hiding = [
      ("rx-lro", "large receive offload"), ("rx-gro-hw", "receive offload in hardware"),
      ("rx-vlan-hw-parse", "VLAN tag stripping"),
    ]
    for (name, words) in hiding where features.isActive(name) {
      do {
        try ethtool.setFeature(name, false, of: link.index)
        changes.append(.switchedOff([name]))
        notes.append("\(words) was switched off, because it hides frames or tags from XDP")
      } catch {
        notes.append("\(words) could not be switched off: \(error)")
      }
    }
    return notes
  }

  private static func undo(_ changes: [Change], index: Int32) {
    guard !changes.isEmpty, var socket = try? NetlinkSocket(.route) else { return }
    for change in changes.reversed() {
      // An interface that is gone has nothing to be put back.
      switch change {
      case .broughtUp: try? socket.setDown(index: index)
      case .madePromiscuous: try? socket.setPromiscuous(false, index: index)
      case .switchedOff(let names):
        guard var ethtool = try? Ethtool() else { continue }
        for name in names { _ = try? ethtool.setFeature(name, true, of: index) }
      }
    }
  }

  private static func failure(_ error: any Error, port: String) -> PortFailure {
    switch error {
    case let failure as PortFailure: failure
    case let error as NetlinkError where error.isNotFound: .missing("port \(port): \(error)")
    case KernelTierError.noInterface: .missing("port \(port): \(error)")
    case let error as PortError: .refused("\(error)")
    default: .refused("port \(port): \(error)")
    }
  }
}
