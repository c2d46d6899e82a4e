// FlowPlacementTests.swift
//
// What: flows go to the tier in front of the workers and come back: nothing stale is executed after a change, no count is lost or goes back, and
//       everybody who asks is told why a flow is where it is.

import CSluice
import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct FlowPlacementTests {
  private func udp(_ source: Int) -> [UInt8] { FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(UInt16(source), 53).bytes }

  private func placements(_ bench: SwitchBench) throws -> [TierPlacement] { try bench.flows().flatMap { $0.tiers.map(\.placement) } }

  /// Sends a frame by port 1 and waits until it has left by port 2.
  private func pass(_ bench: SwitchBench, _ frames: [UInt8]..., sourceLocation: SourceLocation = #_sourceLocation) {
    pass(bench, contentsOf: frames, sourceLocation: sourceLocation)
  }

  private func pass(_ bench: SwitchBench, contentsOf frames: [[UInt8]], sourceLocation: SourceLocation = #_sourceLocation) {
    bench[1].inject(contentsOf: frames)
    #expect(bench[2].waitForOutput(frames.count).count == frames.count, sourceLocation: sourceLocation)
  }

  // MARK: - Offers

  @Test func eagerOffersAFlowBeforeItsFirstPacketGoesOn() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["udp,tp_src=1000,actions=output:2"])
    let out = bench[2]
    tier.onOffer = { _ in
      pause(milliseconds: 5)
      #expect(out.sentCount == 0)
    }
    pass(bench, udp(1000))
    try bench.on { _ in tier.onOffer = nil }
    let flow = try #require(try bench.flows().first)
    let held = try bench.on { _ in tier.held.values.first?.flow }
    let offered = try #require(held)
    #expect(offered.id == flow.id && offered.worker == flow.worker && offered.actions == flow.actions)
    #expect(FlowMatch(offered.key, offered.mask).text() == flow.match.text())
    #expect(flow.tier == "fake" && flow.tiers.map(\.placement) == [.held])
    try bench.expectNoLeak()
    #expect(tier.count == 0)
  }

  @Test func offMeansOff() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .off, rules: ["actions=output:2"])
    for _ in 0..<5 {
      bench[1].inject(contentsOf: .init(repeating: udp(1), count: 50))
      #expect(bench[2].waitForOutput(50).count == 50)
      try bench.sweep()
    }
    #expect(try bench.on { _ in tier.log.isEmpty })
    #expect(try placements(bench) == [.notOffered(.off)])
    #expect(try bench.flows().first?.tier == "user")
    try bench.expectNoLeak()
  }

  @Test func autoOffersWhatIsBusyAndNothingElse() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .auto, rules: ["udp,tp_src=1/1,actions=output:2", "udp,tp_src=0/1,actions=output:2"])
    let busy = Int(SwitchCore.busyPackets)
    for _ in 0..<3 {
      pass(bench, contentsOf: .init(repeating: udp(1), count: busy - 1))
      // Asking for counters in between neither adds to what was seen nor hides it.
      _ = try bench.rules()
      try bench.sweep()
    }
    #expect(try placements(bench) == [.notOffered(.quiet)])
    // The clock hand may come by of itself and split what was sent, so there is enough for two looks.
    pass(bench, contentsOf: .init(repeating: udp(2), count: busy))
    _ = try bench.rules()
    pass(bench, contentsOf: .init(repeating: udp(2), count: busy))
    try bench.sweep()
    #expect(try placements(bench) == [.notOffered(.quiet), .held])
    try bench.expectNoLeak()
  }

  @Test func aRefusalIsRememberedUntilTheAnswerChanges() throws {
    let tier = FakeTier()
    let no = TierRefusal(cause: "action", description: "the tier cannot do that", isTemporary: false)
    tier.refusal = { $0.actions.count > 1 ? no : nil }
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=mod_dl_dst:02:00:00:00:00:09,output:2"])
    for _ in 0..<30 {
      pass(bench, udp(1))
      try bench.sweep()
    }
    #expect(try bench.on { _ in tier.takeLog().count } == 1)
    #expect(try placements(bench) == [.refused(no)])
    #expect(TierPlacement.refused(no).description == "refused: the tier cannot do that")
    #expect(try bench.on { core in core.flowSummary().tiers.first?.refused } == ["action": 1])
    try bench.add(rules: ["actions=output:2"])
    #expect(try placements(bench) == [.held])
    try bench.add(rules: ["actions=mod_dl_dst:02:00:00:00:00:09,output:2"])
    #expect(try placements(bench) == [.refused(no)])
    try bench.expectNoLeak()
  }

  @Test func whatFoundNoRoomIsOfferedAgainAfterSomeRoundsOnly() throws {
    let tier = FakeTier(capacity: 1)
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["udp,tp_src=1/1,actions=output:2", "udp,tp_src=0/1,actions=output:2"])
    pass(bench, udp(1))
    pass(bench, udp(2))
    let full = TierRefusal(cause: "table-full", description: "all 1 places are taken", isTemporary: true)
    #expect(try placements(bench) == [.held, .refused(full)])
    _ = try bench.on { _ in tier.takeLog() }
    let rounds = 3 * Int(TierBook.patience)
    for _ in 0..<rounds {
      pass(bench, udp(2))
      try bench.sweep()
    }
    let offers = try bench.on { _ in tier.takeLog().count }
    #expect(offers >= 2 && offers <= 4, "\(offers) offers in \(rounds) rounds")
    try bench.on { _ in tier.capacity = 2 }
    for _ in 0...TierBook.patience {
      pass(bench, udp(2))
      try bench.sweep()
    }
    #expect(try placements(bench) == [.held, .held])
    try bench.expectNoLeak()
  }

  @Test func whatIsIdleInAFullTierMakesRoom() throws {
    let tier = FakeTier(capacity: 1)
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["udp,tp_src=1/1,actions=output:2", "udp,tp_src=0/1,actions=output:2"])
    pass(bench, udp(1))
    pass(bench, udp(2))
    try bench.sweep()
    #expect(try bench.flows().first?.tier == "fake")
    try bench.on { core in
      guard let book = core.tierBook else { return }
      // As if it had been placed eleven seconds ago.
      for (flow, stay) in book.stays.entries {
        var older = stay
        older.usedNanoseconds -= min(older.usedNanoseconds, 11_000_000_000)
        book.update(flow, older)
      }
    }
    try bench.sweep()
    #expect(try bench.on { core in
      core.fenceTiers()
      return tier.count
    } == 0)
    #expect(try placements(bench).first == .notOffered(.idle))
    for _ in 0...TierBook.patience {
      pass(bench, udp(2))
      try bench.sweep()
    }
    #expect(try placements(bench) == [.notOffered(.idle), .held])
    try bench.expectNoLeak()
  }

  @Test func aFloodedPortLeavesRoomForTheOthers() throws {
    let tier = FakeTier(capacity: 18)
    let rules = (0..<64).map { "udp,tp_src=\($0),actions=output:2" }
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: rules)
    for number in 0..<64 { pass(bench, udp(number)) }
    let taken = try bench.on { _ in tier.count }
    #expect(taken == 16)
    #expect(try placements(bench).contains { "\($0)" == "refused: its port has its share of the places: no more than eight for each that is free" })
    bench[3].inject(udp(1))
    #expect(bench[2].waitForOutput(1).count == 1)
    #expect(try bench.on { _ in tier.executing.contains { $0.flow.port == 2 } })
    _ = try bench.on { core in core.purgeFlows() }
    #expect(tier.count == 0)
    for number in 0..<64 { pass(bench, udp(number)) }
    #expect(try bench.on { _ in tier.count } == taken)
    try bench.expectNoLeak()
  }

  // MARK: - Changes

  @Test func aChangeWithdrawsAndFencesBeforeTheWorkerChangesAndOffersAgainAfterIt() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=output:2"])
    pass(bench, udp(1))
    let before = try #require(try bench.flows().first)
    let (one, two, three) = (bench[1], bench[2], bench[3])
    let probe = udp(1)
    tier.onFence = {
      // What comes up meanwhile still has the old answer.
      one.inject(probe)
      #expect(two.waitForOutput(1).count == 1)
    }
    tier.onOffer = { _ in
      // The worker has the new one.
      one.inject(probe)
      #expect(three.waitForOutput(1).count == 1)
    }
    _ = try bench.on { _ in tier.takeLog() }
    try bench.add(rules: ["actions=output:3"])
    let after = try #require(try bench.flows().first)
    #expect(try bench.on { _ in tier.takeLog() } == [.withdrawn(before.id), .fenced, .released(before.id), .offered(after.id)])
    #expect(before.id != after.id && after.tier == "fake")
    try bench.on { _ in (tier.onFence, tier.onOffer) = (nil, nil) }
    try bench.expectNoLeak()
  }

  @Test func manyChangedFlowsCostOneFence() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: (0..<20).map { "udp,tp_src=\(1000 + $0),actions=output:2" })
    for number in 0..<20 { pass(bench, udp(1000 + number)) }
    _ = try bench.on { _ in tier.takeLog() }
    try bench.add(rules: ["priority=50000,udp,actions=output:3"])
    let log = try bench.on { _ in tier.takeLog() }
    #expect(log.filter { $0 == .fenced }.count == 1)
    #expect(log.firstIndex(of: .fenced) == 20)
    // A change that concerns none of them costs no fence.
    try bench.add(rules: ["priority=60000,tcp,actions=drop"])
    #expect(try bench.on { _ in tier.takeLog().isEmpty })
    try bench.expectNoLeak()
  }

  @Test func aBarrierAlsoFencesFlowsThatAreOnTheirWayOut() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=output:2"], flowIdleSeconds: 3600)
    pass(bench, udp(1))
    try bench.on { core in
      core.forEachFlow { core.remove($0, .idle) }
      core.settleLater()
      #expect(tier.executing.count == 1)
      // It is in no book any more, but a packet may have found it before.
      try core.addRules([Rule(text: "actions=drop")])
      #expect(tier.executing.isEmpty && tier.count == 0)
    }
    try bench.expectNoLeak()
  }

  @Test func nothingStaleIsExecutedWhateverChanges() throws {
    var generator = SeededGenerator.fresh()
    let tier = FakeTier(capacity: 24)
    let bench = try SwitchBench(tier: tier, placement: .eager, ports: 4, rules: ["priority=1,actions=normal"])
    for port: UInt32 in 1...4 { bench[port].forgetOutput() }
    for round in 0..<400 {
      let source = 1 + generator.next() % 4
      bench[UInt32(source)].inject(
        contentsOf: (0..<4).map { _ in
          FramePacket(to: "02:00:00:00:00:0\(1 + generator.next() % 4)", from: "02:00:00:00:00:0\(source)")
            .ipv4("10.0.0.\(source)", "10.0.0.\(generator.next() % 4)").udp(UInt16(1 + generator.next() % 4), 53).bytes
        })
      try bench.settle()
      try bench.on { _ in tier.hitAll(packets: 1) }
      // Rules that meet the same packets have different priorities: which of two of one priority answers is nobody's promise.
      switch generator.next() % 8 {
      case 0: try bench.add(rules: ["priority=\(2 * (generator.next() % 10 + 1)),udp,tp_src=\(1 + generator.next() % 4),actions=output:\(1 + generator.next() % 4)"])
      case 1: try bench.add(rules: ["priority=\(2 * (generator.next() % 10) + 3),ip,nw_dst=10.0.0.\(generator.next() % 4),actions=drop"])
      case 2: try bench.delete(RuleFilter(exactly: Rule(text: "priority=\(2 * (generator.next() % 10) + 3),ip,nw_dst=10.0.0.1,actions=drop")))
      case 3:
        let (port, isUp) = (UInt32(1 + generator.next() % 4), generator.next() & 1 == 0)
        try bench.on { core in try core.setPort(port, isUp: isUp) }
      case 4: _ = try bench.on { core in core.flushStations() }
      case 5:
        let (port, placement) = (UInt32(1 + generator.next() % 4), FlowPlacement.allCases[Int(generator.next() % 3)])
        try bench.on { core in try core.setPort(port, placement: placement) }
      case 6: try bench.sweep()
      default: if generator.next() % 4 == 0 { _ = try bench.on { core in core.purgeFlows() } }
      }
      let seed = generator.seed
      try bench.on { core in
        for held in tier.executing where !held.isWithdrawn {
          #expect(core.translate(held.flow.key).actions == held.flow.actions, "round \(round), seed \(seed)")
          #expect(core.placements[Int(held.flow.port)] != .off)
        }
      }
    }
    // What is held is what the flows say, and nothing else.
    let held = try bench.flows().filter { $0.tier == "fake" }.map(\.id)
    #expect(try bench.on { _ in Set(tier.executing.filter { !$0.isWithdrawn }.map(\.flow.id)) } == Set(held))
    try bench.expectNoLeak()
    #expect(tier.count == 0)
  }

  @Test func aPortThatGoesTakesItsFlowsOutOfTheTier() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["in_port=1,actions=output:2", "in_port=2,actions=output:1", "in_port=3,actions=output:2"])
    pass(bench, udp(1))
    bench[2].inject(udp(1))
    #expect(bench[1].waitForOutput(1).count == 1)
    bench[3].inject(udp(1))
    #expect(bench[2].waitForOutput(1).count == 1)
    #expect(try bench.on { _ in tier.count } == 3)
    try bench.removePort(1)
    let left = try bench.on { core in (tier.executing.map(\.flow.actions), tier.executing.map(\.flow.port)) }
    // The one that sent to it drops now, and the one of port 3 stays.
    #expect(Set(left.0) == [[], [.output(1)]] && Set(left.1) == [1, 2])
    // Its place is free again, and can be asked for.
    let index = try bench.on { core in
      try core.addPort(name: "again", number: 9, index: 0, queues: [WorkerQueue(worker: 0, queue: RingQueue())], maxFrame: 1514).index
    }
    #expect(index == 0)
    #expect(throws: SwitchPortError.indexTaken(0, by: "again")) { try bench.addPort(10, index: 0) }
    #expect(throws: SwitchPortError.noSuchIndex(1024, limit: 1024)) { try bench.addPort(10, index: 1024) }
    try bench.addPort(11, index: 700)
    #expect(try bench.on { core in core.ports[11]?.index } == 700)
    try bench.on { core in try core.removePort(9) }
    try bench.expectNoLeak()
  }

  @Test func aDrainedTierHoldsNothingAndForwardingGoesOn() throws {
    let tier = FakeTier()
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: ["actions=output:2"])
    pass(bench, udp(1))
    try bench.on { _ in tier.hitAll(packets: 4) }
    #expect(try bench.on { core in core.drainTiers() } == 1)
    #expect(try bench.on { _ in tier.count } == 0)
    pass(bench, udp(1))
    try bench.sweep()
    #expect(try bench.on { _ in tier.count } == 0)
    #expect(try bench.flows().map(\.packets) == [6])
    #expect(bench.misses() == 1)
    try bench.on { core in try core.setPort(1, placement: .eager) }
    pass(bench, udp(1))
    try bench.sweep()
    #expect(try bench.on { _ in tier.count } == 1)
    // Taken away as a whole.
    try bench.on { core in core.setKernel(nil) }
    #expect(tier.count == 0)
    #expect(try bench.flows().map(\.packets) == [7])
    #expect(try bench.flows().first?.tiers.isEmpty == true)
    try bench.expectNoLeak()
  }
}
