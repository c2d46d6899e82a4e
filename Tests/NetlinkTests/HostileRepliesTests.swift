// HostileRepliesTests.swift
//
// Whatever arrives, parsers return or throw: they never crash and never read past the end (Swift's bounds checks would crash).
// A run prints its seed; SLUICE_FUZZ_SEED replays it, SLUICE_FUZZ_ROUNDS makes it longer.

import CLibmnl
import Glibc
import Testing

@testable import Netlink

@Suite struct HostileReplies {
  /// SplitMix64: any seed replays the same run.
  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
      return mixed ^ (mixed >> 31)
    }
  }

  private static let seeds: [[UInt8]] = [
    Replies.link().bytes, Replies.link(type: RTM_DELLINK).bytes, Replies.address().bytes, Replies.features().bytes,
    Replies.mtuTooLarge,
  ]

  private static func setting(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  /// Runs everything that reads replies over one datagram.
  private func read(_ datagram: [UInt8]) {
    guard let messages = try? NetlinkMessage.split(datagram) else { return }
    for message in messages {
      _ = try? message.acknowledgement()
      _ = try? Link(message)
      _ = try? InterfaceAddress(message)
      _ = LinkMonitor.events(in: message)
      if let attributes = try? message.attributes(after: NetlinkRequest.genericHeaderLength) {
        _ = try? EthtoolFeatures(attributes)
        _ = try? EthtoolChannels(attributes)
        _ = try? EthtoolRings(attributes)
      }
    }
  }

  @Test func messagesCutAtEveryByteAreRefusedOrRead() {
    for seed in Self.seeds {
      for length in 0...seed.count {
        read(Array(seed.prefix(length)))
        // The same, with a header that agrees with the cut, so that the attributes inside are what lies.
        guard length >= 16 else { continue }
        var agreed = Array(seed.prefix(length))
        withUnsafeBytes(of: UInt32(length)) { agreed.replaceSubrange(0..<4, with: $0) }
        read(agreed)
      }
    }
  }

  @Test func aLengthThatLiesIsRefused() throws {
    var short = Replies.link().bytes
    short[0] = 15
    short[1] = 0
    #expect(throws: MalformedMessage.self) { try NetlinkMessage.split(short) }
    #expect(throws: MalformedMessage.self) {
      try NetlinkMessage.split([255, 255, 255, 255] + Replies.address().bytes.dropFirst(4))
    }
    // An attribute of 3 bytes would never end.
    #expect(throws: MalformedMessage.self) { try NetlinkAttribute.parse([3, 0, 1, 0, 0, 0, 0, 0][...]) }
    // A nest that is longer than what it is in.
    #expect(throws: MalformedMessage.self) { try NetlinkAttribute.parse([12, 0, 18, 0, 1, 2, 3, 4][...]) }
  }

  @Test func randomlyChangedMessagesNeverCrash() {
    let seed = Self.setting("SLUICE_FUZZ_SEED") ?? UInt64.random(in: 0 ... .max)
    let rounds = Self.setting("SLUICE_FUZZ_ROUNDS") ?? 10_000
    print("netlink replies: SLUICE_FUZZ_SEED=\(seed) SLUICE_FUZZ_ROUNDS=\(rounds)")
    var generator = Generator(state: seed)
    let interesting: [UInt8] = [0, 1, 3, 4, 5, 7, 8, 15, 16, 0x7f, 0x80, 0xfe, 0xff]
    for round in 0..<rounds {
      var datagram: [UInt8]
      if round % 8 == 0 {
        datagram = (0..<Int.random(in: 0...200, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
      } else {
        datagram = Self.seeds[Int(round) % Self.seeds.count]
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          let position = Int.random(in: 0..<datagram.count, using: &generator)
          datagram[position] = interesting.randomElement(using: &generator) ?? 0
        }
        if Bool.random(using: &generator) { datagram.removeLast(Int.random(in: 0...datagram.count, using: &generator)) }
        if Bool.random(using: &generator), datagram.count >= 4 {
          withUnsafeBytes(of: UInt32(datagram.count)) { datagram.replaceSubrange(0..<4, with: $0) }
        }
      }
      read(datagram)
    }
  }
}
