// TranslatorTableTests.swift
//
// What: the way of a packet through several tables: each instruction, the action set, pipeline fields, and which bits are not looked at because
//       an action wrote them. One fact per test.

import Dataplane
import Pipeline
import Testing

/// What the rules, groups and meters given as lines make of a packet.
func translate(
  _ packetText: String, rules: [String], groups: [String] = [], meters: [String] = [], ports: PortSet = portSet(4)
) throws -> Translation {
  Translator.translate(key: try packet(packetText), context: try context(rules: rules, groups: groups, meters: meters, ports: ports))
}

/// Rules, groups and meters, each a line.
func context(
  rules: [String], groups: [String] = [], meters: [String] = [], ports: PortSet = portSet(4)
) throws -> TranslationContext {
  let context = TranslationContext(ports: ports, rules: RuleTables())
  for line in groups { try context.groups.add(try Group(text: line)) }
  for line in meters { try context.meters.add(try MeterSpec(text: line)) }
  for line in rules { context.rules.add(try Rule(text: line)) }
  return context
}

@Suite struct TranslatorTableTests {
  @Test func aRuleLeadsToALaterTable() throws {
    let result = try translate("in_port=1,ip", rules: ["actions=output:2,goto_table:7", "table=7,ip actions=output:3"])
    #expect(result.actions == [.output(12), .output(13)])
    #expect(result.visits.map(\.table) == [0, 7])
    #expect(result.rules.count == 2)
    #expect(result.drop == nil)
  }

  @Test func aMissInALaterTableEndsThePipeline() throws {
    let result = try translate("in_port=1,arp", rules: ["actions=write_actions(output:2),goto_table:1", "table=1,ip actions=3"])
    #expect(result.actions == [])
    #expect(result.drop == .noRule)
    #expect(result.missTable == 1)
    #expect(result.visits.map(\.table) == [0, 1])
  }

  @Test func whatWasSentBeforeAMissIsSent() throws {
    let result = try translate("in_port=1", rules: ["actions=output:2,goto_table:1"])
    #expect(result.actions == [.output(12)])
    #expect(result.drop == nil)
    #expect(result.missTable == 1)
  }

  // MARK: Action set

