// MeterTable.swift
//
// What: the meters of the switch and the FlowMeters that measure for them.
// Invariants: a meter's counters go on when it is modified: the new FlowMeter takes over what the old one has counted. Flows that
//             use a replaced FlowMeter are translated again by whoever changed the meter.
// Threads: confined to the pipeline thread; FlowMeters are read by workers.

import Dataplane

/// Why a change of meters is refused.
public enum MeterError: Error, Hashable, Sendable, CustomStringConvertible {
  case badID(UInt32)
  case exists(UInt32)
  case unknown(UInt32)
  case noBands(UInt32)
  case tooManyBands(UInt32, count: Int)
  case noRate(UInt32)
  case badPrecedence(UInt32, level: UInt8)

  public var description: String {
    switch self {
    case .badID(let id): "meter \(id): expected a number from 1 to \(MeterSpec.largestID)"
    case .exists(let id): "meter \(id) is there already; modify it, or choose another number"
    case .unknown(let id): "there is no meter \(id); add it first"
    case .noBands(let id): "meter \(id) has no band; give it one, such as bands=type=drop rate=1000"
    case .tooManyBands(let id, let count): "meter \(id) has \(count) bands; at most \(MeterTable.bandLimit) are supported"
    case .noRate(let id): "meter \(id) has a band with rate 0; give it a rate of 1 or more"
    case .badPrecedence(let id, let level): "meter \(id): prec_level=\(level) is not a step of drop precedence; expected 1 to 3"
    }
  }
}

/// A meter in the table.
public final class MeterEntry {
  public let spec: MeterSpec
  /// When the meter was added: nanoseconds of the monotonic clock. Modifying keeps it.
  public let createdNanoseconds: UInt64
  /// What measures.
  let meter: FlowMeter
  fileprivate init(_ spec: MeterSpec, after old: MeterEntry?, now: UInt64) {
    self.spec = spec
    createdNanoseconds = old?.createdNanoseconds ?? now
    meter = FlowMeter(
      perPacket: spec.perPacket,
      bands: spec.hasBurst ? spec.bands : spec.bands.map { MeterBand(kind: $0.kind, rate: $0.rate) }, previous: old?.meter)
  }
}

/// The meters of the switch.
public final class MeterTable {
  /// Bands of one meter.
  public static let bandLimit = 8

  private var entries: [UInt32: MeterEntry] = [:]

  public init() {}

  public var count: Int { entries.count }

  /// All meters, in the order of their numbers.
  public var all: [MeterEntry] { entries.values.sorted { $0.spec.id < $1.spec.id } }

  /// What measures for a meter.
  public subscript(id: UInt32) -> FlowMeter? { entries[id]?.meter }

  /// The meter with a number.
  public func entry(_ id: UInt32) -> MeterEntry? { entries[id] }

  /// Adds a meter whose number is free.
  /// - Throws: `MeterError`, and nothing is changed.
  public func add(_ spec: MeterSpec, nowNanoseconds: UInt64 = 0) throws(MeterError) {
    guard entries[spec.id] == nil else { throw .exists(spec.id) }
    try check(spec)
    entries[spec.id] = MeterEntry(spec, after: nil, now: nowNanoseconds)
  }

  /// Replaces the unit and the bands of a meter that is there; its counters go on.
  /// - Throws: `MeterError`, and nothing is changed.
  public func modify(_ spec: MeterSpec, nowNanoseconds: UInt64 = 0) throws(MeterError) {
    guard let old = entries[spec.id] else { throw .unknown(spec.id) }
    guard old.spec != spec else { return }
    try check(spec)
    entries[spec.id] = MeterEntry(spec, after: old, now: nowNanoseconds)
  }

  /// Deletes one meter, or all, and returns what went; one that is not there is no error, as OpenFlow has it.
  @discardableResult
  public func delete(_ id: UInt32?) -> [MeterEntry] {
    guard let id else {
      defer { entries = [:] }
      return all
    }
    return entries.removeValue(forKey: id).map { [$0] } ?? []
  }

  /// A state to go back to when a later part of the same change is refused.
  public struct Checkpoint { fileprivate let entries: [UInt32: MeterEntry] }

  public func checkpoint() -> Checkpoint { Checkpoint(entries: entries) }

  /// Goes back to a state.
  public func restore(_ checkpoint: Checkpoint) { entries = checkpoint.entries }

  private func check(_ spec: MeterSpec) throws(MeterError) {
    guard (1...MeterSpec.largestID).contains(spec.id) else { throw .badID(spec.id) }
    guard !spec.bands.isEmpty else { throw .noBands(spec.id) }
    guard spec.bands.count <= Self.bandLimit else { throw .tooManyBands(spec.id, count: spec.bands.count) }
    for band in spec.bands {
      guard band.rate > 0 else { throw .noRate(spec.id) }
      if case .remarkDSCP(let level) = band.kind, !(1...3).contains(level) { throw .badPrecedence(spec.id, level: level) }
    }
  }
}
