// What sluicectl prints: JSON, tables and the words for sizes and times.

import AgentAPI
import Doctor
import Testing

@testable import sluicectl

@Test func jsonKeepsTheOrderOfKeysAndEscapesText() {
  let document: JSON = ["b": "a\"b\\c\n\u{1}é", "a": [1, nil, true], "empty": []]
  #expect(document.text(pretty: false) == #"{"b":"a\"b\\c\n\u0001é","a":[1,null,true],"empty":[]}"#)
}

@Test func prettyJSONIndentsByTwo() {
  let document: JSON = ["list": [["n": 1]], "none": [:]]
  #expect(document.text(pretty: true) == "{\n  \"list\": [\n    {\n      \"n\": 1\n    }\n  ],\n  \"none\": {}\n}")
}

@Test func jsonWritesLargeCountersExactlyAndNoNumberThatIsNone() {
  #expect(JSON.unsigned(.max).text(pretty: false) == "18446744073709551615")
  #expect(JSON.number(.nan).text(pretty: false) == "null")
  #expect(JSON.number(66.5).text(pretty: false) == "66.5")
}

@Test func tableColumnsAreAsWideAsTheirWidestCell() {
  var table = Table([">n", "name", "note"])
  table.add(["1", "eth1", "x"])
  table.add(["12", "a-long-name", ""])
  #expect(table.text(bold: false) == " N  NAME         NOTE\n 1  eth1         x\n12  a-long-name  -")
}

@Test func aCellCannotMoveTheCursor() {
  var table = Table(["name"])
  table.add(["a\u{1b}[2Jb\nc"])
  #expect(table.text(bold: false) == "NAME\na?[2Jb?c")
}

