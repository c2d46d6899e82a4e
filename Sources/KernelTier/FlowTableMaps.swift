// FlowTableMaps.swift
//
// What: the maps that all programs of the kernel tier share: made, pinned, found again, and mapped into memory.
// Invariants: what is pinned in one directory belongs together: a directory appears with all maps in it, and is taken only when it bears this
//       version's number (SLUICE_ABI) and every map has the kind and size that it should; otherwise it is removed and made anew, because flows
//       that cannot be read cannot be repaired. Programs that use such maps go on until they are replaced.
// Threads: constant after it was made. The memory behind it: FlowTable.swift, KernelPorts.swift.
// Cost: 193 bytes of kernel memory per slot, and two slots for each flow that fits: 51 MB for 131,072 flows.

import CLibbpf
import CSluice
import Dataplane
import Glibc

/// The maps of the flow table.
public final class FlowTableMaps: Sendable {
  /// Where versions of the table are pinned.
  public static let root = "/sys/fs/bpf/sluice"

  /// Where this version's table is pinned.
  public static var directory: String { directory(in: root) }

  /// Where this version's table is pinned under another root.
  public static func directory(in root: String) -> String { "\(root)/v\(SLUICE_ABI)" }

  /// Slots, a power of two.
  public let slots: Int
  /// Flows that fit.
  public var capacity: Int { slots / 2 }
  /// Why what was pinned before could not be taken, when that was so.
  public let discarded: String?

  let info: sluice_table_info
  let hashKeys: sluice_hash_keys
  let flows: MappedArray<sluice_slot>
  let line1: MappedArray<sluice_line>
  let buckets: MappedArray<sluice_bucket>
  let masks: MappedArray<sluice_mask>
  let programs: MappedArray<sluice_program>
  let ports: MappedArray<sluice_port>
  let workers: MappedArray<sluice_worker>
  let portCounts: BPFPerCPUArray<sluice_port_count>
  private let handles: [String: SharedMap]
  /// What `fence` puts into the map of maps.
  private let inner: SharedMap

  private static let slotRange = 2048...1 << 23

  // MARK: Life

  /// Makes a table that is not pinned.
  /// - Parameter flows: how many are to fit; rounded up to a power of two, from 1,024 to 4,194,304.
  public static func create(flows: Int = Int(SLUICE_FLOWS)) throws(KernelTierError) -> FlowTableMaps {
    try create(flows: flows, discarded: nil)
  }

  private static func create(flows: Int, discarded: String?) throws(KernelTierError) -> FlowTableMaps {
    var slots = slotRange.lowerBound
    while slots < min(2 * flows, slotRange.upperBound) { slots *= 2 }
    var generator = SystemRandomNumberGenerator()
    let info = sluice_table_info(abi: UInt32(SLUICE_ABI), slots: UInt32(slots), secret: (generator.next(), generator.next()))
    let inner = try SharedMap.makeInner()
    var handles: [String: SharedMap] = [:]
    for shape in MapShape.all(slots: slots) { handles[shape.name] = try SharedMap.make(shape, inner: inner) }
    guard let table = handles[MapShape.table] else { throw .pinned(path: "", reason: "there is no \(MapShape.table)") }
    try BPFMap<UInt32, sluice_table_info>.set(table, 0, to: info)
    return try FlowTableMaps(handles, info: info, inner: inner, discarded: discarded)
  }

  /// Opens what is pinned, or makes and pins a table.
  /// - Parameter flows: how many are to fit into a new one; one that is there keeps its size.
  /// - Returns: isNew is false when there may be flows and ports of an agent before this one.
  public static func openOrCreate(
    directory: String = FlowTableMaps.directory, flows: Int = Int(SLUICE_FLOWS)
  ) throws(KernelTierError) -> (maps: FlowTableMaps, isNew: Bool) {
    var discarded: String?
    do throws(KernelTierError) {
      if let maps = try open(directory: directory) { return (maps, false) }
    } catch {
      guard case .pinned = error else { throw error }
      discarded = "\(error)"
      try unpin(directory: directory)
    }
    let maps = try create(flows: flows, discarded: discarded)
    try maps.pin(directory: directory)
    return (maps, true)
  }

