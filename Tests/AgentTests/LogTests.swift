// LogTests.swift
//
// What a log line looks like.

import Foundation
import Logging
import Testing

@testable import Agent

@Suite struct LogTests {
  private func line(_ message: String, _ metadata: Logger.Metadata = [:]) -> LogLine {
    LogLine(time: "2026-11-21T09:30:00.123Z", uptimeSeconds: 1.5, level: .info, message: message, metadata: metadata)
  }

  @Test func textHasTimeLevelMessageAndSortedFields() {
    let text = line("port up", ["port": "eth1", "b": "two words", "a": ""]).text
    #expect(text == "2026-11-21T09:30:00.123Z info    port up a=\"\" b=\"two words\" port=eth1\n")
  }

  @Test func jsonIsOneObjectALine() throws {
    let json = line("a \"quoted\"\nline", ["key": "\u{1}\\"]).json
    #expect(json.filter { $0 == "\n" }.count == 1)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    #expect(object["message"] as? String == "a \"quoted\"\nline")
    #expect(object["key"] as? String == "\u{1}\\")
    #expect(object["uptime"] as? Double == 1.5)
  }

  @Test func aMessageCannotForgeALine() {
    let text = line("evil\n2026 info fake", ["key": "x\ny"]).text
    #expect(text.filter { $0 == "\n" }.count == 1)
  }

  @Test func theTimeIsRFC3339() {
    let time = LogLine.now()
    #expect(time.count == 24 && time.hasSuffix("Z") && time.dropFirst(10).first == "T")
  }
}
