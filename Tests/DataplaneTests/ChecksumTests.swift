// ChecksumTests.swift
//
// What: sums and CRCs against published vectors and against the slow way; completing a partial checksum gives what the sender
//       would have computed.

import CSluice
import Testing
import TestSupport

@testable import Dataplane

@Suite struct ChecksumTests {
  private func sum(_ bytes: [UInt8]) -> UInt16 {
    // The running sum is of native words; the vectors are of big-endian ones.
    UInt16(bigEndian: sluice_checksum_fold(sluice_checksum_partial(bytes, bytes.count, 0)))
  }

  /// RFC 1071, section 3.
  @Test func theExampleOfRFC1071SumsToDDF2() {
    #expect(sum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == 0xddf2)
  }

  @Test func sumsOfAnyLengthEqualTheSlowWay() {
    var generator = SeededGenerator.fresh()
    for length in 0..<300 {
      let bytes = generator.bytes(length)
      #expect(sum(bytes) == PlainChecksum.internet(bytes), "length \(length), seed \(generator.seed)")
    }
    let ones = [UInt8](repeating: 0xff, count: 9000)
    #expect(sum(ones) == PlainChecksum.internet(ones))
  }

  @Test(arguments: [
    (0 as UInt64, 0 as UInt16), (0xffff, 0xffff), (0x1_0000, 1), (0x1_ffff, 1), (0xffff_ffff, 0xffff),
    (0x1_0000_0000, 1), (.max, 0xffff), (0xffff_fffe_ffff_ffff, 0xfffe),
  ])
  func foldingLosesNoCarry(_ sum: UInt64, _ folded: UInt16) {
    #expect(sluice_checksum_fold(sum) % 0xffff == folded % 0xffff)
    // Only an empty sum folds to zero: everywhere else 0xffff stands for it.
    #expect((sluice_checksum_fold(sum) == 0) == (sum == 0))
  }

  /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
  static let vectors: [(bytes: [UInt8], crc: UInt32)] = [
    ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
    ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
    ([UInt8](0..<32), 0x46dd_794e),
    ([UInt8]((0..<32).reversed()), 0x113f_db5c),
    (Array("123456789".utf8), 0xe306_9283),
  ]

  @Test(arguments: vectors)
  func crc32cHasItsPublishedValues(_ bytes: [UInt8], _ expected: UInt32) {
    #expect(sluice_crc32c(bytes, bytes.count, 0) == expected)
    #expect(PlainChecksum.crc32c(bytes) == expected)
  }

  /// What a sender leaves in the checksum field for its hardware: the sum of the pseudo header, folded.
  private func withPartialChecksum(_ bytes: [UInt8]) -> [UInt8] {
    let (key, layout) = parseFrame(bytes, inPort: 1)
    let proto = UInt8(key[.ipProto])
    let l3 = Int(layout.l3)
    let l4 = Int(layout.l4)
    let addresses = layout.ipVersion == 4 ? bytes[l3 + 12..<l3 + 20] : bytes[l3 + 8..<l3 + 40]
    let end = layout.ipVersion == 4 ? l3 + Int(bytes[l3 + 2]) << 8 + Int(bytes[l3 + 3]) : bytes.count
    let length = end - l4
    let sum = PlainChecksum.internet(Array(addresses) + [0, proto, UInt8(length >> 8), UInt8(length & 255)])
    let place = l4 + (proto == 6 ? 16 : 6)
    return bytes.changed(at: place, to: UInt8(sum >> 8)).changed(at: place + 1, to: UInt8(sum & 255))
  }

  private func complete(_ bytes: [UInt8]) -> (changed: Bool, bytes: [UInt8]) {
    let (key, layout) = parseFrame(bytes, inPort: 1)
    let frame = GuardedFrame(bytes)
    let changed = Checksum.completeIfPartial(
      frame.bytes, length: frame.count, layout, proto: UInt8(key[.ipProto]), isFragment: key[.ipFrag] != 0)
    return (changed, Array(UnsafeBufferPointer(start: frame.bytes, count: frame.count)))
  }

  static let completable: [NamedFrame] = FrameCatalog.wellFormed.filter {
    ["IPv4 TCP", "IPv4 TCP, padded", "IPv4 UDP", "IPv4 UDP of odd length", "IPv4 with options", "IPv6 TCP", "IPv6 UDP",
      "IPv4 UDP, tagged", "IPv6 UDP, two tags", "IPv6 all extensions",
    ].contains($0.name)
  }

  @Test(arguments: completable)
  func aPartialChecksumIsCompleted(_ frame: NamedFrame) {
    let result = complete(withPartialChecksum(frame.bytes))
    #expect(result.changed)
    #expect(result.bytes == frame.bytes)
    #expect(PlainChecksum.wrong(in: result.bytes) == [])
  }

  @Test(arguments: FrameCatalog.wellFormed)
  func aFinishedChecksumStaysAsItIs(_ frame: NamedFrame) {
    #expect(complete(frame.bytes).bytes == frame.bytes)
  }

  @Test func aWrongChecksumStaysWrong() {
    let wrong = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2, payload: [1]).bytes.changed(at: 41, to: 0x5a)
    #expect(complete(wrong).bytes == wrong)
  }

  @Test func updatingIsTheSameAsComputingAnew() {
    var generator = SeededGenerator.fresh()
    for _ in 0..<2000 {
      var bytes = generator.bytes(64)
      let before = ~sluice_checksum_fold(sluice_checksum_partial(bytes, 64, 0))
      let place = Int(generator.next() % 32) * 2
      let old = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
      let new = UInt16(truncatingIfNeeded: generator.next())
      bytes[place] = UInt8(truncatingIfNeeded: new)
      bytes[place + 1] = UInt8(new >> 8)
      let updated = Checksum.updated(before, by: Checksum.difference(old: old, new: new))
      let anew = ~sluice_checksum_fold(sluice_checksum_partial(bytes, 64, 0))
      #expect(updated % 0xffff == anew % 0xffff, "seed \(generator.seed)")
    }
  }
}
