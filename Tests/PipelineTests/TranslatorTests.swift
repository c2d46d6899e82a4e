// TranslatorTests.swift
//
// What: what single actions mean, one fact per test. TranslatorDifferentialTests compares everything with a naive reference.

import Dataplane
import Pipeline
import Testing

private func translate(
  _ text: String, _ rules: RuleTables, ports: PortSet = portSet(4), macs: MACTable = MACTable()
) throws -> Translation {
  Translator.translate(key: try packet(text), context: TranslationContext(ports: ports, rules: rules, macs: macs))
}

private let alice = "dl_src=02:00:00:00:00:0a"
private let toBob = "dl_dst=02:00:00:00:00:0b"
private let bob = Station(vlan: 0, mac: 0x0200_0000_000b)

@Suite struct TranslatorTests {
  @Test func aPacketWithoutARuleIsDropped() throws {
    let result = try translate("in_port=1,arp", RuleTables())
    #expect(result.actions == [])
    #expect(result.drop == .noRule)
    #expect(result.rule == nil)
    #expect(looked(result, try packet("in_port=1,arp")) == "arp,in_port=1")
  }

  @Test func outputsAreTranslatedToIndices() throws {
    let result = try translate("in_port=1,ip", try table("actions=2,3"))
    #expect(result.actions == [.output(12), .output(13)])
    #expect(result.drop == nil)
  }

  @Test func nothingIsSentToTheIngressPortUnlessInPortSaysSo() throws {
    #expect(try translate("in_port=2", try table("actions=2")).drop == .outputToIngressPort)
    #expect(try translate("in_port=2", try table("actions=in_port")).actions == [.output(12)])
    #expect(try translate("in_port=2", try table("actions=2,1")).actions == [.output(11)])
  }

  @Test func portsThatAreDownOrGoneGetNothing() throws {
    #expect(try translate("in_port=1", try table("actions=2"), ports: portSet(4, down: [2])).drop == .portDown)
    #expect(try translate("in_port=1", try table("actions=9")).drop == .noSuchPort)
    #expect(try translate("in_port=1", try table("actions=9,3")).actions == [.output(13)])
  }

  @Test func floodLeavesOutIngressDownAndNoFloodPorts() throws {
    let ports = portSet(5, down: [3], noFlood: [4])
    let flood = try translate("in_port=1", try table("actions=flood"), ports: ports)
    #expect(flood.actions == [.output(12), .output(15)])
    #expect(flood.floods)
    #expect(try translate("in_port=1", try table("actions=all"), ports: ports).actions == [.output(12), .output(14), .output(15)])
    #expect(try translate("in_port=1", try table("actions=flood"), ports: portSet(1)).drop == .noPortToFlood)
  }

  @Test func dropAndTrailingChangesSendNothing() throws {
    #expect(try translate("in_port=1", try table("actions=drop")).drop == .ruleDrops)
    let change = try translate("in_port=1", try table("actions=mod_dl_dst:\(toBob.dropFirst(7))"))
    #expect(change.drop == .ruleDrops)
    #expect(change.actions == [])
    let trailing = try translate("in_port=1,ip", try table("ip actions=2,dec_ttl"))
    #expect(trailing.actions == [.output(12)])
  }

  @Test func whatAnActionWritesIsNotLookedAt() throws {
    let rules = try table("actions=mod_dl_src:02:00:00:00:00:0c,mod_dl_dst:02:00:00:00:00:0b,mod_vlan_vid:5,normal")
    let result = try translate("in_port=1,\(alice)", rules)
    #expect(result.mask[.ethSrc] == 0)
    #expect(result.mask[.ethDst] == 0)
    #expect(result.mask[.vlanTCI] == 0x1000)
    #expect(result.learns?.station == Station(vlan: 5, mac: 0x0200_0000_000c))
    #expect(result.dependencies.contains(Station(vlan: 5, mac: bob.mac)))
  }

  @Test func settingPortsOfALaterFragmentDoesNothing() throws {
    let rules = try table("udp actions=mod_tp_dst:5,2")
    #expect(try translate("in_port=1,udp,ip_frag=later", rules).actions == [.output(12)])
    let first = try translate("in_port=1,udp,ip_frag=first", rules)
    #expect(first.actions == [.setField(.udpDst, value: 5, mask: 0xffff), .output(12)])
    #expect(first.mask[.ipFrag] == 2)
    #expect(first.mask[.udpDst] == 0)
  }

  @Test func decrementingTheTTLDoesNotSplitTheFlowByTTL() throws {
    let result = try translate("in_port=1,ip,nw_ttl=64", try table("ip actions=dec_ttl,2"))
    #expect(result.actions == [.decrementTTL, .output(12)])
    #expect(result.mask[.ipTTL] == 0)
  }

  @Test func controllerCopiesCarryTheCookie() throws {
    let result = try translate("in_port=1", try table("cookie=7 actions=controller(max_len=64)"))
    #expect(result.actions == [.controller(maxLength: 64, cookie: 7)])
    #expect(result.drop == nil)
  }

