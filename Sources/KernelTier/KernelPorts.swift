// KernelPorts.swift
//
// What: the ports as the programs know them, by index: where packets may go, who handles them above, what was counted.
// Invariants: a port that is gone is all zero, and its device map entry is empty; nothing is sent out of it. Which masks a port's packets
//       are looked up with is the flow tier's business, in other bytes of the same entry.
// Threads: any; one writer per port at a time.
// Cost: stores into shared memory; one system call for the device map, one per read of a counter.

import CSluice
import Dataplane
import Glibc

/// What a port has of ours in the kernel.
public struct KernelHooks: OptionSet, Sendable, Hashable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Our XDP program, and XDP may redirect to it.
  public static let xdp = KernelHooks(rawValue: SLUICE_HOOK_XDP.rawValue)
  /// Our tc program.
  public static let tc = KernelHooks(rawValue: SLUICE_HOOK_TC.rawValue)
  /// A container's veth: tc may redirect into the container.
  public static let peer = KernelHooks(rawValue: SLUICE_HOOK_PEER.rawValue)
  /// The clsact qdisc was made by us, so it goes with our program.
  public static let clsact = KernelHooks(rawValue: SLUICE_HOOK_CLSACT.rawValue)
}

/// A port, as the programs know it.
public struct KernelPort: Sendable, Hashable {
  public var index: PortIndex
  public var interfaceIndex: UInt32
  /// The OpenFlow number.
  public var number: UInt32
  public var hooks: KernelHooks
  /// Longest frame that may leave, in bytes without FCS.
  public var maxFrame: Int
  /// Who handles its packets above.
  public var worker: Int
  /// Of the container's end, with `.peer`.
  public var peerMAC: [UInt8]?
  public var isUp: Bool

  public init(
    index: PortIndex, interfaceIndex: UInt32, number: UInt32, hooks: KernelHooks, maxFrame: Int, worker: Int,
    peerMAC: [UInt8]? = nil, isUp: Bool
  ) {
    self.index = index
    self.interfaceIndex = interfaceIndex
    self.number = number
    self.hooks = hooks
    self.maxFrame = maxFrame
    self.worker = worker
    self.peerMAC = peerMAC
    self.isUp = isUp
  }
}

/// What the programs did with packets at a port since the table was made.
public struct KernelPortCounters: Sendable, Hashable {
  /// Packets that came in here and were handled in the kernel.
  public var inPackets: UInt64 = 0
  public var inBytes: UInt64 = 0
  /// Packets that the kernel tier sent out here.
  public var outPackets: UInt64 = 0
  public var outBytes: UInt64 = 0
  /// Packets that came in here and were dropped by a flow in the kernel.
  public var dropPackets: UInt64 = 0
  public var dropBytes: UInt64 = 0
  /// Packets that were dropped although no flow says so: there was no way up, or the kernel did not let them be changed.
  public var lostPackets: UInt64 = 0
  /// Packets that tc sent up.
  public var upPackets: UInt64 = 0

  public init() {}
}

/// The table of ports.
public final class KernelPorts: Sendable {
  private let maps: FlowTableMaps

  public init(maps: FlowTableMaps) { self.maps = maps }

  /// Tells the programs about a port, a new one or one that changed.
  /// - Throws: `.invalid` for an index or a MAC that cannot be, `.system` when the device map does not take the interface.
  public func set(_ port: KernelPort) throws(KernelTierError) {
    guard port.index < UInt16(SLUICE_PORTS) else {
      throw .invalid(what: "a port index of", value: "\(port.index)", expected: "0 to \(SLUICE_PORTS - 1)")
    }
    if let mac = port.peerMAC, mac.count != 6 {
      throw .invalid(what: "a MAC address", value: "of \(mac.count) bytes", expected: "6 bytes")
    }
    let entry = maps.ports.base + Int(port.index)
    // Down while it is half written.
    if entry.pointee.ifindex != port.interfaceIndex { setUp(port.index, false) }
    // XDP sends nothing to a device that is about to be taken away or exchanged.
    if entry.pointee.ifindex != port.interfaceIndex || !port.hooks.contains(.xdp) {
      entry.pointee.hooks &= ~SLUICE_HOOK_XDP.rawValue
      sluice_fence()
    }
    try maps.setDevice(port: port.index, interfaceIndex: port.hooks.contains(.xdp) ? port.interfaceIndex : nil)
    entry.pointee.ifindex = port.interfaceIndex
    entry.pointee.number = port.number
    entry.pointee.max_frame = UInt32(clamping: port.maxFrame)
    entry.pointee.worker = UInt32(clamping: port.worker)
    var hooks = port.hooks
    if let mac = port.peerMAC {
      withUnsafeMutableBytes(of: &entry.pointee.peer_mac) { $0.copyBytes(from: mac) }
    } else {
      hooks.remove(.peer)
    }
    entry.pointee.hooks = hooks.rawValue
    setUp(port.index, port.isUp)
  }

  /// Lets packets leave by a port, or not: those of flows that name it go up then.
  public func setUp(_ index: PortIndex, _ isUp: Bool) {
    guard index < UInt16(SLUICE_PORTS) else { return }
    sluice_fence()
    maps.ports.base[Int(index)].is_up = isUp ? 1 : 0
    sluice_fence()
  }

  /// Forgets a port. Its flows must have been withdrawn.
  public func remove(_ index: PortIndex) throws(KernelTierError) {
    guard index < UInt16(SLUICE_PORTS) else { return }
    setUp(index, false)
    let entry = maps.ports.base + Int(index)
    entry.pointee.hooks = 0
    entry.pointee.ifindex = 0
    entry.pointee.number = 0
    entry.pointee.max_frame = 0
    entry.pointee.worker = 0
    entry.pointee.peer_mac = (0, 0, 0, 0, 0, 0)
    try maps.setDevice(port: index, interfaceIndex: nil)
  }

  /// The ports in the table, those of an agent before this one included.
  public func ports() -> [KernelPort] {
    (0..<Int(SLUICE_PORTS)).compactMap { index in
      let entry = maps.ports.base[index]
      guard entry.ifindex != 0 else { return nil }
      let hooks = KernelHooks(rawValue: entry.hooks)
      return KernelPort(
        index: PortIndex(index), interfaceIndex: entry.ifindex, number: entry.number, hooks: hooks,
        maxFrame: Int(entry.max_frame), worker: Int(entry.worker),
        peerMAC: hooks.contains(.peer) ? withUnsafeBytes(of: entry.peer_mac) { Array($0) } : nil, isUp: entry.is_up != 0)
    }
  }

  /// What was counted at a port, summed over the CPUs.
  public func counters(of index: PortIndex) throws(KernelTierError) -> KernelPortCounters {
    try maps.portCounts.values(at: Int(index), blank: sluice_port_count()).reduce(into: KernelPortCounters()) { sum, count in
      sum.inPackets &+= count.in_packets
      sum.inBytes &+= count.in_bytes
      sum.outPackets &+= count.out_packets
      sum.outBytes &+= count.out_bytes
      sum.dropPackets &+= count.drop_packets
      sum.dropBytes &+= count.drop_bytes
      sum.lostPackets &+= count.lost_packets
      sum.upPackets &+= count.up_packets
    }
  }
}
