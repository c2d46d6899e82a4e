// FlowKeyTests.swift
//
// What: fields go in and come out of keys as they are, and touch no bits but their own.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct FlowKeyTests {
  @Test(arguments: FlowField.allCases)
  func aFieldComesOutAsItWentIn(_ field: FlowField) {
    var generator = SeededGenerator.fresh()
    for _ in 0..<50 {
      let value = (UInt128(generator.next()) << 64 | UInt128(generator.next())) & field.allOnes
      var key = FlowKey()
      key[field] = value
      #expect(key[field] == value, "seed \(generator.seed)")
      key[field] = 0
      #expect(key == FlowKey())
    }
  }

  @Test(arguments: FlowField.allCases)
  func settingAFieldKeepsAllOtherBits(_ field: FlowField) {
    var full = FlowKey()
    withUnsafeMutableBytes(of: &full) { bytes in
      for i in bytes.indices { bytes[i] = 0xff }
    }
    var key = full
    key[field] = 0
    var ones = FlowMask()
    ones.include(field)
    #expect(key & ones == FlowKey())
    #expect(bitCount(key) == FlowKey.byteCount * 8 - field.place.width)
  }

  /// Which fields may share bits: parts and aliases of one another.
  private static let families: [Set<FlowField>] = [
    [.vlanTCI, .vlanVID, .vlanPCP], [.innerVLANTCI, .innerVLANVID, .innerVLANPCP], [.ipProto, .arpOp],
    [.ipTOS, .ipDSCP, .ipECN], [.ipv4Src, .arpSPA], [.ipv4Dst, .arpTPA],
    [.tcpSrc, .udpSrc, .sctpSrc, .icmpType, .icmpv6Type], [.tcpDst, .udpDst, .sctpDst, .icmpCode, .icmpv6Code],
  ]

  @Test func unrelatedFieldsShareNoBit() {
    for a in FlowField.allCases {
      for b in FlowField.allCases where a.rawValue < b.rawValue {
        var maskA = FlowMask()
        maskA.include(a)
        var maskB = FlowMask()
        maskB.include(b)
        let shares = maskA.bits & maskB != FlowKey()
        if shares { #expect(Self.families.contains { $0.contains(a) && $0.contains(b) }, "\(a) and \(b)") }
      }
    }
  }

  @Test func everyFieldLiesInsideTheKey() {
    for field in FlowField.allCases {
      let place = field.place
      #expect(place.byteOffset + place.byteCount <= FlowKey.byteCount)
      #expect(place.shift + place.width <= place.byteCount * 8)
      // A field never straddles two lines: a mask that uses a line uses all of the field.
      // Fields are read eight bytes at a time, from where they begin.
      #expect(place.byteOffset + 8 <= FlowKey.byteCount)
      #expect(place.byteOffset / 64 == (place.byteOffset + place.byteCount - 1) / 64)
    }
  }

  @Test func aMaskUsesALineExactlyWhenAFieldOfItIsLookedAt() {
    for field in FlowField.allCases {
      var mask = FlowMask()
      mask.include(field)
      #expect(mask.lines == [1, 3, 5][field.place.byteOffset / 64], "\(field)")
      #expect(mask.packetLines == [1, 3, 1][field.place.byteOffset / 64], "\(field)")
      #expect(field.isPipelineField == (field.place.byteOffset >= 128), "\(field)")
    }
  }

  @Test(arguments: FlowField.allCases)
  func aMatchOnAFieldHoldsForItsValueAndNoOther(_ field: FlowField) {
    var generator = SeededGenerator.fresh()
    for _ in 0..<20 {
      var key = FlowKey()
      withUnsafeMutableBytes(of: &key) { bytes in
        for i in bytes.indices { bytes[i] = UInt8(truncatingIfNeeded: generator.next()) }
      }
      var mask = FlowMask()
      mask.include(field)
      let match = FlowMatch(key, mask)
      var other = key
      other[field] = key[field] ^ 1 << UInt128(generator.next() % UInt64(field.place.width))
      #expect(match.matches(key) && !match.matches(other), "\(field), seed \(generator.seed)")
      #expect(match.overlaps(FlowMatch(key, mask)) && !match.overlaps(FlowMatch(other, mask)), "\(field), seed \(generator.seed)")
      #expect(match.isWithin(.any) && match.isWithin(match) && !FlowMatch.any.isWithin(match))
      #expect(mask.subtracting(mask) == FlowMask() && mask.subtracting(FlowMask()) == mask)
    }
  }

  @Test func theHashOfAFlowDependsOnEveryPacketBitOfItsMaskAndOnNoPipelineBit() {
    let secrets = HashSecrets()
    for field in FlowField.allCases {
      var mask = FlowMask()
      mask.include(field)
      var key = FlowKey()
      let before = secrets.flowHash(key, mask)
      key[field] = 1
      #expect((secrets.flowHash(key, mask) != before) == !field.isPipelineField, "\(field)")
    }
  }

  private func bitCount(_ key: FlowKey) -> Int {
    withUnsafeBytes(of: key) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
  }
}
