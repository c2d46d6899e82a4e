// Attack.swift
//
// What: `sluice-bench attack`: what established flows of one port keep of their rate while another port is used for an attack:
//       a flood of new flows (every packet a miss), or frames that ask for a mask each (an attack on the tuple space).
// Method: established flows are replayed by port 1 as fast as the worker takes them, so that every cycle that the attack costs is one that
//         they lose. Short windows without and with the attack alternate, and each pair gives a ratio; a point is their median, shown with the
//         least and the greatest of them. Every second pair begins with the attack, so that a machine that slows down or speeds up counts for
//         neither side. Rates are per second of the worker's CPU time, so that other work on the machine counts for little. A
//         point has a switch of its own, so that nothing is left of the attack before.
// Source of the tuple attack: L. Csikor et al., "Tuple Space Explosion", OVS+OVN conference 2020.

import ArgumentParser
import CSluice
import Dataplane
import Foundation
import Pipeline

struct Attack: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures what established flows keep of their rate under a flood of new flows and under an attack on the tuple space.",
    discussion: """
      EXAMPLES
        sluice-bench attack
        sluice-bench attack --kind upcalls --rate 1000000
        sluice-bench attack --kind tuples --flows 100000 --json

      Needs two CPUs: one for the worker, one for the pipeline thread that answers it.
      """)

  enum Kind: String, ExpressibleByArgument, CaseIterable, Encodable { case upcalls, tuples }

  @Option(help: "The attack: upcalls or tuples. Default: both.")
  var kind: Kind?
  @Option(help: "Established flows.")
  var flows: Int = 1000
  @Option(
    help: "Packets per second of the attacker; 0 for as many as the worker takes. Default: a curve for upcalls, 4000 for tuples.")
  var rate: Double?
  @Option(help: "Tuples that the attacker uses. Default: a curve.")
  var tuples: Int?
  @Option(help: "Seconds of each window.")
  var seconds: Double = 0.2
  @Option(help: "Pairs of windows per point.")
  var rounds: Int = 11
  @Option(help: "The CPU of the worker. Default: the last.")
  var cpu: Int?
  @Flag(help: "Print a JSON object per point.")
  var json = false

  func validate() throws {
    guard (1...1_000_000).contains(flows) else { throw ValidationError("--flows \(flows): expected 1 to 1000000") }
    guard seconds > 0, seconds <= 60 else { throw ValidationError("--seconds \(seconds): expected more than 0, at most 60") }
    guard (1...100).contains(rounds) else { throw ValidationError("--rounds \(rounds): expected 1 to 100") }
    if let tuples, !(1...SyntheticFlows.mostTuples).contains(tuples) {
      throw ValidationError("--tuples \(tuples): expected 1 to \(SyntheticFlows.mostTuples)")
    }
    if let rate, rate < 0 { throw ValidationError("--rate \(rate): expected 0 or more") }
  }

  func run() throws {
    if !json { print(AttackPoint.heading) }
    for kind in kind.map({ [$0] }) ?? Kind.allCases {
      switch kind {
      case .upcalls:
        for rate in rate.map({ [$0] }) ?? [1e3, 1e4, 1e5, 1e6, 0] { try show(upcalls(rate: rate)) }
      case .tuples:
        let curve = [1, 16, 64, 256, 1024, 2048, 4096, SyntheticFlows.mostTuples]
        for count in tuples.map({ [$0] }) ?? curve { try show(tuples(count, rate: rate ?? 4000)) }
      }
    }
  }

  private func show(_ point: AttackPoint) throws { print(json ? try jsonLine(point) : point.row) }

  private func upcalls(rate: Double) throws -> AttackPoint {
    let clock = Self.cyclesPerSecond
    return try measure(
      .upcalls, rules: Setup.everyPairIsAFlow, established: SyntheticFlows.udp(flows), AttackQueue(.random, cyclesPerSecond: clock),
      rate: rate, tuples: 0, lead: 0.5)
  }

  private func tuples(_ count: Int, rate: Double) throws -> AttackPoint {
    let clock = Self.cyclesPerSecond
    // Long enough for every tuple to have been seen.
    let lead = rate > 0 ? 0.5 + Double(count) / rate : 1
    return try measure(
      .tuples, rules: SyntheticFlows.tupleRules, established: SyntheticFlows.web(flows),
      AttackQueue(.list(SyntheticFlows.tuples(count)), cyclesPerSecond: clock), rate: rate, tuples: count, lead: lead)
  }

  private static let attackPort: UInt32 = 50
  /// From a change of the attack's rate to the window that measures it.
  private static let settleSeconds = 0.05

  /// Measures one point.
  /// - Parameter lead: seconds of attack before the first window.
  private func measure(
    _ kind: Kind, rules: [String], established: Trace, _ attacker: AttackQueue, rate: Double, tuples: Int, lead: Double
  ) throws -> AttackPoint {
    let bench = try BenchSwitch(.init(connections: flows, firstCPU: cpu, flowIdleSeconds: 10))
    defer { bench.stop() }
    try bench.add(rules)
    try bench.addInput(1, [ReplayQueue(trace: established)])
    bench.warmUp(limitSeconds: 10)
    try bench.addInput(Self.attackPort, [attacker])
    let offered: Double? = rate > 0 ? rate : nil
    var point = AttackPoint(kind: kind, establishedFlows: flows, tuples: tuples, attackPacketsPerSecond: rate)
    var pairs: [(without: Double, with: Double)] = []
    let lostBefore = try bench.counters(1).dropped
    attacker.setRate(offered)
    Thread.sleep(forTimeInterval: lead)
    for round in 0..<rounds {
      var pair = (without: 0.0, with: 0.0)
      for isAttacked in round % 2 == 0 ? [false, true] : [true, false] {
        attacker.setRate(isAttacked ? offered : 0)
        Thread.sleep(forTimeInterval: Self.settleSeconds)
        let before = try bench.counters(Self.attackPort)
        let rate = try packetsPerSecond(bench)
        guard isAttacked else {
          pair.without = rate
          continue
        }
        pair.with = rate
        point.note(before: before, after: try bench.counters(Self.attackPort))
      }
      pairs.append(pair)
    }
    let state = try bench.flows()
    (point.flows, point.masks) = (state.count, state.masks)
    point.establishedLost = try bench.counters(1).dropped - lostBefore
    pairs.sort { $0.with / $0.without < $1.with / $1.without }
    let ratios = pairs.map { $0.with / $0.without }
    let middle = pairs[pairs.count / 2]
    point.mppsWithout = middle.without / 1e6
    point.mppsWith = middle.with / 1e6
    (point.keptLeast, point.kept, point.keptMost) = (ratios[0], ratios[ratios.count / 2], ratios[ratios.count - 1])
    point.attackPacketsTakenPerSecond = Double(point.attackPackets) / (seconds * Double(rounds))
    return point
  }

  /// Established packets received over a window, per second of the worker's CPU time.
  private func packetsPerSecond(_ bench: BenchSwitch) throws -> Double {
    let packets = try bench.counters(1).receivedPackets
    let time = bench.totals.cpuNanoseconds
    Thread.sleep(forTimeInterval: seconds)
    let spent = bench.totals.cpuNanoseconds - time
    guard spent > 0 else { throw ValidationError("the worker did not run for \(seconds) seconds; does a CPU for it exist?") }
    return Double(try bench.counters(1).receivedPackets - packets) / (Double(spent) / 1e9)
  }

  private static let cyclesPerSecond: Double = {
    let cycles = sluice_cycles()
    let took = timed { Thread.sleep(forTimeInterval: 0.1) }.seconds
    return Double(sluice_cycles() - cycles) / took
  }()
}

