// RuleReader.swift
//
// Text of rules and of changes, line by line, into requests that the switch understands.
// Invariants: lines are numbered over the whole call, blank ones and remarks included. Every bad line is counted and the first
//             few are described. A rule's own text is kept for the store unless it names a port: a name may come to mean another.
// Threads: belongs to one call.
// Cost: a microsecond or two per rule.

import AgentAPI
import Dataplane
import Foundation
import GRPCCore
import Pipeline
import Synchronization

/// Reads the lines of one call.
struct RuleReader {
  /// What a line may say.
  enum Syntax {
    /// A rule.
    case rules
    /// A change, in the syntax of `ovs-ofctl bundle`.
    case changes
    case groups(isChange: Bool)
    case meters(isChange: Bool)
  }

  /// What was read and not taken yet.
  private(set) var bundle = RuleBundle()
  private var takenCount = 0
  private let syntax: Syntax
  private let names: NotedNames
  private var lineCount = 0
  private var errors: [Sluice_V1_RuleError] = []
  private var badCount = 0
  /// The lines of the requests, kept for refusals while they are few.
  private var keptLines: [Int: String] = [:]
  private static let linesKept = 1000

  /// - Parameter ports: the ports' numbers by name, as they are when the call begins.
  init(_ syntax: Syntax, ports: [String: UInt32]) {
    self.syntax = syntax
    names = NotedNames(ports)
  }

  /// - Throws: `RuleFailure` when there are more rules than the agent holds.
  mutating func read(_ message: Sluice_V1_RuleText) throws(RuleFailure) {
    for line in message.lines { read(line) }
    if !message.text.isEmpty { readLines(String(decoding: message.text, as: UTF8.self)) }
    guard requestCount <= Control.ruleLimit else { throw .tooMany(limit: Control.ruleLimit, wanted: requestCount) }
  }

  mutating func read(_ line: String) { read(TextPiece(line), of: line) }

  /// Requests so far, those that were taken included.
  var requestCount: Int { takenCount + bundle.requests.count }

  /// True when a line was bad.
  var hasErrors: Bool { badCount > 0 }

  /// Hands over what was read since the last time.
  mutating func takeBundle() -> RuleBundle {
    takenCount += bundle.requests.count
    defer { bundle = RuleBundle() }
    return bundle
  }

  /// Reads lines that are all parts of one text, so that there is no copy of any of them.
  private mutating func readLines(_ text: String) {
    let whole = TextPiece(text)
    let ends = whole.bytes.indices.filter { whole.bytes[$0] == UInt8(ascii: "\n") }
    bundle.reserveCapacity(bundle.requests.count + ends.count + 1)
    var start = 0
    for end in ends {
      read(whole.part(start, end), of: text)
      start = end + 1
    }
    if start < whole.end { read(whole.part(start, whole.end), of: text) }
  }

  private mutating func read(_ line: TextPiece, of text: String) {
    lineCount += 1
    // A carriage return is white space to the parser, too; it is cut so that the stored text does not have it.
    let piece = line.trimmed
    guard !piece.isEmpty, piece.bytes[piece.start] != UInt8(ascii: "#") else { return }
    do throws(SyntaxError) {
      switch syntax {
      case .rules: try addRule(piece, of: text)
      case .changes: try addChange(Substring(piece.string))
      case .groups(let isChange): try addGroup(piece.string, isChange: isChange)
      case .meters(let isChange): try addMeter(piece.string, isChange: isChange)
      }
      if lineCount <= Self.linesKept { keptLines[lineCount] = line.string }
    } catch {
      badCount += 1
      if errors.count < Sluice_V1_RuleErrors.maxListed {
        errors.append(Sluice_V1_RuleError(error, line: line.string, number: lineCount))
      }
    }
  }

  /// - Throws: the refusal of the call when a line was bad.
  func check() throws(RPCError) {
    guard badCount == 0 else { throw RPCError.refusedRules(errors, total: badCount) }
  }

  /// Leaves requests out.
  mutating func keepRequests(where isKept: (Int) -> Bool) {
    var kept = RuleBundle()
    for place in bundle.requests.indices where isKept(place) {
      kept.add(bundle.requests[place], text: bundle.texts[place], line: Int(bundle.lines[place]))
    }
    bundle = kept
  }

  /// The refusal of a call whose lines were right, but one of which the switch refuses.
  func refusal(_ refused: RefusedChange) -> RPCError {
    guard let line = refused.line else { return RPCError(code: .failedPrecondition, message: "\(refused.reason)") }
    var described = Sluice_V1_RuleError()
    described.line = UInt64(line)
    described.text = keptLines[Int(line)] ?? ""
    described.message = "\(refused.reason)"
    return RPCError.refusedRules([described], code: .failedPrecondition)
  }