  /// Opens what is pinned; nil when nothing is.
  /// - Throws: `.pinned` when what is there is not a whole table of this version.
  public static func open(directory: String = FlowTableMaps.directory) throws(KernelTierError) -> FlowTableMaps? {
    guard try BPFSystem.entries(of: directory) != nil else { return nil }
    func pin(_ name: String) throws(KernelTierError) -> BPFDescriptor {
      guard let descriptor = try BPFSystem.openPin("\(directory)/\(name)") else {
        throw .pinned(path: directory, reason: "\(name) is missing")
      }
      return descriptor
    }
    let table = SharedMap(try pin(MapShape.table), name: MapShape.table)
    try table.check(MapShape.ofTable, directory)
    guard let info = try BPFMap<UInt32, sluice_table_info>.value(table, 0) else {
      throw .pinned(path: directory, reason: "\(MapShape.table) is empty")
    }
    guard info.abi == UInt32(SLUICE_ABI) else {
      throw .pinned(path: directory, reason: "it is of version \(info.abi), not \(SLUICE_ABI)")
    }
    let slots = Int(info.slots)
    guard slotRange ~= slots, slots & (slots - 1) == 0 else {
      throw .pinned(path: directory, reason: "\(slots) slots cannot be: a power of two from \(slotRange.lowerBound) to \(slotRange.upperBound)")
    }
    var handles: [String: SharedMap] = [:]
    for shape in MapShape.all(slots: slots) {
      let map = shape.name == MapShape.table ? table : SharedMap(try pin(shape.name), name: shape.name)
      try map.check(shape, directory)
      handles[shape.name] = map
    }
    return try FlowTableMaps(handles, info: info, inner: try SharedMap.makeInner(), discarded: nil)
  }

  private init(
    _ handles: [String: SharedMap], info: sluice_table_info, inner: SharedMap, discarded: String?
  ) throws(KernelTierError) {
    func mapped<Value: BitwiseCopyable>(_ name: String, _ count: Int) throws(KernelTierError) -> MappedArray<Value> {
      guard let map = handles[name] else { throw .pinned(path: "", reason: "there is no \(name)") }
      return try MappedArray(map.descriptor, name: name, count: count)
    }
    let slots = Int(info.slots)
    flows = try mapped("sluice_flows", slots)
    line1 = try mapped("sluice_line1", slots)
    buckets = try mapped("sluice_buckets", slots / Int(SLUICE_BUCKET_SLOTS))
    masks = try mapped("sluice_masks", Int(SLUICE_MASKS))
    programs = try mapped("sluice_programs", Int(SLUICE_ACTION_PROGRAMS))
    ports = try mapped("sluice_ports", Int(SLUICE_PORTS))
    workers = try mapped("sluice_workers", Int(SLUICE_WORKERS))
    guard let perCPU = handles["sluice_port_counts"] else { throw .pinned(path: "", reason: "there is no sluice_port_counts") }
    portCounts = try BPFPerCPUArray(
      try BPFDescriptor(duplicating: perCPU.descriptor.number, name: "sluice_port_counts"), name: "sluice_port_counts")
    self.slots = slots
    self.info = info
    hashKeys = sluice_hash_keys_make(info.secret.0, info.secret.1)
    self.handles = handles
    self.inner = inner
    self.discarded = discarded
  }

  // MARK: Pins

  /// Pins the maps; the directory appears when all are in it. What is there already is in the way.
  public func pin(directory: String = FlowTableMaps.directory) throws(KernelTierError) {
    let parent = directory.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    try BPFSystem.makePinDirectory(parent)
    // A crash may have left this one behind. The BPF file system keeps names with dots for itself.
    let unfinished = directory + "-unfinished"
    _ = try BPFSystem.removePins(unfinished)
    try BPFSystem.makePinDirectory(unfinished)
    for (name, map) in handles { try BPFSystem.pin(map.descriptor, path: "\(unfinished)/\(name)") }
    try BPFSystem.renamePins(unfinished, to: directory)
  }

