// RuleSearchTests.swift
//
// What: the search of a table against a linear scan, for random rules of many shapes, and the promise of its mask: any packet that agrees
//       in the bits looked at meets the same rule.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

/// Random rules and packets that often meet.
private struct Generator {
  var random: SeededGenerator

  mutating func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &random)] }
  mutating func chance(_ n: Int) -> Bool { Int.random(in: 0..<n, using: &random) == 0 }

  private mutating func ipv4() -> String { "10.\(pick([0, 1, 200])).\(pick([0, 7, 8, 255])).\(pick([0, 1, 2, 128, 129, 250]))" }
  private mutating func ipv6() -> String { "2001:db8:\(pick(["0", "1", "8000"]))::\(pick(["1", "2", "ffff"]))" }
  private mutating func port() -> Int { pick([22, 53, 80, 81, 443, 1024, 4096, 8080, 65535]) }

  /// The text of a match, with masks or without.
  mutating func match(isPacket: Bool) -> String {
    var items: [String] = []
    func maybe(_ rate: Int) -> Bool { isPacket || chance(rate) }
    if maybe(4) { items.append("in_port=\(pick([1, 2, 3]))") }
    if maybe(6) { items.append("dl_dst=02:00:00:00:00:0\(pick([1, 2, 3]))") }
    if maybe(8) { items.append("metadata=\(pick([0, 1, 2]))" + (isPacket ? "" : "/0x3")) }
    switch Int.random(in: 0..<(isPacket ? 4 : 5), using: &random) {
    case 0, 1, 2:
      let proto = pick(["tcp", "udp", "ip"])
      items.append(proto)
      if maybe(2) { items.append("nw_src=\(ipv4())" + (isPacket ? "" : "/\(pick([8, 16, 20, 24, 25, 31, 32]))")) }
      if maybe(2) { items.append("nw_dst=\(ipv4())" + (isPacket ? "" : "/\(pick([8, 12, 24, 30, 32]))")) }
      if !isPacket, chance(9) { items.append("nw_ttl=\(pick([1, 64]))") }
      guard proto != "ip" else { break }
      if maybe(3) { items.append("tp_src=\(port())" + (isPacket ? "" : pick(["", "/0xfff0", "/0x00ff"]))) }
      if maybe(2) { items.append("tp_dst=\(port())" + (isPacket ? "" : pick(["", "", "/0xff00", "/0xc000"]))) }
    case 3:
      items.append("tcp6")
      if maybe(2) { items.append("ipv6_src=\(ipv6())" + (isPacket ? "" : "/\(pick([32, 48, 64, 127, 128]))")) }
      if maybe(2) { items.append("ipv6_dst=\(ipv6())" + (isPacket ? "" : "/\(pick([33, 64, 128]))")) }
      if maybe(3) { items.append("tp_dst=\(port())") }
    default: break
    }
    return items.joined(separator: ",")
  }
}

