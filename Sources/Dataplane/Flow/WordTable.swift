// WordTable.swift
//
// What: finds the meaning of an ASCII word in a line without making a string of it: the up to 16 bytes of a word are two numbers, which are
//       compared at once.
// Invariants: a word is found when it is equal byte by byte, or but for the case of its letters if the table says so. At most half of the places
//             are taken, so that an empty one ends every search.
// Threads: immutable.
// Cost: two 8-byte loads, a multiplication and a comparison or two; no allocation.

/// Words and what they mean.
public struct WordTable<Value: Sendable>: Sendable {
  @usableFromInline let index: WordIndex
  @usableFromInline let values: [Value]

  /// - Parameters:
  ///   - entries: words of 1 to 16 bytes.
  ///   - ignoresCase: find `NORMAL` under `normal`; the words are given in lower case then.
  public init(_ entries: [(word: String, value: Value)], ignoresCase: Bool = false) {
    index = WordIndex(entries.map(\.word), ignoresCase: ignoresCase)
    values = entries.map(\.value)
  }

  /// What a word means; nil when it is not in the table.
  @inlinable
  public subscript(piece: TextPiece) -> Value? {
    let place = index.find(piece)
    return place < 0 ? nil : values[place]
  }
}

/// Words and the numbers of their places in a list.
@usableFromInline
struct WordIndex: Sendable {
  /// The bytes of a word, first byte lowest, filled with zeros.
  private struct Word: Equatable {
    var low: UInt64
    var high: UInt64
  }

  private let slots: [(word: Word, index: Int32)]
  private let shift: UInt64
  private let ignoresCase: Bool

  init(_ words: [String], ignoresCase: Bool) {
    var bits: UInt64 = 4
    while 1 << bits < words.count * 2 { bits += 1 }
    shift = 64 - bits
    self.ignoresCase = ignoresCase
    var slots = [(word: Word, index: Int32)](repeating: (Word(low: 0, high: 0), -1), count: 1 << Int(bits))
    for (index, text) in words.enumerated() {
      guard let word = Self.word(TextPiece(text), ignoresCase: ignoresCase) else {
        preconditionFailure("'\(text)' is no word of 1 to 16 bytes")
      }
      var at = Self.place(word, shift)
      while slots[at].index >= 0 { at = (at + 1) & (slots.count - 1) }
      slots[at] = (word, Int32(index))
    }
    self.slots = slots
  }

  /// The place of a word in the list; -1 when it is not there.
  @usableFromInline
  func find(_ piece: TextPiece) -> Int {
    guard let word = Self.word(piece, ignoresCase: ignoresCase) else { return -1 }
    var at = Self.place(word, shift)
    while true {
      let slot = slots[at]
      if slot.word == word || slot.index < 0 { return Int(slot.index) }
      at = (at + 1) & (slots.count - 1)
    }
  }

  private static func place(_ word: Word, _ shift: UInt64) -> Int {
    let folded = (word.low ^ (word.high &* 0xff51_afd7_ed55_8ccd)) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: folded >> shift)
  }

  /// The bytes of a piece as numbers; nil when they are none or too many, or when one of them is zero, which stands for "no byte".
  private static func word(_ piece: TextPiece, ignoresCase: Bool) -> Word? {
    let count = piece.count
    guard count > 0, count <= 16 else { return nil }
    var word = Word(low: 0, high: 0)
    piece.bytes.withUnsafeBytes { bytes in
      if piece.start + 16 <= bytes.count {
        word.low = bytes.loadUnaligned(fromByteOffset: piece.start, as: UInt64.self).littleEndian
        word.high = bytes.loadUnaligned(fromByteOffset: piece.start + 8, as: UInt64.self).littleEndian
        // Shifts by 64 and more give 0.
        word.low &= ~(UInt64.max << UInt64(8 * count))
        word.high &= count <= 8 ? 0 : ~(UInt64.max << UInt64(8 * (count - 8)))
      } else {
        for i in 0..<min(8, count) { word.low |= UInt64(bytes[piece.start + i]) << UInt64(8 * i) }
        for i in 8..<max(8, count) { word.high |= UInt64(bytes[piece.start + i]) << UInt64(8 * (i - 8)) }
      }
    }
    let last = count <= 8 ? word.low >> UInt64(8 * (count - 1)) : word.high >> UInt64(8 * (count - 9))
    guard last != 0 else { return nil }
    if ignoresCase {
      word.low = lowercase(word.low)
      word.high = lowercase(word.high)
    }
    return word
  }

  /// Eight bytes with their ASCII capitals made small.
  private static func lowercase(_ bytes: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    // The top bit of each byte becomes 1 where the low seven bits are at least 'A', and beyond 'Z'.
    let low = bytes & (ones &* 0x7f)
    let fromA = low &+ ones &* (0x80 - 0x41)
    let beyondZ = low &+ ones &* (0x80 - 0x5b)
    return bytes | (fromA & ~beyondZ & ~bytes & (ones &* 0x80)) >> 2
  }
}
