// FlowCommitTests.swift
//
// What: a change of rules looks at the flows that it may concern and at no others, becomes visible to packets all at once, and loses no count.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct FlowCommitTests {
  private func udp(_ source: Int, payload: [UInt8] = []) -> [UInt8] {
    FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(UInt16(source), 53, payload: payload).bytes
  }

  /// Twenty rules on the source port, each with one flow; the eighth sends to port 3, the others to port 2.
  private func twentyFlows() throws -> SwitchBench {
    let bench = try SwitchBench(ports: 3, rules: (0..<20).map { "udp,tp_src=\(1000 + $0),actions=output:\($0 == 8 ? 3 : 2)" })
    bench[1].inject(contentsOf: (0..<20).map { udp(1000 + $0) })
    #expect(bench[2].waitForOutput(19).count == 19)
    #expect(bench[3].waitForOutput(1).count == 1)
    #expect(try bench.flows().count == 20)
    return bench
  }

  private func translations(_ bench: SwitchBench, during change: () throws -> Void) throws -> UInt64 {
    func count() throws -> UInt64 { try bench.sluice.performAndWait { core in core.flowSummary().translations } }
    let before = try count()
    try change()
    return try count() - before
  }

  @Test func aChangeLooksOnlyAtTheFlowsItMayConcern() throws {
    let bench = try twentyFlows()
    let replaced = try translations(bench) { try bench.add(rules: ["udp,tp_src=1005,actions=output:3"]) }
    #expect(replaced == 1)
    let higher = try translations(bench) { try bench.add(rules: ["priority=50000,udp,nw_src=10.9.9.9,tp_src=1007,actions=drop"]) }
    #expect(higher == 1)
    let lower = try translations(bench) { try bench.add(rules: ["priority=5,udp,tp_src=1007,actions=drop"]) }
    #expect(lower == 0)
    let apart = try translations(bench) { try bench.add(rules: ["priority=60000,tcp,actions=drop"]) }
    #expect(apart == 0)
    let deleted = try translations(bench) {
      try bench.delete(RuleFilter(exactly: Rule(text: "udp,tp_src=1003,actions=drop")))
    }
    #expect(deleted == 1)
    // Port 3 has the flows of rules 5 and 8.
    let down = try translations(bench) { try bench.sluice.performAndWait { core in try core.setPort(3, isUp: false) } }
    #expect(down == 2)
    // Port 2 has the others, and those of port 3 wait for that one only.
    let other = try translations(bench) { _ = try bench.addPort(4) }
    #expect(other <= 2)
    try bench.expectNoLeak()
  }

  @Test func aPacketNeverSeesHalfOfAChange() throws {
    func rules(_ version: Int) -> [String] {
      let mark = "02:00:00:00:01:" + String(version, radix: 16)
      return (1000...1001).map { "udp,tp_src=\($0),actions=mod_dl_dst:\(mark),output:2" }
    }
    let bench = try SwitchBench(ports: 2, rules: rules(0))
    bench[1].inject(udp(1000), udp(1001))
    #expect(bench[2].waitForOutput(2).count == 2)
    bench[1].injectForever((0..<64).map { udp(1000 + $0 % 2, payload: [UInt8($0)]) })
    var last: UInt8 = 0
    for version in 1..<200 {
      try bench.add(rules: rules(version))
      for frame in bench[2].takeOutput() {
        #expect(frame[5] >= last, "a packet of either class saw version \(frame[5]) after one had seen \(last)")
        last = max(last, frame[5])
      }
    }
    bench[1].injectForever([])
    try bench.settle()
    #expect(last >= 190)
    #expect(bench.misses() == 2)
    try bench.expectNoLeak()
  }

  @Test func noCountIsLostOrGivenToTheWrongRuleByAChange() throws {
    let bench = try SwitchBench(ports: 3, rules: ["priority=1,actions=output:3"])
    for port: UInt32 in 2...3 { bench[port].forgetOutput() }
    bench[1].inject(udp(1000))
    #expect(eventually { bench[3].sentCount == 1 })
    bench[1].injectForever((0..<64).map { udp(1000, payload: [UInt8($0)]) })
    var deleted: UInt64 = 0
    for _ in 0..<150 {
      // The same flow belongs to the upper rule, which sends to port 2, and to the lower one in turn.
      try bench.add(rules: ["priority=9,udp,actions=output:2"])
      deleted += try bench.delete(RuleFilter(exactly: Rule(text: "priority=9,udp,actions=drop"))).reduce(0) { $0 + $1.packets }
    }
    bench[1].injectForever([])
    try bench.settle()
    let lower = try #require(bench.rules().first)
    #expect(bench[2].sentCount == Int(deleted))
    #expect(bench[3].sentCount == Int(lower.packets))
    // A rule that looks at more splits the flow; what comes meanwhile may be over the port's budget.
    let counters = try bench.counters(1)
    #expect(counters.receivedPackets - counters.dropped == deleted + lower.packets)
    try bench.expectNoLeak()
  }

  @Test func everyRuleOnThePathCountsAndFindsItsFlows() throws {
    let bench = try SwitchBench(
      ports: 3, rules: ["udp,actions=goto_table:3", "priority=1,actions=output:2", "table=3,in_port=1,actions=output:2"])
    bench[1].inject(contentsOf: .init(repeating: udp(1000), count: 5))
    #expect(bench[2].waitForOutput(5).count == 5)
    #expect(try bench.rules().map(\.packets) == [5, 0, 5])
    let changed = try translations(bench) { try bench.add(rules: ["table=3,in_port=1,actions=output:3"]) }
    #expect(changed == 1)
    bench[1].inject(udp(1000))
    #expect(bench[3].waitForOutput(1).count == 1)
    let elsewhere = try translations(bench) { try bench.add(rules: ["table=5,in_port=1,actions=output:3", "table=3,in_port=2,actions=drop"]) }
    #expect(elsewhere == 0)
    #expect(try bench.flows().first?.rules.map(\.table) == [0, 3])
    try bench.expectNoLeak()
  }

  @Test func flowsOfOneAnswerShareAPlanThatGoesWithTheLastOfThem() throws {
    let bench = try SwitchBench(ports: 2, rules: ["priority=2,udp,tp_dst=7,actions=drop", "priority=1,udp,tp_src=1/1,actions=output:2"])
    bench[1].inject(contentsOf: (0..<100).map { udp(1001 + 2 * $0) })
    #expect(bench[2].waitForOutput(100).count == 100)
    let summary = try bench.sluice.performAndWait { core in core.flowSummary() }
    #expect(summary.plans == 1 && summary.flows >= 1)
    _ = try bench.sluice.performAndWait { core in core.purgeFlows() }
    let after = try bench.sluice.performAndWait { core in
      core.settle()
      return (core.flowSummary(), core.rules.entries().map(\.plans))
    }
    #expect(after.0.plans == 0 && after.0.flows == 0)
    #expect(after.1.allSatisfy { $0.isEmpty })
    try bench.expectNoLeak()
  }

  @Test func flowsAreFoundByPortTableAndCookie() throws {
    let bench = try SwitchBench(ports: 3, rules: ["cookie=0x10,udp,actions=output:3", "cookie=0x21,tcp,actions=output:3"])
    let tcp = FramePacket().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).bytes
    bench[1].inject(udp(1), tcp)
    bench[2].inject(udp(1))
    #expect(bench[3].waitForOutput(3).count == 3)
    let counts = try bench.sluice.performAndWait { core in
      [
        core.flows().count, core.flows(inPort: 1).count, core.flows(inPort: 2).count, core.flows(inPort: 9).count,
        core.flows(table: 0).count, core.flows(table: 1).count, core.flows(cookie: 0x10, cookieMask: .max).count,
        core.flows(cookie: 0x20, cookieMask: 0xf0).count, core.flows(limit: 2).count,
      ]
    }
    #expect(counts == [3, 2, 1, 0, 3, 0, 2, 1, 2])
    let summary = try bench.sluice.performAndWait { core in core.flowSummary() }
    #expect(summary.flows == 3 && summary.setUps == 3 && summary.uncached == 0)
    #expect(summary.byPort.map(\.flows) == [2, 1] && summary.byPort.map(\.number) == [1, 2])
    #expect(summary.byTable == [FlowSummary.Table(table: 0, flows: 3)])
    try bench.expectNoLeak()
  }
}
