// InterfaceAttachment.swift
//
// A port's hold on its interface: its programs, an AF_XDP socket for each queue, and what was changed on the interface to make it
// work. There are two kinds: by XDP (with a tc program behind it where flows are executed in the kernel), or by tc alone, whose
// frames come up by the UpcallPath and whose one queue only sends.
// Invariants: `open` either holds everything or has undone everything. `restore` puts back what `open` changed, as far as
//             the interface is still there. The interface is meant by its index. Where an agent before left its program, it is replaced
//             only in `connect`, when the workers have the queues: until then it forwards what it knows.
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

/// How a port is to be served.
struct HookPlan {
  /// `.xdp` or `.tc`.
  var hook = PortHook.xdp
  var placement = PortPlacement.off
  /// nil leaves the choice to the switch.
  var index: PortIndex?
  /// What makes the programs execute flows; nil when they are not to.
  var flows: FlowHookSpec?
  /// What the agent before knew of the interface.
  var inherited: KernelPort?
  /// Why it is not what was asked for.
  var shortcoming: String?
}

/// What `open` found and did.
struct InterfaceAttachment {
  var link: Link
  let plan: HookPlan
  /// The early drop policy, which programs are given.
  let policy: Policy
  /// nil for a port by tc.
  let program: XDPProgram?
  /// The program on the hook; nil for a port by tc, and until `connect` where it replaces another's.
  private(set) var xdp: XDPPort?
  private(set) var tc: TCPort?
  /// Its index in the switch and in the kernel's table.
  var index: PortIndex = 0
  /// What the kernel had counted under this index before.
  var kernelBase = KernelPortCounters()
  var peer = VethPeer()
  var queues: [AttachedQueue]
  /// Sentences for `port show`.
  var offloadNotes: [String]
  /// What to put back, that of agents before included.
  let changes: [InterfaceChange]

  /// Bytes that a frame has beyond the MTU: the Ethernet header and one VLAN tag, which is what interfaces let pass
  /// (is_skb_forwardable in the kernel's net/core/dev.c).
  static let frameOverhead: UInt32 = 18

  /// Why a veth's other end may send frames longer than the MTU: only a program in the driver makes the kernel switch its
  /// segmentation offload off. nil when frames come in MTU size.
  var unsegmentedReason: String? {
    guard link.kind == "veth", case .generic(let reason)? = xdp?.attachMode else { return nil }
    return reason
  }

  var maxFrame: UInt32 { link.mtu + Self.frameOverhead }

  /// The largest MTU that this port can carry.
  var largestMTU: UInt32 { plan.hook == .tc ? UpcallPair.largestPortMTU : Self.largestMTU }

  /// The largest MTU that a port by XDP can carry.
  static let largestMTU = UInt32(AFXDPQueue.largestMTU(chunkSize: 4096))

