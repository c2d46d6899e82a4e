// SwitchRuleTests.swift
//
// What: when a change of rules returns, the next packet follows the new ones; a rule's counters are the sum of its packets, whatever became of the
//       flows that carried them.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct SwitchRuleTests {
  private let probe = frame(1, to: 2, payload: Array("probe".utf8))
  private let load = (0..<64).map { frame(1, to: 2, payload: [UInt8($0)]) }

  @Test(arguments: [1, 2])
  func theNextPacketFollowsAChangeUnderLoad(_ workers: Int) throws {
    let bench = try SwitchBench(ports: 3, workers: workers, rules: ["in_port=1,actions=output:2"])
    bench[1].injectForever(load)
    for round in 0..<300 {
      let port: UInt32 = 2 + UInt32(round % 2)
      switch round % 6 {
      case 0, 1: try bench.add(rules: ["in_port=1,actions=output:\(port)"])
      case 2, 3: try bench.add(rules: ["priority=40000,udp,in_port=1,actions=output:\(port)"])
      default:
        // Without the higher rule the lower one decides again.
        try bench.delete(RuleFilter(match: FlowMatch(text: "udp,in_port=1"), isStrict: true, priority: 40000))
        try bench.add(rules: ["in_port=1,actions=output:\(port)"])
      }
      for queue in [bench[2], bench[3]] { _ = queue.takeOutput() }
      // Probes of the last round may still be on their way; this round's are its own.
      let probe = frame(1, to: 2, payload: Array("probe \(round)".utf8))
      // While the flow is made anew, frames beyond the budget of the port are dropped, the probe perhaps among them: another one follows.
      var arrived: [UInt32] = []
      let isHere = eventually {
        bench[1].inject(probe)
        pause(milliseconds: 1)
        for number: UInt32 in 2...3 where bench[number].takeOutput().contains(probe) { arrived.append(number) }
        return !arrived.isEmpty
      }
      #expect(isHere && arrived == [port], "round \(round): \(arrived)")
    }
    bench[1].injectForever([])
    try bench.settle()
    try bench.expectNoLeak()
  }

  @Test func aChangeUnderLoadLosesNoPacketAndAsksNothingAgain() throws {
    let bench = try SwitchBench(ports: 3, rules: ["ip,in_port=1,actions=output:2"])
    for port: UInt32 in 2...3 { bench[port].forgetOutput() }
    // One packet makes the flow; the load finds it there.
    bench[1].inject(probe)
    #expect(eventually { bench[2].sentCount == 1 })
    bench[1].injectForever(load)
    #expect(eventually { bench[2].sentCount > 100 })
    let misses = bench.misses()
    for round in 0..<300 {
      try bench.add(rules: [round % 2 == 0 ? "ip,in_port=1,actions=output:3" : "ip,in_port=1,actions=dec_ttl,output:2"])
    }
    bench[1].injectForever([])
    try bench.settle()
    #expect(bench.misses() == misses)
    #expect(try bench.counters(1).dropped == 0)
    #expect(try bench.counters(1).receivedPackets == UInt64(bench[2].sentCount + bench[3].sentCount))
    try bench.expectNoLeak()
  }

  @Test func withoutRulesEverythingIsDroppedAtOnce() throws {
    let bench = try SwitchBench(ports: 2, rules: [])
    for _ in 0..<50 {
      try bench.add(rules: ["actions=output:2"])
      bench[1].inject(probe)
      #expect(bench[2].waitForOutput(1) == [probe])
      try bench.delete()
      bench[1].inject(probe)
      try bench.settle()
      #expect(bench[2].takeOutput() == [])
    }
    let counters = try bench.counters(1)
    #expect(counters.drops[.flowDrops, default: 0] + counters.drops[.pipelineDrops, default: 0] == 50)
    try bench.expectNoLeak()
  }

  @Test func aRuleOfLowerPriorityDisturbsNoFlow() throws {
    let bench = try SwitchBench(ports: 3, rules: ["priority=100,in_port=1,actions=output:2"])
    bench[1].inject(probe)
    #expect(bench[2].waitForOutput(1) == [probe])
    let before = try bench.flows().map(\.id)
    try bench.add(rules: ["priority=50,udp,actions=output:3"])
    #expect(try bench.flows().map(\.id) == before)
    try bench.expectNoLeak()
  }

  @Test func aRulesCountersAreTheSumOfItsPackets() throws {
    let bench = try SwitchBench(ports: 3, rules: ["priority=1,actions=drop", "udp,tp_src=1000,actions=output:2"], flowIdleSeconds: 0.2, upcallBudget: 2000)
    let length = UInt64(frame(1, to: 2).count)
    var sent: UInt64 = 0
    // Flows of many shapes that come and go: purged, idle, replaced.
    for round in 0..<40 {
      for station in 1...5 as ClosedRange<UInt8> {
        bench[1].inject(contentsOf: .init(repeating: frame(station, to: 9), count: 7))
        sent += 7
      }
      // New flows have a budget, which a machine busy with something else may use up.
      #expect(eventually { bench[2].sentCount == Int(sent) })
      if round % 5 == 0 { _ = try bench.sluice.performAndWait { core in core.purgeFlows() } }
      if round % 8 == 3 { try bench.add(rules: ["priority=50000,udp,nw_src=10.9.9.\(round),actions=drop"]) }
      if round == 20 { pause(milliseconds: 1200) }
    }
    try bench.settle()
    let rule = try #require(bench.rules().first { $0.rule.priority == Rule.defaultPriority })
    #expect(rule.packets == sent)
    #expect(rule.bytes == sent * length)
    #expect((rule.idleSeconds ?? 99) < 5)
    let drop = try #require(bench.rules().first { $0.rule.priority == 1 })
    #expect(drop.packets == 0)
    #expect(drop.idleSeconds == nil)
    try bench.expectNoLeak()
  }

  @Test func aDeletedRuleReturnsItsLastCounters() throws {
    let bench = try SwitchBench(ports: 2, rules: ["actions=output:2"])
    bench[1].inject(contentsOf: load)
    #expect(bench[2].waitForOutput(64).count == 64)
    #expect(try bench.delete().map(\.packets) == [64])
    #expect(try bench.rules().isEmpty)
    try bench.expectNoLeak()
  }

  @Test func packetsWithoutARuleOfTheirOwnFlowAreCountedWhenTheTableIsFull() throws {
    let bench = try SwitchBench(ports: 2, rules: ["udp,tp_src=1000,actions=dec_ttl,output:2", "ip,nw_src=10.0.0.0/8,actions=dec_ttl,output:2"], flowLimit: 5)
    let frames = (0..<200).map {
      FramePacket().ipv4("10.0.1.\($0 % 250)", "10.0.0.2").udp(UInt16(2000 + $0), 53).bytes
    }
    for frame in frames {
      bench[1].inject(frame)
      #expect(bench[2].waitForOutput(1).count == 1)
    }
    try bench.settle()
    #expect(try bench.rules().reduce(0) { $0 + $1.packets } == 200)
    try bench.expectNoLeak()
  }
}