  @Test func theActionSetIsExecutedInItsOwnOrder() throws {
    let rules = [
      "ip actions=write_actions(output:2,set_field:02:00:00:00:00:0c->eth_dst,dec_ttl,push_vlan:0x8100),goto_table:1",
      "table=1 actions=write_actions(set_queue:5)",
    ]
    let result = try translate("in_port=1,ip,nw_ttl=9", rules: rules)
    #expect(
      result.actions == [
        .pushVLAN(tpid: 0x8100), .decrementTTL, .setField(.ethDst, value: 0x0200_0000_000c, mask: FlowField.ethDst.allOnes),
        .setQueue(5), .output(12),
      ])
  }

  @Test func aLaterActionOfTheSameKindTakesThePlaceOfTheEarlierOne() throws {
    let rules = ["actions=write_actions(output:2),goto_table:1", "table=1 actions=write_actions(output:3)"]
    #expect(try translate("in_port=1", rules: rules).actions == [.output(13)])
  }

  @Test func aGroupInTheSetStandsForTheOutput() throws {
    let rules = ["actions=write_actions(output:2,group:1)"]
    let result = try translate("in_port=1", rules: rules, groups: ["group_id=1,type=indirect,bucket=actions=output:3"])
    #expect(result.actions == [.output(13)])
  }

  @Test func clearActionsEmptiesTheSet() throws {
    let rules = [
      "actions=write_actions(output:2),goto_table:1", "table=1 actions=clear_actions,goto_table:2", "table=2 actions=drop",
    ]
    let result = try translate("in_port=1", rules: rules)
    #expect(result.actions == [])
    #expect(result.drop == .ruleDrops)
  }

  @Test func clearingComesBeforeWritingInOneRule() throws {
    let rules = ["actions=write_actions(output:2),goto_table:1", "table=1 actions=clear_actions,write_actions(output:3)"]
    #expect(try translate("in_port=1", rules: rules).actions == [.output(13)])
  }

  @Test func aRuleThatDropsLeavesTheSetToBeExecuted() throws {
    let rules = ["actions=write_actions(output:2),goto_table:1", "table=1 actions=drop"]
    #expect(try translate("in_port=1", rules: rules).actions == [.output(12)])
  }

  // MARK: Pipeline fields

  @Test func metadataIsWrittenAndMatched() throws {
    let rules = [
      "actions=write_metadata:0x12/0xff,goto_table:1", "table=1,metadata=0x2/0xf actions=write_metadata:0x30/0xf0,goto_table:2",
      "table=2,metadata=0x32 actions=output:2",
    ]
    let result = try translate("in_port=1", rules: rules)
    #expect(result.actions == [.output(12)])
    #expect(result.mask[.metadata] == 0)
  }

  @Test func registersAndTunnelIDAreThePipelinesOwn() throws {
    let rules = [
      "actions=set_field:7->reg3,set_field:9->tun_id,goto_table:1", "table=1,reg3=7,tun_id=9 actions=output:2",
    ]
    let result = try translate("in_port=1", rules: rules)
    #expect(result.actions == [.output(12)])
    #expect(looked(result, try packet("in_port=1")) == "in_port=1,dl_type=0x0000")
  }

  // MARK: Known bits

  @Test func aFieldThatWasWrittenIsNotLookedAtAgain() throws {
    let rules = [
      "ip actions=set_field:10.9.9.9->ip_dst,goto_table:1", "table=1,ip,nw_dst=10.9.0.0/16,nw_src=1.0.0.0/8 actions=output:2",
    ]
    let result = try translate("in_port=1,ip,nw_src=1.2.3.4,nw_dst=5.6.7.8", rules: rules)
    #expect(result.actions.last == .output(12))
    #expect(result.mask[.ipv4Dst] == 0)
    #expect(result.mask[.ipv4Src] != 0)
    #expect(result.visits.map(\.isIngressKey) == [true, false])
  }

  @Test func bitsBesideThoseThatWereWrittenAreLookedAt() throws {
    let rules = [
      "ip actions=set_field:10.0.0.0/255.0.0.0->ip_dst,goto_table:1", "table=1,ip,nw_dst=10.6.0.0/16 actions=output:2",
    ]
    let result = try translate("in_port=1,ip,nw_dst=5.6.7.8", rules: rules)
    #expect(result.mask[.ipv4Dst] == 0x00ff_0000)
    #expect(try translate("in_port=1,ip,nw_dst=5.7.7.8", rules: rules).drop == .noRule)
  }

  @Test func aDecrementedTTLIsLookedAtWhole() throws {
    let rules = ["ip actions=dec_ttl,goto_table:1", "table=1,ip,nw_ttl=63 actions=output:2"]
    let result = try translate("in_port=1,ip,nw_ttl=64", rules: rules)
    #expect(result.actions == [.decrementTTL, .output(12)])
    #expect(result.mask[.ipTTL] == 0xff)
    #expect(try translate("in_port=1,ip,nw_ttl=63", rules: rules).drop == .noRule)
  }

  @Test func aTTLThatWasSetAndDecrementedIsKnown() throws {
    let rules = ["ip actions=mod_nw_ttl:9,dec_ttl,goto_table:1", "table=1,ip,nw_ttl=8 actions=output:2"]
    let result = try translate("in_port=1,ip,nw_ttl=64", rules: rules)
    #expect(result.actions.last == .output(12))
    #expect(result.mask[.ipTTL] == 0)
  }

  @Test func aPoppedTagBringsTheInnerOneForward() throws {
    let rules = ["actions=pop_vlan,goto_table:1", "table=1,dl_vlan=4 actions=output:2"]
    let result = try translate("in_port=1,dl_vlan=9,dl_vlan2=4", rules: rules)
    #expect(result.actions == [.popVLAN, .output(12)])
    #expect(result.mask[.vlanTCI] == 0x1000)
    #expect(result.mask[.innerVLANTCI] == 0x1fff)
  }

  @Test func aPushedTagTakesThePlaceOfTheOuterOne() throws {
    let rules = ["actions=push_vlan:0x8100,goto_table:1", "table=1,dl_vlan=9,dl_vlan2=9 actions=output:2"]
    let result = try translate("in_port=1,dl_vlan=9", rules: rules)
    #expect(result.actions == [.pushVLAN(tpid: 0x8100), .output(12)])
    #expect(result.mask[.vlanTCI] == 0x1fff)
    #expect(result.mask[.innerVLANTCI] == 0x1000)
  }

  // MARK: Headers that are not there

  @Test func anActionWithoutItsHeaderIsLeftOut() throws {
    let bucket = ["group_id=1,type=indirect,bucket=actions=set_field:1.2.3.4->ip_dst,set_field:7->mpls_label,output:2"]
    #expect(try translate("in_port=1,arp", rules: ["actions=group:1"], groups: bucket).actions == [.output(12)])
    let ip = try translate("in_port=1,ip", rules: ["actions=group:1"], groups: bucket)
    #expect(ip.actions == [.setField(.ipv4Dst, value: 0x0102_0304, mask: 0xffff_ffff), .output(12)])
  }

  @Test func settingAPortOfTheWrongProtocolLooksAtTheProtocol() throws {
    let bucket = ["group_id=1,type=indirect,bucket=actions=set_field:7->tcp_dst,output:2"]
    let result = try translate("in_port=1,udp,tp_dst=9", rules: ["actions=group:1"], groups: bucket)
    #expect(result.actions == [.output(12)])
    #expect(result.mask[.ipProto] == 0xff)
    #expect(result.mask[.udpDst] == 0)
  }

  // MARK: MPLS and PBB

  @Test func labelsArePushedWithTheTTLOfIP() throws {
    let rules = [
      "ip actions=push_mpls:0x8847,set_field:77->mpls_label,goto_table:1",
      "table=1,mpls,mpls_label=77,mpls_bos=1 actions=goto_table:2", "table=2,mpls,mpls_ttl=64 actions=output:2",
    ]
    let result = try translate("in_port=1,ip,nw_ttl=64", rules: rules)
    #expect(result.actions == [.pushMPLS(etherType: 0x8847), .setField(.mplsLabel, value: 77, mask: 0xfffff), .output(12)])
    #expect(result.mask[.ipTTL] == 0xff)
    #expect(result.mask[.mplsTTL] == 0)
  }

  @Test func popWhatWasPushedAndTheIPFieldsAreBack() throws {
    let rules = [
      "ip actions=push_mpls:0x8847,pop_mpls:0x0800,goto_table:1", "table=1,ip,nw_dst=10.0.0.0/8 actions=output:2",
    ]
    let result = try translate("in_port=1,ip,nw_dst=10.1.1.1", rules: rules)
    #expect(result.actions == [.pushMPLS(etherType: 0x8847), .popMPLS(etherType: 0x0800), .output(12)])
    #expect(result.recirculations.isEmpty)
  }

  @Test func underALabelThereIsNoIP() throws {
    let rules = ["ip actions=push_mpls:0x8847,goto_table:1", "table=1,priority=2,ip actions=output:3", "table=1,priority=1 actions=output:2"]
    #expect(try translate("in_port=1,ip", rules: rules).actions.last == .output(12))
  }

  @Test func aServiceTagHidesTheTags() throws {
    let rules = ["actions=push_pbb:0x88e7,goto_table:1", "table=1,dl_type=0x88e7,vlan_tci=0 actions=output:2"]
    let result = try translate("in_port=1,dl_vlan=5,ip", rules: rules)
    #expect(result.actions == [.pushPBB, .output(12)])
    let back = try translate(
      "in_port=1,dl_vlan=5,ip", rules: ["actions=push_pbb:0x88e7,pop_pbb,goto_table:1", "table=1,dl_vlan=5,ip actions=output:2"])
    #expect(back.actions == [.pushPBB, .popPBB, .output(12)])
    #expect(back.recirculations.isEmpty)
  }

  // MARK: Meters

  @Test func aMeterMeasuresBeforeTheActions() throws {
    let rules = ["actions=meter:3,output:2"]
    let meters = ["meter=3 pktps bands=type=drop rate=100"]
    let context = try context(rules: rules, meters: meters)
    let result = Translator.translate(key: try packet("in_port=1"), context: context)
    let meter = try #require(context.meters[3])
    #expect(result.actions == [.meter(meter), .output(12)])
    #expect(result.meters == [3])
  }

  @Test func aMeterCountsWhatIsDropped() throws {
    let result = try translate("in_port=1", rules: ["actions=meter:3"], meters: ["meter=3 kbps bands=type=drop rate=100"])
    #expect(result.actions.count == 1)
    #expect(result.drop == .ruleDrops)
  }

  @Test func aMeterThatIsNotThereMeasuresNothing() throws {
    #expect(try translate("in_port=1", rules: ["actions=meter:3,output:2"]).actions == [.output(12)])
  }

  @Test func aRemarkedDSCPIsLookedAtAfterParsingAgain() throws {
    let rules = ["ip actions=meter:3,goto_table:1", "table=1,ip,ip_dscp=12 actions=output:2"]
    let result = try translate("in_port=1,ip", rules: rules, meters: ["meter=3 kbps bands=type=dscp_remark rate=100 prec_level=1"])
    #expect(result.recirculations.count == 1)
    guard case .recirculate? = result.actions.last else {
      Issue.record("\(result.actions)")
      return
    }
  }
}

