// HandshakeTests.swift
//
// What: the first packet of a TCP connection gets the flow of its answers made, too: exactly the flow that the answer itself would have got, and only where
//       that can be foreseen.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct HandshakeTests {
  private static let client = "02:00:00:00:00:01"
  private static let server = "02:00:00:00:00:02"
  private static let syn: UInt16 = 0x002
  private static let synAck: UInt16 = 0x012
  private static let rules =
    ["priority=1,actions=normal"] + ["tcp", "tcp6"].flatMap { ["priority=2,\($0),tp_src=1000,actions=normal", "priority=2,\($0),tp_dst=1000,actions=normal"] }

  private func toServer(_ flags: UInt16, isIPv6: Bool = false, from port: UInt16 = 1000) -> [UInt8] {
    let packet = FramePacket(to: Self.server, from: Self.client)
    return (isIPv6 ? packet.ipv6("2001:db8::1", "2001:db8::2") : packet.ipv4("10.0.0.1", "10.0.0.2")).tcp(port, 80, flags: flags).bytes
  }

  private func toClient(_ flags: UInt16, isIPv6: Bool = false) -> [UInt8] {
    let packet = FramePacket(to: Self.client, from: Self.server)
    let ip = isIPv6 ? packet.ipv6("2001:db8::2", "2001:db8::1", hopLimit: 55) : packet.ipv4("10.0.0.2", "10.0.0.1", ttl: 55, tos: 4)
    return ip.tcp(80, 1000, flags: flags).bytes
  }

  /// A switch that knows that the server is at port 2.
  private func bench(_ tier: FakeTier, rules: [String] = Self.rules) throws -> SwitchBench {
    let bench = try SwitchBench(tier: tier, placement: .eager, rules: rules)
    bench[2].inject(FramePacket(to: "ff:ff:ff:ff:ff:ff", from: Self.server).bytes)
    _ = bench[1].waitForOutput(1)
    try bench.settle()
    _ = bench[3].takeOutput()
    try bench.on { core in core.purgeFlows() }
    return bench
  }

  /// The flows that the tier holds of a port.
  private func held(_ bench: SwitchBench, _ tier: FakeTier, port: UInt32) throws -> [TierFlow] {
    try bench.on { core in
      let index = core.ports[port]?.index
      return tier.held.values.map(\.flow).filter { $0.port == index }
    }
  }

  @Test(arguments: [false, true])
  func aConnectionGetsBothItsFlowsWithItsFirstPacket(_ isIPv6: Bool) throws {
    let tier = FakeTier()
    let bench = try bench(tier)
    let missed = bench.misses()
    bench[1].inject(toServer(Self.syn, isIPv6: isIPv6))
    #expect(bench[2].waitForOutput(1).count == 1)
    let way = try held(bench, tier, port: 1)
    let back = try held(bench, tier, port: 2)
    #expect(way.count == 1 && back.count == 1 && (way + back).allSatisfy(\.isFirst))
    // The answer finds its flow also in the worker.
    bench[2].inject(toClient(Self.synAck, isIPv6: isIPv6))
    #expect(bench[1].waitForOutput(1) == [toClient(Self.synAck, isIPv6: isIPv6)])
    #expect(bench.misses() - missed == 1)
    #expect(try bench.flowCount() == 2)
    // It is the flow that the answer would have got by itself.
    try bench.on { core in core.purgeFlows() }
    bench[2].inject(toClient(Self.synAck, isIPv6: isIPv6))
    #expect(bench[1].waitForOutput(1).count == 1)
    let own = try held(bench, tier, port: 2)
    #expect(own.map(\.key) == back.map(\.key) && own.map(\.mask) == back.map(\.mask) && own.map(\.actions) == back.map(\.actions))
    #expect(own.allSatisfy { !$0.isFirst })
    try bench.expectNoLeak()
  }

  @Test func aFlowOfTheAnswersThatIsThereStays() throws {
    let tier = FakeTier()
    let bench = try bench(tier)
    bench[1].inject(toServer(0x010))
    #expect(bench[2].waitForOutput(1).count == 1)
    bench[2].inject(toClient(0x010))
    #expect(bench[1].waitForOutput(1).count == 1)
    let ids = try held(bench, tier, port: 2).map(\.id)
    try bench.on { core in try core.setPort(1, placement: .off) }
    try bench.on { core in try core.setPort(1, placement: .eager) }
    bench[1].inject(toServer(Self.syn))
    #expect(bench[2].waitForOutput(1).count == 1)
    #expect(try held(bench, tier, port: 2).map(\.id) == ids)
    try bench.expectNoLeak()
  }

  /// A frame by port 1 whose answer gets no flow in advance, and the rules.
  @Test(arguments: [
    ("no first packet", rules, synAck, 1000),
    ("a packet with a reset", rules, 0x006, 1000),
    ("connections that share a flow", ["actions=normal"], syn, 1000),
    ("a port that no rule names", rules, syn, 5000),
    ("connections that are told apart by the server's port alone", ["priority=1,actions=normal", "priority=2,tcp,tp_dst=80,actions=normal"], syn, 1000),
    ("an answer that depends on its TTL", rules + ["priority=3,tcp,tp_dst=1000,nw_ttl=1,actions=drop"], syn, 1000),
    ("an answer that depends on its flags", rules + ["priority=3,tcp,tp_dst=1000,tcp_flags=+rst,actions=drop"], syn, 1000),
    ("two outputs", ["priority=2,tcp,tp_src=1000,actions=2,3"] + rules.filter { !$0.contains("tp_src") }, syn, 1000),
    ("a changed packet", ["priority=2,tcp,tp_src=1000,actions=mod_nw_dst:10.0.0.9,2"] + rules.filter { !$0.contains("tp_src") }, syn, 1000),
  ] as [(String, [String], UInt16, UInt16)])
  func whatCannotBeForeseenIsNotMade(_ what: String, _ rules: [String], _ flags: UInt16, _ port: UInt16) throws {
    let tier = FakeTier()
    let bench = try bench(tier, rules: rules)
    bench[1].inject(toServer(flags, from: port))
    #expect(bench[2].waitForOutput(1).count == 1, "\(what)")
    #expect(try held(bench, tier, port: 1).count == 1, "\(what)")
    #expect(try held(bench, tier, port: 2).isEmpty, "\(what)")
    try bench.expectNoLeak()
  }

  @Test func whoOpensManyConnectionsDoesNotFillAnotherPortsShare() throws {
    let tier = FakeTier(capacity: 80)
    let ports = 2000..<2060
    let bench = try bench(tier, rules: ["priority=1,actions=normal"] + ports.flatMap { port in
      ["tp_src", "tp_dst"].map { "priority=2,tcp,\($0)=\(port),actions=normal" }
    })
    for port in ports {
      bench[1].inject(toServer(Self.syn, from: UInt16(port)))
      #expect(bench[2].waitForOutput(1).count == 1)
    }
    #expect(try held(bench, tier, port: 2).count == 20)
    #expect(try held(bench, tier, port: 1).count > 40)
    try bench.expectNoLeak()
  }

  @Test func nothingIsMadeForAPortWhoseFlowsAreNotOffered() throws {
    let tier = FakeTier()
    let bench = try bench(tier)
    try bench.on { core in try core.setPort(2, placement: .auto) }
    bench[1].inject(toServer(Self.syn))
    #expect(bench[2].waitForOutput(1).count == 1)
    #expect(try bench.flowCount() == 1)
    try bench.expectNoLeak()
  }
}
