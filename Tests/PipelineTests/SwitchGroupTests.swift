// SwitchGroupTests.swift
//
// What: groups, meters and tables in a whole switch: a change is all or nothing, the next packet follows it, and what groups, buckets and rules
//       have counted is the sum of their packets.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct SwitchGroupTests {
  private let probe = frame(1, to: 2, payload: Array("probe".utf8))

  private func apply(_ bench: SwitchBench, groups: [String] = [], changed: [String] = [], meters: [String] = [], rules: [String] = []) throws {
    var requests: [RuleChangeRequest] = []
    for text in meters { requests.append(.addMeter(try MeterSpec(text: text))) }
    for text in groups { requests.append(.addGroup(try Group(text: text))) }
    for text in changed { requests.append(.modifyGroup(try Group(text: text))) }
    for text in rules { requests.append(.add(try Rule(text: text))) }
    let all = requests
    _ = try bench.sluice.performAndWait { core in try core.apply(all) }
  }

  private func send(_ bench: SwitchBench, _ count: Int) throws {
    for _ in 0..<count {
      bench[1].inject(probe)
      try bench.settle()
    }
  }

  @Test func theNextPacketFollowsAModifiedGroupAndCountersGoOn() throws {
    let bench = try SwitchBench(ports: 4, rules: [])
    try apply(bench, groups: ["group_id=1,type=all,bucket=bucket_id:7,actions=output:2"], rules: ["in_port=1,actions=group:1"])
    try send(bench, 3)
    #expect(bench[2].takeOutput().count == 3)
    try apply(bench, changed: ["group_id=1,type=all,bucket=bucket_id:8,actions=output:4,bucket=bucket_id:7,actions=output:3"])
    try send(bench, 2)
    #expect([bench[2], bench[3], bench[4]].map { $0.takeOutput().count } == [0, 2, 2])
    let group = try #require(try bench.sluice.performAndWait { core in core.groupList() }.first)
    #expect(group.packets == 5)
    #expect(group.buckets.map(\.packets) == [2, 5])
    #expect(group.referenceCount == 1)
    try bench.expectNoLeak()
  }

  @Test func aSelectGroupSendsEachPacketOnceAndCountsItsBuckets() throws {
    let bench = try SwitchBench(ports: 3, rules: [])
    try apply(
      bench, groups: ["group_id=1,type=select,bucket=actions=output:2,bucket=actions=output:3"], rules: ["in_port=1,actions=group:1"])
    bench[1].inject(contentsOf: (0..<100).map { frame(UInt8($0), to: 2) })
    try bench.settle()
    let sent = [bench[2], bench[3]].map { $0.takeOutput().count }
    #expect(sent.reduce(0, +) == 100)
    #expect(sent.allSatisfy { $0 > 20 })
    let group = try #require(try bench.sluice.performAndWait { core in core.groupList() }.first)
    #expect(group.buckets.map { Int($0.packets) } == sent)
    #expect(try bench.flowCount() == 1)
    try bench.expectNoLeak()
  }

  /// A switch under load whose group 1 sends to ports 2 to 6 in turn, each change made in the middle of the traffic.
  ///
  /// - Parameter change: makes a group send to another port.
  /// - Returns: what the group has counted in the end, and what each port has been sent.
  private func changeUnderLoad(
    _ change: (_ port: UInt32) throws -> [RuleChangeRequest]
  ) throws -> (group: GroupSnapshot, rule: RuleSnapshot, sent: [UInt64]) {
    let bench = try SwitchBench(ports: 6, rules: [])
    for port in 2...6 as ClosedRange<UInt32> { bench[port].forgetOutput() }
    try apply(bench, groups: ["group_id=1,type=indirect,bucket=bucket_id:2,actions=output:2"], rules: ["in_port=1,actions=group:1"])
    bench[1].injectForever([probe])
    for port in 3...6 as ClosedRange<UInt32> {
      #expect(eventually { bench[port - 1].sentCount > 500 })
      let requests = try change(port)
      _ = try bench.sluice.performAndWait { core in try core.apply(requests) }
    }
    #expect(eventually { bench[6].sentCount > 500 })
    bench[1].injectForever([])
    try bench.settle()
    let group = try #require(try bench.sluice.performAndWait { core in core.groupList() }.first)
    return (group, try #require(try bench.rules().first), (2...6).map { UInt64(bench[$0].sentCount) })
  }

  @Test func everyPacketCountsForTheBucketThatItWentThrough() throws {
    let (group, rule, sent) = try changeUnderLoad { port in
      [.modifyGroup(try Group(text: "group_id=1,type=indirect,bucket=bucket_id:\(port),actions=output:\(port)"))]
    }
    #expect(group.packets == sent.reduce(0, +))
    #expect(rule.packets == group.packets)
    #expect(group.buckets.map(\.packets) == [sent[4]])
  }

  @Test func aGroupThatIsMadeAgainInTheSameChangeCountsNoPacketOfTheOldOne() throws {
    let (group, rule, sent) = try changeUnderLoad { port in
      let new = try Group(text: "group_id=1,type=indirect,bucket=bucket_id:2,actions=output:\(port)")
      return [.deleteGroup(1), .addGroup(new), .add(try Rule(text: "in_port=1,actions=group:1"))]
    }
    #expect(group.packets == sent[4])
    #expect(rule.packets == sent[4])
    #expect(group.buckets.map(\.packets) == [sent[4]])
  }

  @Test func fastFailoverFollowsItsPort() throws {
    let bench = try SwitchBench(ports: 3, rules: [])
    try apply(
      bench, groups: ["group_id=1,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=output:3"],
      rules: ["in_port=1,actions=group:1"])
    try send(bench, 1)
    try bench.removePort(2)
    try send(bench, 1)
    #expect(bench[3].takeOutput().count == 1)
    try bench.addPort(2)
    try send(bench, 1)
    #expect(bench[2].takeOutput().count == 1)
  }

  @Test func everyRuleOnTheWayCountsThePacket() throws {
    let bench = try SwitchBench(ports: 3, rules: [])
    try apply(bench, rules: ["in_port=1,actions=goto_table:3", "table=3,ip actions=output:2"])
    try send(bench, 4)
    #expect(try bench.rules().map(\.packets) == [4, 4])
    // A rule of a later table takes the place of what was met there.
    try apply(bench, rules: ["table=3,priority=40000,udp actions=output:3"])
    try send(bench, 2)
    #expect(bench[3].takeOutput().count == 2)
    #expect(try bench.rules().map { "\($0.rule.table) \($0.rule.priority) \($0.packets)" } == ["0 32768 6", "3 40000 2", "3 32768 4"])
    try bench.expectNoLeak()
  }

  /// What 3 packets are dropped as, and whether flows say that no rule matched.
  private func drops(_ rules: [String]) throws -> (counted: [DropReason: UInt64], flows: [TranslationDrop?], sent: Int) {
    let bench = try SwitchBench(ports: 2, rules: [])
    try apply(
      bench, groups: ["group_id=1,type=select,bucket=actions=drop"], meters: ["meter=4 pktps bands=type=drop rate=1000000"], rules: rules)
    try send(bench, 3)
    let result = (try bench.counters(1).drops, try bench.flows().map(\.drop), bench[2].takeOutput().count)
    try bench.expectNoLeak()
    return result
  }

  @Test func aMissInALaterTableIsADropWithANameWhateverCameBefore() throws {
    let later = "table=7,priority=1,in_port=2,actions=output:1"
    for first in ["actions=goto_table:7", "actions=write_actions(output:2),goto_table:7", "actions=meter:4,goto_table:7"] {
      let found = try drops([first, later])
      #expect(found.counted == [.flowDrops: 3], "\(first)")
      #expect(found.counted.keys.map(\.name) == ["flow-drops"])
      #expect(found.flows == [.noRule], "\(first)")
      #expect(found.sent == 0, "\(first)")
    }
    // What has been sent before the miss has not been dropped.
    let sent = try drops(["actions=output:2,goto_table:7", later])
    #expect(sent.counted == [:] && sent.flows == [nil] && sent.sent == 3)
    // A rule that drops is no miss.
    let dropped = try drops(["actions=goto_table:7", "table=7,actions=drop"])
    #expect(dropped.counted == [.flowDrops: 3] && dropped.flows == [.ruleDrops])
  }

  @Test func aBucketThatSendsNothingCountsItsDrops() throws {
    #expect(try drops(["actions=group:1"]).counted == [.flowDrops: 3])
  }

  @Test func aRuleGoesWithItsGroupAndItsMeter() throws {
    let bench = try SwitchBench(ports: 3, rules: [])
    try apply(
      bench, groups: ["group_id=1,type=indirect,bucket=actions=output:2"], meters: ["meter=4 kbps bands=type=drop rate=1000"],
      rules: ["in_port=1,actions=group:1", "in_port=2,actions=meter:4,output:3", "in_port=3,actions=output:1"])
    let change = try bench.sluice.performAndWait { core in try core.apply([.deleteGroup(1), .deleteMeter(nil)]) }
    #expect([change.removed, change.removedGroups, change.removedMeters] == [2, 1, 1])
    #expect(try bench.rules().count == 1)
    try send(bench, 1)
    #expect(bench[2].takeOutput().isEmpty)
  }

  @Test func aRefusedChangeChangesNothing() throws {
    let bench = try SwitchBench(ports: 3, rules: [])
    func refusal(_ requests: [RuleChangeRequest]) throws -> RuleChangeError? {
      do {
        _ = try bench.sluice.performAndWait { core in try core.apply(requests) }
        return nil
      } catch { return error as? RuleChangeError }
    }
    let group = try Group(text: "group_id=1,type=indirect,bucket=actions=output:2")
    let unknown = try refusal([.addGroup(group), .add(try Rule(text: "in_port=1,actions=group:1")), .add(try Rule(text: "actions=group:2"))])
    #expect(unknown?.requestIndex == 2)
    #expect(unknown?.description.hasSuffix("sends to group 2, which is not there; add the group first") == true)
    #expect(try refusal([.addGroup(group), .addGroup(group)])?.description == "group 1 is there already; modify it, or choose another number")
    #expect(try refusal([.add(try Rule(text: "actions=meter:9,output:2"))])?.requestIndex == 0)
    #expect(try bench.sluice.performAndWait { core in core.groupList().count + core.ruleList().count } == 0)
  }

  @Test func aMeterLetsNoMoreThroughThanItsRate() throws {
    let bench = try SwitchBench(ports: 2, rules: [])
    try apply(
      bench, meters: ["meter=4 pktps burst stats bands=type=drop rate=1 burst_size=5"], rules: ["in_port=1,actions=meter:4,output:2"])
    bench[1].inject(contentsOf: Array(repeating: probe, count: 50))
    try bench.settle()
    #expect((5...8).contains(bench[2].takeOutput().count))
    let meter = try #require(try bench.sluice.performAndWait { core in core.meterList(4) }.first)
    #expect(meter.packets == 50)
    #expect((42...45).contains(meter.bands[0].packets))
    #expect(meter.referenceCount == 1)
  }
}
