// RuleEntry.swift
//
// What: a rule in force: its identity, its counters, and the rule itself in a compact form: of the match only the words that its mask
//       looks at, with the mask and their places shared by all rules of the same shape; the instructions shared by all rules that do
//       the same.
// Invariants: an entry's id is never used again while the process lives. `words` are the masked words of the match, in the order of
//             `shape.words`; the entry owns them. A change of the instructions keeps the entry.
// Threads: confined to the pipeline thread.
// Cost: about 170 bytes and 8 per word of the match (a five-tuple has 4), which is a third of a Rule.

import Dataplane

/// A rule in force.
public final class RuleEntry {
  /// Unique in this process; a rule that replaces another gets a new one.
  public let id: UInt64
  /// When the rule was added: nanoseconds of the monotonic clock.
  public let createdNanoseconds: UInt64
  public let cookie: UInt64

  /// Packets that the rule decided, and their bytes from the Ethernet header on. The switch adds to them as it collects the
  /// counters of the flows that came from this rule.
  public var packets: UInt64 = 0
  public var bytes: UInt64 = 0
  /// When a packet last met the rule: nanoseconds of the monotonic clock, 0 for never.
  public var usedNanoseconds: UInt64 = 0
  /// The flow plans that met this rule: the flow book's own.
  public var plans: Set<UInt32> = []

  /// The next entry with the same match, in falling priority. RuleSubtable's own.
  var next: RuleEntry?
  let shape: RuleShape
  let words: UnsafeMutablePointer<UInt64>
  var shared: SharedInstructions

  public let priority: UInt16
  public let idleTimeout: UInt16
  public let hardTimeout: UInt16
  public let table: UInt8
  public let flags: RuleFlags
  /// True from being added until being replaced or deleted.
  public internal(set) var isInstalled = true

  init(id: UInt64, rule: Rule, shape: RuleShape, shared: SharedInstructions, createdNanoseconds: UInt64) {
    self.id = id
    self.createdNanoseconds = createdNanoseconds
    self.shape = shape
    self.shared = shared
    cookie = rule.cookie
    priority = rule.priority
    idleTimeout = rule.idleTimeout
    hardTimeout = rule.hardTimeout
    table = rule.table
    flags = rule.flags.intersection(.kept)
    words = .allocate(capacity: shape.words.count)
    shape.copyWords(of: rule.match.key, to: words)
  }

  deinit { words.deallocate() }

  /// True when another entry of the same shape has the same match.
  @inline(__always)
  func hasSameWords(as other: RuleEntry) -> Bool {
    for place in 0..<shape.words.count where words[place] != other.words[place] { return false }
    return true
  }

  /// What the rule does.
  public var instructions: RuleInstructions { shared.value }

  /// The packets that it is about, put together anew each time.
  public var match: FlowMatch { FlowMatch(shape.key(words), shape.mask) }

  /// The whole rule, put together anew each time.
  public var rule: Rule {
    Rule(
      table: table, priority: priority, cookie: cookie, match: match, instructions: instructions, idleTimeout: idleTimeout,
      hardTimeout: hardTimeout, flags: flags)
  }
}

/// A word of a key and the bits of it that count.
struct MaskedWord: BitwiseCopyable {
  let index: Int
  let mask: UInt64

  /// The words that a mask looks at.
  static func words(of mask: FlowMask) -> [MaskedWord] {
    withUnsafeBytes(of: mask) { bytes in
      (0..<FlowKey.byteCount / 8).compactMap { index in
        let word = bytes.load(fromByteOffset: index * 8, as: UInt64.self)
        return word == 0 ? nil : MaskedWord(index: index, mask: word)
      }
    }
  }
}

/// What all rules with one mask have in common: the mask, and which words of a key it looks at.
///
/// Immutable; lives as long as an entry refers to it.
final class RuleShape {
  let mask: FlowMask
  /// The words that the mask looks at; the memory belongs to the shape.
  let words: UnsafeMutableBufferPointer<MaskedWord>

  init(_ mask: FlowMask) {
    self.mask = mask
    let words = MaskedWord.words(of: mask)
    self.words = .allocate(capacity: words.count)
    _ = self.words.initialize(from: words)
  }

  deinit { words.deallocate() }

  /// Writes the masked words of a key.
  func copyWords(of key: FlowKey, to target: UnsafeMutablePointer<UInt64>) {
    withUnsafeBytes(of: key) { bytes in
      for (place, word) in words.enumerated() {
        target[place] = bytes.load(fromByteOffset: word.index * 8, as: UInt64.self) & word.mask
      }
    }
  }

  /// The key that has these words.
  func key(_ source: UnsafeMutablePointer<UInt64>) -> FlowKey {
    var key = FlowKey()
    withUnsafeMutableBytes(of: &key) { bytes in
      for (place, word) in words.enumerated() { bytes.storeBytes(of: source[place], toByteOffset: word.index * 8, as: UInt64.self) }
    }
    return key
  }

  /// True when a key has these words.
  @inline(__always)
  func matches(_ key: UnsafeRawPointer, _ expected: UnsafeMutablePointer<UInt64>) -> Bool {
    var difference: UInt64 = 0
    for place in 0..<words.count {
      let word = words[place]
      difference |= (key.load(fromByteOffset: word.index &* 8, as: UInt64.self) & word.mask) ^ expected[place]
    }
    return difference == 0
  }
}