@Suite struct RuleSearchTests {
  @Test func theSearchFindsWhatAScanFindsAndItsMaskIsRight() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var world = Generator(random: SeededGenerator(seed: seed))
    var narrow = 0
    for round in 0..<120 {
      let tables = RuleTables()
      var entries: [RuleEntry] = []
      for priority in 1...UInt16(1 + round) {
        let text = world.match(isPacket: false)
        let (entry, replaced) = tables.add(
          Rule(table: 3, priority: priority, match: try FlowMatch(text: text), actions: [.output(1)]))
        #expect(replaced == nil)
        entries.append(entry)
        if world.chance(5), let victim = entries.randomElement(using: &world.random) {
          tables.remove(victim)
          entries.removeAll { $0 === victim }
        }
      }
      #expect(tables.count == entries.count)
      let packets = try (0..<40).map { _ in try FlowMatch(text: world.match(isPacket: true)).key }
      for packet in packets {
        // Each has a higher priority than those before it.
        func scan(_ key: FlowKey) -> RuleEntry? { entries.last { $0.match.matches(key) } }
        var looked = FlowMask()
        let found = tables.lookup(table: 3, packet, looked: &looked)
        guard found === scan(packet) else {
          Issue.record("seed \(seed) round \(round): another rule than the scan's: \(FlowMatch(packet, looked).text())")
          return
        }
        if looked[.ipv4Dst] != 0, looked[.ipv4Dst] != FlowField.ipv4Dst.allOnes { narrow += 1 }
        for other in packets {
          let twin = blend(packet, looked, other)
          guard scan(twin) === found else {
            Issue.record("seed \(seed) round \(round): a packet inside the mask meets another rule: \(FlowMatch(packet, looked).text())")
            return
          }
        }
      }
      for entry in entries { tables.remove(entry) }
      #expect(tables.count == 0 && tables.maskCount == 0 && tables.instructionCount == 0)
    }
    #expect(narrow > 100, "addresses should often be looked at in part only")
  }

  @Test func portsThatNoRuleKnowsAreToldApartByAFewBits() throws {
    let table = try table("priority=9,tcp,tp_dst=80 actions=1", "priority=8,tcp,tp_dst=443 actions=1", "priority=1 actions=drop")
    var masks: Set<FlowMask> = []
    var flows: Set<FlowMatch> = []
    var key = try packet("tcp")
    for port in stride(from: 0, to: 65536, by: 3) {
      var looked = FlowMask()
      key[.tcpDst] = UInt128(port)
      _ = table.lookup(table: 0, key, looked: &looked)
      masks.insert(looked)
      flows.insert(FlowMatch(key, looked))
    }
    #expect(masks.count <= 4)
    #expect(flows.count <= 100)
  }

  @Test func addressesOfOtherNetworksAreToldApartByTheirFirstByte() throws {
    let table = try table("priority=9,ip,nw_src=10.1.2.3 actions=1", "priority=8,ip,nw_src=10.1.2.0/24,nw_dst=10.9.0.0/16 actions=1")
    #expect(try looked(table, "ip,nw_src=11.0.0.1,nw_dst=10.9.0.1") == "ip,nw_src=11.0.0.0/8")
    #expect(try looked(table, "ip,nw_src=10.1.2.200,nw_dst=11.0.0.0") == "ip,nw_src=10.1.2.200,nw_dst=11.0.0.0/8")
  }

  private func looked(_ table: RuleTables, _ text: String) throws -> String {
    var looked = FlowMask()
    let key = try packet(text)
    _ = table.lookup(table: 0, key, looked: &looked)
    return FlowMatch(key, looked).text()
  }

  @Test func chainsOfOneMatchKeepTheirOrderWhateverGoes() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    let tables = RuleTables()
    let match = try FlowMatch(text: "ip,nw_dst=10.0.0.1")
    var present: [UInt16: RuleEntry] = [:]
    for _ in 0..<3_000 {
      let priority = UInt16.random(in: 0..<40, using: &random)
      if let entry = present.removeValue(forKey: priority) {
        tables.remove(entry)
      } else {
        present[priority] = tables.add(Rule(priority: priority, match: match, actions: [])).entry
      }
      var looked = FlowMask()
      let found = tables.lookup(table: 0, match.key, looked: &looked)
      guard found?.priority == present.keys.max() else {
        Issue.record("seed \(seed): priority \(found?.priority ?? 0) found")
        return
      }
    }
  }
}

/// A key that agrees with `key` in the bits of `mask` and has the others of `other`.
private func blend(_ key: FlowKey, _ mask: FlowMask, _ other: FlowKey) -> FlowKey {
  var result = FlowKey()
  withUnsafeBytes(of: key) { key in
    withUnsafeBytes(of: mask) { mask in
      withUnsafeBytes(of: other) { other in
        withUnsafeMutableBytes(of: &result) { result in
          for i in result.indices { result[i] = key[i] & mask[i] | other[i] & ~mask[i] }
        }
      }
    }
  }
  return result
}
