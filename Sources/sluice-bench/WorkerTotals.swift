// WorkerTotals.swift
//
// What: the counters of all workers at one moment, their differences, and what a program prints of them.

import Dataplane

/// Counters summed over workers.
struct WorkerTotals {
  var packets: UInt64 = 0
  var exactHits: UInt64 = 0
  var classifierHits: UInt64 = 0
  var misses: UInt64 = 0
  /// CPU time of the workers' threads, as they last told.
  var cpuNanoseconds: UInt64 = 0
  var stages: [String: UInt64] = [:]

  init(_ snapshots: [WorkerSnapshot]) {
    for worker in snapshots {
      packets += worker.packets
      exactHits += worker.exactHits
      classifierHits += worker.classifierHits
      misses += worker.misses
      cpuNanoseconds += worker.cpuNanoseconds
      for stage in worker.stages { stages[stage.name, default: 0] += stage.cycles }
    }
  }

  static func - (a: WorkerTotals, b: WorkerTotals) -> WorkerTotals {
    var r = a
    r.packets -= b.packets
    r.exactHits -= b.exactHits
    r.classifierHits -= b.classifierHits
    r.misses -= b.misses
    r.cpuNanoseconds -= b.cpuNanoseconds
    for (name, cycles) in b.stages { r.stages[name, default: 0] -= cycles }
    return r
  }

  var cyclesPerPacket: Double { Double(stages.values.reduce(0, +)) / Double(packets) }

  var stagesPerPacket: [(name: String, cycles: Double)] {
    WorkerStage.allCases.map { ($0.name, Double(stages[$0.name] ?? 0) / Double(packets)) }
  }
}
