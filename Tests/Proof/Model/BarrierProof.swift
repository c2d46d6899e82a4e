// BarrierProof.swift
//
// What: the proof of the barrier: change a rule, wait for the acknowledgement, send one packet: it must go where the new rules say, always, while
//       another port keeps the worker busy. The packets' flow is cached before each change, so a stale flow would be seen.
// Invariant: the probe's frame is never lost: its port has at most one miss under way.
// Threads: the caller's, the worker's, the pipeline's.

import CSluice
import Dataplane
import Glibc
import Pipeline
import TestSupport

/// A packet did not follow the rules that had been acknowledged.
public struct StaleAnswer: Error, CustomStringConvertible {
  public var round: Int
  public var change: String
  public var expected: UInt32
  public var seen: UInt32?

  public var description: String {
    "change \(round) (\(change)): the next packet should leave by port \(expected) and "
      + (seen.map { "left by port \($0)" } ?? "did not leave within five seconds")
  }
}

public final class BarrierProof {
  private let sluice: Switch
  private let probes = (0..<3).map { _ in ProbeQueue() }
  private let load: ReplayQueue
  private let sink = NullQueue()
  private var random: SeededGenerator
  private var model: ReferenceSwitch

  /// Packets that the other port has brought meanwhile.
  public private(set) var loadPackets: UInt64 = 0

  public init(seed: UInt64) throws {
    random = SeededGenerator(seed: seed)
    sluice = try Switch(
      configuration: SwitchConfiguration(workers: [WorkerConfiguration(chunkSize: 2048, chunkCount: 4096, flowLimit: 20_000, exactEntries: 4096)]))
    let frames = (0..<256).map { FramePacket().ipv4("10.0.1.\($0 % 200)", "10.0.2.1").udp(UInt16(2000 + $0), 53).bytes }
    load = ReplayQueue(trace: Trace(frames: frames))
    model = ReferenceSwitch(ports: (1...5).map { ReferencePort(number: $0) }, rules: [], groups: [])
    let queues: [PortQueue] = probes + [load, sink]
    try sluice.performAndWait { core in
      for (i, queue) in queues.enumerated() {
        _ = try core.addPort(
          name: "p\(i + 1)", number: UInt32(i + 1), queues: [WorkerQueue(worker: 0, queue: queue)], maxFrame: 1514)
      }
    }
    var base = ReferenceRule(table: 0, priority: 1, match: [FieldBits(.inPort, 1)])
    base.apply = [.output(2)]
    var busy = ReferenceRule(table: 0, priority: 1, match: [FieldBits(.inPort, 4)])
    busy.apply = [.output(5)]
    try add(base)
    try add(busy)
  }

  public func stop() { sluice.stop() }

  /// Makes changes and sends a packet after each.
  /// - Throws: `StaleAnswer`.
  public func run(changes: Int, progress: (Int) -> Void = { _ in }) throws {
    for round in 0..<changes {
      let change = try makeChange()
      let expected = try probe(round, change)
      // Once more, from the cache, so that the next change has something to make stale.
      if random.chance(4) { _ = try probe(round, "\(change), cached") }
      _ = expected
      if round % 1000 == 0 { progress(round) }
    }
    loadPackets = try sluice.performAndWait { core in core.counters(of: 4).receivedPackets }
  }

  /// Sends the packet and waits for it.
  private func probe(_ round: Int, _ change: String) throws -> UInt32 {
    nextNumber += 1
    var bytes = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [0xa5, 0x5a, 0, 0, 0, 0, 0, 0], withChecksum: false).bytes
    store(UInt128(nextNumber), &bytes, bytes.count - 4, 4)
    let expected = model.answers(bytes, inPort: 1)[0].departures.first?.port ?? 0
    probes[0].inject(bytes)
    let end = sluice_monotonic_nanoseconds() + 5_000_000_000
    while true {
      for (i, queue) in probes.enumerated() where queue.lastNumber == nextNumber {
        let port = UInt32(i + 1)
        guard port == expected else { throw StaleAnswer(round: round, change: change, expected: expected, seen: port) }
        return expected
      }
      guard sluice_monotonic_nanoseconds() < end else { throw StaleAnswer(round: round, change: change, expected: expected, seen: nil) }
      sched_yield()
    }
  }

  private var nextNumber: UInt32 = 0

  // MARK: Changes

  /// One random change, of those that can be made now. Returns its name.
  private func makeChange() throws -> String {
    let extra = model.rules.filter { $0.priority > 1 }
    switch random.next() % 3 {
    case 0 where !extra.isEmpty:
      let rule = random.pick(extra)
      try remove(rule)
      return "a rule is deleted"
    case 1 where extra.count < 20:
      // Not all of these match the probe.
      let priority = UInt16(2 + random.next() % 40)
      let match: [FieldBits] = [
        FieldBits(.inPort, UInt128(random.pick([1, 1, 1, 4]))), FieldBits(.ethType, 0x0800), FieldBits(.ipv4Dst, 0x0a00_0002, randomPrefix()),
      ]
      guard !model.rules.contains(where: { $0.priority == priority }) else { break }
      var rule = ReferenceRule(table: 0, priority: priority, match: match)
      rule.apply = [.output(rule.match[0].value == 4 ? 5 : random.pick([2, 3]))]
      try add(rule)
      return "a rule is added"
    default: break
    }
    // The same match and priority, another port.
    guard let position = model.rules.indices.filter({ model.rules[$0].match[0].value == 1 }).randomElement(using: &random) else { return "nothing" }
    var rule = model.rules[position]
    rule.apply = [.output(rule.apply == [.output(2)] ? 3 : 2)]
    model.rules[position] = rule
    try install(rule)
    return "a rule is replaced"
  }

  private func randomPrefix() -> UInt128 { UInt128(UInt32.max << UInt32(random.next() % 32)) }

  private func add(_ rule: ReferenceRule) throws {
    model.rules.append(rule)
    try install(rule)
  }

  private func install(_ rule: ReferenceRule) throws {
    let parsed = try Rule(text: rule.text(cookie: 0))
    try sluice.performAndWait { core in _ = try core.addRules([parsed]) }
  }

  private func remove(_ rule: ReferenceRule) throws {
    model.rules.removeAll { $0 == rule }
    let parsed = try Rule(text: rule.text(cookie: 0))
    _ = try sluice.performAndWait { core in core.deleteRules(RuleFilter(exactly: parsed)) }
  }
}