/// One point of a curve.
struct AttackPoint: Encodable {
  var kind: Attack.Kind
  var establishedFlows: Int
  /// Tuples that the attacker asks for; 0 for a flood of upcalls.
  var tuples: Int
  /// What the attacker offers; 0 for as much as is taken.
  var attackPacketsPerSecond: Double
  var attackPacketsTakenPerSecond = 0.0
  var attackPackets: UInt64 = 0
  /// Drops by reason, of the attacker's packets.
  var attackDrops: [String: UInt64] = [:]
  var mppsWithout = 0.0
  var mppsWith = 0.0
  /// The part of their rate that established flows keep: of all pairs of windows the median, the least and the greatest.
  var kept = 0.0
  var keptLeast = 0.0
  var keptMost = 0.0
  /// Packets of established flows that were dropped.
  var establishedLost: UInt64 = 0
  var flows = 0
  var masks = 0

  /// Adds what a window did to the attacker.
  mutating func note(before: PortCounters, after: PortCounters) {
    attackPackets += after.receivedPackets - before.receivedPackets
    for (reason, count) in after.drops { attackDrops[reason.name, default: 0] += count - (before.drops[reason] ?? 0) }
  }

  static let heading =
    "attack    offered/s    taken/s  tuples  masks    flows  Mpps without  with    kept   least    most  lost  attacker's drops"

  var row: String {
    let offered = attackPacketsPerSecond > 0 ? "\(Int(attackPacketsPerSecond))" : "all"
    func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
    func percent(_ ratio: Double) -> String { right(String(format: "%.1f %%", ratio * 100), 8) }
    let drops = attackDrops.sorted { $0.key < $1.key }.filter { $0.value > 0 }.map { "\($0.key) \($0.value)" }
    return kind.rawValue + right(offered, 19 - kind.rawValue.count) + right("\(Int(attackPacketsTakenPerSecond))", 11)
      + right("\(tuples)", 8) + right("\(masks)", 7) + right("\(flows)", 9) + right(String(format: "%.2f", mppsWithout), 14)
      + right(String(format: "%.2f", mppsWith), 6) + percent(kept) + percent(keptLeast) + percent(keptMost)
      + right("\(establishedLost)", 6) + "  " + drops.joined(separator: ", ")
  }
}