  /// - Parameter text: what the piece is a part of.
  private mutating func addRule(_ piece: TextPiece, of text: String) throws(SyntaxError) {
    let rule: Rule
    do { rule = try Rule(text: piece, names: names.fresh()) } catch { throw error.counted(from: piece.start) }
    guard !names.wereUsed else { return bundle.add(.add(rule), line: lineCount) }
    let start = text.utf8.index(text.startIndex, offsetBy: piece.start)
    bundle.add(.add(rule), text: text[start..<text.utf8.index(start, offsetBy: piece.count)], line: lineCount)
  }

  private mutating func addGroup(_ text: String, isChange: Bool) throws(SyntaxError) {
    let group = try Group(text: text, names: names.fresh())
    bundle.add(isChange ? .modifyGroup(group) : .addGroup(group), line: lineCount)
  }

  private mutating func addMeter(_ text: String, isChange: Bool) throws(SyntaxError) {
    let meter = try MeterSpec(text: text)
    bundle.add(isChange ? .modifyMeter(meter) : .addMeter(meter), line: lineCount)
  }

  // MARK: - Bundles

  private mutating func addChange(_ line: Substring) throws(SyntaxError) {
    var rest = line
    var object = Self.takeWord(of: ["flow", "group", "meter"], from: &rest)
    let verb = Self.takeWord(of: ["add", "modify", "modify_strict", "delete", "delete_strict"], from: &rest)
    if verb == nil, object != nil {
      // "group:1"-like text cannot be here: a word ends with a blank.
      throw SyntaxError(
        text: String(line.prefix(40)), offset: 0, message: "it is not said what to do",
        expected: "add, modify, modify_strict, delete or delete_strict behind \(object ?? "")")
    }
    object = object ?? "flow"
    let text = String(rest)
    switch (object, verb ?? "add") {
    case ("flow", "add"): try addRule(TextPiece(text), of: text)
    case ("flow", "modify"): try addModification(text, isStrict: false)
    case ("flow", "modify_strict"): try addModification(text, isStrict: true)
    case ("flow", let verb):
      bundle.add(.delete(try RuleFilter(text: text, isStrict: verb == "delete_strict", names: names.fresh())), line: lineCount)
    case ("group", "add"): try addGroup(text, isChange: false)
    case ("group", "modify"): try addGroup(text, isChange: true)
    case ("group", "delete"): bundle.add(.deleteGroup(try Self.number(text, key: "group_id")), line: lineCount)
    case ("meter", "add"): try addMeter(text, isChange: false)
    case ("meter", "modify"): try addMeter(text, isChange: true)
    case ("meter", "delete"): bundle.add(.deleteMeter(try Self.number(text, key: "meter")), line: lineCount)
    default:
      throw SyntaxError(
        text: verb ?? "", offset: 0, message: "only rules are changed strictly", expected: "add, modify or delete")
    }
  }

  private mutating func addModification(_ text: String, isStrict: Bool) throws(SyntaxError) {
    bundle.add(.modify(try Rule(text: text, names: names.fresh()), isStrict: isStrict), line: lineCount)
  }

  /// Takes a leading word off when it is one of these and something, or nothing, follows after a blank.
  private static func takeWord(of words: [String], from text: inout Substring) -> String? {
    let word = text.utf8.prefix { $0 != 0x20 && $0 != 0x09 }
    guard let found = words.first(where: { $0.utf8.elementsEqual(word) }) else { return nil }
    text = text.dropFirst(found.count).drop { $0 == " " || $0 == "\t" }
    return found
  }

  /// Reads `key=N`, `N`, `key=all` or `all`, which is nil.
  private static func number(_ text: String, key: String) throws(SyntaxError) -> UInt32? {
    let value = text.hasPrefix(key + "=") ? text.dropFirst(key.count + 1) : Substring(text)
    if value == "all" { return nil }
    let number = value.hasPrefix("0x") ? UInt32(value.dropFirst(2), radix: 16) : UInt32(value)
    guard let number else {
      throw SyntaxError(text: String(value.prefix(40)), offset: 0, message: "not a number", expected: "\(key)=N or \(key)=all")
    }
    return number
  }
}

/// Port names that notice whether they were used.
private struct NotedNames {
  private final class Note: Sendable { let isSet = Atomic<Bool>(false) }

  private let note: Note
  private let names: PortNames

  init(_ ports: [String: UInt32]) {
    let note = Note()
    self.note = note
    names = PortNames(
      number: { name in
        note.isSet.store(true, ordering: .relaxed)
        return ports[name]
      }, name: { _ in nil })
  }

  /// The names, as if nobody had asked for one yet.
  func fresh() -> PortNames {
    note.isSet.store(false, ordering: .relaxed)
    return names
  }

  var wereUsed: Bool { note.isSet.load(ordering: .relaxed) }
}

extension Sluice_V1_RuleError {
  init(_ error: SyntaxError, line: String, number: Int) {
    self.init()
    self.line = UInt64(number)
    text = line
    message = error.text.isEmpty ? error.message : "'\(error.text)' (column \(error.offset + 1)): \(error.message)"
    expected = error.expected
  }
}