  /// Removes the pins; the maps live on as long as a program or an agent uses them.
  /// - Returns: false when nothing was pinned.
  @discardableResult
  public static func unpin(directory: String = FlowTableMaps.directory) throws(KernelTierError) -> Bool {
    try BPFSystem.removePins(directory)
  }

  /// Directories of tables of all versions, and of unfinished ones, sorted.
  public static func versions(in root: String) throws(KernelTierError) -> [String] {
    (try BPFSystem.entries(of: root) ?? []).filter { $0.first == "v" && $0.dropFirst().first?.isNumber == true }.map { "\(root)/\($0)" }
  }

  /// Those of other versions than this one.
  public static func otherVersions(root: String = FlowTableMaps.root) throws(KernelTierError) -> [String] {
    try versions(in: root).filter { $0 != directory(in: root) }
  }

  // MARK: Use

  /// Where a worker writes when it found its queues empty; valid as long as this object lives.
  public func drainStamp(worker: Int) -> UnsafeMutablePointer<UInt64> {
    precondition(0..<Int(SLUICE_WORKERS) ~= worker)
    return UnsafeMutableRawPointer(workers.base + worker).assumingMemoryBound(to: UInt64.self)
  }

  /// Lets XDP redirect to a port, or not any more.
  /// - Parameter interfaceIndex: in the calling thread's network namespace; nil: none.
  public func setDevice(port: PortIndex, interfaceIndex: UInt32?) throws(KernelTierError) {
    guard let map = handles["sluice_devmap"] else { return }
    if let interfaceIndex {
      try BPFMap<UInt32, UInt32>.set(map, UInt32(port), to: interfaceIndex)
    } else {
      var key = UInt32(port)
      _ = try BPFSystem.remove(map.descriptor, key: &key, name: "sluice_devmap")
    }
  }

  /// Returns when no program is under way any more that was at the call.
  func waitForPrograms() throws(KernelTierError) {
    guard let outer = handles["sluice_grace"] else { return }
    try BPFSystem.waitForPrograms(outer: outer.descriptor, inner: inner.descriptor)
  }

  /// Gives an object, before it is loaded, these maps in place of its own; those that it does not have are passed over.
  func share(with object: borrowing BPFObject) throws(KernelTierError) {
    for shape in MapShape.all(slots: slots) where object.has(shape.symbol) {
      guard let map = handles[shape.name] else { continue }
      try object.reuse(map.descriptor, as: shape.symbol)
    }
  }

  /// Leaves the maps of the table out of an object that looks no flows up.
  static func omit(from object: borrowing BPFObject) throws(KernelTierError) {
    for shape in MapShape.all(slots: slotRange.lowerBound) where object.has(shape.symbol) { try object.omit(shape.symbol) }
  }

  /// What `kernel show` says about the maps, by name.
  func facts() throws(KernelTierError) -> [KernelMapFacts] {
    var facts: [KernelMapFacts] = []
    for shape in MapShape.all(slots: slots).sorted(by: { $0.name < $1.name }) {
      guard let map = handles[shape.name] else { continue }
      var fact = try BPFSystem.facts(ofMap: map.descriptor)
      // The kernel keeps 15 characters of it, and has global data as one value.
      (fact.name, fact.valueSize, fact.entries) = (shape.name, shape.valueSize, shape.entries)
      facts.append(fact)
    }
    return facts
  }
}

/// What a map has to be.
struct MapShape {
  var name: String
  var type: bpf_map_type
  var valueSize: Int
  var entries: Int
  var flags: UInt32 = 0
  /// The section of an object whose global data it is; nil: the object calls it by its name. The kernel has global data as an array of one value.
  var section: String?

  /// What an object calls it.
  var symbol: String { section ?? name }
  var kernelValueSize: Int { section == nil ? valueSize : valueSize * entries }
  var kernelEntries: Int { section == nil ? entries : 1 }

  static let table = "sluice_table"
  static let ofTable = array(table, sluice_table_info.self, 1)

  /// An array that is mapped into memory.
  /// - Parameter section: where it is global data of the programs.
  static func array(_ name: String, size: Int, _ entries: Int, section: String? = nil) -> MapShape {
    MapShape(name: name, type: BPF_MAP_TYPE_ARRAY, valueSize: size, entries: entries, flags: UInt32(BPF_F_MMAPABLE), section: section)
  }

