// DenyList.swift
//
// The prefixes whose packets every port drops before anything else looks at them. One list serves all ports.
// Idea: an LPM map per family. The most specific prefix that holds a packet's source address counts the drop. The value repeats
//       the prefix length, because an LPM map can be asked only for the longest match: the entry is there exactly when the
//       answer bears the length that was asked for. So adding twice keeps the counters.
// Invariants: this object is the only writer, and `count` is the number of entries in the maps. A call that does not fit changes
//       nothing. The maps live as long as this object or a program that uses them.
// Threads: any; calls are serialised by a lock. A packet that is processed during a change sees the list before or after it.
// Cost: one system call per single change, one per some thousand entries in bulk; 131,072 entries of each family at most, about
//       100 bytes of kernel memory each.

import CLibbpf
import CSluice
import Synchronization

/// One entry of the deny list and what it dropped.
public struct DenyEntry: Sendable, Hashable {
  public var prefix: IPPrefix
  /// Packets dropped since the prefix was added.
  public var packets: UInt64
  /// Bytes of those packets, Ethernet headers included.
  public var bytes: UInt64

  public init(prefix: IPPrefix, packets: UInt64, bytes: UInt64) {
    self.prefix = prefix
    self.packets = packets
    self.bytes = bytes
  }
}

/// The deny list of all ports. Make it before the first port.
public final class DenyList: Sendable {
  /// Most entries of one family.
  public static let capacity = Int(SLUICE_DENY_CAPACITY)

  let v4: BPFMap<sluice_deny_v4_key, sluice_deny_entry>
  let v6: BPFMap<sluice_deny_v6_key, sluice_deny_entry>
  private let counts = Mutex(Counts())

  private struct Counts {
    var v4 = 0
    var v6 = 0

    subscript(family: IPAddress.Family) -> Int {
      get { family == .v4 ? v4 : v6 }
      set { if family == .v4 { v4 = newValue } else { v6 = newValue } }
    }
  }

  /// Makes an empty list.
  /// - Throws: `.system` when the kernel makes no such map, mostly for lack of rights.
  public init() throws(KernelTierError) {
    v4 = BPFMap(try Self.map("sluice_deny_v4", keySize: MemoryLayout<sluice_deny_v4_key>.size), name: "sluice_deny_v4")
    v6 = BPFMap(try Self.map("sluice_deny_v6", keySize: MemoryLayout<sluice_deny_v6_key>.size), name: "sluice_deny_v6")
  }

  private static func map(_ name: String, keySize: Int) throws(KernelTierError) -> BPFDescriptor {
    try BPFSystem.createMap(
      type: BPF_MAP_TYPE_LPM_TRIE, name: name, keySize: keySize, valueSize: MemoryLayout<sluice_deny_entry>.size,
      entries: capacity, flags: UInt32(BPF_F_NO_PREALLOC))
  }

  /// Number of entries, both families.
  public var count: Int { counts.withLock { $0.v4 + $0.v6 } }

  /// Adds a prefix; its counters start at 0.
  /// - Returns: false when it was there already; it keeps its counters then.
  /// - Throws: `.denyListFull`.
  @discardableResult
  public func add(_ prefix: IPPrefix) throws(KernelTierError) -> Bool {
    try counts.withLock { counts throws(KernelTierError) in
      guard try !isPresent(prefix) else { return false }
      try Self.requireRoom(for: 1, of: prefix.family, counts)
      switch prefix.family {
      case .v4: try v4.set(Self.v4Key(prefix), to: Self.entry(prefix))
      case .v6: try v6.set(Self.v6Key(prefix), to: Self.entry(prefix))
      }
      counts[prefix.family] += 1
      return true
    }
  }

  /// Adds many prefixes: all, or none when they do not fit.
  /// - Returns: how many were not there before.
  /// - Throws: `.denyListFull` when the list cannot hold all of them.
  @discardableResult
  public func add(contentsOf prefixes: [IPPrefix]) throws(KernelTierError) -> Int {
    try counts.withLock { counts throws(KernelTierError) in
      // One walk over what is there replaces a look-up per prefix.
      var new = Set(prefixes)
      if counts.v4 + counts.v6 > 0 {
        for entry in try readEntries() { new.remove(entry.prefix) }
      }
      let newV4 = new.filter { $0.family == .v4 }
      let newV6 = new.filter { $0.family == .v6 }
      try Self.requireRoom(for: newV4.count, of: .v4, counts)
      try Self.requireRoom(for: newV6.count, of: .v6, counts)
      do throws(KernelTierError) {
        try insert(newV4, newV6)
      } catch {
        // Only a lack of memory ends here, somewhere in the middle; what was added goes again.
        for prefix in new { _ = try? removeFromMap(prefix) }
        throw error
      }
      counts.v4 += newV4.count
      counts.v6 += newV6.count
      return new.count
    }
  }

