// WorkerCounters.swift
//
// What: everything that a worker counts: per stage of the loop, per port, per drop reason.
// Invariants: written by the worker only, read by anybody, always with relaxed atomics: a reader sees each counter whole, not all of them at
//             one instant. Counters only grow.
// Cost: a load, an addition and a store each, once per batch where that is possible.

import CSluice

/// The stages of a poll round whose cycles are accounted.
public enum WorkerStage: Int, CaseIterable, Sendable {
  /// Taking frames from receive queues, memory copies of the driver included.
  case receive
  /// Headers to keys; completing partial checksums.
  case parse
  /// Hash, exact cache, verification.
  case lookup
  /// Masks, for what the exact cache did not know.
  case classify
  /// Actions.
  case execute
  /// Handing frames to transmit queues, system calls included.
  case transmit
  /// Commands, links between workers, completions.
  case control
  /// Rounds that found nothing.
  case idle

  public var name: String { "\(self)" }
}

/// Totals of a worker.
enum WorkerTotal: Int, CaseIterable {
  case packets, batches, exactHits, classifierHits, misses, sleeps, rounds, checksumsCompleted, recirculations, badUpcalls
}

/// What a port counts on one worker.
enum PortCounter: Int, CaseIterable {
  case receivedPackets, receivedBytes, sentPackets, sentBytes
}

/// @unchecked Sendable: see "Invariants".
public final class WorkerCounters: @unchecked Sendable {
  /// Ports that a worker can tell apart.
  public static let portCapacity = 1024

  let stages: UnsafeMutablePointer<UInt64>
  let totals: UnsafeMutablePointer<UInt64>
  /// portCapacity rows of PortCounter and DropReason columns.
  let ports: UnsafeMutablePointer<UInt64>
  static let portRow = 48

  init?() {
    precondition(PortCounter.allCases.count + DropReason.tableSize <= Self.portRow, "a port's counters fit their row")
    let words = 64 + Self.portCapacity * Self.portRow
    guard let memory = sluice_map_memory(words * 8, 0) else { return nil }
    stages = memory.assumingMemoryBound(to: UInt64.self)
    totals = stages + 16
    ports = stages + 64
  }

  deinit { sluice_unmap_memory(stages, (64 + Self.portCapacity * Self.portRow) * 8) }

  @inline(__always)
  func add(_ stage: WorkerStage, _ cycles: UInt64) { sluice_count_u64(stages + stage.rawValue, cycles) }

  @inline(__always)
  func add(_ total: WorkerTotal, _ count: UInt64) { sluice_count_u64(totals + total.rawValue, count) }

  /// A total as it is now. Worker only.
  @inline(__always)
  func value(_ total: WorkerTotal) -> UInt64 { sluice_load_relaxed_u64(totals + total.rawValue) }

  @inline(__always)
  func row(_ port: Int) -> UnsafeMutablePointer<UInt64> { ports + port &* Self.portRow }

  @inline(__always)
  func add(port: Int, _ counter: PortCounter, _ count: UInt64) { sluice_count_u64(row(port) + counter.rawValue, count) }

  @inline(__always)
  func drop(port: Int, _ reason: DropReason) {
    sluice_count_u64(row(port) + (PortCounter.allCases.count &+ Int(reason.rawValue)), 1)
  }

  @inline(__always)
  func dropPlace(port: Int, _ reason: DropReason) -> UnsafeMutablePointer<UInt64> {
    row(port) + (4 &+ Int(reason.rawValue))
  }
}

/// A worker's counters at one moment.
public struct WorkerSnapshot: Sendable {
  public struct Stage: Sendable {
    public var name: String
    /// TSC cycles spent in the stage since the worker started.
    public var cycles: UInt64
  }
  public var id: Int
  public var cpu: Int
  public var isBusyPolling: Bool
  public var isSleeping: Bool
  public var stages: [Stage]
  public var packets: UInt64
  public var batches: UInt64
  public var exactHits: UInt64
  public var classifierHits: UInt64
  public var misses: UInt64
  public var sleeps: UInt64
  /// Frames of the upcall device dropped because their header is not ours, or names a port that is not there.
  public var badUpcalls: UInt64
  /// Packets sent through the look-up again; they are in the hits and misses a second time.
  public var recirculations: UInt64
  public var checksumsCompleted: UInt64
  public var masks: Int
  public var framesFree: Int
  public var framesTotal: Int
  /// CPU time that the worker's thread has used, in nanoseconds.
  public var cpuNanoseconds: UInt64
}

/// A port's counters, summed over workers or of one.
public struct PortCounters: Sendable, Equatable {
  public var receivedPackets: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var sentPackets: UInt64 = 0
  public var sentBytes: UInt64 = 0
  /// Frames dropped that came in by this port, or, for transmit-full, port-gone and too-big, that were to leave by it.
  public var drops: [DropReason: UInt64] = [:]

  public init() {}

  /// All drops.
  public var dropped: UInt64 { drops.values.reduce(0, +) }
}

extension WorkerCounters {
  /// Adds this worker's share of a port's counters to `sum`.
  public func read(port: PortIndex, into sum: inout PortCounters) {
    let row = row(Int(port))
    sum.receivedPackets += sluice_load_relaxed_u64(row + PortCounter.receivedPackets.rawValue)
    sum.receivedBytes += sluice_load_relaxed_u64(row + PortCounter.receivedBytes.rawValue)
    sum.sentPackets += sluice_load_relaxed_u64(row + PortCounter.sentPackets.rawValue)
    sum.sentBytes += sluice_load_relaxed_u64(row + PortCounter.sentBytes.rawValue)
    for reason in DropReason.allCases {
      let count = sluice_load_relaxed_u64(dropPlace(port: Int(port), reason))
      if count != 0 { sum.drops[reason, default: 0] += count }
    }
  }

  /// Forgets a port's counts. Only while no worker uses the port.
  public func clear(port: PortIndex) {
    for column in 0..<Self.portRow { sluice_store_relaxed_u64(row(Int(port)) + column, 0) }
  }
}
