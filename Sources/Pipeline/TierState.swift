// TierState.swift
//
// What: where a flow stands with the tier in front of the workers, and why, for people; and what the tier holds, in numbers.
// Threads: made on the pipeline thread; what is returned are values.

import CSluice
import Dataplane

/// Why a flow has not been offered to a tier.
public enum NotOffered: String, Sendable, CustomStringConvertible {
  /// The port's placement is off.
  case off
  /// `auto`, and the flow was never busy enough.
  case quiet
  /// `eager`, and the flow had no packet since it could be offered.
  case soon
  /// It was idle there while others found no room.
  case idle
  /// It is on its way back to the worker.
  case leaving
  /// Its packets come from an earlier round of look-up, not from a port.
  case recirculated

  public var description: String {
    switch self {
    case .off: "the placement of its port is off"
    case .quiet: "placement auto: it had fewer than \(SwitchCore.busyPackets) packets within half a second"
    case .soon: "placement eager: it is offered half a second after its next packet"
    case .idle: "it was withdrawn: it had no packet there for 10 seconds while others found no room"
    case .leaving: "it was withdrawn just now, and packets may still be under way that found it"
    case .recirculated: "its packets are looked up a second time, which only workers do"
    }
  }
}

/// Where a flow stands with a tier.
public enum TierPlacement: Sendable, Equatable, CustomStringConvertible {
  case held
  case refused(TierRefusal)
  case notOffered(NotOffered)

  public var description: String {
    switch self {
    case .held: "held"
    case .refused(let refusal): "refused: \(refusal.description)"
    case .notOffered(let reason): "not offered: \(reason)"
    }
  }
}

/// A flow in one tier.
public struct TierState: Sendable, Equatable {
  /// The name of what executes a flow that no tier holds.
  public static let user = "user"

  public var tier: String
  public var placement: TierPlacement
  /// Counted there by the present answer, also in stays that are over.
  public var packets: UInt64
  public var bytes: UInt64
}

/// What a tier holds, in numbers.
public struct TierSummary: Sendable, Equatable {
  public var tier: String
  public var flows: Int
  public var capacity: Int
  /// Flows taken and withdrawn since the tier is there.
  public var placed: UInt64
  public var withdrawn: UInt64
  /// Offers refused since then, by cause.
  public var refused: [String: UInt64]
}

extension SwitchCore {
  /// What the tier has counted for a flow by its present answer, and when it last had a packet there; 0 for never.
  func countsInTier(_ handle: FlowHandle) -> TierCounts {
    let past = pastStays[handle] ?? (0, 0)
    guard let tiers = tierBook, let stay = tiers.stays[handle] else { return TierCounts(packets: past.packets, bytes: past.bytes) }
    var counts = tiers.tier.counts(of: stay.handle)
    counts.packets += past.packets
    counts.bytes += past.bytes
    return counts
  }

  /// Where a flow stands with each tier.
  ///
  /// - Parameter counts: what `countsInTier` says.
  func tierStates(_ handle: FlowHandle, _ counts: TierCounts) -> [TierState] {
    guard let tiers = tierBook else { return [] }
    return [TierState(tier: tiers.tier.name, placement: placement(handle, tiers), packets: counts.packets, bytes: counts.bytes)]
  }

  private func placement(_ handle: FlowHandle, _ tiers: TierBook) -> TierPlacement {
    let book = books[handle.worker]
    let record = book.record(handle.slot)
    if let stay = tiers.stays[handle] { return stay.isLeaving ? .notOffered(.leaving) : .held }
    let policy = placements[Int(record.pointee.port)]
    if policy == .off { return .notOffered(.off) }
    if let refusal = tiers.refusals[record.pointee.placement] { return .refused(refusal) }
    if book.key(of: handle.slot)[.recircID] != 0 { return .notOffered(.recirculated) }
    if record.pointee.placement == .idle { return .notOffered(.idle) }
    return .notOffered(policy == .eager ? .soon : .quiet)
  }

  /// The tiers in numbers.
  public var tierSummaries: [TierSummary] {
    guard let tiers = tierBook else { return [] }
    return [
      TierSummary(
        tier: tiers.tier.name, flows: tiers.tier.count, capacity: tiers.tier.capacity, placed: tiers.placedCount,
        withdrawn: tiers.withdrawalCount, refused: tiers.refusals.countByCause)
    ]
  }

  func seconds(since nanoseconds: UInt64) -> Double {
    let now = sluice_monotonic_nanoseconds()
    return Double(now - min(now, nanoseconds)) / 1e9
  }
}
