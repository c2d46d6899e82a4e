// ConfigurationNode.swift
//
// Reads YAML strictly. A node is a value of the file with its key path; asking it for a type either gives the value or
// writes down a problem and gives nil, so that one reading finds everything that is wrong.
// Invariants: types are YAML's: `1` is a number, `"1"` is text, `yes` is a truth value; nothing is converted silently.
// Threads: confined to the reading; ProblemList is a class because all nodes of a file write into the same one.

import Dataplane
import Yams

/// The problems found so far.
final class ProblemList {
  private(set) var problems: [ConfigurationProblem] = []

  func add(_ message: String, key: String, at mark: Mark?) {
    add(message, key: key, place: mark.map { ConfigurationPlace(line: $0.line, column: $0.column) })
  }

  func add(_ message: String, key: String, place: ConfigurationPlace?) {
    problems.append(ConfigurationProblem(place: place, key: key, message: message))
  }
}

/// A value of the file.
struct ConfigurationNode {
  let node: Node
  let key: String
  let list: ProblemList

  /// Writes a problem of this value down.
  func problem(_ message: String) {
    list.add(message, key: key, at: node.mark)
  }

  /// What the value is, in words for messages.
  var found: String {
    switch node {
    case .mapping: return "a mapping (key: value)"
    case .sequence: return "a list"
    case .alias: return "an alias"
    case .scalar(let scalar):
      switch node.tag.rawValue {
      case Tag.Name.null.rawValue: return "nothing"
      case Tag.Name.int.rawValue, Tag.Name.float.rawValue: return "the number \(scalar.string)"
      case Tag.Name.bool.rawValue: return "the truth value \(scalar.string)"
      default: return "the text \"\(scalar.string.prefix(60))\""
      }
    }
  }

  var isNull: Bool { node.tag.rawValue == Tag.Name.null.rawValue }

  func text() -> String? {
    guard case .scalar(let scalar) = node, node.tag.rawValue == Tag.Name.str.rawValue else {
      let hint: String = if case .scalar = node, !isNull { "; put it in quotes" } else { "" }
      problem("expected text, found \(found)\(hint)")
      return nil
    }
    return scalar.string
  }

  func integer(in range: ClosedRange<Int>) -> Int? {
    let expectation = "expected a whole number from \(range.lowerBound) to \(range.upperBound)"
    guard case .scalar = node, node.tag.rawValue == Tag.Name.int.rawValue, let value = node.int, range.contains(value)
    else {
      problem("\(expectation), found \(found)")
      return nil
    }
    return value
  }

  /// One of a few words.
  func choice<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) -> Choice? where Choice.RawValue == String {
    let words = Choice.allCases.map(\.rawValue)
    if case .scalar(let scalar) = node, let value = Choice(rawValue: scalar.string) { return value }
    var message = "expected one of \(words.joined(separator: ", ")), found \(found)"
    if case .scalar(let scalar) = node, let near = nearestName(to: scalar.string, among: words) {
      message += "; did you mean '\(near)'?"
    }
    problem(message)
    return nil
  }

  func elements() -> [ConfigurationNode]? {
    guard case .sequence(let sequence) = node else {
      problem("expected a list, found \(found)")
      return nil
    }
    return sequence.enumerated().map { ConfigurationNode(node: $1, key: "\(key)[\($0)]", list: list) }
  }

  /// The values of a mapping by key. Keys that are not in `keys` are problems; a key without a value counts as absent.
  func mapping(keys: [String]) -> [String: ConfigurationNode]? {
    guard case .mapping(let mapping) = node else {
      problem("expected a mapping with keys \(keys.joined(separator: ", ")), found \(found)")
      return nil
    }
    var values: [String: ConfigurationNode] = [:]
    for (name, value) in mapping {
      let text = name.string ?? "\(name)"
      let child = ConfigurationNode(node: value, key: key.isEmpty ? text : "\(key).\(text)", list: list)
      guard keys.contains(text) else {
        let guess = nearestName(to: text, among: keys).map { "; did you mean '\($0)'?" } ?? ""
        list.add("unknown key\(guess) (keys here: \(keys.joined(separator: ", ")))", key: child.key, at: name.mark)
        continue
      }
      if !child.isNull { values[text] = child }
    }
    return values
  }
}
