// SeededGenerator.swift
//
// What: random numbers that can be had again: a failing random test prints its seed, and the seed replays it.

import Glibc

/// SplitMix64.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  /// What the generator was made from.
  public let seed: UInt64
  private var state: UInt64

  public init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  /// A generator whose seed is drawn now, or taken from the environment variable SLUICE_TEST_SEED.
  public static func fresh() -> SeededGenerator {
    let wanted = getenv("SLUICE_TEST_SEED").flatMap { UInt64(String(cString: $0)) }
    return SeededGenerator(seed: wanted ?? UInt64.random(in: .min ... .max))
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  /// Random bytes.
  public mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
