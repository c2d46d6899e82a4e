// Meter.swift
//
// What: a meter is what somebody asked for under a number: a rate in kilobits or packets per second, and what happens to what is above it.
//       MeterText.swift writes and reads it; the FlowMeter made from it measures, shared by all workers.
// Invariant: none of its own; MeterTable refuses what makes no sense.
// Threads: values.
// Source: OpenFlow Switch Specification 1.3.5, section 5.7.

import Dataplane

/// One rate of a meter and what it does with packets above it: what is asked for is what measures.
public typealias MeterBand = FlowMeter.Band

/// A meter as somebody asked for it.
public struct MeterSpec: Hashable, Sendable {
  /// The largest number that a meter can have (OFPM_MAX).
  public static let largestID: UInt32 = 0xffff_0000

  public var id: UInt32
  /// Rates are packets per second, not kilobits.
  public var perPacket: Bool
  /// The bands' burst sizes count.
  public var hasBurst: Bool
  /// Somebody wants to see its counters; they are kept anyway.
  public var hasStats: Bool
  public var bands: [MeterBand]

  public init(id: UInt32, perPacket: Bool = false, hasBurst: Bool = false, hasStats: Bool = false, bands: [MeterBand]) {
    self.id = id
    self.perPacket = perPacket
    self.hasBurst = hasBurst
    self.hasStats = hasStats
    self.bands = bands
  }

  /// True when a band may change the DSCP of a packet.
  var remarks: Bool {
    bands.contains { band in
      if case .remarkDSCP = band.kind { true } else { false }
    }
  }
}
