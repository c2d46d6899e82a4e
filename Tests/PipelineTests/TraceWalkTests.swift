// TraceWalkTests.swift
//
// What: the explanation of a packet that is parsed again goes on to the end, and says what a worker would do.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite struct TraceWalkTests {
  private let rules = [
    "table=0,mpls actions=set_field:5->reg1,pop_mpls:0x0800,write_actions(output:3),goto_table:1",
    "table=1,ip,reg1=5,nw_dst=10.0.0.0/8 actions=dec_ttl",
    "table=1,ip,nw_dst=0.0.0.0 actions=output:4",
  ]

  private func trace(_ packet: FramePacket, _ rules: [String], groups: [String] = []) throws -> PacketTrace {
    PacketTrace(key: parseFrame(packet.bytes, inPort: 1).key, frame: packet.bytes, context: try context(rules: rules, groups: groups))
  }

  @Test func theBytesOfAFrameSayWhatComesToLight() throws {
    let trace = try trace(FramePacket().mpls(label: 7).ipv4("10.0.0.1", "10.9.9.9", ttl: 8).udp(1, 53), rules)
    #expect(trace.steps.map(\.table) == [0, 1, 1])
    #expect(trace.steps[1].notes.first?.hasPrefix("round 2, parsed again: udp,recirc_id(0x1),in_port=eth1") == true)
    #expect(trace.steps[1].notes.count == 1)
    #expect(trace.steps[2].rule == "cookie=0x0, table=1, priority=32768,ip,reg1=0x5,nw_dst=10.0.0.0/8 actions=dec_ttl")
    #expect(trace.steps[2].notes.last == "sent to port eth3 (3)")
    #expect(trace.actions == "pop_mpls:0x800,recirc(0x1); then dec_ttl,output:eth3")
    #expect(trace.flow.contains("; then ") && trace.flow.contains("nw_dst=10.0.0.0/8"))
    #expect(trace.fields.contains { $0.match == "nw_dst=10.0.0.0/8" && $0.reason == "compared by rules of table 1, in round 2" })
    #expect(trace.verdict == "forwarded to port eth3")
  }

  @Test func aPacketThatEndsInALaterRoundSaysWhy() throws {
    let expired = FramePacket().mpls(label: 7).ipv4("10.0.0.1", "10.9.9.9", ttl: 1).udp(1, 53)
    #expect(try trace(expired, rules).verdict == "dropped: its TTL is 1 and would be decremented")
    let elsewhere = FramePacket().mpls(label: 7).ipv4("10.0.0.1", "11.0.0.1").udp(1, 53)
    #expect(try trace(elsewhere, rules).verdict == "dropped: no rule of table 1 matched")
    let noPacket = FramePacket().etherType(0x8847, payload: [0, 0, 0x71, 8, 0x45])
    #expect(try trace(noPacket, rules).verdict == "dropped: parsed again, it is malformed")
  }

  @Test func fieldsThatNobodyGaveAreGuessedAndThatIsSaid() throws {
    let trace = PacketTrace(key: try packet("in_port=1,mpls,mpls_label=7"), context: try context(rules: rules))
    #expect(trace.steps.map(\.table) == [0, 1, 1])
    #expect(trace.steps[1].notes.last?.hasPrefix("what has come to light was not given: fields are taken as 0, a TTL as 64") == true)
    #expect(trace.verdict == "forwarded to ports eth4, eth3")
  }

  @Test func eachCopyGoesItsOwnWay() throws {
    let group = "group_id=1,type=all,bucket=actions=pop_mpls:0x0800,group:2,bucket=actions=output:2"
    let inner = "group_id=2,type=indirect,bucket=actions=set_field:54->udp_dst,output:4"
    let packet = FramePacket().mpls(label: 7).ipv4("10.0.0.1", "10.9.9.9").udp(1, 53)
    let rules = ["mpls actions=group:1"]
    let shown = try trace(packet, rules, groups: [inner, group])
    #expect(shown.verdict == "forwarded to ports eth2, eth4")
    #expect(shown.steps.contains { $0.notes.first?.hasPrefix("round 2, parsed again: udp") == true })
  }

  @Test func aPacketIsNotParsedAgainForEver() throws {
    // Each label hides another one, and every table asks what is below.
    var rules = (0..<12).map { "table=\($0),mpls,mpls_label=5 actions=pop_mpls:0x8847,goto_table:\($0 + 1)" }
    rules.append("table=12 actions=output:2")
    var packet = FramePacket()
    for _ in 0..<12 { packet = packet.mpls(label: 5) }
    let shown = try trace(packet.ipv4("10.0.0.1", "10.9.9.9").udp(1, 53), rules)
    #expect(shown.verdict == "dropped: it has been parsed again 8 times, which is the limit")
  }
}
