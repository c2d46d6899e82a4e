// WordTableTests.swift
//
// What: a word is found under itself and nothing else, wherever in a line it stands.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct WordTableTests {
  private static let words = ["ip", "tcp", "a", "nw_src", "eightbyt", "ninebytes", "no_packet_counts", "ipv6_dst"]
  private static let table = WordTable(words.enumerated().map { ($1, $0) })
  private static let folding = WordTable(words.enumerated().map { ($1, $0) }, ignoresCase: true)

  /// The piece that holds a word between others.
  private func piece(_ word: String, _ before: Int, _ after: Int) -> TextPiece {
    let line = TextPiece(String(repeating: "x", count: before) + word + String(repeating: "y", count: after))
    return line.part(before, before + word.utf8.count)
  }

  @Test func everyWordIsFoundWhereverItStands() {
    for (number, word) in Self.words.enumerated() {
      for after in 0..<20 {
        #expect(Self.table[piece(word, 3, after)] == number, "\(word)")
        #expect(Self.folding[piece(word.uppercased(), 0, after)] == number, "\(word)")
        #expect(Self.table[piece(word.uppercased(), 0, after)] == nil, "\(word)")
      }
    }
  }

  @Test func nothingElseIsFound() {
    var generator = SeededGenerator.fresh()
    for word in Self.words {
      for place in 0..<word.utf8.count {
        for _ in 0..<20 {
          var bytes = Array(word.utf8)
          bytes[place] = UInt8(truncatingIfNeeded: generator.next() & 0x7f)
          let other = String(decoding: bytes, as: UTF8.self)
          #expect(Self.table[piece(other, 1, 16)] == Self.words.firstIndex(of: other), "\(bytes), seed \(generator.seed)")
        }
      }
      for other in [word + "x", "x" + word, word + "\0", "\0" + word, String(word.dropLast()), ""] {
        #expect(Self.table[piece(other, 0, 0)] == Self.words.firstIndex(of: other), "\(other)")
      }
    }
  }

  @Test func onlyLettersAreFolded() {
    let signs = WordTable([("a_b", 1), ("a[b", 2), ("a{b", 3), ("z@0", 4)], ignoresCase: true)
    #expect(signs[TextPiece("A_B")] == 1)
    #expect(signs[TextPiece("A[B")] == 2)
    #expect(signs[TextPiece("A{B")] == 3)
    #expect(signs[TextPiece("Z@0")] == 4)
    #expect(signs[TextPiece("a\u{7f}b")] == nil)
  }
}
