// SwitchFlowTests.swift
//
// What: flows come with the first packet and go when they are idle or purged; a flood of new flows is cut off at the budget and leaves the other
//       ports alone.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct SwitchFlowTests {
  @Test func aFlowIsListedWithItsPacketsFromTheFirstOn() throws {
    let bench = try SwitchBench(ports: 2, rules: ["in_port=1,udp,actions=output:2"])
    bench[1].inject(contentsOf: .init(repeating: frame(1, to: 2), count: 10))
    #expect(bench[2].waitForOutput(10).count == 10)
    let flow = try #require(try bench.flows().first)
    #expect(try bench.flows().count == 1)
    #expect(flow.packets == 10)
    #expect(flow.bytes == 10 * UInt64(frame(1, to: 2).count))
    #expect(flow.rule?.text() == (try Rule(text: "in_port=1,udp,actions=output:2")).text())
    #expect(flow.match.exactValue(of: .ipProto) == 17)
    #expect(flow.idleSeconds < 5 && flow.ageSeconds < 5)
    try bench.expectNoLeak()
  }

  @Test func anIdleFlowIsForgottenAndABusyOneIsNot() throws {
    let bench = try SwitchBench(ports: 2, rules: ["udp,actions=output:2", "tcp,actions=output:2"], flowIdleSeconds: 1)
    let tcp = FramePacket().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).bytes
    bench[1].inject(frame(1, to: 2), tcp)
    #expect(bench[2].waitForOutput(2).count == 2)
    #expect(try bench.flows().count == 2)
    let isAlone = eventually(seconds: 10) {
      bench[1].inject(tcp)
      pause(milliseconds: 50)
      return (try? bench.flows().count) == 1
    }
    #expect(isAlone)
    #expect(try bench.flows().first?.match.exactValue(of: .ipProto) == 6)
    #expect(bench.misses() == 2)
    try bench.expectNoLeak()
  }

  @Test func changesOfItsRuleKeepNoIdleFlowAlive() throws {
    let bench = try SwitchBench(ports: 3, rules: ["actions=output:2"], flowIdleSeconds: 0.6)
    bench[1].inject(frame(1, to: 2))
    #expect(bench[2].waitForOutput(1).count == 1)
    var round = 0
    let isGone = eventually(seconds: 10) {
      round += 1
      _ = try? bench.add(rules: ["actions=output:\(2 + round % 2)"])
      pause(milliseconds: 20)
      return (try? bench.flows().isEmpty) == true
    }
    #expect(isGone)
    try bench.expectNoLeak()
  }

  @Test func purgedFlowsComeBackWithTheNextPacket() throws {
    let bench = try SwitchBench(ports: 2, rules: ["actions=output:2"])
    for round in 0..<50 {
      bench[1].inject(frame(1, to: 2))
      #expect(bench[2].waitForOutput(1).count == 1, "round \(round)")
      #expect(try bench.sluice.performAndWait { core in core.purgeFlows() } == 1)
      #expect(try bench.flows().isEmpty)
    }
    try bench.expectNoLeak()
  }

  @Test func aSlotThatIsUsedAgainBeginsItsCountAtZero() throws {
    let bench = try SwitchBench(ports: 2, rules: ["actions=output:2"])
    for _ in 0..<20 {
      bench[1].inject(contentsOf: .init(repeating: frame(1, to: 2), count: 3))
      #expect(bench[2].waitForOutput(3).count == 3)
      #expect(try bench.flows().map(\.packets) == [3])
      _ = try bench.sluice.performAndWait { core in core.purgeFlows() }
    }
    #expect(try bench.rules().map(\.packets) == [60])
    try bench.expectNoLeak()
  }

  @Test func aFloodOfNewFlowsIsCutOffAndOtherPortsAreServed() throws {
    let bench = try SwitchBench(
      ports: 3, rules: ["udp,tp_src=1,actions=drop", "in_port=1,udp,nw_src=1.2.3.4,actions=output:3", "in_port=1,actions=output:3", "in_port=2,actions=output:3"],
      upcallBudget: 32)
    let flood = (0..<4000).map {
      FramePacket().ipv4("10.\($0 / 250 % 250).\($0 % 250).1", "10.0.0.2").udp(UInt16(2000 + $0), 53).bytes
    }
    bench[3].forgetOutput()
    bench[1].inject(contentsOf: flood)
    for round in 0..<20 {
      // Each of these is a new flow, too.
      let sent = try bench.counters(2).receivedPackets
      bench[2].inject(FramePacket().ipv4("10.0.0.\(round)", "10.0.0.2").udp(UInt16(3000 + round), 53).bytes)
      #expect(eventually { (try? bench.counters(2).receivedPackets) == sent + 1 })
    }
    try bench.settle()
    let (one, two, three) = (try bench.counters(1), try bench.counters(2), try bench.counters(3))
    #expect(two.dropped == 0)
    #expect(one.receivedPackets == 4000)
    #expect(one.drops.keys.allSatisfy { $0 == .upcallBudget || $0 == .upcallRingFull })
    #expect(three.sentPackets + one.dropped + three.dropped == 4020)
    try bench.expectNoLeak()
  }

  @Test func aManyMaskedRuleSetKeepsItsPromiseForRandomPackets() throws {
    var generator = SeededGenerator.fresh()
    let bench = try SwitchBench(ports: 5, rules: [])
    var rules: [String] = ["priority=0,actions=output:5"]
    for i in 0..<40 {
      let prefix = 22 + Int(generator.next() % 11)
      let port = 2 + generator.next() % 3
      let ports = generator.next() & 1 == 0 ? ",tp_dst=\(50 + generator.next() % 8)" : ""
      rules.append(
        "priority=\(100 + i),udp,nw_dst=10.\(generator.next() % 2).\(generator.next() % 4).\(generator.next() % 4)/\(prefix)\(ports),actions=output:\(port)")
    }
    try bench.add(rules: rules)
    for round in 0..<1500 {
      let packet = FramePacket().ipv4(
        "10.0.0.1", "10.\(generator.next() % 2).\(generator.next() % 4).\(generator.next() % 4)"
      ).udp(1000, UInt16(50 + generator.next() % 8)).bytes
      let key = parseFrame(packet, inPort: 1).key
      let expected = try bench.sluice.performAndWait { core in
        core.trace(key).actions.compactMap { action -> UInt32? in
          if case .output(let index) = action { return core.ports.port(at: index)?.number }
          return nil
        }
      }
      bench[1].inject(packet)
      #expect(expected.count == 1)
      for port in expected {
        #expect(bench[port].waitForOutput(1) == [packet], "seed \(generator.seed), round \(round)")
      }
    }
    let flows = try bench.flows()
    #expect(flows.count > 5)
    // No two flows may claim the same packet with different answers.
    for a in flows {
      for b in flows where a.id < b.id && a.actions != b.actions {
        #expect(!a.match.overlaps(b.match), "\(a.match.text()) and \(b.match.text()), seed \(generator.seed)")
      }
    }
    try bench.expectNoLeak()
  }
}
