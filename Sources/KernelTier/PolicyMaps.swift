// PolicyMaps.swift
//
// The maps of the early drop policy: made, pinned, found again, mapped into memory, and given to the programs.
// Invariants: as those of the flow table (FlowTableMaps.swift): a directory of pins appears whole, and is taken only when everything in it has
//       the kind and size of this version; otherwise it is removed and made anew. Programs that use such maps go on dropping by them until
//       they are replaced.
// Threads: constant after it was made. The memory behind it: PolicyTable.swift, Policy.swift.
// Cost: 20 MB of kernel memory, whatever is in it, and 4 MB more for each CPU, of up to 16.

import CLibbpf
import CSluice

final class PolicyMaps: Sendable {
  let slots: MappedArray<sluice_policy_slot>
  let limits: MappedArray<sluice_limit>
  let hints: MappedArray<UInt64>
  /// What each shard dropped, and its hosts: the slots' counters of the first shard, then those of the next.
  let drops: MappedArray<sluice_policy_drops>
  let state: MappedArray<sluice_policy>
  let sampler: BPFPerCPUArray<sluice_sampler>
  private let handles: [String: SharedMap]
  /// Whether nothing was ever in them.
  let isNew: Bool
  /// Why what was pinned before could not be taken, when that was so.
  let discarded: String?

  /// Makes maps that are not pinned.
  static func create(discarded: String? = nil) throws(KernelTierError) -> PolicyMaps {
    var handles: [String: SharedMap] = [:]
    for shape in shapes(shards: try shards()) {
      handles[shape.name] = SharedMap(
        try BPFSystem.createMap(
          type: shape.type, name: String(shape.name.prefix(15)), keySize: shape.type == BPF_MAP_TYPE_RINGBUF ? 0 : 4,
          valueSize: shape.kernelValueSize, entries: shape.kernelEntries, flags: shape.flags), name: shape.name)
    }
    return try PolicyMaps(handles, isNew: true, discarded: discarded)
  }

  /// Opens what is pinned; nil when nothing is.
  /// - Throws: `.pinned` when what is there is not all of this version's.
  static func open(directory: String) throws(KernelTierError) -> PolicyMaps? {
    guard try BPFSystem.entries(of: directory) != nil else { return nil }
    var handles: [String: SharedMap] = [:]
    for shape in shapes(shards: try shards()) {
      guard let descriptor = try BPFSystem.openPin("\(directory)/\(shape.name)") else {
        throw .pinned(path: directory, reason: "\(shape.name) is missing")
      }
      let map = SharedMap(descriptor, name: shape.name)
      try map.check(shape, directory)
      handles[shape.name] = map
    }
    return try PolicyMaps(handles, isNew: false, discarded: nil)
  }

  private init(_ handles: [String: SharedMap], isNew: Bool, discarded: String?) throws(KernelTierError) {
    func map(_ name: String) throws(KernelTierError) -> SharedMap {
      guard let map = handles[name] else { throw .pinned(path: "", reason: "there is no \(name)") }
      return map
    }
    func mapped<Value: BitwiseCopyable>(_ name: String, _ count: Int) throws(KernelTierError) -> MappedArray<Value> {
      try MappedArray(try map(name).descriptor, name: name, count: count)
    }
    slots = try mapped("sluice_denials", Int(SLUICE_POLICY_SLOTS))
    limits = try mapped("sluice_limits", Int(SLUICE_LIMITS))
    let cpus = try BPFSystem.possibleCPUs(), shards = try Self.shards()
    hints = try mapped("sluice_hints", Int(SLUICE_HINTS.rawValue) * Int(SLUICE_HINTS_SIZE) / 8)
    drops = try mapped("sluice_drops", Int(SLUICE_POLICY_SLOTS) * shards)
    state = try mapped("sluice_policy", 1)
    sampler = try BPFPerCPUArray(
      try BPFDescriptor(duplicating: map("sluice_sampler").descriptor.number, name: "sluice_sampler"), name: "sluice_sampler")
    self.handles = handles
    self.isNew = isNew
    self.discarded = discarded
    state.base.pointee.shard_mask = UInt16(shards - 1)
    state.base.pointee.is_atomic = cpus > shards ? 1 : 0
  }

  /// How many shards of counters this machine has: one for each CPU, as far as they go.
  private static func shards() throws(KernelTierError) -> Int {
    let cpus = try BPFSystem.possibleCPUs()
    var shards = 1
    while shards < min(cpus, Int(SLUICE_POLICY_SHARDS)) { shards *= 2 }
    return shards
  }

  /// Pins the maps; what is there already is in the way.
  func pin(directory: String) throws(KernelTierError) {
    try BPFSystem.makePinDirectory(directory.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 })
    // The BPF file system takes no dots.
    let unfinished = directory + "_unfinished"
    _ = try BPFSystem.removePins(unfinished)
    try BPFSystem.makePinDirectory(unfinished)
    for (name, map) in handles { try BPFSystem.pin(map.descriptor, path: "\(unfinished)/\(name)") }
    try BPFSystem.renamePins(unfinished, to: directory)
  }

  /// The reader of the events, each of which one reader gets.
  func ring() throws(KernelTierError) -> BPFRing? {
    guard let events = handles["sluice_events"] else { return nil }
    return try BPFRing(events.descriptor)
  }

  /// Gives an object, before it is loaded, these maps in place of its own; those that it does not have are passed over.
  func share(with object: borrowing BPFObject) throws(KernelTierError) {
    for shape in Self.shapes(shards: 1) where object.has(shape.symbol) {
      guard let map = handles[shape.name] else { continue }
      try object.reuse(map.descriptor, as: shape.symbol)
    }
  }

  /// Leaves the maps out of an object that has no policy. It keeps a `sluice_policy` of its own, all zeros: a compiler may load the address of a
  /// variable before the branch that rules its use out, and the kernel refuses that of a map that is not there.
  static func omit(from object: borrowing BPFObject) throws(KernelTierError) {
    for shape in shapes(shards: 1) where shape.name != "sluice_policy" && object.has(shape.symbol) { try object.omit(shape.symbol) }
  }

  private static func shapes(shards: Int) -> [MapShape] {
    [
      .array("sluice_denials", size: MemoryLayout<sluice_policy_slot>.size, Int(SLUICE_POLICY_SLOTS)),
      .array("sluice_limits", size: MemoryLayout<sluice_limit>.size, Int(SLUICE_LIMITS)),
      .array("sluice_drops", size: MemoryLayout<sluice_policy_drops>.size, Int(SLUICE_POLICY_SLOTS) * shards),
      .array("sluice_hints", size: Int(SLUICE_HINTS_SIZE), Int(SLUICE_HINTS.rawValue), section: ".bss.hints"),
      .array("sluice_policy", size: MemoryLayout<sluice_policy>.size, 1, section: ".bss.policy"),
      MapShape(name: "sluice_events", type: BPF_MAP_TYPE_RINGBUF, valueSize: 0, entries: Int(SLUICE_EVENTS_SIZE)),
      MapShape(
        name: "sluice_sampler", type: BPF_MAP_TYPE_PERCPU_ARRAY, valueSize: MemoryLayout<sluice_sampler>.size, entries: 1),
    ]
  }
}
