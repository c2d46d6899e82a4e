// WordTable.swift
//
// What: finds the meaning of an ASCII word in a line without making a string of it.
// Invariant: a word is found when it is equal byte by byte, or but for the case of its letters if the table says so.
// Threads: immutable.
// Cost: one walk over the word's bytes and a comparison; no allocation.

/// Words and what they mean.
public struct WordTable<Value: Sendable>: Sendable {
  private let words: [[UInt8]]
  private let values: [Value]
  /// Index of a word by its hash, -1 for none; twice as many places as words or more.
  private let slots: [Int16]
  private let fold: UInt8

  /// - Parameter ignoresCase: find `NORMAL` under `normal`; the words are given in lower case then.
  public init(_ entries: [(word: String, value: Value)], ignoresCase: Bool = false) {
    fold = ignoresCase ? 0x20 : 0
    words = entries.map { Array($0.word.utf8) }
    values = entries.map(\.value)
    var capacity = 16
    while capacity < entries.count * 2 { capacity *= 2 }
    var slots = [Int16](repeating: -1, count: capacity)
    for (index, word) in words.enumerated() {
      var at = Self.hash(word, 0, word.count, fold) & (capacity - 1)
      while slots[at] >= 0 { at = (at + 1) & (capacity - 1) }
      slots[at] = Int16(index)
    }
    self.slots = slots
  }

  /// What a word means; nil when it is not in the table.
  public subscript(piece: TextPiece) -> Value? {
    var at = Self.hash(piece.bytes, piece.start, piece.end, fold) & (slots.count - 1)
    while slots[at] >= 0 {
      let index = Int(slots[at])
      if isEqual(piece, words[index]) { return values[index] }
      at = (at + 1) & (slots.count - 1)
    }
    return nil
  }

  private func isEqual(_ piece: TextPiece, _ word: [UInt8]) -> Bool {
    guard piece.count == word.count else { return false }
    for i in 0..<word.count where Self.folded(piece.bytes[piece.start + i], fold) != word[i] { return false }
    return true
  }

  private static func hash(_ bytes: [UInt8], _ start: Int, _ end: Int, _ fold: UInt8) -> Int {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for i in start..<end { hash = (hash ^ UInt64(folded(bytes[i], fold))) &* 0x100_0000_01b3 }
    return Int(truncatingIfNeeded: (hash ^ hash >> 29) & 0x7fff_ffff)
  }

  /// The byte, in lower case when it is a letter and case does not count.
  @inline(__always)
  private static func folded(_ byte: UInt8, _ fold: UInt8) -> UInt8 {
    (0x41...0x5a).contains(byte) ? byte | fold : byte
  }
}
