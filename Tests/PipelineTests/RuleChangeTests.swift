// RuleChangeTests.swift
//
// What: changes of rules as OpenFlow 1.3.5 section 6.4 has them: all or nothing, add, modify, delete, overlap, counters; and rules that
//       time out.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

private func add(_ text: String) throws -> RuleChangeRequest { .add(try Rule(text: text)) }
private func modify(_ text: String, isStrict: Bool = false, cookieMask: UInt64 = 0) throws -> RuleChangeRequest {
  .modify(try Rule(text: text), isStrict: isStrict, cookieMask: cookieMask)
}
private func delete(_ text: String, isStrict: Bool = false) throws -> RuleChangeRequest {
  .delete(try RuleFilter(text: text, isStrict: isStrict))
}

extension SwitchBench {
  @discardableResult
  fileprivate func apply(_ requests: RuleChangeRequest...) throws -> RuleChange {
    try sluice.performAndWait { core in try core.apply(requests) }
  }

  /// The rules in force, a line each.
  fileprivate func lines() throws -> [String] { try rules().map { $0.rule.text().replacing("cookie=0x0, ", with: "") } }
}

@Suite(.serialized) struct RuleChangeTests {
  private let probe = frame(1, to: 2, payload: Array("probe".utf8))

  @Test func aChangeThatCannotBeMadeChangesNothing() throws {
    let bench = try SwitchBench(ports: 3, rules: ["priority=1,actions=output:2", "cookie=5,priority=2,arp,actions=output:2"])
    let before = try bench.lines()
    let ids = try bench.rules().map(\.id)
    #expect(throws: RuleChangeError.self) {
      try bench.apply(
        try add("priority=1,actions=output:3"), try add("priority=7,ip,actions=output:3"), try modify("arp,actions=drop"),
        try delete("arp"), try add("table=3,actions=drop"), try add("check_overlap,priority=7,tcp,actions=drop"))
    }
    #expect(try bench.lines() == before)
    #expect(try bench.rules().map(\.id) == ids)
    bench[1].inject(probe)
    #expect(bench[2].waitForOutput(1) == [probe])
    try bench.expectNoLeak()
  }

  @Test func overlapIsRefusedWithTheRuleThatIsInTheWay() throws {
    let bench = try SwitchBench(ports: 2, rules: ["priority=7,ip,nw_dst=10.0.0.0/8,actions=drop"])
    #expect(throws: RuleChangeError(
        requestIndex: 1,
        reason: .overlap(
          rule: "cookie=0x0, check_overlap priority=7,tcp actions=drop", with: "cookie=0x0, priority=7,ip,nw_dst=10.0.0.0/8 actions=drop"))
    ) {
      try bench.apply(try add("priority=1,actions=drop"), try add("check_overlap,priority=7,tcp,actions=drop"))
    }
    try bench.apply(try add("check_overlap,priority=8,tcp,actions=drop"))
    try bench.apply(try add("check_overlap,priority=7,ip,nw_dst=11.0.0.0/8,actions=drop"))
    try bench.apply(try add("check_overlap,table=1,priority=7,tcp,actions=drop"))
    #expect(try bench.rules().count == 4)
    #expect(try bench.rules().allSatisfy { $0.rule.flags.isEmpty })
  }

  @Test func aReplacedRulesCountersLiveOnUnlessTheyAreReset() throws {
    let bench = try SwitchBench(ports: 2, rules: ["actions=output:2"])
    bench[1].inject(contentsOf: .init(repeating: probe, count: 64))
    #expect(bench[2].waitForOutput(64).count == 64)
    #expect(try bench.apply(try add("cookie=1,actions=output:2")) == RuleChange(replaced: 1))
    #expect(try bench.rules().map(\.packets) == [64])
    #expect(try bench.rules().map(\.rule.cookie) == [1])
    bench[1].inject(probe)
    #expect(bench[2].waitForOutput(1) == [probe])
    #expect(try bench.rules().map(\.packets) == [65])
    try bench.apply(try add("reset_counts,actions=output:2"))
    #expect(try bench.rules().map(\.packets) == [0])
    bench[1].inject(probe)
    #expect(bench[2].waitForOutput(1) == [probe])
    try bench.settle()
    #expect(try bench.rules().map(\.packets) == [1])
    try bench.expectNoLeak()
  }

  @Test func aModifiedRuleKeepsAllButItsInstructions() throws {
    let bench = try SwitchBench(ports: 3, rules: ["cookie=9,send_flow_rem,hard_timeout=100,priority=3,udp,actions=output:2", "priority=1,actions=drop"])
    bench[1].inject(probe)
    #expect(bench[2].waitForOutput(1) == [probe])
    let before = try bench.rules()
    #expect(try bench.apply(try modify("cookie=7,idle_timeout=3,ip,actions=output:3")) == RuleChange(modified: 1))
    bench[1].inject(probe)
    #expect(bench[3].waitForOutput(1) == [probe])
    try bench.settle()
    let after = try bench.rules()
    #expect(after.map(\.id) == before.map(\.id))
    #expect(after[0].rule.text() == "cookie=0x9, hard_timeout=100, send_flow_rem priority=3,udp actions=output:3")
    #expect(after[0].packets == 2)
    try bench.apply(try modify("reset_counts,udp,actions=output:3"))
    #expect(try bench.rules()[0].packets == 0)
    try bench.expectNoLeak()
  }

  @Test func modifyIsStrictOrNotAndLooksAtCookies() throws {
    let bench = try SwitchBench(ports: 3, rules: ["cookie=1,priority=3,udp,actions=1", "cookie=2,priority=3,ip,actions=1", "table=1,udp,actions=1"])
    #expect(try bench.apply(try modify("priority=3,ip,actions=2", isStrict: true)).modified == 1)
    #expect(try bench.apply(try modify("priority=4,ip,actions=3", isStrict: true)).modified == 0)
    #expect(try bench.rules().map { ActionText.text($0.rule.instructions.apply) }.sorted() == ["output:1", "output:1", "output:2"])
    #expect(try bench.apply(try modify("cookie=1,actions=3", cookieMask: .max)).modified == 1)
    #expect(try bench.rules().map { ActionText.text($0.rule.instructions.apply) }.sorted() == ["output:1", "output:2", "output:3"])
    #expect(try bench.apply(try modify("actions=drop")).modified == 2)
  }

  @Test func deleteSelectsByTableMatchCookiePortAndGroup() throws {
    let rules = [
      "cookie=1,priority=3,udp,actions=1", "cookie=2,priority=4,ip,actions=2", "table=1,ip,actions=write_actions(3)",
      "table=2,actions=goto_table:3",
    ]
    for (filter, isStrict, left) in [
      ("ip", false, 1), ("table=0,ip", false, 2), ("cookie=2/-1", false, 3), ("out_port=3", false, 3), ("", false, 0),
      ("priority=4,ip", true, 3), ("priority=3,ip", true, 4), ("table=2", false, 3), ("out_group=1", false, 4),
    ] {
      let bench = try SwitchBench(ports: 3, rules: rules)
      let change = try bench.apply(try delete(filter, isStrict: isStrict))
      #expect(change.removed == 4 - left, "\(filter)")
      #expect(try bench.rules().count == left, "\(filter)")
    }
  }

  @Test func whatABundleAddsAndDeletesItselfNeverWas() async throws {
    let bench = try SwitchBench(ports: 3, rules: ["actions=output:2"])
    let log = EventLog(bench.sluice)
    let change = try bench.apply(
      try add("priority=5,udp,actions=output:3"), try delete("udp"), try add("priority=6,arp,actions=drop"))
    #expect(change == RuleChange(added: 2, removed: 1))
    let changed: (Int, Int)? = await log.first { if case .rulesChanged(let added, let removed) = $0 { (added, removed) } else { nil } }
    #expect(changed?.0 == 1 && changed?.1 == 0)
    #expect(try bench.rules().count == 2)
  }

  @Test func anIdleRuleGoesWithItsLastCounters() async throws {
    let bench = try SwitchBench(ports: 2, rules: ["idle_timeout=1,priority=5,udp,actions=output:2", "idle_timeout=100,priority=1,actions=output:2"])
    let log = EventLog(bench.sluice)
    // Its packets keep it alive for longer than its timeout.
    for _ in 0..<8 {
      bench[1].inject(probe)
      pause(milliseconds: 250)
    }
    #expect(try bench.rules().count == 2)
    let end: (RuleSnapshot, SwitchEvent.RuleEnd)? = await log.first { if case .ruleRemoved(let rule, let end) = $0 { (rule, end) } else { nil } }
    #expect(end?.1 == .idleTimeout)
    #expect(end?.0.packets == 8)
    #expect(end?.0.rule.priority == 5)
    #expect(try bench.rules().count == 1)
    #expect(try bench.sluice.performAndWait { core in core.takeEndedRules().map(\.packets) } == [8])
    #expect(try bench.sluice.performAndWait { core in core.takeEndedRules().count } == 0)
    try bench.expectNoLeak()
  }

  @Test func aRuleGoesAfterItsHardTimeoutHoweverBusy() async throws {
    let bench = try SwitchBench(ports: 3, rules: ["hard_timeout=1,idle_timeout=50,priority=5,actions=output:2", "priority=1,actions=output:3"])
    let log = EventLog(bench.sluice)
    bench[1].injectForever([probe])
    let end: (RuleSnapshot, SwitchEvent.RuleEnd)? = await log.first { if case .ruleRemoved(let rule, let end) = $0 { (rule, end) } else { nil } }
    bench[1].injectForever([])
    try bench.settle()
    #expect(end?.1 == .hardTimeout)
    #expect(Int(end?.0.packets ?? 0) == bench[2].sentCount)
    #expect(bench[3].sentCount > 0)
    try bench.expectNoLeak()
  }
}
