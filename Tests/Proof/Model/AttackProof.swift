// AttackProof.swift
//
// What: two attacks on a switch by one port, and what established flows of another port lose by them. Both ports belong to one worker.
//       - flood: every packet has a new five-tuple, so that every one is a miss;
//       - tuples: packets that differ from what the rules allow at chosen bits, so that each kind wants a mask of its own
//         (L. Csikor et al., "Tuple Space Explosion", 2019).
// Method: established packets are offered at a steady rate by a port with a ring, as a NIC's; what the worker does not take in time is lost. What
//         leaves in a window without the attack is compared with what leaves in one with it.
// Invariants: every packet that came in left or was dropped for a named reason, when all is quiet again.
// Threads: the caller's, the worker's, the pipeline's: wants two CPUs.

import CSluice
import Dataplane
import Glibc
import Pipeline
import TestSupport

public struct AttackReport: Sendable, CustomStringConvertible {
  public var name: String
  /// Established packets that left, per second, without and with the attack.
  public var without = 0.0
  public var with = 0.0
  /// Attack packets that the worker took, and what became of them.
  public var attackPackets: UInt64 = 0
  public var attackDrops: [String: UInt64] = [:]
  public var flows = 0
  public var masks = 0
  /// Packets that came in, and that left or were dropped: the same when nothing is lost in secret.
  public var receivedPackets: UInt64 = 0
  public var accountedPackets: UInt64 = 0

  public var kept: Double { without > 0 ? with / without : 0 }

  public var description: String {
    let drops = attackDrops.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    return "\(name): established \(Int(without)) -> \(Int(with)) packets/s (kept \(Int((kept * 1000).rounded())) of 1000), "
      + "attack \(attackPackets) packets (\(drops)), \(flows) flows, \(masks) masks, in \(receivedPackets) = out + drops \(accountedPackets)"
  }
}

public enum AttackProof {
  /// The rules that both attacks meet: some services are allowed, the rest is dropped or, in the flood, forwarded flow by flow.
  private static let floodRules = [
    // These masks are no prefixes, so that nearly every bit is looked at, and nearly every packet is a miss.
    "priority=10,in_port=1,udp,nw_src=1.2.3.4/255.255.255.253,actions=drop",
    "priority=9,in_port=1,udp,tp_src=1/0xfffd,actions=drop",
    "priority=1,actions=output:3",
  ]
  private static let tupleRules = [
    "priority=40,udp,nw_src=10.0.0.1,actions=output:3", "priority=30,udp,nw_dst=10.1.0.1,actions=output:3",
    "priority=20,udp,tp_dst=80,actions=output:3", "priority=10,udp,tp_src=12345,actions=output:3", "priority=1,actions=drop",
  ]

  public static func flood(seconds: Double) throws -> AttackReport {
    var random = SeededGenerator(seed: 1)
    let template = frame()
    return try measure("flood", rules: floodRules, seconds: seconds, rate: 500_000) { _, bytes in
      bytes.update(from: template, count: template.count)
      store32(UInt32(truncatingIfNeeded: random.next()), bytes + 26)
      store32(0x0a01_0000 | UInt32(truncatingIfNeeded: random.next()) & 0xffff, bytes + 30)
      store32(UInt32(truncatingIfNeeded: random.next()), bytes + 34)
      return template.count
    }
  }

  public static func tuples(seconds: Double) throws -> AttackReport {
    var random = SeededGenerator(seed: 2)
    let template = frame()
    return try measure("tuples", rules: tupleRules, seconds: seconds, rate: 20_000) { number, bytes in
      bytes.update(from: template, count: template.count)
      // Each combination of the first bits that differ is a mask of its own: 32 x 32 x 16 x 16 of them.
      func off(_ value: UInt32, _ bit: UInt64, _ width: UInt64) -> UInt32 {
        let flip = UInt32(1) << UInt32(bit % width)
        return (value ^ flip) & ~(flip - 1) | UInt32(truncatingIfNeeded: random.next()) & (flip - 1)
      }
      let ports = off(12345, number / 17, 16) << 16 | off(80, number / 5, 16)
      store32(off(0x0a00_0001, number, 32), bytes + 26)
      store32(off(0x0a01_0001, number / 3, 32), bytes + 30)
      store32(ports, bytes + 34)
      return template.count
    }
  }

  private static func frame() -> [UInt8] {
    FramePacket().ipv4("10.0.0.1", "10.1.0.1").udp(12345, 80, payload: .init(repeating: 0, count: 18), withChecksum: false).bytes
  }

  private static func store32(_ value: UInt32, _ bytes: UnsafeMutablePointer<UInt8>) {
    for i in 0..<4 { bytes[i] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * i)) }
  }

  private static func measure(
    _ name: String, rules: [String], seconds: Double, rate: Double, attack: @escaping (UInt64, UnsafeMutablePointer<UInt8>) -> Int
  ) throws -> AttackReport {
    let template = frame()
    // A thousand flows of one allowed service.
    let established = PacedQueue(rate: 200_000) { number, bytes in
      bytes.update(from: template, count: template.count)
      store32(0x0a00_0001, bytes + 26)
      store32(0x0a02_0000 | UInt32(number % 1000), bytes + 30)
      return template.count
    }
    let attacker = PacedQueue(rate: rate, make: attack)
    let out = ProbeQueue()
    let sluice = try Switch(
      configuration: SwitchConfiguration(workers: [WorkerConfiguration(chunkSize: 2048, chunkCount: 16384)], flowIdleSeconds: 60))
    defer { sluice.stop() }
    let parsed = try rules.map { try Rule(text: $0) }
    try sluice.performAndWait { core in
      for (number, queue) in [(UInt32(1), attacker as PortQueue), (2, established), (3, out)] {
        _ = try core.addPort(name: "p\(number)", number: number, queues: [WorkerQueue(worker: 0, queue: queue)], maxFrame: 1514)
      }
      _ = try core.addRules(parsed)
    }
    var report = AttackReport(name: name)
    established.open(true)
    pause(seconds: 1)
    report.without = try sent(sluice, seconds)
    attacker.open(true)
    pause(seconds: 0.5)
    report.with = try sent(sluice, seconds)
    (report.flows, report.masks) = try sluice.performAndWait { core in (core.flowCount, core.flowMaskCount) }
    attacker.open(false)
    established.open(false)
    pause(seconds: 1)
    let all = try sluice.performAndWait { core in (1...3).map { core.counters(of: UInt32($0)) } }
    report.attackPackets = all[0].receivedPackets
    for (reason, count) in all[0].drops { report.attackDrops[reason.name] = count }
    report.receivedPackets = all[0].receivedPackets + all[1].receivedPackets
    report.accountedPackets = all[2].sentPackets + all.reduce(0) { $0 + $1.dropped }
    return report
  }

  /// Established packets received per second, of which the worker loses none after it has taken them.
  private static func sent(_ sluice: Switch, _ seconds: Double) throws -> Double {
    func count() throws -> UInt64 {
      try sluice.performAndWait { core in
        let counters = core.counters(of: 2)
        return counters.receivedPackets - counters.dropped
      }
    }
    let start = sluice_monotonic_nanoseconds()
    let before = try count()
    pause(seconds: seconds)
    let after = try count()
    return Double(after - before) / (Double(sluice_monotonic_nanoseconds() - start) / 1e9)
  }

  private static func pause(seconds: Double) { usleep(UInt32(seconds * 1e6)) }
}
