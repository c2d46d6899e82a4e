// RuleFile.swift
//
// What: reads rules in ovs-ofctl's syntax, one a line, as `sluicectl rule add FILE` does, and among them groups and meters: lines that
//       begin with `group_id=` and `meter=`. A group or a meter comes before what uses it.
// Cost: bound by the parser of rules; lines are found byte by byte.

import Dataplane
import Foundation
import Pipeline

/// Why a rule file cannot be used.
struct RuleFileError: Error, CustomStringConvertible {
  let description: String
}

enum RuleFile {
  /// Reads all rules of a file, as changes that add them; blank lines and lines that begin with # are skipped.
  /// - Throws: `RuleFileError` with the file, the line and what is wrong.
  static func load(path: String) throws -> [RuleChangeRequest] {
    let requests = try parse(try lines(path: path), path: path)
    guard !requests.isEmpty else { throw RuleFileError(description: "\(path): no rules") }
    return requests
  }

  /// The lines of a file, without the white space around them.
  static func lines(path: String) throws -> [String] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw RuleFileError(description: "\(path): cannot be read as text")
    }
    func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r") }
    return text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
      var line = line
      while let first = line.first, isSpace(first) { line.removeFirst() }
      while let last = line.last, isSpace(last) { line.removeLast() }
      return String(Substring(line))
    }
  }

  /// Reads rules, groups and meters from lines; `path` is for messages.
  static func parse(_ lines: [String], path: String) throws -> [RuleChangeRequest] {
    var requests: [RuleChangeRequest] = []
    requests.reserveCapacity(lines.count)
    for (index, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
      do {
        requests.append(try request(line))
      } catch {
        throw RuleFileError(description: "\(path):\(index + 1): \(error)")
      }
    }
    return requests
  }

  private static func request(_ line: String) throws(SyntaxError) -> RuleChangeRequest {
    if line.hasPrefix("group_id=") { return .addGroup(try Group(text: line)) }
    if line.hasPrefix("meter=") { return .addMeter(try MeterSpec(text: line)) }
    return .add(try Rule(text: line))
  }
}
