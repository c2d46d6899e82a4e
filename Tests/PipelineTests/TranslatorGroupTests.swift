// TranslatorGroupTests.swift
//
// What: what each kind of group does, liveness, nesting; and the tables of groups and meters: what they refuse, what they keep.

import Testing

@testable import Dataplane
@testable import Pipeline

@Suite struct TranslatorGroupTests {
  @Test func allSendsACopyThroughEachBucket() throws {
    let group = "group_id=1,type=all,bucket=actions=set_field:02:00:00:00:00:0c->eth_dst,output:2,bucket=actions=output:3"
    let result = try translate("in_port=1", rules: ["actions=group:1,output:4"], groups: [group])
    let change = FlowAction.setField(.ethDst, value: 0x0200_0000_000c, mask: FlowField.ethDst.allOnes)
    #expect(result.actions == [.clone([change, .output(12)]), .output(13), .output(14)])
    #expect(result.groups.map(\.group) == [1, 1, 1])
    #expect(result.groups.map(\.bucket) == [nil, 0, 1])
  }

  @Test func theLastBucketNeedsNoCopyWhenNothingFollows() throws {
    let group = "group_id=1,type=all,bucket=actions=output:3,bucket=actions=output:2,dec_ttl"
    let result = try translate("in_port=1,ip", rules: ["actions=group:1"], groups: [group])
    #expect(result.actions == [.output(13), .decrementTTL, .output(12)])
  }

  @Test func aBucketIsExecutedAsAnActionSet() throws {
    let group = "group_id=1,type=indirect,bucket=actions=output:2,set_field:02:00:00:00:00:0c->eth_dst"
    let result = try translate("in_port=1", rules: ["actions=group:1"], groups: [group])
    #expect(result.actions == [.setField(.ethDst, value: 0x0200_0000_000c, mask: FlowField.ethDst.allOnes), .output(12)])
  }

  @Test func whatABucketChangesIsNotSeenBehindTheGroup() throws {
    let group = "group_id=1,type=indirect,bucket=actions=set_field:10.0.0.1->ip_dst,output:2"
    let rules = ["ip actions=group:1,goto_table:1", "table=1,ip,nw_dst=10.0.0.1 actions=output:3", "table=1,priority=1 actions=output:4"]
    let result = try translate("in_port=1,ip,nw_dst=9.9.9.9", rules: rules, groups: [group])
    #expect(result.actions.last == .output(14))
    #expect(result.mask[.ipv4Dst] != 0)
  }

  @Test func selectLeavesTheChoiceToTheWorkers() throws {
    let group = "group_id=1,type=select,bucket=weight:100,actions=output:2,bucket=weight:50,actions=output:3"
    let result = try translate("in_port=1", rules: ["actions=group:1"], groups: [group])
    guard case .select(let table, let lists)? = result.actions.first else {
      Issue.record("\(result.actions)")
      return
    }
    #expect(table.weights == [100, 50])
    #expect(lists == [[.output(12)], [.output(13)]])
    #expect(result.drop == nil)
  }