@Suite struct RecirculationTests {
  private let rules = [
    "table=0,mpls actions=set_field:5->reg1,pop_mpls:0x0800,write_actions(output:3),goto_table:1",
    "table=1,ip,reg1=5,nw_dst=10.0.0.0/8 actions=dec_ttl",
  ]

  @Test func whatIsBelowAnUnseenLabelIsParsedAgain() throws {
    let context = try context(rules: rules)
    let result = Translator.translate(key: try packet("in_port=1,mpls,mpls_label=4,mpls_bos=1"), context: context)
    let id = try #require(result.recirculations.first)
    #expect(result.actions == [.popMPLS(etherType: 0x0800), .recirculate(id)])
    #expect(result.drop == nil)
    #expect(result.visits.map(\.table) == [0])

    var inner = try packet("in_port=1,ip,nw_dst=10.2.3.4,nw_ttl=8")
    inner[.recircID] = UInt128(id)
    let resumed = Translator.translate(key: inner, context: context)
    #expect(resumed.visits.map(\.table) == [1])
    #expect(resumed.actions == [.output(13)] || resumed.actions == [.decrementTTL, .output(13)])
    #expect(resumed.recirculations == [id])
    #expect(resumed.mask[.recircID] == 0xffff)

    inner[.ipv4Dst] = 0x0b00_0001
    #expect(Translator.translate(key: inner, context: context).drop == .noRule)
  }

