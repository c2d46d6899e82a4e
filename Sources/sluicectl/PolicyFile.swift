// PolicyFile.swift
//
// Files of entries of the early drop policy: one entry a line; blank lines and what follows a # mean nothing.

import AgentAPI
import ArgumentParser

/// Lines of a file, or of standard input, with their numbers.
struct PolicyFile {
  let path: String
  private(set) var lines: [(number: Int, text: String)] = []

  /// - Parameter path: of a file, or "-".
  init(_ path: String) throws(CommandFailure) {
    self.path = path == "-" ? "standard input" : path
    for (index, line) in try RuleSource(file: path).input.lines.enumerated() {
      let text = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      if !text.isEmpty { lines.append((index + 1, text)) }
    }
  }

  /// A sentence about a line.
  func failure(_ line: Int, _ sentence: String) -> CommandFailure { CommandFailure("\(path):\(line): \(sentence)") }
}

/// What is to be denied or allowed again: prefixes and five-tuples.
struct DenyArguments: ParsableArguments {
  @Argument(help: "IPv4 or IPv6 prefixes of sources; a bare address means that host.")
  var prefixes: [String] = []

  @Option(
    name: .customLong("tuple"),
    help: ArgumentHelp(
      "A five-tuple: proto=, src=, dst=, sport=, dport=, separated by commas; what is left out may be anything. May be repeated.",
      valueName: "tuple"))
  var tuples: [String] = []

  @Option(help: ArgumentHelp("A file with a prefix or a five-tuple on each line, or - for standard input.", valueName: "path"))
  var file: String?

  func validate() throws {
    if prefixes.isEmpty, tuples.isEmpty, file == nil { throw ValidationError("which? give prefixes, --tuple or --file") }
  }

  /// Everything that was named, the file's entries last.
  func all() throws(CommandFailure) -> (prefixes: [String], tuples: [String]) {
    var result = (prefixes: prefixes, tuples: tuples)
    if let file {
      for line in try PolicyFile(file).lines {
        if line.text.contains("=") { result.tuples.append(line.text) } else { result.prefixes.append(line.text) }
      }
    }
    return result
  }
}

/// Packets per second, as people write them.
///
///     PacketsPerSecond(argument: "1000pps")   // 1,000
///     PacketsPerSecond(argument: "20k")       // 20,000
struct PacketsPerSecond: ExpressibleByArgument {
  let value: UInt64

  init?(argument: String) {
    var digits = Substring(argument.lowercased())
    if digits.hasSuffix("pps") { digits = digits.dropLast(3) }
    var factor: UInt64 = 1
    if digits.hasSuffix("k") { (digits, factor) = (digits.dropLast(), 1000) }
    if digits.hasSuffix("m") { (digits, factor) = (digits.dropLast(), 1_000_000) }
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let number = UInt64(digits)
    else { return nil }
    let (value, isTooLarge) = number.multipliedReportingOverflow(by: factor)
    guard !isTooLarge, value > 0 else { return nil }
    self.value = value
  }
}