  @Test func selectPassesOverDeadBucketsAndKeepsTheSlotsOfTheOthers() throws {
    let group = "group_id=1,type=select,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=output:3"
    var context = try context(rules: ["actions=group:1"], groups: [group])
    func table() throws -> SelectTable {
      guard case .select(let table, _)? = Translator.translate(key: try packet("in_port=1"), context: context).actions.first else {
        throw SyntaxError(text: "", offset: 0, message: "no select", expected: "")
      }
      return table
    }
    let first = try table()
    #expect(try table() === first, "nothing has changed")
    context.ports.setUp(3, false)
    let second = try table()
    #expect(second.weights == [1, 0])
    context.ports.setUp(3, true)
    let third = try table()
    for hash in stride(from: UInt64.min, to: .max - (1 << 54), by: 1 << 54) {
      #expect(third.bucket(hash: hash) == first.bucket(hash: hash))
      if first.bucket(hash: hash) == 0 { #expect(second.bucket(hash: hash) == 0) }
    }
  }

  @Test func aModifiedSelectGroupKeepsTheSlotsOfItsBuckets() throws {
    let context = try context(
      rules: ["actions=group:1"],
      groups: ["group_id=1,type=select,bucket=bucket_id:7,actions=output:2,bucket=bucket_id:8,actions=output:3"])
    func table() throws -> SelectTable {
      guard case .select(let table, _)? = Translator.translate(key: try packet("in_port=1"), context: context).actions.first else {
        throw SyntaxError(text: "", offset: 0, message: "no select", expected: "")
      }
      return table
    }
    let before = try table()
    try context.groups.modify(
      try Group(text: "group_id=1,type=select,bucket=bucket_id:8,actions=output:3,bucket=bucket_id:7,actions=output:2"))
    let after = try table()
    for hash in stride(from: UInt64.min, to: .max - (1 << 54), by: 1 << 54) {
      #expect(after.bucket(hash: hash) == before.bucket(hash: hash).map { 1 - $0 })
    }
  }

  @Test func fastFailoverTakesTheFirstLiveBucket() throws {
    let group = "group_id=1,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=output:3"
    let rules = ["actions=group:1"]
    #expect(try translate("in_port=1", rules: rules, groups: [group]).actions == [.output(12)])
    let down = try translate("in_port=1", rules: rules, groups: [group], ports: portSet(4, down: [2]))
    #expect(down.actions == [.output(13)])
    #expect(down.floods)
    #expect(down.groups.contains { $0.group == 1 && $0.bucket == 1 && $0.counter != nil })
    #expect(try translate("in_port=1", rules: rules, groups: [group], ports: portSet(4, down: [2, 3])).drop == .noLiveBucket)
  }

  @Test func aGroupIsAliveWhileOneOfItsBucketsIs() throws {
    let groups = [
      "group_id=2,type=ff,bucket=watch_port:3,actions=output:3",
      "group_id=1,type=ff,bucket=watch_group:2,actions=group:2,bucket=watch_port:4,actions=output:4",
    ]
    let rules = ["actions=group:1"]
    #expect(try translate("in_port=1", rules: rules, groups: groups).actions == [.output(13)])
    let down = try translate("in_port=1", rules: rules, groups: groups, ports: portSet(4, down: [3]))
    #expect(down.actions == [.output(14)])
    #expect(down.groups.contains { $0.group == 2 && $0.counter == nil })
  }

  @Test func groupsNest() throws {
    let groups = [
      "group_id=3,type=indirect,bucket=actions=dec_ttl,output:3", "group_id=1,type=all,bucket=actions=group:3,bucket=actions=output:2",
    ]
    let result = try translate("in_port=1,ip", rules: ["actions=group:1"], groups: groups)
    #expect(result.actions == [.clone([.decrementTTL, .output(13)]), .output(12)])
  }

  @Test func aGroupWithoutBucketsDrops() throws {
    let result = try translate("in_port=1", rules: ["actions=group:1"], groups: ["group_id=1,type=all"])
    #expect(result.actions == [])
    #expect(result.drop == .ruleDrops)
  }

  @Test func aGroupThatIsGoneSendsNothing() throws {
    #expect(try translate("in_port=1", rules: ["actions=group:9"]).drop == .noSuchGroup)
  }

  @Test func anExplosionOfGroupsIsCutShort() throws {
    var groups = ["group_id=1,type=all" + String(repeating: ",bucket=actions=output:2", count: 40)]
    for id in 2...4 { groups.append("group_id=\(id),type=all" + String(repeating: ",bucket=actions=group:\(id - 1)", count: 40)) }
    let result = try translate("in_port=1", rules: ["actions=group:4"], groups: groups)
    #expect(result.drop == .tooManyActions)
    #expect(result.actions == [])
  }
}

@Suite struct GroupTableTests {
  private func refusal(_ text: String, in table: GroupTable, modify: Bool = false) throws -> GroupError? {
    let group = try Group(text: text)
    do {
      if modify { try table.modify(group) } else { try table.add(group) }
      return nil
    } catch { return error }
  }

  @Test func whatMakesNoSenseIsRefused() throws {
    let table = GroupTable()
    #expect(try refusal("group_id=1,type=indirect", in: table) == .notOneBucket(1, count: 0))
    #expect(try refusal("group_id=1,type=ff,bucket=actions=output:1", in: table) == .nothingToWatch(1, bucket: 0))
    #expect(try refusal("group_id=1,type=all,bucket=actions=group:2", in: table) == .unknownReference(2, from: 1))
    #expect(try refusal("group_id=1,type=all,bucket=actions=group:1", in: table) == .loop(1))
    #expect(try refusal("group_id=1,type=all,bucket=bucket_id:1,actions=1,bucket=actions=2", in: table) == .duplicateBucket(1, bucket: 1))
    #expect(table.count == 0)
    #expect(try refusal("group_id=1,type=all", in: table, modify: true) == .unknown(1))
    #expect(try refusal("group_id=1,type=all", in: table) == nil)
    #expect(try refusal("group_id=1,type=all", in: table) == .exists(1))
  }

