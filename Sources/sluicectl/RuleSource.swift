// RuleSource.swift
//
// Where the rules of `rule add` come from, and how an error of the agent about one of them is said in terms of that place.
// Invariant: `lines` keeps the place's own numbering: line n of a file is lines[n - 1], comments included.

import AgentAPI
import ArgumentParser
import Glibc

struct RuleSource {
  let lines: [String]
  private let place: Place

  private enum Place {
    case arguments(count: Int)
    case file(String)
  }

  /// Fewer lines are sent in less time than it takes to read how far they are.
  static let linesWithoutProgress = 5000

  /// - Parameter arguments: rules, or the path of one file, or "-"; what holds a '=' is a rule.
  /// - Throws: `CommandFailure` when the file cannot be read.
  init(arguments: [String]) throws(CommandFailure) {
    guard let path = Self.files(in: arguments).first else {
      lines = arguments
      place = .arguments(count: arguments.count)
      return
    }
    lines = Self.lines(of: try Self.read(path))
    place = .file(path == "-" ? "standard input" : path)
  }

  /// Checks what can be checked without reading anything.
  ///
  /// - Throws: a usage error when files and rules are mixed, or one argument holds several rules.
  static func check(_ arguments: [String]) throws {
    if let file = files(in: arguments).first, arguments.count > 1 {
      throw ValidationError("give rules, or one file, or -, and not several of them; \(file) is no rule: a rule has actions=...")
    }
    // A line break within an argument would count as two rules in the agent's eyes and spoil the numbering.
    if let broken = arguments.first(where: { $0.contains(where: \.isNewline) }) {
      throw ValidationError(
        "a rule is one line, and \"\(broken.prefix { !$0.isNewline })\" goes on after it; "
          + "give several as a file, or on standard input with -")
    }
  }

  private static func files(in arguments: [String]) -> [String] { arguments.filter { !$0.contains("=") } }

  /// An error of the agent with its lines named as the user knows them.
  func explain(_ error: any Error) -> any Error {
    guard let error = error as? ClientError, case .refused(let refusal) = error, let wrong = refusal.ruleErrors,
      !wrong.errors.isEmpty
    else { return error }
    var sentences = wrong.errors.map { position(of: $0.line) + $0.sentence }
    let more = wrong.total - min(wrong.total, UInt64(wrong.errors.count))
    if more > 0 { sentences.append("and \(Human.count(more, "more bad line"))") }
    if lines.count > 1 { sentences.append("no rule was added") }
    return CommandFailure(sentences: sentences)
  }

  private func position(of line: UInt64) -> String {
    switch place {
    case .arguments(count: 1): ""
    case .arguments: "rule \(line): "
    case .file(let path): "\(path):\(line): "
    }
  }

  /// Works on scalars, because Swift takes "\r\n" for one character, which is not "\n".
  static func lines(of text: String) -> [String] {
    var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      String(line.last == "\r" ? line.dropLast() : line)
    }
    // What follows the last line's end is no line.
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines
  }

  private static func read(_ path: String) throws(CommandFailure) -> String {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw CommandFailure("cannot read \(path): \(lastError()); a rule, which has actions=..., can be given in its place")
    }
    defer { if path != "-" { close(descriptor) } }
    var bytes: [UInt8] = []
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { chunk.deallocate() }
    while true {
      let count = Glibc.read(descriptor, chunk.baseAddress, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw CommandFailure("cannot read \(path): \(lastError())") }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk.prefix(count)
    }
  }

  private static func lastError() -> String {
    guard let text = strerror(errno) else { return "error \(errno)" }
    return String(cString: text).lowercased()
  }
}
