// SyntheticFlows.swift
//
// What: traces that the benchmarks make themselves: flows that are all alike, and the frames of an attack on the tuple space.
// Threads: pure.

import Dataplane

enum SyntheticFlows {
  /// So many UDP flows, each once and in no order, all with different pairs of addresses: from 10.0.0.0/10 to 10.128.0.0/16.
  static func udp(_ count: Int) -> Trace {
    trace(count) { number in
      // An odd multiplier permutes the 22 bits of the source: every pair is there once.
      let source = UInt32(truncatingIfNeeded: number) &* 2_654_435_761
      let destination = UInt32(truncatingIfNeeded: number) &* 40503
      return FiveTuple(
        source: 0x0a00_0000 | source & 0x3f_ffff, destination: 0x0a80_0000 | destination & 0xffff,
        sourcePort: UInt16(1024 + number % 60_000), destinationPort: 4789)
    }
  }

  /// So many TCP connections to port 80.
  static func web(_ count: Int) -> Trace {
    trace(count) { number in
      let source = UInt32(truncatingIfNeeded: number) &* 2_654_435_761
      return FiveTuple(
        proto: 6, source: 0x0a00_0000 | source & 0x3f_ffff, destination: 0x0a80_0001, sourcePort: UInt16(20_000 + number % 40_000),
        destinationPort: 80)
    }
  }

  /// Most tuples that `tuples` can tell apart.
  static let mostTuples = 32 * 16 * 16

  /// Frames that miss the three allowing rules of `tupleRules` at every combination of first differing bits: source address, destination
  /// port, source port. A classifier that looks at prefixes needs a mask for each. Bits behind the first differing one are random, and
  /// each combination comes in several frames, so that no cache of whole packets knows them.
  static func tuples(_ count: Int) -> Trace {
    var numbers = SeededNumbers(seed: 7)
    var combinations = Array(0..<mostTuples)
    combinations.shuffle(using: &numbers)
    let frames = max(count * 8, 32_768)
    return trace(frames) { number in
      let combination = combinations[number % count]
      let random = numbers.next()
      func miss<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at bit: Int, _ random: T) -> T {
        let first = T(1) << (T.bitWidth - 1 - bit)
        let behind = first - 1
        return (value ^ first) & ~behind | random & behind
      }
      return FiveTuple(
        proto: 6, source: miss(0x0a00_0001 as UInt32, at: combination & 31, UInt32(truncatingIfNeeded: random)),
        destination: 0x0a80_0002,
        sourcePort: miss(12345 as UInt16, at: combination >> 9, UInt16(truncatingIfNeeded: random >> 32)),
        destinationPort: miss(80 as UInt16, at: combination >> 5 & 15, UInt16(truncatingIfNeeded: random >> 48)))
    }
  }

  /// A white list as tenants write it: what is allowed by one field each, everything else denied.
  static let tupleRules = [
    "priority=40,tcp,tp_dst=80,actions=output:2",
    "priority=30,tcp,nw_src=10.0.0.1,actions=output:2",
    "priority=20,tcp,tp_src=12345,actions=output:2",
    "priority=10,actions=drop",
  ]

  private static func trace(_ count: Int, _ tuple: (Int) -> FiveTuple) -> Trace {
    let length = FiveTuple.frameLength
    var bytes = [UInt8](repeating: 0, count: count * length)
    bytes.withUnsafeMutableBytes { all in
      guard let base = all.baseAddress else { return }
      for number in 0..<count { tuple(number).write(to: base + number * length) }
    }
    return Trace(bytes: bytes, frames: (0..<count).map { $0 * length..<($0 + 1) * length })
  }
}