  /// Takes an interface.
  ///
  /// - Parameters:
  ///   - earlier: what agents before changed on the interface and did not put back.
  ///   - policy: the early drop policy, which every program is given; asked for when the request has been checked.
  ///   - place: where each queue goes; asked once per queue.
  /// - Throws: `PortFailure`; the interface is as it was before then.
  static func open(
    _ request: PortRequest, link: Link, plan: HookPlan, earlier: [InterfaceChange], policy: () throws -> Policy,
    place: () -> QueuePlace
  ) throws(PortFailure) -> InterfaceAttachment {
    try check(request, link)
    if plan.hook == .tc { return try openForTC(request, link: link, plan: plan, earlier: earlier, policy: policy, place: place) }
    var changes = earlier
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
        changes.note(.broughtUp)
      }
      notes += prepare(link, &socket, &ethtool, &changes)
      let policy = try policy()
      let program = try XDPProgram.load(
        mode: request.mode == .shared ? .shared : .dedicated, queues: count, policy: policy, flows: plan.flows)
      let (index, name) = (UInt32(link.index), link.name)
      let isReplacement = try XDPPort.hasLeftover(interfaceIndex: index, interfaceName: name)
      let xdp = isReplacement ? nil : try XDPPort.attach(program, interfaceIndex: index, interfaceName: name)
      let isNative = xdp.map { $0.attachMode == .native } ?? true
      if link.kind == "veth", isNative {
        notes.append("the kernel switched segmentation offload of the other end off when the XDP program was attached, so frames come in MTU size")
      }
      var queues: [AttachedQueue] = []
      do {
        if request.mode == .shared { try tellHost(program, link, &socket) }
        for queue in wanted {
          queues.append(try openQueue(queue, link: link, isNative: isNative, place: place()))
        }
      } catch {
        // The queues go with their objects: nothing was lent to the kernel yet. What is reported is why it failed; a
        // program that cannot be taken off again is removed by the next start.
        _ = try? xdp?.detach()
        throw error
      }
      return InterfaceAttachment(
        link: (try? socket.link(index: link.index)) ?? link, plan: plan, policy: policy, program: program, xdp: xdp, queues: queues,
        offloadNotes: notes, changes: changes)
    } catch {
      changes.dropFirst(earlier.count).undo(index: link.index)
      throw failure(error, port: request.name)
    }
  }

  /// Takes an interface whose frames come up by tc.
  private static func openForTC(
    _ request: PortRequest, link: Link, plan: HookPlan, earlier: [InterfaceChange], policy: () throws -> Policy, place: () -> QueuePlace
  ) throws(PortFailure) -> InterfaceAttachment {
    var changes = earlier
    do {
      let policy = try policy()
      var socket = try NetlinkSocket(.route)
      if !link.isUp {
        try socket.setUp(index: link.index)
        changes.note(.broughtUp)
      }
      var notes = [
        "packets keep the segmentation and checksum offload of the other end; those that go up are segmented and checksummed by the kernel first"
      ]
      if link.kind != "veth", !link.isPromiscuous {
        try socket.setPromiscuous(true, index: link.index)
        changes.note(.madePromiscuous)
        notes.append("promiscuous mode was switched on, so that frames for stations behind the switch are received")
      }
      let place = place()
      let queue = try AFXDPQueue.open(
        interfaceIndex: link.index, interfaceName: link.name, queue: 0, memory: place.memory, receives: false)
      return InterfaceAttachment(
        link: (try? socket.link(index: link.index)) ?? link, plan: plan, policy: policy, program: nil,
        queues: [AttachedQueue(queue: queue, worker: place.worker, share: 0)], offloadNotes: notes, changes: changes)
    } catch {
      changes.dropFirst(earlier.count).undo(index: link.index)
      throw failure(error, port: request.name)
    }
  }

  /// Opens one queue and binds its socket; frames flow after `connect`.
  private static func openQueue(
    _ queue: UInt32, link: Link, isNative: Bool, place: QueuePlace
  ) throws(PortError) -> AttachedQueue {
    let opened = try AFXDPQueue.open(
      interfaceIndex: link.index, interfaceName: link.name, queue: queue, memory: place.memory, fillTarget: place.share,
      allowZeroCopy: isNative, deliversPartialChecksums: link.kind == "veth")
    return AttachedQueue(queue: opened, worker: place.worker, share: place.share)
  }

  /// Lets frames come. Call when the workers have the queues, and the programs' table has the port.
  mutating func connect() throws(KernelTierError) {
    let (index, name) = (UInt32(link.index), link.name)
    if let program {
      for attached in queues {
        try program.setSocket(queue: Int(attached.queue.queue), descriptor: attached.queue.socketDescriptor)
      }
    }
    // What XDP leaves to tc must find tc.
    if let flows = plan.flows, tc == nil {
      tc = try TCPort.attach(
        interfaceIndex: index, interfaceName: name, flows: flows, behind: program, policy: policy,
        madeQdisc: plan.inherited?.hooks.contains(.clsact) ?? false)
    }
    // The port of an agent before may have been by XDP, which sees frames first.
    if program == nil { try removeLeftovers(interfaceIndices: [index]) }
    if let program, xdp == nil { xdp = try XDPPort.attach(program, interfaceIndex: index, interfaceName: name) }
  }

  /// Takes our programs off the interface, if they are still there.
  func detachPrograms() throws(KernelTierError) {
    var failure: KernelTierError?
    do { try xdp?.detach() } catch { failure = error }
    do { try tc?.detach() } catch { failure = failure ?? error }
    if let failure { throw failure }
  }

  /// What the programs know of the port.
  func kernelPort(number: UInt32) -> KernelPort {
    var hooks: KernelHooks = []
    if let xdp, xdp.attachMode == .native, peer.takesRedirects { hooks.insert(.xdp) }
    if xdp == nil, program != nil, peer.takesRedirects { hooks.insert(.xdp) }
    if tc != nil { hooks.insert(.tc) }
    // Until ours is in its place, the program of the agent before does what it did.
    if let inherited = plan.inherited {
      if tc == nil, plan.flows != nil { hooks.formUnion(inherited.hooks.intersection([.tc])) }
      hooks.formUnion(inherited.hooks.intersection([.clsact]))
    }
    if tc?.madeQdisc == true { hooks.insert(.clsact) }
    if peer.mac != nil { hooks.insert(.peer) }
    return KernelPort(
      index: index, interfaceIndex: UInt32(link.index), number: number, hooks: hooks, maxFrame: Int(maxFrame),
      worker: queues.first?.worker ?? 0, peerMAC: peer.mac, isUp: link.isRunning)
  }

  /// Tells the program of a shared port what is the host's.
  func tellHost(_ socket: inout NetlinkSocket) throws {
    if let program { try Self.tellHost(program, link, &socket) }
  }

  private static func tellHost(_ program: XDPProgram, _ link: Link, _ socket: inout NetlinkSocket) throws {
    let addresses = try socket.addresses(ofInterface: link.index).compactMap { IPAddress(bytes: $0.bytes) }
    try program.setHost(mac: link.macAddress, addresses: addresses)
  }

  /// Puts the interface back as it was. Call when the switch has closed the queues.
  func restore() { changes.undo(index: link.index) }

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
    _ link: Link, _ socket: inout NetlinkSocket, _ ethtool: inout Ethtool, _ changes: inout [InterfaceChange]
  ) -> [String] {
    var notes: [String] = []
    if link.kind == "veth" {
      return ["TCP and UDP checksums that the other end of the veth leaves to hardware are completed by the worker on receive"]
    }
    if !link.isPromiscuous {
      do {
        try socket.setPromiscuous(true, index: link.index)
        changes.note(.madePromiscuous)
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
        changes.note(.switchedOff(name))
        notes.append("\(words) was switched off, because it hides frames or tags from XDP")
      } catch {
        notes.append("\(words) could not be switched off: \(error)")
      }
    }
    return notes
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
