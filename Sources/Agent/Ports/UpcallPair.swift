// UpcallPair.swift
//
// The veth pair by which tc programs hand packets to the worker: what is sent into sluice-up0 arrives at sluice-up1, where an XDP
// program sees it as whole frames, segmented and checksummed by the kernel.
// Invariants: the pair is recognised by its alias, never by its name alone. It outlives the agent, because the programs on containers'
//             interfaces go on sending into it; it goes with `uninstall`.
// Threads: confined to the control thread.

import Netlink

/// The two ends of the way up.
struct UpcallPair {
  /// Where tc programs send to.
  var entry: Link
  /// Where the worker receives.
  var exit: Link

  static let alias = "sluice:upcalls"
  static let entryName = "sluice-up0"
  static let exitName = "sluice-up1"

  /// The most with which a veth takes an XDP program on the other end: a page without headroom and skb_shared_info (veth_xdp_set).
  static let mtu: UInt32 = 3506
  /// The largest MTU of a port whose packets go up here. A header of 16 bytes comes on top, and a second VLAN tag: interfaces let pass one
  /// more than their MTU says.
  static let largestPortMTU = mtu - 20

  /// Packets that may wait to enter. The ring between the ends has 256 places and a burst of unsegmented TCP is many times that; since
  /// Linux 6.16 a veth says that it is full, and what waits is not lost.
  private static let waitingPackets: UInt32 = 16384

  /// What lets packets into the pair that are not whole frames yet; without it the kernel finishes them first.
  private static let offloads: Set = [
    "tx-checksum-ip-generic", "tx-checksum-sctp", "tx-scatter-gather", "tx-scatter-gather-fraglist", "tx-gso-list",
  ]

  private static func isOffload(_ feature: String) -> Bool { offloads.contains(feature) || feature.hasSuffix("-segmentation") }

  /// Finds the pair or makes it, and brings both ends up.
  ///
  /// `// ip link add sluice-up0 type veth peer name sluice-up1; ethtool -K sluice-up0 tx off sg off tso off gso off`
  /// - Throws: `PortFailure.conflict` when an interface of that name is somebody else's.
  static func ensure(_ socket: inout NetlinkSocket) throws(PortFailure) -> UpcallPair {
    do {
      for name in [entryName, exitName] {
        guard let present = try find(name, &socket), present.alias != alias else { continue }
        throw PortFailure.conflict(
          "an interface named \(name) is there already and was not made by sluiced; rename it: the kernel tier needs the name")
      }
      if try find(entryName, &socket) == nil {
        let entry = try socket.createVeth(name: entryName, peer: exitName, mtu: mtu, queues: 1)
        let exit = try socket.link(named: exitName)
        try socket.setAlias(alias, index: exit.index)
        try socket.setAlias(alias, index: entry.index)
      }
      let entry = try socket.link(named: entryName)
      let exit = try socket.link(named: exitName)
      // Neighbour discovery of the host's own would come up as if a container had sent it.
      for name in [entryName, exitName] { HostIPv6.disable(on: name) }
      var ethtool = try Ethtool()
      let known = try ethtool.features(of: entry.index)
      let wanted = known.changeable.filter { known.isActive($0) && isOffload($0) }
      _ = try ethtool.setFeatures(Dictionary(uniqueKeysWithValues: wanted.map { ($0, false) }), of: entry.index)
      try socket.setQueue(packets: waitingPackets, index: entry.index)
      for link in [entry, exit] where !link.isUp { try socket.setUp(index: link.index) }
      return UpcallPair(entry: try socket.link(index: entry.index), exit: try socket.link(index: exit.index))
    } catch let failure as PortFailure {
      throw failure
    } catch {
      throw .refused("the way up for tc programs (\(entryName)): \(error)")
    }
  }

  /// Removes the pair; what is not ours, or gone, is left alone.
  /// - Returns: whether there was one.
  static func remove(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Bool {
    guard let entry = try find(entryName, &socket), entry.alias == alias else { return false }
    try socket.deleteLink(index: entry.index)
    return true
  }

  private static func find(_ name: String, _ socket: inout NetlinkSocket) throws(NetlinkError) -> Link? {
    do {
      return try socket.link(named: name)
    } catch  where error.isNotFound {
      return nil
    }
  }
}