  // MARK: Tags

  @Test func settingTheVLANOfAnUntaggedPacketPushesATag() throws {
    let rules = try table("actions=mod_vlan_vid:5,2")
    let untagged = try translate("in_port=1,ip", rules)
    #expect(untagged.actions == [.pushVLAN(tpid: 0x8100), .setField(.vlanVID, value: 5, mask: 0xfff), .output(12)])
    let tagged = try translate("in_port=1,ip,dl_vlan=9", rules)
    #expect(tagged.actions == [.setField(.vlanVID, value: 5, mask: 0xfff), .output(12)])
    #expect(tagged.mask[.vlanTCI] == 0x1000)
  }

  @Test func poppingAnUntaggedPacketDoesNothing() throws {
    let rules = try table("actions=pop_vlan,2")
    #expect(try translate("in_port=1", rules).actions == [.output(12)])
    #expect(try translate("in_port=1,dl_vlan=9", rules).actions == [.popVLAN, .output(12)])
  }

  @Test func theInnerTagBecomesTheVLANWhenTheOuterIsPopped() throws {
    let result = try translate("in_port=1,\(alice),\(toBob),dl_vlan=9,dl_vlan2=4", try table("actions=pop_vlan,normal"))
    #expect(result.learns?.station.vlan == 4)
    #expect(result.mask[.vlanTCI] == 0x1000)
    #expect(result.mask[.innerVLANTCI] == 0x1fff)
  }

  @Test func aThirdTagIsNotPushed() throws {
    let rules = try table("actions=push_vlan:0x88a8,2")
    #expect(try translate("in_port=1,dl_vlan=1,dl_vlan2=2", rules).drop == .tooManyTags)
    #expect(try translate("in_port=1,dl_vlan=1", rules).actions == [.pushVLAN(tpid: 0x88a8), .output(12)])
    let twice = try table("actions=push_vlan:0x8100,push_vlan:0x88a8,2")
    #expect(try translate("in_port=1,dl_vlan=1", twice).drop == .tooManyTags)
    #expect(try translate("in_port=1", twice).actions.count == 3)
  }

  // MARK: Normal

  @Test func normalFloodsUntilItKnowsTheDestination() throws {
    let rules = try table("actions=normal")
    let macs = MACTable()
    let unknown = try translate("in_port=1,ip,\(alice),\(toBob)", rules, macs: macs)
    #expect(unknown.actions == [.output(12), .output(13), .output(14)])
    #expect(unknown.floods)
    #expect(unknown.learns?.port == 1)
    #expect(unknown.dependencies.contains(bob))
    #expect(macs.count == 0, "translating must not learn")
    _ = macs.learn(bob, port: 3, nowNanoseconds: 1)
    let known = try translate("in_port=1,ip,\(alice),\(toBob)", rules, macs: macs)
    #expect(known.actions == [.output(13)])
    #expect(!known.floods)
    #expect(looked(known, try packet("in_port=1,ip,\(alice),\(toBob)")) == "ip,in_port=1,dl_vlan=0xffff,\(alice),\(toBob)")
  }

  @Test func normalKeepsVLANsApart() throws {
    let rules = try table("actions=normal")
    let macs = MACTable()
    _ = macs.learn(Station(vlan: 7, mac: bob.mac), port: 3, nowNanoseconds: 1)
    #expect(try translate("in_port=1,\(alice),\(toBob)", rules, macs: macs).floods)
    #expect(try translate("in_port=1,\(alice),\(toBob),dl_vlan=7", rules, macs: macs).actions == [.output(13)])
    #expect(try translate("in_port=1,\(alice),\(toBob),dl_vlan=8", rules, macs: macs).floods)
    // A priority tag is no VLAN.
    #expect(try translate("in_port=1,\(alice),\(toBob),dl_vlan=0", rules, macs: macs).learns?.station.vlan == 0)
  }

  @Test func normalDoesNotSendBackWhereThePacketCameFrom() throws {
    let macs = MACTable()
    _ = macs.learn(bob, port: 1, nowNanoseconds: 1)
    let result = try translate("in_port=1,\(alice),\(toBob)", try table("actions=normal"), macs: macs)
    #expect(result.drop == .outputToIngressPort)
    #expect(result.learns != nil)
  }

  @Test func normalFloodsGroupsAndKeepsLinkLocalOnes() throws {
    let rules = try table("actions=normal")
    #expect(try translate("in_port=1,\(alice),dl_dst=ff:ff:ff:ff:ff:ff", rules).floods)
    #expect(try translate("in_port=1,\(alice),dl_dst=01:00:5e:00:00:01", rules).floods)
    #expect(try translate("in_port=1,\(alice),dl_dst=01:80:c2:00:00:10", rules).floods)
    #expect(try translate("in_port=1,\(alice),dl_dst=01:80:c2:00:00:0e", rules).drop == .reservedMulticast)
  }

