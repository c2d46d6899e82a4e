// PrefixTrieTests.swift
//
// What: the trie of prefixes against a list of prefixes: which lengths match, and that the bits up to the depth really tell.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite struct PrefixTrieTests {
  private struct Prefix: Hashable {
    let value: UInt32
    let length: Int

    func matches(_ other: UInt32) -> Bool { (value ^ other) >> UInt32(32 - length) == 0 }
  }

  @Test func itFindsWhatAListOfPrefixesFinds() {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    /// Values that share beginnings.
    func value() -> UInt32 {
      var value: UInt32 = 0
      for _ in 0..<8 { value = value << 4 | UInt32([0, 0, 1, 8, 15].randomElement(using: &random) ?? 0) }
      return value
    }
    for round in 0..<60 {
      var trie = PrefixTrie<UInt32>()
      var list: [Prefix: Int] = [:]
      for step in 0..<400 {
        let length = Int.random(in: 1...32, using: &random)
        let prefix = Prefix(value: (value() >> UInt32(32 - length)) << UInt32(32 - length), length: length)
        if Int.random(in: 0..<3, using: &random) > 0 {
          trie.insert(prefix.value, length: length)
          list[prefix, default: 0] += 1
        } else if let victim = list.keys.randomElement(using: &random) {
          trie.remove(victim.value, length: victim.length)
          list[victim] = (list[victim] ?? 0) > 1 ? (list[victim] ?? 0) - 1 : nil
        }
        guard step % 7 == 0 else { continue }
        let key = value()
        let finding = trie.find(key)
        var lengths: UInt32 = 0
        for prefix in list.keys where prefix.matches(key) { lengths |= 1 << UInt32(prefix.length - 1) }
        guard finding.lengths == lengths else {
          Issue.record("seed \(seed) round \(round): other lengths match")
          return
        }
        // Whatever follows the bits that were looked at, no longer prefix matches.
        for prefix in list.keys where lengths & 1 << UInt32(prefix.length - 1) == 0 || !prefix.matches(key) {
          let seen = min(finding.depth, prefix.length)
          guard seen == 0 || (prefix.value ^ key) >> UInt32(32 - seen) != 0 else {
            Issue.record("seed \(seed) round \(round): the depth \(finding.depth) does not tell \(prefix) apart")
            return
          }
        }
      }
      for (prefix, count) in list { for _ in 0..<count { trie.remove(prefix.value, length: prefix.length) } }
      #expect(trie.isEmpty, "seed \(seed)")
    }
  }
}
