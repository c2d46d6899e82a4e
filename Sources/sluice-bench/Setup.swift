// Setup.swift
//
// What: `sluice-bench setup`: how many flows a second are set up when every packet is a new one, and what a flow costs in memory.
// Method: a trace of N frames that are N flows is replayed in a loop, as fast as the worker takes it. The rate is taken between a tenth
//         and nine tenths of N, so that neither the start nor the wait for the last few counts. Memory is the growth of the
//         process's resident bytes from before the first packet to after the last flow, everything included, over N.
// Why the default rule: a mask that is no prefix makes every pair of addresses a flow of its own, in OVS too, with one answer and one
//         mask for all of them; so what is measured is the life of a flow and not a look-up in a large rule table.

import ArgumentParser
import Dataplane
import Foundation
import Pipeline

struct Setup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures flow set-ups per second and bytes per flow.",
    discussion: """
      EXAMPLES
        sluice-bench setup
        sluice-bench setup --flows 1000000 --json
        sluice-bench setup --rules setup.rules --trace part0.pcap --trace part1.pcap

      Needs two CPUs: one for the worker, one for the pipeline thread that answers it.
      """)

  @Option(help: "Flows to set up, when no trace is given.")
  var flows: Int = 100_000
  @Option(help: "Rules in ovs-ofctl's syntax, one a line. Default: one that makes every pair of addresses a flow.")
  var rules: String?
  @Option(help: "The frames to replay, each a flow of its own: a pcap file. Repeat it for more ports.")
  var trace: [String] = []
  @Option(help: "The CPU of the worker. Default: the last.")
  var cpu: Int?
  @Option(help: "Misses of one port that may wait for the pipeline.")
  var budget: Int = 128
  @Option(help: "The longest wait for all flows, in seconds.")
  var limit: Double = 60
  @Flag(help: "Print one JSON object.")
  var json = false

  /// Rules that make every pair of addresses a flow of its own: the masks are no prefixes, and no packet of ours matches them.
  static let everyPairIsAFlow = [
    "priority=2,udp,nw_src=192.0.2.1/255.127.255.255,nw_dst=192.0.2.1/255.127.255.255,actions=drop",
    "priority=1,actions=output:2",
  ]

  func validate() throws {
    guard (1000...4_000_000).contains(flows) else { throw ValidationError("--flows \(flows): expected 1000 to 4000000") }
    guard (1...100_000).contains(budget) else { throw ValidationError("--budget \(budget): expected 1 to 100000") }
    guard limit > 0 else { throw ValidationError("--limit \(limit): expected more than 0") }
  }

  func run() throws {
    let traces = try trace.isEmpty ? [SyntheticFlows.udp(flows)] : trace.map { try PcapFile.trace(path: $0) }
    let ruleList = try rules.map { try RuleFile.load(path: $0) } ?? RuleFile.parse(Self.everyPairIsAFlow, path: "built-in rules")
    let wanted = traces.reduce(0) { $0 + $1.count }
    let bench = try BenchSwitch(
      .init(
        flows: max(200_000, wanted * 5 / 4), connections: wanted, longestFrame: traces.map(\.longestFrame).max() ?? 0, firstCPU: cpu,
        frames: 2048, upcallBudget: budget))
    defer { bench.stop() }
    try bench.apply(ruleList)
    let before = ProcessMemory.heldBytes
    for (place, frames) in traces.enumerated() {
      try bench.addInput(BenchSwitch.inputNumber(place), [ReplayQueue(trace: frames)])
    }
    let curve = try watch(bench, wanted: wanted)
    let held = ProcessMemory.heldBytes
    let state = try bench.flows()
    guard state.count > wanted / 2 else {
      throw ValidationError("the rules make \(state.count) flows of \(wanted) packets; expected about as many")
    }
    let result = SetupResult(
      flows: state.count, masks: state.masks, setupsPerSecond: Self.rate(curve, of: state.count),
      bytesPerFlow: Double(held - before) / Double(state.count), rssBytes: ProcessMemory.residentBytes,
      secondsInAll: curve.last?.seconds ?? 0)
    print(json ? try jsonLine(result) : result.text)
  }

  /// The number of flows over time, until all are there or no more come.
  private func watch(_ bench: BenchSwitch, wanted: Int) throws -> [(seconds: Double, flows: Int)] {
    let began = ContinuousClock.now
    var curve: [(seconds: Double, flows: Int)] = []
    var grew = 0.0
    while true {
      Thread.sleep(forTimeInterval: 0.004)
      let count = try bench.flows().count
      let now = (ContinuousClock.now - began).seconds
      if count > curve.last?.flows ?? 0 { grew = now }
      curve.append((now, count))
      if count >= wanted || now > limit || now - grew > 1 { return curve }
    }
  }

  /// Flows per second between a tenth and nine tenths.
  private static func rate(_ curve: [(seconds: Double, flows: Int)], of flows: Int) -> Double {
    guard let first = curve.first(where: { $0.flows >= flows / 10 }), let last = curve.last(where: { $0.flows <= flows * 9 / 10 }),
      last.seconds > first.seconds
    else { return curve.last.map { Double($0.flows) / $0.seconds } ?? 0 }
    return Double(last.flows - first.flows) / (last.seconds - first.seconds)
  }
}

/// What a run of `setup` prints.
struct SetupResult: Encodable {
  var flows: Int
  var masks: Int
  var setupsPerSecond: Double
  var bytesPerFlow: Double
  var rssBytes: Int
  var secondsInAll: Double

  var text: String {
    String(format: "%.0f set-ups/s, %.0f bytes a flow\n", setupsPerSecond, bytesPerFlow)
      + String(format: "%d flows  %d masks  resident %d MiB  %.2f s in all", flows, masks, rssBytes / 1_048_576, secondsInAll)
  }
}