  @Test func normalDoesNotLearnGroups() throws {
    let result = try translate("in_port=1,dl_src=01:00:5e:00:00:01,\(toBob)", try table("actions=normal"))
    #expect(result.learns == nil)
    #expect(result.dependencies == [bob])
  }

  @Test func normalDropsForAPortThatIsDown() throws {
    let macs = MACTable()
    _ = macs.learn(bob, port: 2, nowNanoseconds: 1)
    let rules = try table("actions=normal")
    #expect(try translate("in_port=1,\(alice),\(toBob)", rules, ports: portSet(4, down: [2]), macs: macs).drop == .portDown)
  }
}

@Suite struct PacketTraceTests {
  private let ports = portSet(3)

  @Test func aForwardedPacketIsExplained() throws {
    let rules = try table("priority=10,tcp,tp_dst=80 actions=drop", "cookie=0x7,priority=5,ip,nw_dst=10.0.0.0/8 actions=dec_ttl,output:2")
    let key = try packet("in_port=1,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_dst=53,\(alice),\(toBob)")
    let trace = PacketTrace(key: key, context: TranslationContext(ports: ports, rules: rules, macs: MACTable()))
    #expect(
      trace.packet
        == "udp,in_port=eth1,dl_vlan=0xffff,\(alice),\(toBob),nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=0,nw_ecn=0,nw_ttl=64,ip_frag=no,tp_src=0,tp_dst=53")
    #expect(trace.steps.count == 1)
    #expect(trace.steps.first?.rule == "cookie=0x7, priority=5,ip,nw_dst=10.0.0.0/8 actions=dec_ttl,output:eth2")
    #expect(trace.steps.first?.notes == ["dec_ttl", "output:eth2", "sent to port eth2 (2)"])
    #expect(trace.fields.map(\.match) == ["ip", "in_port=eth1", "nw_dst=10.0.0.0/8", "nw_proto=17"])
    #expect(trace.fields.map(\.reason) == ["every flow looks at it", "every flow looks at it", "compared by rules of table 0", "compared by rules of table 0"])
    #expect(trace.flow == "udp,in_port=eth1,nw_dst=10.0.0.0/8 actions=dec_ttl,output:eth2")
    #expect(trace.verdict == "forwarded to port eth2")
  }

  @Test func learningIsExplainedAndNotDone() throws {
    let rules = try table("actions=normal")
    let macs = MACTable()
    _ = macs.learn(bob, port: 2, nowNanoseconds: 1)
    let key = try packet("in_port=1,dl_type=0x1234,\(alice),\(toBob)")
    let trace = PacketTrace(key: key, context: TranslationContext(ports: ports, rules: rules, macs: macs))
    #expect(
      trace.steps.first?.notes == [
        "NORMAL", "a packet like this would teach that 02:00:00:00:00:0a is on port eth1", "02:00:00:00:00:0b is on port eth2",
        "sent to port eth2 (2)",
      ])
    #expect(macs.count == 1)
    #expect(trace.fields.last?.match == toBob)
    #expect(trace.fields.last?.reason == "normal looks up where the destination is")
  }

  @Test func dropsSayWhy() throws {
    func verdict(_ packetText: String, _ rule: String) throws -> String {
      PacketTrace(key: try packet(packetText), context: TranslationContext(ports: ports, rules: try table(rule), macs: MACTable())).verdict
    }
    #expect(try verdict("in_port=1,arp", "ip actions=2") == "dropped: no rule matched")
    #expect(try verdict("in_port=1", "actions=drop") == "dropped: the rule drops it")
    #expect(try verdict("in_port=1", "actions=9") == "dropped: the rule sends to a port that is not there")
    #expect(try verdict("in_port=1,ip,nw_ttl=1", "ip actions=dec_ttl,2") == "dropped: its TTL is 1 and would be decremented")
    #expect(try verdict("in_port=1,ip,nw_ttl=1", "ip actions=3,dec_ttl,2") == "forwarded to port eth3, then dropped: its TTL is 1 and would be decremented")
    #expect(try verdict("in_port=1", "actions=controller") == "copied to whoever watches")
    #expect(try verdict("in_port=1", "actions=flood") == "forwarded to ports eth2, eth3")
  }

  @Test func thePrintedPacketReadsBack() throws {
    for text in ["in_port=1,arp,arp_op=1,arp_spa=10.0.0.1", "in_port=2,tcp6,ipv6_src=::1,tp_dst=80,tcp_flags=+syn", "in_port=1,icmp6,icmp_type=135,nd_target=::1", "in_port=1,dl_vlan=4,ip"] {
      let key = try packet(text)
      let trace = PacketTrace(key: key, context: TranslationContext(ports: ports, rules: RuleTables(), macs: MACTable()))
      #expect(try FlowMatch(text: trace.packet, names: ports.names()).key == key)
    }
  }
}
