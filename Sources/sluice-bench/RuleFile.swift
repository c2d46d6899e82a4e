// RuleFile.swift
//
// What: reads rules in ovs-ofctl's syntax, one a line, as `sluicectl rule add FILE` does.

import Dataplane
import Foundation
import Pipeline

/// Why a rule file cannot be used.
struct RuleFileError: Error, CustomStringConvertible {
  let description: String
}

enum RuleFile {
  /// Reads all rules of a file; blank lines and lines that begin with # are skipped.
  /// - Throws: `RuleFileError` with the file, the line and what is wrong.
  static func load(path: String) throws -> [Rule] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw RuleFileError(description: "\(path): cannot be read as text")
    }
    var rules: [Rule] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let trimmed = line.trimmingCharacters(in: .whitespaces)
      if trimmed.isEmpty || trimmed.hasPrefix("#") { continue }
      do {
        rules.append(try Rule(text: trimmed))
      } catch {
        throw RuleFileError(description: "\(path):\(index + 1): \(error)")
      }
    }
    guard !rules.isEmpty else { throw RuleFileError(description: "\(path): no rules") }
    return rules
  }
}
