// RuleTableTests.swift
//
// What: the rule table: which rule a packet meets, how adding and deleting change that, and which bits an answer looks at.

import Dataplane
import Pipeline
import TestSupport
import Testing

private func cookie(_ table: RuleTables, _ text: String) throws -> UInt64? {
  var looked = FlowMask()
  return table.lookup(table: 0, try packet(text), looked: &looked)?.rule.cookie
}

private func looked(_ table: RuleTables, _ text: String) throws -> String {
  var looked = FlowMask()
  let key = try packet(text)
  _ = table.lookup(table: 0, key, looked: &looked)
  return FlowMatch(key, looked).text()
}

@Suite struct RuleTableTests {
  @Test func theRuleOfHighestPriorityWins() throws {
    let table = try table(
      "cookie=1,priority=10,ip actions=1", "cookie=2,priority=20,ip,nw_dst=10.0.0.0/8 actions=1",
      "cookie=3,priority=5 actions=drop", "cookie=4,priority=30,ip,nw_dst=10.1.0.0/16 actions=1")
    #expect(try cookie(table, "ip,nw_dst=10.1.2.3") == 4)
    #expect(try cookie(table, "ip,nw_dst=10.2.2.3") == 2)
    #expect(try cookie(table, "ip,nw_dst=11.2.2.3") == 1)
    #expect(try cookie(table, "arp") == 3)
  }

  @Test func noRuleMatchesInAnEmptyTable() throws {
    #expect(try cookie(RuleTables(), "ip") == nil)
    #expect(try looked(RuleTables(), "ip") == "")
  }

  @Test func aRuleWithTheSameMatchAndPriorityReplaces() throws {
    let table = try table("cookie=1,priority=7,ip actions=1")
    let (entry, replaced) = table.add(try Rule(text: "cookie=2,priority=7,ip actions=2"))
    #expect(replaced?.rule.cookie == 1)
    #expect(replaced?.isInstalled == false)
    #expect(entry.id != replaced?.id)
    #expect(table.count == 1)
    #expect(try cookie(table, "ip") == 2)
  }

  @Test func theSameMatchWithAnotherPriorityIsAnotherRule() throws {
    let table = try table("cookie=1,priority=7,ip actions=1", "cookie=2,priority=9,ip actions=1", "cookie=3,priority=8,ip actions=1")
    #expect(table.count == 3)
    #expect(table.maskCount == 1)
    #expect(try cookie(table, "ip") == 2)
    _ = table.remove(try RuleFilter(text: "priority=9,ip", isStrict: true))
    #expect(try cookie(table, "ip") == 3)
    _ = table.remove(try RuleFilter(text: "priority=8,ip", isStrict: true))
    #expect(try cookie(table, "ip") == 1)
  }

  @Test func aFilterDeletesWhatIsAtLeastAsSpecific() throws {
    let table = try table(
      "cookie=1,ip actions=1", "cookie=2,tcp actions=1", "cookie=3,ip,nw_dst=10.0.0.0/8 actions=1", "cookie=4 actions=1",
      "cookie=5,arp actions=1")
    let gone = table.remove(try RuleFilter(text: "ip"))
    #expect(gone.map(\.rule.cookie) == [1, 2, 3])
    #expect(gone.allSatisfy { !$0.isInstalled })
    #expect(table.entries().map(\.rule.cookie) == [4, 5])
    #expect(table.maskCount == 2)
  }

  @Test func entriesAreListedInFallingPriority() throws {
    let table = try table(
      "cookie=1,priority=1,ip actions=1", "cookie=2,priority=9,arp actions=1", "cookie=3,priority=5 actions=1",
      "cookie=4,priority=9,ip actions=1")
    #expect(table.entries().map(\.rule.cookie) == [2, 4, 3, 1])
  }

  @Test func removingAnEntryTwiceIsHarmless() throws {
    let table = try table("ip actions=1")
    let entry = try #require(table.entries().first)
    table.remove(entry)
    table.remove(entry)
    #expect(table.count == 0)
    #expect(table.maskCount == 0)
  }

  @Test func portsAreNotLookedAtWhenTheAddressesFitNoRule() throws {
    let table = try table("priority=9,tcp,nw_dst=10.0.0.1,tp_dst=80 actions=1", "priority=1 actions=2")
    #expect(try looked(table, "tcp,nw_dst=10.0.0.2,tp_dst=80") == "ip,nw_dst=10.0.0.2")
    #expect(try looked(table, "tcp,nw_dst=10.0.0.1,tp_dst=81") == "tcp,nw_dst=10.0.0.1,tp_dst=81")
    #expect(try looked(table, "arp,arp_tpa=10.0.0.1") == "arp")
  }

  @Test func subtablesBelowTheBestRuleAreNotLookedAt() throws {
    let table = try table("priority=9,ip,nw_dst=10.0.0.1 actions=1", "priority=8,tcp,tp_dst=80 actions=2")
    #expect(try looked(table, "tcp,nw_dst=10.0.0.1,tp_dst=80") == "ip,nw_dst=10.0.0.1")
    #expect(try looked(table, "tcp,nw_dst=10.0.0.2,tp_dst=80") == "tcp,nw_dst=10.0.0.2,tp_dst=80")
  }

  @Test func aSubtableFallsBackWhenItsHighestRuleGoes() throws {
    let table = try table("priority=9,ip,nw_dst=10.0.0.1 actions=1", "priority=1,ip,nw_dst=10.0.0.2 actions=1", "priority=5,tcp actions=2")
    _ = table.remove(try RuleFilter(text: "ip,nw_dst=10.0.0.1"))
    #expect(try looked(table, "tcp,nw_dst=10.0.0.2") == "tcp")
  }

  @Test func ipv6FieldsOfOtherPacketsAreNeverLookedAt() throws {
    let table = try table("ipv6,ipv6_dst=::1 actions=1", "icmp6,icmp_type=135,nd_target=::1 actions=1", "ip actions=2")
    var looked = FlowMask()
    var key = try packet("tcp,nw_dst=1.2.3.4")
    key.line1.w3 = 7
    _ = table.lookup(table: 0, key, looked: &looked)
    #expect(looked.lines == 1)
  }

  @Test func addingAndDeletingLeavesNothingBehind() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    let table = RuleTables()
    var model: [FlowMatch: [UInt16: UInt64]] = [:]
    for step in 0..<4_000 {
      let rule = try Rule(
        text: "cookie=\(step),priority=\(Int.random(in: 0..<20, using: &random)),"
          + ["ip", "arp", "tcp,tp_dst=\(step % 7)", "ip,nw_dst=10.0.\(step % 5).0/24", "dl_vlan=\(step % 3)"].randomElement(using: &random)!
          + " actions=1")
      if Bool.random(using: &random) {
        table.add(rule)
        model[rule.match, default: [:]][rule.priority] = rule.cookie
      } else {
        let gone = table.remove(RuleFilter(match: rule.match, isStrict: true, priority: rule.priority))
        #expect(gone.first?.rule.cookie == model[rule.match]?.removeValue(forKey: rule.priority), "seed \(seed)")
      }
    }
    #expect(table.count == model.values.reduce(0) { $0 + $1.count }, "seed \(seed)")
    for (match, rules) in model {
      for (priority, cookie) in rules {
        let entry = table.entries(RuleFilter(match: match, isStrict: true, priority: priority)).first
        #expect(entry?.rule.cookie == cookie, "seed \(seed)")
      }
    }
    _ = table.remove(.all)
    #expect(table.count == 0)
    #expect(table.maskCount == 0)
  }
}
