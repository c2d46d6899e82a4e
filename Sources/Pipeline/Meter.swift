// Meter.swift
//
// What: a meter is what somebody asked for under a number: a rate in kilobits or packets per second, and what happens to what is above it.
//       MeterText.swift writes and reads it; the FlowMeter made from it measures, shared by all workers.
// Invariant: none of its own; MeterTable refuses what makes no sense.
// Threads: values.
// Source: OpenFlow Switch Specification 1.3.5, section 5.7.

/// One rate of a meter and what it does with packets above it.
public struct MeterBand: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case drop
    /// Raises the drop precedence of the DSCP by this much.
    case remarkDSCP(precedence: UInt8)
  }

  public var kind: Kind
  /// Kilobits or packets per second.
  public var rate: UInt32
  /// Kilobits or packets that may come at once; 0 for a tenth of a second's worth.
  public var burst: UInt32

  public init(kind: Kind, rate: UInt32, burst: UInt32 = 0) {
    self.kind = kind
    self.rate = rate
    self.burst = burst
  }
}

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