  @Test func equalStatesShareANumber() throws {
    let context = try context(rules: rules)
    let a = Translator.translate(key: try packet("in_port=1,mpls,mpls_label=4"), context: context)
    let b = Translator.translate(key: try packet("in_port=2,mpls,mpls_label=5"), context: context)
    #expect(a.recirculations == b.recirculations)
    #expect(context.recirculation.count == 1)
  }

  @Test func sendingOnNeedsNoSecondParsing() throws {
    let result = try translate("in_port=1,mpls", rules: ["mpls actions=pop_mpls:0x0800,set_field:02:00:00:00:00:01->eth_dst,output:2"])
    #expect(result.recirculations.isEmpty)
    #expect(result.actions.last == .output(12))
  }

  @Test func anActionThatAsksStopsWhereItStands() throws {
    let rules = ["dl_type=0x88e7 actions=output:4,pop_pbb,normal,output:2"]
    let context = try context(rules: rules)
    let result = Translator.translate(key: try packet("in_port=1,dl_type=0x88e7"), context: context)
    let id = try #require(result.recirculations.first)
    #expect(result.actions == [.output(14), .popPBB, .recirculate(id)])
    #expect(result.learns == nil)
    var inner = try packet("in_port=1,ip,dl_src=02:00:00:00:00:0a,dl_dst=ff:ff:ff:ff:ff:ff")
    inner[.recircID] = UInt128(id)
    let resumed = Translator.translate(key: inner, context: context)
    #expect(resumed.actions == [.output(12), .output(13), .output(14), .output(12)])
    #expect(resumed.learns?.station.mac == 0x0200_0000_000a)
  }

  @Test func aNumberGoesAfterTwoSweepsWithoutAHolder() throws {
    let context = try context(rules: rules)
    let result = Translator.translate(key: try packet("in_port=1,mpls"), context: context)
    let id = try #require(result.recirculations.first)
    context.recirculation.hold(id)
    for _ in 0..<4 { context.recirculation.sweep() }
    #expect(context.recirculation.count == 1)
    context.recirculation.release(id)
    context.recirculation.sweep()
    #expect(context.recirculation.count == 1)
    context.recirculation.sweep()
    #expect(context.recirculation.count == 0)
    var inner = try packet("in_port=1,ip")
    inner[.recircID] = UInt128(id)
    #expect(Translator.translate(key: inner, context: context).drop == .recirculationGone)
  }
}
