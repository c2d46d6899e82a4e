// The client's own behaviour: batches, refused rules on the wire, and what it says when nobody answers.

import GRPCCore
import Testing

@testable import AgentAPI

@Test func batchesAreBoundedByLinesAndBytes() {
  let short = [String](repeating: "ip actions=drop", count: 1200)
  #expect(RuleInput.end(of: short, from: 0) == 512)
  #expect(RuleInput.end(of: short, from: 1024) == 1200)
  let long = [String](repeating: String(repeating: "x", count: 200_000), count: 3)
  #expect(RuleInput.end(of: long, from: 0) == 1)
}

@Test func aLineBeyondTheLimitStillMakesABatch() {
  #expect(RuleInput.end(of: [String(repeating: "x", count: 1_000_000)], from: 0) == 1)
}

@Test func aFileIsCutAtTheEndsOfLines() {
  let line = [UInt8]("priority=1,ip,actions=drop\n".utf8)
  let text = [UInt8](repeatElement(line, count: 20_000).joined())
  var (starts, start) = ([Int](), 0)
  while start < text.count {
    starts.append(start)
    start = RuleInput.end(of: text, from: start)
  }
  #expect(starts.count == text.count / RuleInput.maxBytesPerMessage + 1)
  #expect(starts.allSatisfy { $0 % line.count == 0 })
  let long = [UInt8](repeating: 0x78, count: 1_000_000) + [0x0A, 0x79]
  #expect(RuleInput.end(of: long, from: 0) == 1_000_001)
}

@Test func aFileKeepsItsLineNumbers() {
  #expect(RuleInput(text: Array("# a\r\n\nip actions=drop\n".utf8)).lines == ["# a", "", "ip actions=drop"])
  #expect(RuleInput(text: []).lines == [])
  #expect(RuleInput(text: Array("a\n\n".utf8)).lines == ["a", ""])
  #expect(RuleInput(text: Array("a\n\n".utf8)).lineCount == 2)
  #expect(RuleInput(text: Array("a\nb".utf8)).lineCount == 2)
}

@Test func refusedRulesSurviveTheWire() throws {
  let errors = (1...20).map { line in
    Sluice_V1_RuleError.with {
      $0.line = UInt64(line)
      $0.text = String(repeating: "x", count: 1000)
      $0.message = "no"
    }
  }
  let error = RPCError.refusedRules(errors)
  #expect(error.code == .invalidArgument)
  #expect(error.message.hasPrefix("line 1: \"xxx"))
  #expect(error.message.hasSuffix(": no (and 19 more bad lines)"))
  let decoded = try #require(Sluice_V1_RuleErrors(of: error))
  #expect(decoded.total == 20)
  #expect(decoded.errors.map(\.line) == Array(1...8))
  #expect(decoded.errors.allSatisfy { $0.text.count == Sluice_V1_RuleErrors.maxCharacters })
}

@Test func anErrorWithoutRulesHasNone() {
  #expect(Sluice_V1_RuleErrors(of: RPCError(code: .notFound, message: "no port eth9")) == nil)
}

@Test func aMissingSocketIsSaidWithTheRemedy() async {
  let error = await #expect(throws: ClientError.self) {
    try await SluiceClient.withConnection(to: "/nonexistent/sluice.sock") { try await $0.ports() }
  }
  #expect(
    error?.description
      == "cannot reach the agent at /nonexistent/sluice.sock: no such file; "
      + "start it with: systemctl start sluiced (or: sudo sluiced --config FILE)")
}

@Test func aPathTooLongForASocketIsSaidSo() async {
  let error = await #expect(throws: ClientError.self) {
    try await SluiceClient.withConnection(to: String(repeating: "x", count: 108)) { try await $0.ports() }
  }
  #expect(error?.description.hasSuffix("a socket's path has 1 to 107 bytes") == true)
}
