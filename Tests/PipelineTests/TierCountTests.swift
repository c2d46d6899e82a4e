// TierCountTests.swift
//
// What: what a tier counts is part of its flow's and its rules' counters, through every move of a flow, and keeps alive what is in use: flows, rules,
//       stations.

import CSluice
import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct TierCountTests {
  private func udp(_ source: Int) -> [UInt8] { FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(UInt16(source), 53).bytes }

  private func pass(_ bench: SwitchBench, to port: UInt32 = 2, _ frames: [UInt8]..., sourceLocation: SourceLocation = #_sourceLocation) {
    bench[1].inject(contentsOf: frames)
    #expect(bench[port].waitForOutput(frames.count).count == frames.count, sourceLocation: sourceLocation)
  }

  @Test func aFlowsCountersAreTheSumOverItsWorkerAndAllItsStays() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=output:2"])
    let length = UInt64(udp(1).count)
    pass(bench, udp(1), udp(1), udp(1))
    try bench.on { _ in tier.hitAll(packets: 5) }
    func expect(_ packets: UInt64, _ bytes: UInt64, inTier: UInt64, sourceLocation: SourceLocation = #_sourceLocation) throws {
      let flow = try #require(try bench.flows().first)
      #expect(flow.packets == packets && flow.bytes == bytes, sourceLocation: sourceLocation)
      #expect(flow.tiers.first?.packets == inTier, sourceLocation: sourceLocation)
      let rule = try #require(try bench.rules().first)
      #expect(rule.packets == packets && rule.bytes == bytes, sourceLocation: sourceLocation)
      #expect(try bench.on { core in core.flow(flow.id)?.packets } == packets, sourceLocation: sourceLocation)
    }
    try expect(8, 3 * length + 50, inTier: 5)
    try expect(8, 3 * length + 50, inTier: 5)
    // Two more find it while it is withdrawn.
    try bench.on { _ in tier.lateHits = 2 }
    #expect(try bench.on { core in core.drainTiers() } == 1)
    try expect(10, 3 * length + 70, inTier: 7)
    pass(bench, udp(1))
    try bench.on { core in try core.setPort(1, placement: .eager) }
    try bench.sweep()
    #expect(try bench.on { _ in tier.count } == 1)
    try expect(11, 4 * length + 70, inTier: 7)
    try bench.on { _ in tier.hitAll(packets: 1) }
    try expect(12, 4 * length + 80, inTier: 8)
    #expect(try bench.flows().first?.tier == "fake")
    try bench.expectNoLeak()
  }

  @Test func theCountsOfAnOldAnswerAreItsRulesAndTheNewOneBeginsAtZero() async throws {
    let tier = FakeTier()
    tier.lateHits = 3
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["priority=1,udp,actions=output:2"])
    let log = EventLog(bench.sluice)
    pass(bench, udp(1))
    try bench.on { _ in tier.hitAll(packets: 10) }
    try bench.add(rules: ["priority=9,udp,actions=output:3"])
    #expect(try bench.flows().map(\.packets) == [0])
    #expect(try bench.rules().map(\.packets) == [0, 14])
    try bench.on { _ in tier.hitAll(packets: 100) }
    #expect(try bench.rules().map(\.packets) == [100, 14])
    let gone = try bench.delete(RuleFilter(exactly: Rule(text: "priority=9,udp,actions=drop")))
    #expect(gone.map(\.packets) == [103])
    #expect(try bench.rules().map(\.packets) == [14])
    try bench.on { _ in tier.hitAll(packets: 1) }
    #expect(try bench.on { core in core.purgeFlows() } == 1)
    #expect(try bench.rules().map(\.packets) == [18])
    #expect(tier.count == 0)
    func ends() -> [UInt64] {
      log.events.compactMap { watched in
        if case .flowRemoved(let flow, _) = watched.event { return flow.packets }
        return nil
      }
    }
    // The log needs a thread of the pool that tests run on: waiting must not hold one.
    for _ in 0..<1000 where ends().count < 3 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(ends() == [14, 103, 4])
    try bench.expectNoLeak()
  }

  @Test func noCountIsLostOrGoesBackWhateverHappens() throws {
    var generator = SeededGenerator.fresh()
    let tier = FakeTier(capacity: 10)
    tier.lateHits = 1
    let bench = try SwitchBench(
      tier: tier, placement: .eager, rules: ["priority=1,actions=output:2"] + (0..<8).map { "priority=5,udp,tp_src=\($0),actions=output:2" })
    for port: UInt32 in 2...3 { bench[port].forgetOutput() }
    var deleted: UInt64 = 0
    var seen: [UInt64: UInt64] = [:]
    for round in 0..<500 {
      bench[1].inject(contentsOf: (0..<Int(generator.next() % 6)).map { _ in udp(Int(generator.next() % 12)) })
      if generator.next() & 1 == 0 { try bench.settle() }
      let hits = generator.next() % 5
      try bench.on { _ in tier.hitAll(packets: hits) }
      let priority = 5 + generator.next() % 3
      switch generator.next() % 10 {
      case 0: try bench.add(rules: ["priority=\(priority),udp,tp_src=\(generator.next() % 12),actions=output:\(2 + generator.next() % 2)"])
      case 1:
        let filter = try RuleFilter(exactly: Rule(text: "priority=\(priority),udp,tp_src=\(generator.next() % 12),actions=drop"))
        deleted += try bench.delete(filter).reduce(0) { $0 + $1.packets }
      case 2: _ = try bench.on { core in core.drainTiers() }
      case 3, 4: try bench.on { core in try core.setPort(1, placement: .eager) }
      case 5: _ = try bench.on { core in core.purgeFlows() }
      case 6:
        try bench.on { core in
          core.forEachFlow { if $0.slot % 3 == 0 { core.remove($0, .idle) } }
          core.settleLater()
        }
      default: try bench.sweep()
      }
      for rule in try bench.rules() {
        #expect(rule.packets >= seen[rule.id, default: 0], "round \(round), seed \(generator.seed)")
        seen[rule.id] = rule.packets
      }
    }
    try bench.settle()
    let rules = try bench.rules()
    let counters = try bench.counters(1)
    #expect(
      deleted + rules.reduce(0) { $0 + $1.packets } == counters.receivedPackets - counters.dropped + tier.hitCount, "seed \(generator.seed)")
    try bench.expectNoLeak()
    #expect(tier.count == 0)
  }

  // MARK: - Use

  @Test func aFlowIsAliveAsLongAsItsTierUsesIt() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=output:2"], flowIdleSeconds: 0.8)
    pass(bench, udp(1))
    let end = sluice_monotonic_nanoseconds() + 2_500_000_000
    while sluice_monotonic_nanoseconds() < end {
      try bench.on { _ in tier.hitAll(packets: 1) }
      pause(milliseconds: 50)
    }
    let flow = try #require(try bench.flows().first)
    #expect(bench.misses() == 1 && flow.idleSeconds < 0.8)
    let hits = tier.hitCount
    #expect(try bench.rules().first?.packets == hits + 1)
    #expect(eventually(seconds: 10) { (try? bench.flowCount()) == 0 })
    // Nobody asks for anything: the tick fences.
    #expect(eventually(seconds: 10) { (try? bench.on { _ in tier.count }) == 0 })
    #expect(try bench.rules().first?.packets == hits + 1)
    try bench.expectNoLeak()
  }

  @Test func aRuleIsUsedWhenATierUsesIt() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["idle_timeout=1,actions=output:2"])
    pass(bench, udp(1))
    let end = sluice_monotonic_nanoseconds() + 2_500_000_000
    while sluice_monotonic_nanoseconds() < end {
      try bench.on { _ in tier.hitAll(packets: 1) }
      pause(milliseconds: 50)
    }
    #expect(try bench.rules().count == 1)
    #expect(eventually(seconds: 10) { (try? bench.rules().isEmpty) == true })
    #expect(try bench.on { _ in tier.executing.allSatisfy { $0.flow.actions.isEmpty } })
    try bench.expectNoLeak()
  }

  @Test func aStationIsSeenWhenATierSeesIt() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, macAgingSeconds: 1.2)
    bench[1].inject(frame(1, to: 255))
    _ = (bench[2].waitForOutput(1), bench[3].waitForOutput(1))
    let end = sluice_monotonic_nanoseconds() + 3_000_000_000
    while sluice_monotonic_nanoseconds() < end {
      try bench.on { _ in tier.hitAll(packets: 1) }
      pause(milliseconds: 50)
    }
    #expect(try bench.on { core in core.macs.count } == 1)
    #expect(bench.misses() == 1)
    #expect(eventually(seconds: 10) { (try? bench.on { core in core.macs.count }) == 0 })
    #expect(try bench.on { _ in tier.executing.isEmpty })
    try bench.expectNoLeak()
  }

  // MARK: - Adoption

  /// The flows of `tier`, as a process after this one finds them.
  private func left(_ tier: FakeTier) -> [AdoptedFlow] {
    tier.held.map { handle, held in
      AdoptedFlow(
        handle: handle, key: held.flow.key, mask: held.flow.mask, port: held.flow.port, id: held.flow.id, actions: held.flow.actions,
        counts: held.counts)
    }
  }

  /// A tier with what two stations on ports 1 and 2 and `normal` made of it, and the flows' numbers.
  private func tierOfBefore(_ rules: [String]) throws -> (FakeTier, Set<UInt64>) {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: rules)
    bench[1].inject(frame(1, to: 255))
    _ = bench[2].waitForOutput(1)
    bench[2].inject(frame(2, to: 1))
    _ = bench[1].waitForOutput(1)
    pass(bench, frame(1, to: 2))
    try bench.on { _ in tier.hitAll(packets: 7) }
    let ids = Set(try bench.flows().map(\.id))
    bench.stop()
    return (tier, ids)
  }

  @Test func whatMeansTheSameIsAdoptedWithItsCountsAndNumbers() throws {
    let (tier, ids) = try tierOfBefore(["actions=normal"])
    #expect(tier.executing.count == 3)
    _ = tier.takeLog()
    let bench = try SwitchBench(tier: tier, placement: .eager)
    let flows = left(tier)
    let report = try bench.on { core in core.adopt(flows) }
    #expect(report == AdoptionReport(adopted: 3, withdrawn: 0))
    let adopted = try bench.flows()
    #expect(Set(adopted.map(\.id)) == ids)
    #expect(adopted.allSatisfy { $0.packets == 7 && $0.tier == "fake" })
    #expect(try bench.rules().first?.packets == 21)
    #expect(!tier.takeLog().contains { if case .withdrawn = $0 { true } else { false } })
    // What comes up finds a flow, and nobody learns anew.
    pass(bench, frame(1, to: 2))
    #expect(bench.misses() == 0)
    #expect(try bench.on { core in core.macs.count } == 2)
    // It goes on as any other: counts, changes.
    try bench.on { _ in tier.hitAll(packets: 1) }
    #expect(try bench.rules().first?.packets == 25)
    try bench.add(rules: ["priority=60000,actions=drop"])
    #expect(try bench.on { _ in tier.executing.allSatisfy { $0.flow.actions.isEmpty } })
    let newIDs = try bench.flows().map(\.id)
    #expect(newIDs.allSatisfy { id in ids.allSatisfy { id > $0 } })
    try bench.expectNoLeak()
    #expect(tier.count == 0)
  }

  @Test func whatMeansSomethingElseIsWithdrawn() throws {
    let (tier, _) = try tierOfBefore(["actions=normal"])
    // The flows of port 1 mean what they meant; those of port 2 are dropped now, or looked at more closely.
    for rule in ["priority=60000,in_port=2,actions=drop", "priority=60000,in_port=2,udp,tp_dst=99,actions=drop"] {
      let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=normal", rule])
      let flows = left(tier)
      let report = try bench.on { core in core.adopt(flows) }
      #expect(report.adopted + report.withdrawn == flows.count && report.withdrawn >= 1)
      try bench.on { core in
        for held in tier.executing { #expect(core.translate(held.flow.key).actions == held.flow.actions) }
        #expect(tier.executing.allSatisfy { $0.flow.port == 0 } && tier.count == report.adopted)
      }
      bench.stop()
      // The next round begins as the first.
      if let one = flows.first(where: { $0.port == 1 }) {
        _ = tier.hold(TierFlow(key: one.key, mask: one.mask, actions: one.actions, port: one.port, worker: 0, id: one.id))
      }
    }
  }

  @Test func flowsOfPortsThatAreGoneOrOffAreWithdrawn() throws {
    let (tier, _) = try tierOfBefore(["actions=normal"])
    let bench = try SwitchBench(tier: tier, placement: .off, ports: 1)
    let flows = left(tier)
    #expect(try bench.on { core in core.adopt(flows) } == AdoptionReport(adopted: 0, withdrawn: 3))
    #expect(tier.count == 0)
    try bench.expectNoLeak()
  }

  @Test func aFlowThatIsThereAlreadyTakesTheTiersOver() throws {
    let (tier, _) = try tierOfBefore(["in_port=1,actions=output:2", "in_port=2,actions=output:1"])
    let bench = try SwitchBench(tier: tier, placement: .auto, rules: ["in_port=1,actions=output:2", "in_port=2,actions=output:1"])
    pass(bench, frame(1, to: 2))
    let flows = left(tier)
    let report = try bench.on { core in core.adopt(flows) }
    #expect(report.withdrawn == 0 && report.adopted == flows.count)
    #expect(try bench.flows().count == flows.count)
    #expect(try bench.rules().reduce(0) { $0 + $1.packets } == UInt64(7 * flows.count + 1))
    try bench.expectNoLeak()
  }

  // MARK: - The way up

  @Test func portsWhoseFramesComeThroughTheUpcallDeviceAreSwitched() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(ports: 0, workers: 2)
    let up = RingQueue()
    try bench.on { core in
      core.setKernel(tier)
      core.setUpcallQueue(up, worker: 0)
    }
    // Odd ports are worker 0's, even ones worker 1's.
    for number: UInt32 in 1...3 { try bench.addPort(number, receives: false, placement: .eager) }
    func raise(_ frame: [UInt8], from port: UInt16) {
      var header = sluice_up_header()
      header.mark = (2, 0x53, 0x4c, 0x55, 0x50, UInt8(SLUICE_ABI))
      header.port = port
      header.type = UInt16(SLUICE_UP_ETHERTYPE).bigEndian
      up.inject(withUnsafeBytes(of: header) { Array($0) } + frame)
    }
    raise(frame(1, to: 255), from: 0)
    #expect(bench[2].waitForOutput(1) == [frame(1, to: 255)])
    #expect(bench[3].waitForOutput(1) == [frame(1, to: 255)])
    raise(frame(2, to: 1), from: 1)
    #expect(bench[1].waitForOutput(1) == [frame(2, to: 1)])
    let ports = try bench.on { _ in Set(tier.executing.map(\.flow.port)) }
    #expect(ports == [0, 1])
    // An adopted flow of such a port is the upcall device's worker's.
    #expect(try bench.flows().allSatisfy { $0.worker == 0 })
    try bench.removePort(2)
    raise(frame(2, to: 1), from: 1)
    #expect(eventually { bench.sluice.workers[0].snapshot().badUpcalls == 1 })
    try bench.on { core in core.setUpcallQueue(nil) }
    raise(frame(1, to: 255), from: 0)
    pause(milliseconds: 5)
    #expect(!up.isDrained)
    try bench.expectNoLeak()
  }
}
