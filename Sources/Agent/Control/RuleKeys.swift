// RuleKeys.swift
//
// What identifies a rule in the store: a 128-bit hash of its table, priority and match.
// Invariants: a key depends on what is matched only, so two texts of one match have one key. Keys are durable: `scheme` says which
//             way of making them this build has; when the file's is another (the layout of FlowKey has changed), the agent makes
//             all keys anew as it starts.
// Threads: pure.
// Cost: some tens of nanoseconds for a rule.

import Dataplane
import Pipeline
import Store

extension RuleKey {
  init(_ rule: Rule) { self.init(table: rule.table, priority: rule.priority, match: rule.match) }

  init(_ entry: RuleEntry) { self.init(table: entry.table, priority: entry.priority, match: entry.match) }

  init(table: UInt8, priority: UInt16, match: FlowMatch) {
    var state = KeyState()
    state.add(UInt64(table) << 16 | UInt64(priority))
    withUnsafeBytes(of: match.key) { key in
      withUnsafeBytes(of: match.mask) { mask in
        for offset in stride(from: 0, to: FlowKey.byteCount, by: 8) {
          let bits = mask.load(fromByteOffset: offset, as: UInt64.self)
          guard bits != 0 else { continue }
          state.add(UInt64(offset))
          state.add(UInt64(littleEndian: bits))
          state.add(UInt64(littleEndian: key.load(fromByteOffset: offset, as: UInt64.self)))
        }
      }
    }
    let hash = state.finished
    self.init(high: UInt64(truncatingIfNeeded: hash >> 64), low: UInt64(truncatingIfNeeded: hash))
  }

  /// Names this build's way of making keys: it differs when any field has another place in a match.
  static let scheme: String = {
    var high: UInt64 = 0
    var low: UInt64 = 0
    for field in FlowField.allCases {
      var mask = FlowMask()
      mask.include(field)
      let key = RuleKey(table: 1, priority: 1, match: FlowMatch(mask.bits, mask))
      high ^= key.high
      low ^= key.low
    }
    return String(high, radix: 16) + String(low, radix: 16)
  }()
}

/// Mixes 64-bit words into 128 bits: each step is a bijection of the state, so words of one place alone never collide.
private struct KeyState {
  // Two odd numbers with about as many ones as zeros; the digits of the square roots of 2 and 3.
  private static let multiplier = UInt128(0x6a09_e667_f3bc_c908) << 64 | 0xb2fb_1366_ea95_7d3f
  private static let finisher = UInt128(0xbb67_ae85_84ca_a73b) << 64 | 0x2574_2d70_78b8_3b89
  private var state = UInt128(0x3c6e_f372_fe94_f82b) << 64 | 0xa54f_f53a_5f1d_36f1

  mutating func add(_ word: UInt64) {
    let product = (state ^ UInt128(word)) &* Self.multiplier
    // The product's strong bits are its high ones: they meet the next word's low ones.
    state = product << 64 | product >> 64
  }

  var finished: UInt128 {
    let mixed = (state ^ state >> 64) &* Self.finisher
    return mixed ^ mixed >> 61
  }
}
