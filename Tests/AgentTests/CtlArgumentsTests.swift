// How sluicectl reads its command line: global options anywhere, rules from anywhere, cookies, queues, packets.

import AgentAPI
import ArgumentParser
import Testing

@testable import sluicectl

@Test(arguments: [
  (["-o", "json", "port", "list"], ["port", "list", "-o", "json"]),
  (["--socket=/x", "--timeout", "3", "status"], ["status", "--socket=/x", "--timeout", "3"]),
  (["-o", "json", "rule", "add", "a=b", "--", "c"], ["rule", "add", "-o", "json", "a=b", "--", "c"]),
  (["-o", "json", "port", "--help"], ["port", "-o", "json", "--help"]),
  (["status", "-o", "json"], ["status", "-o", "json"]),
  (["-o", "json"], ["-o", "json"]),
  (["-o"], ["-o"]),
  (["--help"], ["--help"]),
  ([], []),
])
func globalOptionsMayStandBeforeTheCommand(given: [String], moved: [String]) {
  #expect(GlobalOptions.movedBehindCommand(given) == moved)
}

@Test(arguments: [
  ["port"], ["bogus"], ["port", "add"], ["rule", "del"], ["rule", "del", "ip", "--all"], ["trace"], ["monitor", "x"],
  ["rule", "mod"], ["rule", "list", "--plain", "--stats"], ["rule", "diff"], ["rule", "replace", "a", "b"], ["rule", "bundle"],
  ["group"], ["group", "add"], ["group", "del"], ["group", "del", "1", "--all"], ["group", "list", "x"], ["meter", "del"],
  ["flow", "list", "--table", "256"], ["flow", "list", "--cookie", "x"], ["flow", "why"], ["flow", "why", "x"], ["kernel"], ["top", "-n", "0"], ["top", "--interval", "0"],
])
func anIncompleteCommandLineIsAUsageError(arguments: [String]) {
  let error = #expect(throws: (any Error).self) {
    var command = try Sluicectl.parseAsRoot(arguments)
    try command.run()
  }
  #expect(error.map { Sluicectl.exitCode(for: $0) } == .validationFailure)
}

@Test func everyCommandHasAnExample() {
  func visit(_ command: any ParsableCommand.Type, _ words: [String]) {
    let configuration = command.configuration
    for child in configuration.subcommands { visit(child, words + [child._commandName]) }
    guard configuration.subcommands.isEmpty else { return }
    let example = (["sluicectl"] + words).joined(separator: " ")
    #expect(configuration.discussion.contains("EXAMPLES:\n  \(example)"), "\(example)")
  }
  visit(Sluicectl.self, [])
}

@Test(arguments: [
  ("0", [0]), ("0,1", [0, 1]), ("0-3", [0, 1, 2, 3]), ("4,0-1", [4, 0, 1]), ("", nil), ("1-0", nil), ("a", nil), ("0,", nil),
  ("-1", nil), ("0-4000000000", nil), ("1-2-3", nil),
] as [(String, [UInt32]?)])
func queuesAreListsAndRanges(text: String, queues: [UInt32]?) {
  #expect(QueueList(argument: text)?.queues == queues)
}

@Test(arguments: [
  ("42", (42, .max)), ("0x2a", (42, .max)), ("0x2a/-1", (42, .max)), ("0x2f/0xf0", (0x20, 0xf0)), ("x", nil), ("1/0", nil),
  ("1/2/3", nil), ("", nil),
] as [(String, (UInt64, UInt64)?)])
func cookiesHaveMasks(text: String, expected: (UInt64, UInt64)?) {
  let selector = CookieSelector(argument: text)
  #expect(selector?.cookie == expected?.0)
  #expect(selector?.mask == expected?.1)
}

@Test func aCookieInAMatchCountsLikeTheOption() throws {
  let selector = try Sluice_V1_RuleSelector(match: "ip,cookie=0x1/-1,nw_dst=10.0.0.0/8", strict: true, cookie: nil)
  #expect(selector.match == "ip,nw_dst=10.0.0.0/8")
  #expect(selector.cookie == 1)
  #expect(selector.cookieMask == .max)
  #expect(selector.strict)
}

@Test func twoCookiesContradict() {
  #expect(throws: ValidationError.self) {
    try Sluice_V1_RuleSelector(match: "cookie=1", strict: false, cookie: CookieSelector(argument: "2"))
  }
}

@Test(arguments: [
  ("ffffffffffff 020000000001 0806", 14), ("ff:ff:ff:ff:ff:ff:02:00:00:00:00:01:08:06", 14), ("tcp", nil), ("in_port=1,ip", nil),
  ("abcdef", nil), ("ffffffffffff02000000000108061", nil),
] as [(String, Int?)])
func aPacketIsHexadecimalOrADescription(text: String, bytes: Int?) {
  #expect(Trace.frame(text)?.count == bytes)
}

@Test func aWordIsPutInFrontOfRulesOnly() throws {
  let source = try RuleSource(arguments: ["ip=1", " # a=b", "=", ""].filter { $0.contains("=") }).prefixed(by: "modify")
  #expect(source.input.lines == ["modify ip=1", " # a=b", "modify ="])
}

@Test(arguments: [("7", 7), ("group_id=7", 7), ("meter=0x10", 16), ("7=7", nil), ("x", nil), ("-1", nil), ("", nil)] as [(String, UInt32?)])
func groupsAndMetersHaveNumbers(text: String, number: UInt32?) {
  #expect(GroupNumber(argument: text)?.number == number)
}

@Test func aDifferenceIsAPairOfLines() {
  let change = Sluice_V1_RuleDifference.with {
    $0.present = "a"
    $0.wanted = "b"
  }
  #expect(change.lines == ["-a", "+b"])
  #expect(Sluice_V1_RuleDifference.with { $0.wanted = "b" }.lines == ["+b"])
}

@Test func aRefusedRuleIsNamedAsTheUserKnowsIt() throws {
  let refused = ClientError.refused(
    .init(
      code: .invalidArgument, message: "line 2: no",
      ruleErrors: .with {
        $0.errors = [
          .with {
            $0.line = 2
            $0.text = "tp_dst=x"
            $0.message = "x is not a port"
            $0.expected = "0 to 65535"
          }
        ]
        $0.total = 3
      }))
  let source = try RuleSource(arguments: ["a=1", "tp_dst=x"])
  let failure = try #require(source.explain(refused) as? CommandFailure)
  #expect(
    failure.sentences == [
      "rule 2: \"tp_dst=x\": x is not a port; expected 0 to 65535", "and 2 more bad lines", "nothing was changed",
    ])
}
