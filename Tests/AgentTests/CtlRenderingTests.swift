// What sluicectl prints: JSON, tables and the words for sizes and times.

import AgentAPI
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
  #expect(text.hasSuffix(#""dropped":0,"drops":{},"xdpCounters":{}}"#))
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
