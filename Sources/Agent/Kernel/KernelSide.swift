// KernelSide.swift
//
// What the agent has in the kernel besides its ports' programs: the pinned flow table, the ports as programs know them, the way up.
// Invariants: one per agent, made when the first port wants it. What is pinned outlives the agent; an interface that had a port index in
//             the table of the agent before keeps it, because the flows in the table name ports by it.
// Threads: confined to the control thread, but for `tier`, which is the pipeline thread's.
// Cost: making it takes some milliseconds: the maps are zeroed by the kernel.

import Dataplane
import KernelTier

/// The flow table in the kernel and what belongs to it.
final class KernelSide {
  /// Longer than any packet is on its way up.
  private static let settleTime = Duration.seconds(2)

  let directory: PinDirectory
  let maps: FlowTableMaps
  let ports: KernelPorts
  /// To be touched by the pipeline thread only.
  let tier: TierBox
  /// Ports of the agent before that no interface has claimed yet, by interface index.
  private(set) var inherited: [UInt32: KernelPort]
  var up: UpcallPath?
  /// False until flows of the agent before have been looked at.
  var hasAdopted: Bool
  /// When indices came free.
  private var freed: [PortIndex: ContinuousClock.Instant] = [:]
  /// Why what was pinned there before was not taken, when that was so.
  let discarded: String?

  /// Opens the table that is pinned in a directory, or makes one.
  init(root: String, flows: Int) throws {
    // Opening changes nothing of what is there; making a table also mounts the file system where that is missing.
    let (maps, isNew) = try FlowTableMaps.openOrCreate(directory: FlowTableMaps.directory(in: root), flows: flows)
    directory = try PinDirectory(claiming: root)
    self.maps = maps
    ports = KernelPorts(maps: maps)
    tier = TierBox(try KernelFlowTier(maps: maps))
    inherited = isNew ? [:] : Dictionary(ports.ports().map { ($0.interfaceIndex, $0) }, uniquingKeysWith: { first, _ in first })
    hasAdopted = isNew
    discarded = maps.discarded
  }

  /// The index for a port on an interface: the one it had, or else one that neither a port nor a flow of the agent before names.
  func index(forInterface interface: UInt32, taken: Set<PortIndex>) -> PortIndex? {
    if let before = inherited[interface], !taken.contains(before.index) { return before.index }
    let reserved = Set(inherited.values.map(\.index))
    let free = (0..<PortIndex(WorkerCounters.portCapacity)).lazy.filter { !taken.contains($0) && !reserved.contains($0) }
    let settled = ContinuousClock.now - Self.settleTime
    freed = freed.filter { $0.value > settled }
    return free.first { freed[$0] == nil } ?? free.first
  }

  /// Forgets a port that no flow names any more. Packets on their way up still name its index, so that another port gets it later.
  func remove(_ index: PortIndex) {
    try? ports.remove(index)
    freed[index] = ContinuousClock.now
  }

  /// What the agent before knew of an interface, if the index is still the one it had.
  func claim(interface: UInt32, index: PortIndex) -> KernelPort? {
    guard let before = inherited[interface], before.index == index else { return nil }
    inherited[interface] = nil
    return before
  }

  /// Takes a claim back: the port could not be opened, and is tried again.
  func unclaim(_ port: KernelPort) { inherited[port.interfaceIndex] = port }

  /// Forgets ports of the agent before that no interface claimed.
  /// - Returns: what they were.
  func dropInherited() -> [KernelPort] {
    let gone = Array(inherited.values)
    inherited = [:]
    for port in gone { remove(port.index) }
    return gone
  }
}

/// Carries the tier to the pipeline thread.
///
/// @unchecked Sendable: made on the control thread before the pipeline thread gets it, touched by that alone from then on.
final class TierBox: @unchecked Sendable {
  let tier: KernelFlowTier

  init(_ tier: KernelFlowTier) { self.tier = tier }
}
