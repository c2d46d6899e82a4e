// RuleSource.swift
//
// Where the rules (groups, meters, changes) of a command come from, and how an error of the agent about one of them is said
// in terms of that place.
// Invariant: `input` keeps the place's own numbering: line n of a file is its n-th line, remarks included.

import AgentAPI
import ArgumentParser
import Glibc

struct RuleSource {
  let input: RuleInput
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
    if let path = Self.files(in: arguments).first {
      try self.init(file: path)
    } else {
      self.init(input: RuleInput(lines: arguments), place: .arguments(count: arguments.count))
    }
  }

  /// - Parameter path: of a file, or "-".
  init(file path: String) throws(CommandFailure) {
    input = RuleInput(text: try Self.read(path))
    place = .file(path == "-" ? "standard input" : path)
  }

  private init(input: RuleInput, place: Place) {
    self.input = input
    self.place = place
  }

  /// The same lines with a word in front of each that is neither blank nor a remark.
  func prefixed(by word: String) -> RuleSource {
    let lines = input.lines.map { line in
      let first = line.unicodeScalars.first { !$0.properties.isWhitespace }
      return first == nil || first == "#" ? line : "\(word) \(line)"
    }
    return RuleSource(input: RuleInput(lines: lines), place: place)
  }

  /// Sends the lines with a progress line for those who wait, and names what is refused as the user knows it.
  func send<Reply: Sendable>(
    with global: GlobalOptions,
    _ call: @Sendable (SluiceClient, RuleInput, @escaping @Sendable (Int) -> Void) async throws -> Reply
  ) async throws -> Reply {
    let (input, total) = (input, input.lineCount)
    defer { Terminal.progress("") }
    do {
      return try await global.withAgent { agent in
        try await call(agent, input) { sent in
          guard total > Self.linesWithoutProgress else { return }
          Terminal.progress(sent < total ? "sent \(sent) of \(total) lines" : "sent all \(total) lines, waiting for the agent")
        }
      }
    } catch {
      throw explain(error)
    }
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
    if input.lineCount > 1 { sentences.append("nothing was changed") }
    return CommandFailure(sentences: sentences)
  }

  private func position(of line: UInt64) -> String {
    switch place {
    case .arguments(count: 1): ""
    case .arguments: "rule \(line): "
    case .file(let path): "\(path):\(line): "
    }
  }

  private static func read(_ path: String) throws(CommandFailure) -> [UInt8] {
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
      if count == 0 { return bytes }
      bytes += chunk.prefix(count)
    }
  }

  private static func lastError() -> String {
    guard let text = strerror(errno) else { return "error \(errno)" }
    return String(cString: text).lowercased()
  }
}