  /// Removes a prefix, exactly this one; wider and narrower ones stay.
  /// - Returns: false when it was not there.
  @discardableResult
  public func remove(_ prefix: IPPrefix) throws(KernelTierError) -> Bool {
    try remove(contentsOf: [prefix]) == 1
  }

  /// Removes many prefixes.
  /// - Returns: how many of them were there.
  @discardableResult
  public func remove(contentsOf prefixes: [IPPrefix]) throws(KernelTierError) -> Int {
    try counts.withLock { counts throws(KernelTierError) in
      var removed = 0
      for prefix in prefixes where try removeFromMap(prefix) {
        counts[prefix.family] -= 1
        removed += 1
      }
      return removed
    }
  }

  /// Whether exactly this prefix is on the list.
  public func contains(_ prefix: IPPrefix) throws(KernelTierError) -> Bool {
    try counts.withLock { _ throws(KernelTierError) in try isPresent(prefix) }
  }

  /// Everything on the list with its counters, sorted by address.
  public func entries() throws(KernelTierError) -> [DenyEntry] {
    try counts.withLock { _ throws(KernelTierError) in try readEntries() }.sorted { $0.prefix < $1.prefix }
  }

  // MARK: Under the lock

  private func isPresent(_ prefix: IPPrefix) throws(KernelTierError) -> Bool {
    let match =
      switch prefix.family {
      case .v4: try v4.value(of: Self.v4Key(prefix), blank: sluice_deny_entry())
      case .v6: try v6.value(of: Self.v6Key(prefix), blank: sluice_deny_entry())
      }
    return match?.prefix_length == UInt32(prefix.length)
  }

  private func insert(_ newV4: Set<IPPrefix>, _ newV6: Set<IPPrefix>) throws(KernelTierError) {
    try v4.setAll(newV4.map(Self.v4Key), values: newV4.map(Self.entry))
    try v6.setAll(newV6.map(Self.v6Key), values: newV6.map(Self.entry))
  }

  private func removeFromMap(_ prefix: IPPrefix) throws(KernelTierError) -> Bool {
    switch prefix.family {
    case .v4: try v4.remove(Self.v4Key(prefix))
    case .v6: try v6.remove(Self.v6Key(prefix))
    }
  }

  private func readEntries() throws(KernelTierError) -> [DenyEntry] {
    var all: [DenyEntry] = []
    for (key, entry) in try v4.entries(blankKey: sluice_deny_v4_key(), blank: sluice_deny_entry()) {
      all.append(Self.denyEntry(withUnsafeBytes(of: key.address) { Array($0) }, key.prefix_length, entry))
    }
    for (key, entry) in try v6.entries(blankKey: sluice_deny_v6_key(), blank: sluice_deny_entry()) {
      all.append(Self.denyEntry(withUnsafeBytes(of: key.address) { Array($0) }, key.prefix_length, entry))
    }
    return all
  }

  private static func requireRoom(
    for adding: Int, of family: IPAddress.Family, _ counts: Counts
  ) throws(KernelTierError) {
    guard counts[family] + adding <= capacity else {
      throw .denyListFull(family: family, capacity: capacity, present: counts[family], adding: adding)
    }
  }

  // MARK: Keys and values

  private static func v4Key(_ prefix: IPPrefix) -> sluice_deny_v4_key {
    var key = sluice_deny_v4_key()
    key.prefix_length = UInt32(prefix.length)
    withUnsafeMutableBytes(of: &key.address) { $0.copyBytes(from: prefix.address.bytes) }
    return key
  }

  private static func v6Key(_ prefix: IPPrefix) -> sluice_deny_v6_key {
    var key = sluice_deny_v6_key()
    key.prefix_length = UInt32(prefix.length)
    withUnsafeMutableBytes(of: &key.address) { $0.copyBytes(from: prefix.address.bytes) }
    return key
  }

  private static func entry(_ prefix: IPPrefix) -> sluice_deny_entry {
    sluice_deny_entry(packets: 0, bytes: 0, prefix_length: UInt32(prefix.length), reserved: 0)
  }

  private static func denyEntry(_ address: [UInt8], _ length: UInt32, _ entry: sluice_deny_entry) -> DenyEntry {
    DenyEntry(prefix: IPPrefix(canonical: address, length: Int(length)), packets: entry.packets, bytes: entry.bytes)
  }
}