@Test(arguments: [
  (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1549, "1.5 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
  (12_345_678, "12.3 MB"), (UInt64.max, "18.4 EB"),
])
func bytesAreSaidInDecimalUnits(count: UInt64, text: String) {
  #expect(Human.bytes(count) == text)
}

@Test(arguments: [
  (0, "0.00s"), (250, "0.25s"), (9999, "10.00s"), (10_000, "10s"), (200_000, "3m20s"), (7_500_000, "2h05m"),
  (356_400_000, "4d03h"),
])
func durationsAreSaidInTheTwoLargestUnits(milliseconds: UInt64, text: String) {
  #expect(Human.duration(milliseconds: milliseconds) == text)
}

@Test func decimalsAreRoundedNotCut() {
  #expect(Human.decimal(66.06, places: 1) == "66.1")
  #expect(Human.decimal(-0.04, places: 1) == "0.0")
  #expect(Human.decimal(-1.5, places: 1) == "-1.5")
  #expect(Human.decimal(.infinity, places: 1) == "-")
  #expect(Human.decimal(3.05, places: 0) == "3")
}

@Test func everyPortKeyIsThereEvenWhenNothingIsKnown() {
  let text = Sluice_V1_Port().document.text(pretty: false)
  #expect(text.hasPrefix(#"{"name":"","number":0,"kind":"unknown","#))
  #expect(text.contains(#""xdpMode":null,"#))
  #expect(
    text.hasSuffix(
      #""xdpCounters":{},"hook":null,"kernel":null,"kernelRxPackets":0,"kernelRxBytes":0,"kernelTxPackets":0,"kernelTxBytes":0}"#))
}

@Test func cookiesAreTextBecauseTheyUseAllBits() {
  let rule = Sluice_V1_Rule.with { $0.cookie = .max }
  #expect(rule.document.text(pretty: false).contains(#""cookie":"0xffffffffffffffff""#))
}

@Test func aFlowWithoutARuleSaysSo() {
  #expect(Sluice_V1_Flow().document.text(pretty: false).hasSuffix(#""tier":"unknown","rule":null,"rules":[]}"#))
}

@Test func aValueOfANewerAgentIsShownAsItsNumber() {
  #expect(Sluice_V1_PortState.UNRECOGNIZED(42).word == "state-42")
}

@Test func eventTimesAreRFC3339InUTC() {
  #expect(TimeOfDay.utc(1_795_254_425_000_123_456) == "2026-11-21T09:47:05.000123Z")
}

@Test func anEventIsOneLine() {
  let event = Sluice_V1_Event.with {
    $0.unixNanoseconds = 1_795_254_425_000_123_456
    $0.drop = .with {
      $0.port = "eth1"
      $0.reason = "no rule"
      $0.packets = 3
    }
  }
  #expect(
    event.document.text(pretty: false) == #"{"time":"2026-11-21T09:47:05.000123Z","unixNanoseconds":1795254425000123456,"#
      + #""lost":0,"event":"drop","port":"eth1","reason":"no rule","packets":3}"#)
  #expect(event.text.hasSuffix(#"  drop          port=eth1 reason="no rule" packets=3"#))
}

@Test(arguments: [(0.25, "0.3"), (9.94, "9.9"), (42.4, "42"), (999.4, "999"), (999.6, "1.0 k"), (123_456, "123 k"), (2_500_000, "2.5 M")])
func ratesHaveTwoOrThreeDigits(value: Double, text: String) {
  #expect(Human.rate(value) == text)
}

@Test func kernelShowHasTheNumberOfFlowsAtItsTop() {
  let kernel = Sluice_V1_GetKernelReply.with {
    $0.inUse = true
    ($0.flows, $0.capacity, $0.placed, $0.withdrawn, $0.fences, $0.fenceNanoseconds) = (3, 7, 5, 2, 2, 5_000_000)
    $0.refused = [.with { ($0.name, $0.count) = ("action", 4) }]
    $0.programs = [.with { ($0.id, $0.name, $0.interface, $0.hook, $0.runs, $0.runNanoseconds) = (12, "sluice_tc", "c1", .tc, 10, 900) }]
    $0.maps = [.with { ($0.name, $0.entries, $0.used) = ("sluice_flows", 8, 2) }, .with { $0.name = "sluice_up" }]
  }
  #expect(kernel.document.text(pretty: false).contains(#""flows":3,"waiting":0,"capacity":7,"placed":5,"withdrawn":2,"refused":{"action":4}"#))
  #expect(kernel.document.text(pretty: false).hasSuffix(#"{"id":0,"name":"sluice_up","entries":0,"used":null,"memoryBytes":0}]}"#))
  let text = kernel.text(bold: false)
  #expect(text.hasPrefix("Flows:    3 of 7 held\nPlaced:   5 since the agent started, 2 withdrawn, 2 fences, 2.5 ms each\nRefused:  action 4\n"))
  #expect(text.contains("(way up)") && text.contains("25.0%"))
}

@Test func kernelShowSaysHowToUseTheKernelWhenItIsNot() {
  #expect(Sluice_V1_GetKernelReply().text(bold: false) == "Flows:    none: no port uses the kernel's table yet; one that does is made with: sluicectl port add NAME --kernel auto")
}

@Test func flowWhySaysWhyATierDoesNotHoldIt() {
  let reply = Sluice_V1_GetFlowReply.with {
    $0.flow = .with { ($0.id, $0.worker, $0.actions, $0.matched.packets) = (42, 1, "output:2", 9) }
    $0.tiers = [.with { ($0.tier, $0.reason, $0.matched.packets) = (.kernel, "refused: no room", 4) }]
  }
  #expect(reply.text.hasPrefix("Flow:     42, 9 packets, 0 B, "))
  #expect(reply.text.hasSuffix("\nkernel:   refused: no room; 4 packets so far\nuser:     worker 1 executes it; 5 packets so far"))
  #expect(reply.document.text(pretty: false).hasSuffix(#""tiers":[{"tier":"kernel","held":false,"reason":"refused: no room","packets":4,"bytes":0}]}"#))
}

@Test func topNamesTheTierOfEachFlow() {
  let reply = Sluice_V1_TopFlowsReply.with {
    ($0.seconds, $0.active, $0.total, $0.packetsPerSecond, $0.bytesPerSecond) = (1, 1, 3, 1500, 90000)
    $0.flows = [
      .with {
        $0.flow = .with { ($0.id, $0.match, $0.actions, $0.tier) = (7, "udp", "output:2", .kernel) }
        ($0.packetsPerSecond, $0.bytesPerSecond, $0.port) = (1500, 90000, "c1")
      }
    ]
  }
  #expect(
    reply.text(bold: false) == """
      1.5 k packets/s, 90.0 kB/s by 1 of 3 flows, measured for 1.0 s

      ID  PACKETS/S  BYTES/S  TIER    PORT  MATCH  ACTIONS
       7      1.5 k   90.0 k  kernel  c1    udp    output:2
      """)
}

@Test func theDoctorPutsCommandsUnderWhatTheyMend() {
  let findings = [
    Finding(.ok, "kernel", "jit", "fine"), Finding(.fail, "port c1", "mtu", "too large", mend: "ip link set dev c1 mtu 1500"),
    Finding(.ok, "kernel", "btf", "fine too"),
  ].bySubject
  #expect(findings.map(\.check) == ["jit", "btf", "mtu"])
  #expect(findings.text(isColoured: false).contains("fail  port c1  too large\n               mend: ip link set dev c1 mtu 1500\n"))
  #expect(findings.text(isColoured: false).hasSuffix("1 fail, 0 warn, 2 ok"))
  #expect(findings.document.text(pretty: false).hasPrefix(#"{"worst":"fail","findings":[{"subject":"kernel","check":"jit","verdict":"ok""#))
}
