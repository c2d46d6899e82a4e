// RuleInput.swift
//
// What: rules (or whatever else a call takes line by line) on their way to the agent, and how they are cut into messages.
// Invariants: the agent's line numbers are the input's own, blank lines and remarks included. Messages are few, and far below
//             gRPC's 4 MiB.
// Threads: a value.
// Cost: a file goes as it is, a memory copy per message; a String per line would cost more than sending it.

import Foundation

/// Lines of text to send.
public struct RuleInput: Sendable {
  private enum Content: Sendable {
    case lines([String])
    case text([UInt8])
  }

  private let content: Content
  /// Lines, blank ones and remarks included.
  public let lineCount: Int

  public init(lines: [String]) {
    content = .lines(lines)
    lineCount = lines.count
  }

  /// - Parameter text: a file's bytes: UTF-8, lines ended by a line feed, the last one perhaps not.
  public init(text: [UInt8]) {
    content = .text(text)
    let ends = text.reduce(into: 0) { $0 += $1 == Self.lineFeed ? 1 : 0 }
    lineCount = text.isEmpty || text.last == Self.lineFeed ? ends : ends + 1
  }

  /// All lines, without their ends.
  public var lines: [String] {
    switch content {
    case .lines(let lines): return lines
    case .text(let text):
      var lines = text.split(separator: Self.lineFeed, omittingEmptySubsequences: false).map { line in
        String(decoding: line.last == Self.carriageReturn ? line.dropLast() : line, as: UTF8.self)
      }
      // What follows the last line's end is no line.
      if lines.last?.isEmpty == true { lines.removeLast() }
      return lines
    }
  }

  private static let lineFeed = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")
  static let maxLinesPerMessage = 512
  static let maxBytesPerMessage = 256 * 1024

  /// Hands over the messages of a stream, one by one, and how many lines have been sent after each.
  func forEachMessage(_ send: (_ message: Sluice_V1_RuleText, _ linesSent: Int) async throws -> Void) async throws {
    switch content {
    case .lines(let lines):
      var next = 0
      while next < lines.count {
        let end = Self.end(of: lines, from: next)
        try await send(.with { $0.lines = Array(lines[next..<end]) }, end)
        next = end
      }
    case .text(let text):
      var next = 0
      var sent = 0
      while next < text.count {
        let end = Self.end(of: text, from: next)
        for byte in text[next..<end] where byte == Self.lineFeed { sent += 1 }
        if end == text.count { sent = lineCount }
        try await send(.with { $0.text = Data(text[next..<end]) }, sent)
        next = end
      }
    }
  }

  /// The index after the last line of the message that begins at `start`; always beyond `start`.
  static func end(of lines: [String], from start: Int) -> Int {
    var end = start
    var bytes = 0
    while end < lines.count, end - start < maxLinesPerMessage {
      bytes += lines[end].utf8.count
      if end > start, bytes > maxBytesPerMessage { break }
      end += 1
    }
    return end
  }

  /// The index after the last byte of the message that begins at `start`: the end of a line, or of the text.
  static func end(of text: [UInt8], from start: Int) -> Int {
    var end = min(text.count, start + maxBytesPerMessage)
    guard end < text.count else { return end }
    if let last = text[start..<end].lastIndex(of: lineFeed) { return last + 1 }
    // One line longer than a message: it goes whole, and the agent says what is wrong with it.
    while end < text.count, text[end - 1] != lineFeed { end += 1 }
    return end
  }
}
