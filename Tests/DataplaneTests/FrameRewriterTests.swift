// FrameRewriterTests.swift
//
// What: every settable field, masked or not, changes exactly its bits and leaves every checksum right (checked by computing them anew, the
//       slow way); tags are pushed and popped with a layout that stays true; a TTL ends at 1.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct FrameRewriterTests {
  private struct Result {
    var bytes: [UInt8]
    var layout: FrameLayout
    var outcome: ActiveFrame.Outcome
  }

  /// Does something to a frame that ends at a guard page and has `room` bytes in front.
  private func rewrite(
    _ bytes: [UInt8], room: Int = 64, _ change: (inout ActiveFrame) -> ActiveFrame.Outcome
  ) -> Result {
    let frame = GuardedFrame(bytes, room: room)
    var active = ActiveFrame(
      bytes: frame.bytes, length: frame.count, layout: parseFrame(bytes, inPort: 1).layout, room: room)
    let outcome = change(&active)
    return Result(
      bytes: Array(UnsafeBufferPointer(start: active.bytes, count: active.length)), layout: active.layout, outcome: outcome)
  }

  /// True when `set_field` can change the field in this frame: what a rule's prerequisites make sure of.
  private func applies(_ field: FlowField, _ key: FlowKey, _ layout: FrameLayout) -> Bool {
    switch field {
    case .ethSrc, .ethDst: true
    case .vlanTCI, .vlanVID, .vlanPCP: layout.tags > 0
    case .ipv4Src, .ipv4Dst: layout.ipVersion == 4
    case .ipv6Src, .ipv6Dst, .ipv6Label: layout.ipVersion == 6
    case .ipTOS, .ipDSCP, .ipECN, .ipTTL: layout.ipVersion != 0
    case .tcpSrc, .tcpDst: layout.l4 != 0 && key[.ipProto] == 6
    case .udpSrc, .udpDst: layout.l4 != 0 && key[.ipProto] == 17
    // A fragment's CRC covers what is not there.
    case .sctpSrc, .sctpDst: layout.l4 != 0 && key[.ipProto] == 132 && key[.ipFrag] == 0
    case .icmpType, .icmpCode: layout.l4 != 0 && layout.ipVersion == 4 && key[.ipProto] == 1
    // With another type a neighbour's message has no target any more.
    case .icmpv6Type, .icmpv6Code: layout.l4 != 0 && layout.ipVersion == 6 && key[.ipProto] == 58 && key[.ndTarget] == 0
    case .ndTarget, .ndSLL, .ndTLL: layout.ipVersion == 6 && key[field] != 0
    case .mplsLabel, .mplsTC, .mplsTTL: key[.ethType] == 0x8847 || key[.ethType] == 0x8848
    case .pbbISID: key[.ethType] == 0x88e7
    case .arpOp, .arpSPA, .arpTPA, .arpSHA, .arpTHA: key[.ethType] == 0x0806
    default: false
    }
  }

  static let settable: [FlowField] = [
    .ethSrc, .ethDst, .vlanTCI, .vlanVID, .vlanPCP, .ipv4Src, .ipv4Dst, .ipv6Src, .ipv6Dst, .ipv6Label, .ipTOS, .ipDSCP, .ipECN,
    .ipTTL, .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code, .ndTarget, .ndSLL,
    .ndTLL, .arpOp, .arpSPA, .arpTPA, .arpSHA, .arpTHA, .mplsLabel, .mplsTC, .mplsTTL, .pbbISID,
  ]

  @Test(arguments: settable)
  func aFieldChangesInTheBitsOfTheMaskAndNoOther(_ field: FlowField) {
    var generator = SeededGenerator.fresh()
    var tried = 0
    for frame in FrameCatalog.wellFormed {
      let (key, layout) = parseFrame(frame.bytes, inPort: 1)
      guard applies(field, key, layout) else { continue }
      tried += 1
      for round in 0..<40 {
        let random = UInt128(generator.next()) << 64 | UInt128(generator.next())
        var mask = round == 0 ? field.allOnes : random & field.allOnes
        // An opcode above 255 has no place in the key.
        if field == .arpOp { mask &= 0xff }
        let value = (UInt128(generator.next()) << 64 | UInt128(generator.next())) & mask
        let result = rewrite(frame.bytes) { $0.set(field, value: value, mask: mask) }
        let note: Comment = "\(frame), \(field) = \(value)/\(mask), seed \(generator.seed)"
        #expect(result.outcome == .done, note)
        // The present bit of a tag is not in the frame.
        let isTag = field == .vlanTCI || field == .vlanVID
        let written = isTag ? mask & ~0x1000 : mask
        var expected = key
        expected[field] = key[field] & ~written | value & written
        let after = parseFrame(result.bytes, inPort: 1)
        #expect(after.key == expected, note)
        #expect(after.layout.word == result.layout.word, note)
        #expect(PlainChecksum.wrong(in: result.bytes) == [], note)
        #expect(result.bytes.count == frame.bytes.count, note)
      }
    }
    #expect(tried > 0, "no frame of the catalogue has \(field)")
  }

  @Test func theDropEligibleBitIsNotWritten() {
    let tagged = FramePacket().vlan(1, dei: true).etherType(0x88b5).bytes
    let result = rewrite(tagged) { $0.set(.vlanVID, value: 0x0123, mask: 0x1fff) }
    #expect(Array(result.bytes[14..<16]) == [0x11, 0x23])
  }

  @Test func aUDPChecksumOfZeroStaysZeroOverIPv4() {
    let bytes = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [1, 2], withChecksum: false).bytes
    for result in [
      rewrite(bytes) { $0.set(.udpDst, value: 54, mask: 0xffff) },
      rewrite(bytes) { $0.set(.ipv4Dst, value: 0x0b00_0001, mask: 0xffff_ffff) },
    ] {
      #expect(result.bytes[40] == 0 && result.bytes[41] == 0)
      #expect(PlainChecksum.wrong(in: result.bytes) == [])
    }
  }

  @Test func aUDPChecksumThatComesOutAsZeroIsSentAsAllOnes() {
    let base = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [1, 2]).bytes
    // The destination port for which the sum is 0xffff, and so the checksum zero.
    let sum = UInt32(~(UInt16(base[40]) << 8 | UInt16(base[41]))) - 53
    let port = UInt16(truncatingIfNeeded: 0xffff - Int((sum & 0xffff) + (sum >> 16)))
    let result = rewrite(base) { $0.set(.udpDst, value: UInt128(port), mask: 0xffff) }
    #expect(result.bytes[40] == 0xff && result.bytes[41] == 0xff)
    #expect(PlainChecksum.wrong(in: result.bytes) == [])
  }

  @Test func aChecksumThatWasWrongStaysWrong() {
    let right = FramePacket().ipv4("10.0.0.1", "10.0.0.2").tcp(1000, 80, payload: [1, 2, 3]).bytes
    let wrong = right.changed(at: 50, to: right[50] ^ 0x55)
    let result = rewrite(wrong) { $0.set(.ipv4Src, value: 0x0b00_0001, mask: 0xffff_ffff) }
    #expect(PlainChecksum.wrong(in: result.bytes) == ["tcp"])
  }

  @Test func aLaterFragmentHasNoPortsToSetAndGoesOnUnchanged() {
    let later = FramePacket().ipv4("10.0.0.1", "10.0.0.2", fragmentOffset: 8).udp(1, 2, payload: .init(repeating: 7, count: 16)).bytes
    let result = rewrite(later) { $0.set(.udpDst, value: 54, mask: 0xffff) }
    #expect(result.outcome == .done)
    #expect(result.bytes == later)
  }

  @Test func anAddressChangeInAFirstFragmentFollowsIntoTheChecksumOfTheWholeDatagram() {
    // The checksum covers both fragments; only its difference can be right here.
    let whole = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2, payload: [UInt8](0..<32)).bytes
    let first = whole.changed(at: 20, to: 0x20)
    let changedWhole = rewrite(whole) { $0.set(.ipv4Src, value: 0x0b00_0001, mask: 0xffff_ffff) }.bytes
    let changedFirst = rewrite(first) { $0.set(.ipv4Src, value: 0x0b00_0001, mask: 0xffff_ffff) }.bytes
    #expect(changedFirst[40..<42] == changedWhole[40..<42])
  }

  @Test func aFieldOfAHeaderThatIsNotThereFailsAndChangesNothing() {
    let arp = FrameCatalog.wellFormed.first { $0.name == "ARP request" }?.bytes ?? []
    let raw = FramePacket().etherType(0x88b5, payload: [1, 2, 3]).bytes
    for (bytes, field) in [
      (arp, FlowField.ipv4Src), (arp, .ipTTL), (arp, .ipTOS), (arp, .vlanVID), (raw, .ipv6Dst), (raw, .vlanPCP), (raw, .arpSPA),
      (raw, .ipv6Label), (raw, .metadata), (raw, .inPort),
    ] {
      let result = rewrite(bytes) { $0.set(field, value: 1, mask: 1) }
      #expect(result.outcome == .failed, "\(field)")
      #expect(result.bytes == bytes, "\(field)")
    }
  }

  // MARK: - ICMP and neighbour discovery

  @Test func anICMPMessageOfZerosHasAChecksumOfOnes() {
    let echo = FramePacket().ipv4("10.0.0.1", "10.0.0.2").icmp(type: 8, code: 0, payload: [0, 0, 0, 0]).bytes
    let reply = FramePacket().ipv4("10.0.0.1", "10.0.0.2").icmp(type: 0, code: 0, payload: [0, 0, 0, 0]).bytes
    #expect(rewrite(echo) { $0.set(.icmpType, value: 0, mask: 0xff) }.bytes == reply)
    #expect(rewrite(reply) { $0.set(.icmpType, value: 8, mask: 0xff) }.bytes == echo)
  }

  @Test func anOptionThatIsNotThereIsNotMade() {
    let v6 = FramePacket().ipv6("fd00::1", "fd00::2")
    for bytes in [
      v6.neighbour(type: 135, target: "fd00::9").bytes, v6.neighbour(type: 136, target: "fd00::9").bytes,
      v6.neighbour(type: 136, target: "fd00::9", linkAddress: "02:00:00:00:00:09").bytes, v6.icmpv6(type: 128, code: 0).bytes,
    ] {
      let result = rewrite(bytes) { $0.set(.ndSLL, value: 1, mask: 0xff) }
      #expect(result.outcome == .done)
      #expect(result.bytes == bytes)
    }
  }

  @Test func aPortOfAnotherProtocolFailsAndChangesNothing() {
    let udp = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).bytes
    let six = FramePacket().ipv6("fd00::1", "fd00::2").icmpv6(type: 128, code: 0).bytes
    for (bytes, field) in [(udp, FlowField.tcpSrc), (udp, .icmpType), (six, .udpDst), (udp, .icmpv6Type), (udp, .ndTarget)] {
      let result = rewrite(bytes) { $0.set(field, value: 1, mask: 1) }
      #expect(result.outcome == .failed, "\(field)")
      #expect(result.bytes == bytes)
    }
  }

  @Test func aWrongSCTPChecksumStaysWrong() {
    let right = FramePacket().ipv4("10.0.0.1", "10.0.0.2").sctp(1, 2, payload: [1, 2, 3, 4]).bytes
    let wrong = right.changed(at: right.count - 1, to: 9)
    let result = rewrite(wrong) { $0.set(.sctpDst, value: 7, mask: 0xffff) }
    #expect(PlainChecksum.wrong(in: result.bytes) == ["sctp"])
    let mended = result.bytes.changed(at: right.count - 1, to: 4)
    #expect(PlainChecksum.wrong(in: mended) == [])
  }

  @Test(arguments: [(0x0a, 1, 0x0c), (0x0a, 2, 0x0e), (0x0a, 9, 0x0e), (0x26, 1, 0x26), (0x22, 1, 0x24), (0x2e, 1, 0x2e), (0, 1, 0), (0x08, 1, 0x08)])
  func theDropPrecedenceOfAssuredForwardingRises(_ dscp: UInt8, _ steps: Int, _ after: UInt8) {
    for (packet, expected) in [
      (FramePacket().ipv4("10.0.0.1", "10.0.0.2", tos: dscp << 2 | 1).udp(1, 2), FramePacket().ipv4("10.0.0.1", "10.0.0.2", tos: after << 2 | 1).udp(1, 2)),
      (FramePacket().ipv6("fd00::1", "fd00::2", trafficClass: dscp << 2 | 1).udp(1, 2), FramePacket().ipv6("fd00::1", "fd00::2", trafficClass: after << 2 | 1).udp(1, 2)),
      (FramePacket().etherType(0x88b5), FramePacket().etherType(0x88b5)),
    ] {
      let result = rewrite(packet.bytes) {
        $0.raiseDropPrecedence(by: steps)
        return .done
      }
      #expect(result.bytes == expected.bytes)
    }
  }

  // MARK: - Tags

  @Test(arguments: FrameCatalog.wellFormed)
  func aPushedTagStandsInFrontAndAPoppedOneIsGone(_ frame: NamedFrame) {
    let before = parseFrame(frame.bytes, inPort: 1)
    let pushed = rewrite(frame.bytes) { $0.pushVLAN(tpid: 0x88a8) }
    guard before.layout.tags < 2 else {
      #expect(pushed.outcome == .failed)
      #expect(pushed.bytes == frame.bytes)
      return
    }
    #expect(pushed.outcome == .done)
    // VID and priority of the tag that was outermost, without its DEI bit.
    let control = before.layout.tags > 0 ? [frame.bytes[14] & 0xef, frame.bytes[15]] : [0, 0]
    #expect(pushed.bytes == Array(frame.bytes[..<12]) + [0x88, 0xa8] + control + Array(frame.bytes[12...]))
    #expect(parseFrame(pushed.bytes, inPort: 1).layout.word == pushed.layout.word)
    let popped = rewrite(pushed.bytes) { $0.popVLAN() }
    #expect(popped.outcome == .done)
    #expect(popped.bytes == frame.bytes)
    #expect(popped.layout.word == before.layout.word)
  }

  @Test func actionsFollowEachOtherOnOneFrame() {
    let bytes = FramePacket().vlan(7).ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, payload: [1]).bytes
    let result = rewrite(bytes) { frame in
      let outcomes = [
        frame.popVLAN(), frame.pushVLAN(tpid: 0x8100), frame.set(.vlanVID, value: 9, mask: 0x0fff),
        frame.pushVLAN(tpid: 0x88a8), frame.set(.vlanPCP, value: 5, mask: 7), frame.decrementTTL(),
        frame.set(.udpSrc, value: 4000, mask: 0xffff), frame.set(.ipv4Dst, value: 0x0a00_0009, mask: 0xffff_ffff),
      ]
      return outcomes.allSatisfy { $0 == .done } ? .done : .failed
    }
    let expected = FramePacket().vlan(9, priority: 5, tpid: 0x88a8).vlan(9).ipv4("10.0.0.1", "10.0.0.9", ttl: 63)
      .udp(4000, 53, payload: [1]).bytes
    #expect(result.outcome == .done)
    #expect(result.bytes == expected)
    #expect(parseFrame(result.bytes, inPort: 1).layout.word == result.layout.word)
  }

  @Test func aTagNeedsRoomInFront() {
    let bytes = FramePacket().etherType(0x88b5).bytes
    #expect(rewrite(bytes, room: 3) { $0.pushVLAN(tpid: 0x8100) }.outcome == .failed)
    #expect(rewrite(bytes, room: 4) { $0.pushVLAN(tpid: 0x8100) }.outcome == .done)
  }

  @Test func poppingWithoutATagFails() {
    let bytes = FramePacket().etherType(0x88b5).bytes
    #expect(rewrite(bytes) { $0.popVLAN() }.outcome == .failed)
  }

  // MARK: - TTL

  @Test(arguments: [(0, false), (1, false), (2, true), (255, true)] as [(UInt8, Bool)])
  func aTTLGoesDownByOneAndEndsAtOne(_ ttl: UInt8, _ goesOn: Bool) {
    for packet in [
      FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: ttl).udp(1, 2, payload: [1, 2, 3]),
      FramePacket().vlan(1).ipv4("10.0.0.1", "10.0.0.2", ttl: ttl, options: [1, 1]).tcp(1, 2),
      FramePacket().ipv6("fd00::1", "fd00::2", hopLimit: ttl).udp(1, 2, payload: [1, 2, 3]),
    ] {
      let bytes = packet.bytes
      let result = rewrite(bytes) { $0.decrementTTL() }
      #expect(result.outcome == (goesOn ? .done : .ttlExpired))
      #expect(PlainChecksum.wrong(in: result.bytes) == [])
      let after = parseFrame(result.bytes, inPort: 1).key[.ipTTL]
      #expect(after == UInt128(goesOn ? ttl - 1 : ttl))
    }
  }

  @Test func whatHasNoTTLCannotLoseOne() {
    #expect(rewrite(FramePacket().etherType(0x88b5).bytes) { $0.decrementTTL() }.outcome == .failed)
  }
}
