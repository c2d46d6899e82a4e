// DropEvents.swift
//
// Samples of what the programs dropped: why, where, how long, and the first bytes (BPF/events.h).
// Invariant: a record that is not of the size and form that it should have is passed over and counted, never trusted.
// Threads: one reader at a time; sampling may be set from any thread.
// Cost: no sampling, no cost. Events are bounded per CPU and tenth of a second; a reading is a copy of what is in the ring.

import CSluice
import Synchronization

/// Why a program dropped a packet.
public enum DropReason: UInt16, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  case deniedPrefix = 1
  case deniedTuple = 2
  case limited = 3
  case extensionHeaders = 4
  case flow = 5
  case noSocket = 6
  case output = 7

  public var description: String {
    switch self {
    case .deniedPrefix: "denied-prefix"
    case .deniedTuple: "denied-tuple"
    case .limited: "limited"
    case .extensionHeaders: "extension-headers"
    case .flow: "flow"
    case .noSocket: "no-socket"
    case .output: "output"
    }
  }
}

/// A dropped packet that was sampled.
public struct DropEvent: Sendable, Hashable {
  /// CLOCK_MONOTONIC.
  public var nanoseconds: UInt64
  public var interfaceIndex: UInt32
  public var reason: DropReason
  /// Bytes of the whole frame.
  public var length: Int
  /// It stands for so many drops.
  public var sample: UInt32
  /// The beginning of the frame, 128 bytes at most.
  public var bytes: [UInt8]
}

extension Policy {
  /// Has one of so many drops sampled from now on.
  /// - Parameters:
  ///   - oneIn: 0: none, which is how it begins.
  ///   - perSecond: most events of one CPU in a second; the ring and its reader are protected so from a flood.
  public func sampleDrops(oneIn: UInt32, perSecond: UInt32 = 1000) {
    maps.state.base.pointee.sample_limit = max(1, perSecond / 10)
    sluice_store_release_u32(&maps.state.base.pointee.sample, oneIn)
  }

  /// A reader of the events; each event goes to one reader.
  public func dropEvents() throws(KernelTierError) -> DropEvents { try DropEvents(maps) }
}

/// Reads events of drops.
public final class DropEvents: Sendable {
  private let ring: Mutex<RingBox>
  private let maps: PolicyMaps
  private let unreadable = Atomic<UInt64>(0)

  /// libbpf's reader, which no two threads may use at once: the lock sees to that.
  private struct RingBox: @unchecked Sendable {
    let ring: BPFRing?
  }

  fileprivate init(_ maps: PolicyMaps) throws(KernelTierError) {
    ring = Mutex(RingBox(ring: try maps.ring()))
    self.maps = maps
  }

  /// What was sampled since the last call, the oldest first.
  public func read() throws(KernelTierError) -> [DropEvent] {
    let records = try ring.withLock { box throws(KernelTierError) in try box.ring?.drain() ?? [] }
    let events = records.compactMap(Self.event)
    unreadable.add(UInt64(records.count - events.count), ordering: .relaxed)
    return events
  }

  /// Events that were held back by the limit, by a full ring, or by a form that is not known.
  public func lost() throws(KernelTierError) -> UInt64 {
    let held = try maps.sampler.values(at: 0, blank: sluice_sampler()).reduce(UInt64(0)) { $0 &+ $1.suppressed }
    return held &+ unreadable.load(ordering: .relaxed)
  }

  /// An event as it lies in the ring; nil when it is none.
  static func event(_ record: [UInt8]) -> DropEvent? {
    guard record.count == MemoryLayout<sluice_event>.size else { return nil }
    let event = record.withUnsafeBytes { $0.loadUnaligned(as: sluice_event.self) }
    guard let reason = DropReason(rawValue: event.reason), event.captured <= UInt16(SLUICE_EVENT_BYTES),
      UInt32(event.captured) <= event.length
    else { return nil }
    let start = MemoryLayout<sluice_event>.offset(of: \.bytes) ?? 0
    return DropEvent(
      nanoseconds: event.time, interfaceIndex: event.ifindex, reason: reason, length: Int(event.length), sample: event.sample,
      bytes: Array(record[start..<start + Int(event.captured)]))
  }
}
