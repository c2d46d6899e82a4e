// RuleSource.swift
//
// Where the rules of `rule add` come from, and how an error of the agent about one of them is said in terms of that place.
// Invariant: `lines` keeps the place's own numbering: line n of a file is lines[n - 1], comments included.

import AgentAPI
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

  /// - Throws: `CommandFailure` when a file cannot be read, or files and rules are mixed.
  init(arguments: [String]) throws(CommandFailure) {
    let files = arguments.filter { !$0.contains("=") }
    if files.isEmpty {
      // A line break within an argument would count as two rules in the agent's eyes and spoil the numbering.
      if let broken = arguments.first(where: { $0.contains(where: \.isNewline) }) {
        throw CommandFailure("a rule is one line; \"\(broken.prefix(40))...\" has several: give them as a file or on standard input (-)")
      }
      lines = arguments
      place = .arguments(count: arguments.count)
      return
    }
    guard let path = files.first, arguments.count == 1 else {
      throw CommandFailure("give rules, or one file, or -, not several of them; \(files.first ?? "") is not a rule: a rule has actions=...")
    }
    lines = Self.lines(of: try Self.read(path))
    place = .file(path == "-" ? "standard input" : path)
  }

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

  static func lines(of text: String) -> [String] {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.last == "\r" ? String(line.dropLast()) : String(line)
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