  private static func array<Value>(_ name: String, _ value: Value.Type, _ entries: Int, section: String? = nil) -> MapShape {
    array(name, size: MemoryLayout<Value>.size, entries, section: section)
  }

  /// All maps of a table, but for what `fence` needs.
  static func all(slots: Int) -> [MapShape] {
    [
      ofTable,
      array("sluice_flows", sluice_slot.self, slots),
      array("sluice_line1", sluice_line.self, slots),
      array("sluice_buckets", sluice_bucket.self, slots / Int(SLUICE_BUCKET_SLOTS), section: ".bss.buckets"),
      array("sluice_masks", sluice_mask.self, Int(SLUICE_MASKS), section: ".bss.masks"),
      array("sluice_programs", sluice_program.self, Int(SLUICE_ACTION_PROGRAMS)),
      array("sluice_ports", sluice_port.self, Int(SLUICE_PORTS), section: ".bss.ports"),
      array("sluice_workers", sluice_worker.self, Int(SLUICE_WORKERS)),
      MapShape(
        name: "sluice_port_counts", type: BPF_MAP_TYPE_PERCPU_ARRAY, valueSize: MemoryLayout<sluice_port_count>.size,
        entries: Int(SLUICE_PORTS)),
      MapShape(name: "sluice_devmap", type: BPF_MAP_TYPE_DEVMAP, valueSize: 4, entries: Int(SLUICE_PORTS)),
      MapShape(name: "sluice_grace", type: BPF_MAP_TYPE_ARRAY_OF_MAPS, valueSize: 4, entries: 1),
    ]
  }
}

/// A map that several objects hold on to.
final class SharedMap: Sendable {
  let descriptor: BPFDescriptor
  let name: String

  init(_ descriptor: consuming BPFDescriptor, name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  static func make(_ shape: MapShape, inner: SharedMap) throws(KernelTierError) -> SharedMap {
    if shape.type == BPF_MAP_TYPE_ARRAY_OF_MAPS {
      return SharedMap(try BPFSystem.createMapOfMaps(name: shape.name, inner: inner.descriptor), name: shape.name)
    }
    return SharedMap(
      try BPFSystem.createMap(
        type: shape.type, name: String(shape.name.prefix(15)), keySize: 4, valueSize: shape.kernelValueSize,
        entries: shape.kernelEntries, flags: shape.flags), name: shape.name)
  }

  /// The smallest map that there is. All such maps are alike, as a map of maps wants.
  static func makeInner() throws(KernelTierError) -> SharedMap {
    SharedMap(
      try BPFSystem.createMap(type: BPF_MAP_TYPE_ARRAY, name: "sluice_inner", keySize: 4, valueSize: 4, entries: 1, flags: 0),
      name: "sluice_inner")
  }

  /// - Throws: `.pinned` when this is not the map that it should be.
  func check(_ shape: MapShape, _ directory: String) throws(KernelTierError) {
    let facts = try BPFSystem.facts(ofMap: descriptor)
    guard facts.type == shape.type.rawValue, facts.valueSize == shape.kernelValueSize, facts.entries == shape.kernelEntries else {
      throw .pinned(
        path: directory,
        reason: "\(shape.name) has \(facts.entries) values of \(facts.valueSize) bytes, not \(shape.kernelEntries) of \(shape.kernelValueSize)")
    }
  }
}

extension BPFMap {
  /// Sets one value of a map that others hold, too.
  static func set(_ map: SharedMap, _ key: Key, to value: Value) throws(KernelTierError) {
    var key = key
    var value = value
    try BPFSystem.update(map.descriptor, key: &key, value: &value, name: "of the flow table")
  }
}

extension BPFMap where Key == UInt32, Value == sluice_table_info {
  /// Reads the one value of the map that identifies a table.
  static func value(_ map: SharedMap, _ key: UInt32) throws(KernelTierError) -> sluice_table_info? {
    var key = key
    var value = sluice_table_info()
    return try BPFSystem.lookup(map.descriptor, key: &key, value: &value, name: "sluice_table") ? value : nil
  }
}