  @Test func aCircleOfGroupsIsRefused() throws {
    let table = GroupTable()
    for text in ["group_id=1,type=all", "group_id=2,type=all,bucket=actions=group:1", "group_id=3,type=all,bucket=actions=group:2"] {
      #expect(try refusal(text, in: table) == nil)
    }
    #expect(try refusal("group_id=1,type=all,bucket=actions=group:3", in: table, modify: true) == .loop(1))
    #expect(table[1]?.group.buckets.isEmpty == true)
  }

  @Test func groupsNestEightDeep() throws {
    let table = GroupTable()
    #expect(try refusal("group_id=1,type=all", in: table) == nil)
    for id in 2...8 { #expect(try refusal("group_id=\(id),type=all,bucket=actions=group:\(id - 1)", in: table) == nil) }
    #expect(try refusal("group_id=9,type=all,bucket=actions=group:8", in: table) == .tooDeep(9))
    #expect(try refusal("group_id=20,type=all", in: table) == nil)
    #expect(try refusal("group_id=1,type=all,bucket=actions=group:20", in: table, modify: true) == .tooDeep(1))
  }

  @Test func aGroupThatOthersUseStays() throws {
    let table = GroupTable()
    try table.add(try Group(text: "group_id=1,type=all"))
    try table.add(try Group(text: "group_id=2,type=all,bucket=actions=group:1"))
    #expect(throws: GroupError.inUse(1, by: 2)) { try table.delete(1) }
    #expect(try table.delete(2).map(\.group.id) == [2])
    #expect(try table.delete(1).map(\.group.id) == [1])
    #expect(try table.delete(1).isEmpty)
  }

  @Test func aRefusedChangeGoesBack() throws {
    let table = GroupTable()
    try table.add(try Group(text: "group_id=1,type=all"))
    let checkpoint = table.checkpoint()
    try table.add(try Group(text: "group_id=2,type=all"))
    try table.delete(1)
    table.restore(checkpoint)
    #expect(table.all.map(\.group.id) == [1])
  }

  @Test func countersOutliveAModification() throws {
    let table = GroupTable()
    try table.add(try Group(text: "group_id=1,type=all,bucket=bucket_id:4,actions=1,bucket=bucket_id:5,actions=2"))
    let entry = try #require(table[1])
    entry.counter.add(packets: 10, bytes: 1000)
    entry.bucketCounters[1].add(packets: 10, bytes: 1000)
    try table.modify(try Group(text: "group_id=1,type=all,bucket=bucket_id:5,actions=2"))
    #expect(table[1]?.count == GroupCount(packets: 10, bytes: 1000))
    #expect(table[1]?.count(ofBucket: 0) == GroupCount(packets: 10, bytes: 1000))
  }

  @Test func aGroupThatIsMadeAgainCountsAnew() throws {
    let table = GroupTable()
    try table.add(try Group(text: "group_id=1,type=all,bucket=bucket_id:4,actions=1"))
    let old = try #require(table[1])
    try table.delete(1)
    try table.add(try Group(text: "group_id=1,type=all,bucket=bucket_id:4,actions=1"))
    // A flow of the old group is looked at only now.
    old.counter.add(packets: 7, bytes: 700)
    old.bucketCounters[0].add(packets: 7, bytes: 700)
    #expect(table[1]?.count == GroupCount())
    #expect(table[1]?.count(ofBucket: 0) == GroupCount())
  }

  @Test func aBucketKeepsWhatItCountedInASelectGroupWhateverBecomesOfTheGroup() throws {
    let table = GroupTable()
    let buckets = ["bucket=bucket_id:4,actions=1", "bucket=bucket_id:5,actions=2"]
    try table.add(try Group(text: "group_id=1,type=select," + buckets.joined(separator: ",")))
    let choice = try #require(table[1]?.selectTable(isLive: [true, true]))
    choice.view.pointee.count(1, bytes: 100)
    // Nobody asks for a choice between the two changes.
    try table.modify(try Group(text: "group_id=1,type=select," + buckets.reversed().joined(separator: ",")))
    #expect(table[1]?.count(ofBucket: 0) == GroupCount(packets: 1, bytes: 100))
    try table.modify(try Group(text: "group_id=1,type=all,bucket=bucket_id:6,actions=3," + buckets.joined(separator: ",")))
    let entry = try #require(table[1])
    entry.bucketCounters[2].add(packets: 2, bytes: 200)
    #expect((0..<3).map { entry.count(ofBucket: $0).packets } == [0, 0, 3])
  }

  @Test func textReadsBack() throws {
    let texts = [
      "group_id=1,type=select,bucket=weight:100,actions=output:2,bucket=weight:50,watch_port:3,actions=output:3",
      "group_id=2,type=fast_failover,bucket=watch_port:1,actions=output:1,bucket=watch_group:1,actions=group:1",
      "group_id=3,type=all,bucket=bucket_id:9,actions=set_field:10.0.0.1->ip_dst,dec_ttl,output:2", "group_id=4,type=all",
      "group_id=5,type=indirect,bucket=actions=drop",
    ]
    for text in texts { #expect(try Group(text: text).text() == text) }
    #expect(try Group(text: "group_id=1 type=select bucket=weight=3,output:2, bucket=output:3").buckets.map(\.weight) == [3, 1])
    #expect(try Group(text: "group_id=1,type=ff,bucket=watch_port=2 actions=2").kind == .fastFailover)
  }

  @Test func wrongTextSaysWhat() throws {
    func message(_ text: String) -> String {
      do {
        _ = try Group(text: text)
        return "read"
      } catch { return error.description }
    }
    #expect(message("type=all") == "column 1, 'type=all': the group has no number; expected group_id=1")
    #expect(message("group_id=1").contains("the group has no type"))
    #expect(message("group_id=1,type=any") == "column 12, 'type=any': not a type of a group; expected all, select, indirect or fast_failover")
    #expect(message("group_id=1,type=all,bucket=weight:1,output:2").contains("only buckets of a select group have a weight"))
    #expect(message("group_id=1,type=all,bucket=").contains("the bucket has no actions"))
    #expect(message("group_id=1,type=all,bucket=actions=fly").contains("fly"))
  }
}

@Suite struct MeterTableTests {
  @Test func textReadsBack() throws {
    let texts = [
      "meter=1 pktps burst bands=type=drop rate=100 burst_size=10",
      "meter=2 kbps stats bands=type=dscp_remark rate=1000 prec_level=1 type=drop rate=2000",
    ]
    for text in texts { #expect(try MeterSpec(text: text).text == text) }
    #expect(try MeterSpec(text: "meter=3,pktps,band=type=drop,rate=5").bands == [MeterBand(kind: .drop, rate: 5)])
  }

  @Test func wrongTextSaysWhat() throws {
    func message(_ text: String) -> String {
      do {
        _ = try MeterSpec(text: text)
        return "read"
      } catch { return error.description }
    }
    #expect(message("pktps bands=type=drop rate=1").contains("the meter has no number"))
    #expect(message("meter=0 bands=type=drop rate=1").contains("not the number of a meter"))
    #expect(message("meter=1 bands=type=pass rate=1").contains("not a type of a band"))
    #expect(message("meter=1 bands=type=drop").contains("the band has no rate"))
    #expect(message("meter=1 bands=type=drop rate=1 burst_size=5").contains("does not say burst"))
    #expect(message("meter=1 kbps pktps bands=type=drop rate=1").contains("the unit is given twice"))
  }

  @Test func whatMakesNoSenseIsRefused() throws {
    let table = MeterTable()
    #expect(throws: MeterError.noBands(1)) { try table.add(MeterSpec(id: 1, bands: [])) }
    #expect(throws: MeterError.noRate(1)) { try table.add(MeterSpec(id: 1, bands: [MeterBand(kind: .drop, rate: 0)])) }
    #expect(throws: MeterError.unknown(1)) { try table.modify(MeterSpec(id: 1, bands: [MeterBand(kind: .drop, rate: 1)])) }
    try table.add(MeterSpec(id: 1, bands: [MeterBand(kind: .drop, rate: 1)]))
    #expect(throws: MeterError.exists(1)) { try table.add(MeterSpec(id: 1, bands: [MeterBand(kind: .drop, rate: 1)])) }
  }

  @Test func aModifiedMeterIsAnotherOneUnlessNothingChanged() throws {
    let table = MeterTable()
    try table.add(try MeterSpec(text: "meter=1 pktps bands=type=drop rate=100"))
    let first = table[1]
    try table.modify(try MeterSpec(text: "meter=1 pktps bands=type=drop rate=100"))
    #expect(table[1] === first)
    try table.modify(try MeterSpec(text: "meter=1 pktps bands=type=drop rate=200"))
    #expect(table[1] !== first)
    #expect(table.delete(1).count == 1)
    #expect(table.delete(1).isEmpty)
  }
}
