// MACTable.swift
//
// What: where each station was last seen: (VLAN, MAC) to port, as a learning bridge keeps it.
// Invariants: at most `capacity` stations; when full, a new one takes the place of the one seen longest ago. The list that `older`
//             and `newer` form holds every station once, from the one seen longest ago to the one seen last. Multicast
//             sources are never learned.
// Threads: confined to the pipeline thread.
// Cost: every operation on one station is one dictionary probe and a few stores; aging costs what it removes.
// Source: IEEE 802.1Q-2018, 8.7 (learning process) and 8.8 (filtering database).

import Dataplane

/// A station: an address in a VLAN.
public struct Station: Hashable, Sendable {
  /// The VLAN ID of the outermost tag; 0 for untagged and priority-tagged packets.
  public let vlan: UInt16
  /// The MAC address in the low 48 bits.
  public let mac: UInt64

  public init(vlan: UInt16, mac: UInt64) {
    self.vlan = vlan
    self.mac = mac
  }

  /// True for group addresses: broadcast and multicast.
  public var isMulticast: Bool { mac >> 40 & 1 != 0 }
}

/// What learning changed: what the flows that depend on a station must hear of.
public enum MACChange: Equatable, Sendable {
  /// The station is where it was.
  case none
  /// The station is new. `evicted` lost its place for it.
  case added(evicted: Station?)
  /// The station was on another port.
  case moved(from: UInt32)
}

/// Stations and the ports they were seen on.
public final class MACTable {
  /// Stations that are remembered unless the switch is configured otherwise.
  public static let defaultCapacity = 65_536
  /// A station not seen for so long is forgotten unless the switch is configured otherwise (IEEE 802.1Q-2018, table 8-6).
  public static let defaultAgingSeconds = 300

  /// A station as the table shows it.
  public struct Entry: Hashable, Sendable {
    public let station: Station
    /// The number of the port.
    public let port: UInt32
    /// Nanoseconds of the monotonic clock.
    public let lastSeenNanoseconds: UInt64
  }

  private struct Slot {
    var station: Station
    var port: UInt32
    var lastSeenNanoseconds: UInt64
    var older: Int
    var newer: Int
  }

  public let capacity: Int
  private static let end = -1
  private var slots: [Slot] = []
  private var freeSlots: [Int] = []
  private var slotOf: [Station: Int] = [:]
  private var oldest = end
  private var newest = end

  /// - Parameter capacity: stations to remember, at least 1.
  public init(capacity: Int = MACTable.defaultCapacity) { self.capacity = max(1, capacity) }

  /// Stations that are remembered now.
  public var count: Int { slotOf.count }

  /// The number of the port that a station was last seen on.
  public func port(of station: Station) -> UInt32? { slotOf[station].map { slots[$0].port } }

  /// Notes that a station was seen on a port.
  ///
  /// - Parameter nowNanoseconds: the monotonic clock; must not go backwards from call to call.
  /// - Returns: what changed. A multicast station changes nothing.
  public func learn(_ station: Station, port: UInt32, nowNanoseconds: UInt64) -> MACChange {
    guard !station.isMulticast else { return .none }
    if let slot = slotOf[station] {
      let previous = slots[slot].port
      slots[slot].port = port
      slots[slot].lastSeenNanoseconds = nowNanoseconds
      if slot != newest {
        unlink(slot)
        linkAsNewest(slot)
      }
      return previous == port ? .none : .moved(from: previous)
    }
    var evicted: Station?
    if slotOf.count >= capacity {
      evicted = slots[oldest].station
      release(oldest)
    }
    let fresh = Slot(
      station: station, port: port, lastSeenNanoseconds: nowNanoseconds, older: Self.end, newer: Self.end)
    let slot: Int
    if let free = freeSlots.popLast() {
      slot = free
      slots[slot] = fresh
    } else {
      slot = slots.count
      slots.append(fresh)
    }
    slotOf[station] = slot
    linkAsNewest(slot)
    return .added(evicted: evicted)
  }

  /// Forgets the stations that were last seen before a time, and returns them.
  public func removeSeenBefore(_ nanoseconds: UInt64) -> [Station] {
    var gone: [Station] = []
    while oldest != Self.end, slots[oldest].lastSeenNanoseconds < nanoseconds {
      gone.append(slots[oldest].station)
      release(oldest)
    }
    return gone
  }

  /// Forgets the stations of a port, of a VLAN, or (both nil) all of them, and returns them.
  public func flush(port: UInt32? = nil, vlan: UInt16? = nil) -> [Station] {
    let gone = slotOf.filter { station, slot in
      (port == nil || slots[slot].port == port) && (vlan == nil || station.vlan == vlan)
    }
    for slot in gone.values { release(slot) }
    return Array(gone.keys)
  }

  /// All stations, in the order of VLAN and address.
  public var entries: [Entry] {
    slotOf.values.map { slot in
      Entry(
        station: slots[slot].station, port: slots[slot].port, lastSeenNanoseconds: slots[slot].lastSeenNanoseconds)
    }
    .sorted { ($0.station.vlan, $0.station.mac) < ($1.station.vlan, $1.station.mac) }
  }

  private func linkAsNewest(_ slot: Int) {
    slots[slot].older = newest
    slots[slot].newer = Self.end
    if newest == Self.end { oldest = slot } else { slots[newest].newer = slot }
    newest = slot
  }

  private func unlink(_ slot: Int) {
    let older = slots[slot].older
    let newer = slots[slot].newer
    if older == Self.end { oldest = newer } else { slots[older].newer = newer }
    if newer == Self.end { newest = older } else { slots[newer].older = older }
  }

  private func release(_ slot: Int) {
    unlink(slot)
    slotOf[slots[slot].station] = nil
    freeSlots.append(slot)
  }
}
