// BenchSwitch.swift
//
// What: a switch on ports in memory: the workers, caches and pipeline of sluiced, fed by queues that the benchmarks make.
// Invariants: output ports are numbered 2 and up and drop what they are sent; input ports are 1, 101, 102, ..., in the order in which they
//             are added.
// Threads: the benchmark's main thread; queues belong to the workers once they are added.

import CSluice
import Dataplane
import Foundation
import Pipeline

struct BenchSwitch {
  let sluice: Switch
  private let workerCount: Int

  /// How a switch is made for a measurement.
  struct Size {
    /// Flows that each worker must be able to hold.
    var flows = 200_000
    /// Connections that the exact cache has two places each for.
    var connections = 65_536
    /// Bytes of the longest frame.
    var longestFrame = 60
    var workers = 1
    /// The CPU of the first worker; the others follow. nil: the last CPUs.
    var firstCPU: Int?
    var mode = PollMode.busy
    var frames = 4096
    /// Misses of one port that may wait for the pipeline.
    var upcallBudget = 128
    var flowIdleSeconds = 3600.0
    /// Ports 2 to this number drop what they are sent.
    var outputs = 4
  }

  init(_ size: Size) throws {
    let cpus = ProcessInfo.processInfo.activeProcessorCount
    let first = size.firstCPU ?? max(0, cpus - size.workers)
    var exactEntries = 1 << 17
    while exactEntries < size.connections * 2 { exactEntries *= 2 }
    let chunkSize = size.longestFrame + FrameMemory.headroom <= 2048 ? 2048 : 4096
    workerCount = size.workers
    sluice = try Switch(
      configuration: SwitchConfiguration(
        workers: (0..<size.workers).map {
          WorkerConfiguration(
            cpu: (first + $0) % cpus, mode: size.mode, chunkSize: chunkSize, chunkCount: size.frames, flowLimit: size.flows,
            exactEntries: exactEntries, upcallBudget: size.upcallBudget)
        }, flowIdleSeconds: size.flowIdleSeconds))
    let workers = workerCount
    try sluice.performAndWait { core in
      for number in 2...size.outputs {
        _ = try core.addPort(
          name: "null\(number)", number: UInt32(number),
          queues: (0..<workers).map { WorkerQueue(worker: $0, queue: NullQueue()) }, maxFrame: 9216)
      }
    }
  }

  func stop() { sluice.stop() }

  /// The number of the input port that is added as number `place`, from 0.
  static func inputNumber(_ place: Int) -> UInt32 { place == 0 ? 1 : UInt32(100 + place) }

  /// Starts to receive from queues, one for each worker.
  func addInput(_ number: UInt32, _ queues: [PortQueue]) throws {
    try sluice.performAndWait { core in
      _ = try core.addPort(
        name: "input\(number)", number: number, queues: queues.enumerated().map { WorkerQueue(worker: $0, queue: $1) },
        maxFrame: 9216)
    }
  }

  /// Changes rules, groups and meters at one moment.
  func apply(_ changes: [RuleChangeRequest]) throws {
    try sluice.performAndWait { core in _ = try core.apply(changes) }
  }

  /// Adds rules, groups and meters written as in a rule file.
  func add(_ lines: [String]) throws { try apply(RuleFile.parse(lines, path: "built-in rules")) }

  /// Teaches the switch where stations are, before their first packet.
  func teach(_ stations: [Station], port: UInt32) throws {
    try sluice.performAndWait { core in
      let now = sluice_monotonic_nanoseconds()
      for station in stations { _ = core.macs.learn(station, port: port, nowNanoseconds: now) }
    }
  }

  var totals: WorkerTotals { WorkerTotals(sluice.workers.map { $0.snapshot() }) }

  func flows() throws -> (count: Int, masks: Int) {
    try sluice.performAndWait { core in (core.flowCount, core.flowMaskCount) }
  }

  func counters(_ number: UInt32) throws -> PortCounters {
    try sluice.performAndWait { core in core.counters(of: number) }
  }

  /// Runs until a tenth of a second passes without a miss, or the time is over.
  func warmUp(limitSeconds: Double) {
    let end = Date().addingTimeInterval(limitSeconds)
    Thread.sleep(forTimeInterval: 0.3)
    var before = totals
    repeat {
      Thread.sleep(forTimeInterval: 0.1)
      let now = totals
      if now.packets > before.packets, now.misses == before.misses { return }
      before = now
    } while Date() < end
  }
}
