// FrameLabelTests.swift
//
// What: MPLS entries and PBB tags are pushed, popped and changed as OpenFlow 1.3.5, section 5.12 says, on frames written out header by header.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct FrameLabelTests {
  private let addresses = Array(FramePacket().bytes[..<12])
  private let v4 = FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: 9).udp(1000, 53, payload: [1, 2, 3])
  private let v6 = FramePacket().ipv6("fd00::1", "fd00::2", hopLimit: 7).tcp(1000, 80)

  /// What stands behind the addresses and the EtherType.
  private func body(_ packet: FramePacket) -> [UInt8] { Array(packet.bytes[14...]) }

  /// A label stack entry.
  private func entry(_ label: UInt32, tc: UInt32 = 0, bottom: Bool = true, ttl: UInt8) -> [UInt8] {
    let word = label << 12 | tc << 9 | (bottom ? 0x100 : 0) | UInt32(ttl)
    return (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) }
  }

  /// Carries out actions and expects all of them to succeed and the layout to be that of the new frame.
  private func after(_ bytes: [UInt8], room: Int = 64, _ actions: (inout ActiveFrame) -> [ActiveFrame.Outcome]) -> [UInt8] {
    let frame = GuardedFrame(bytes, room: room)
    var active = ActiveFrame(bytes: frame.bytes, length: frame.count, layout: parseFrame(bytes, inPort: 1).layout, room: room)
    let outcomes = actions(&active)
    #expect(outcomes.allSatisfy { $0 == .done })
    let result = Array(UnsafeBufferPointer(start: active.bytes, count: active.length))
    #expect(parseFrame(result, inPort: 1).layout.word == active.layout.word)
    return result
  }

  private func outcome(_ bytes: [UInt8], room: Int = 64, _ action: (inout ActiveFrame) -> ActiveFrame.Outcome) -> ActiveFrame.Outcome {
    let frame = GuardedFrame(bytes, room: room)
    var active = ActiveFrame(bytes: frame.bytes, length: frame.count, layout: parseFrame(bytes, inPort: 1).layout, room: room)
    let outcome = action(&active)
    if outcome != .done { #expect(Array(UnsafeBufferPointer(start: active.bytes, count: active.length)) == bytes) }
    return outcome
  }

  // MARK: - MPLS

  @Test func theFirstLabelTakesTheTTLOfTheIPPacketAndIsTheBottom() {
    #expect(after(v4.bytes) { [$0.pushMPLS(etherType: 0x8847)] } == addresses + [0x88, 0x47] + entry(0, ttl: 9) + body(v4))
    #expect(after(v6.bytes) { [$0.pushMPLS(etherType: 0x8848)] } == addresses + [0x88, 0x48] + entry(0, ttl: 7) + body(v6))
    let other = FramePacket().etherType(0x88b5, payload: [5, 6])
    #expect(after(other.bytes) { [$0.pushMPLS(etherType: 0x8847)] } == addresses + [0x88, 0x47] + entry(0, ttl: 0) + [5, 6])
  }

  @Test func theNextLabelIsACopyOfTheOneBelowWithoutItsBottomBit() {
    let one = addresses + [0x88, 0x47] + entry(77, tc: 5, ttl: 33) + body(v4)
    let two = addresses + [0x88, 0x47] + entry(77, tc: 5, bottom: false, ttl: 33) + entry(77, tc: 5, ttl: 33) + body(v4)
    #expect(after(one) { [$0.pushMPLS(etherType: 0x8847)] } == two)
    #expect(after(two) { [$0.popMPLS(etherType: 0x8847)] } == one)
  }

  @Test func aLabelGoesInFrontOfTagsAndEndsTheStackThere() {
    let tagged = FramePacket().vlan(5, priority: 2).ipv4("10.0.0.1", "10.0.0.2", ttl: 9).udp(1, 2)
    let pushed = addresses + [0x88, 0x47] + entry(0, ttl: 9) + Array(tagged.bytes[14...])
    #expect(after(tagged.bytes) { [$0.pushMPLS(etherType: 0x8847)] } == pushed)
    #expect(after(pushed) { [$0.popMPLS(etherType: 0x8100)] } == tagged.bytes)
    let labelled = addresses + [0x81, 0, 0, 5, 0x88, 0x47] + entry(9, tc: 1, ttl: 44) + body(v4)
    #expect(
      after(labelled) { [$0.pushMPLS(etherType: 0x8848)] }
        == addresses + [0x88, 0x48] + entry(9, tc: 1, ttl: 44) + [0, 5, 0x88, 0x47] + entry(9, tc: 1, ttl: 44) + body(v4))
  }

  @Test func theOutermostLabelIsPoppedFromBehindTags() {
    for tags in [[], [0x81, 0, 0x20, 5], [0x88, 0xa8, 0, 7, 0x81, 0, 0x20, 5]] as [[UInt8]] {
      let labelled = addresses + tags + [0x88, 0x47] + entry(9, ttl: 44) + body(v4)
      #expect(after(labelled) { [$0.popMPLS(etherType: 0x0800)] } == addresses + tags + [8, 0] + body(v4))
    }
  }

  @Test func behindAPopTheActionsFindTheIPPacket() {
    let labelled = addresses + [0x88, 0x47] + entry(9, ttl: 44) + body(v4)
    let expected = FramePacket().ipv4("10.0.0.1", "10.9.9.9", ttl: 8).udp(1000, 54, payload: [1, 2, 3]).bytes
    let result = after(labelled) {
      [
        $0.popMPLS(etherType: 0x0800), $0.decrementTTL(), $0.set(.ipv4Dst, value: 0x0a09_0909, mask: 0xffff_ffff),
        $0.set(.udpDst, value: 54, mask: 0xffff),
      ]
    }
    #expect(result == expected)
  }

  @Test func whatIsBelowAWrongEtherTypeHasNoHeaders() {
    let labelled = addresses + [0x88, 0x47] + entry(9, ttl: 44) + body(v6)
    let frame = GuardedFrame(labelled, room: 64)
    var active = ActiveFrame(bytes: frame.bytes, length: frame.count, layout: parseFrame(labelled, inPort: 1).layout, room: 64)
    #expect(active.popMPLS(etherType: 0x0800) == .done)
    #expect(active.layout.problem == 0)
    #expect(active.decrementTTL() == .failed)
    #expect(active.set(.ipv4Src, value: 1, mask: 1) == .failed)
    #expect(active.set(.ethSrc, value: 1, mask: 1) == .done)
  }

  @Test func labelsNeedRoomAndALabelToPop() {
    #expect(outcome(v4.bytes, room: 3) { $0.pushMPLS(etherType: 0x8847) } == .failed)
    #expect(outcome(v4.bytes) { $0.popMPLS(etherType: 0x0800) } == .failed)
    #expect(outcome(v4.bytes) { $0.set(.mplsLabel, value: 1, mask: 0xfffff) } == .failed)
    #expect(outcome(v4.bytes) { $0.decrementMPLSTTL() } == .failed)
    #expect(outcome(v4.bytes) { $0.copyTTLIn() } == .failed)
    #expect(outcome(v4.bytes) { $0.copyTTLOut() } == .failed)
  }

  @Test func fieldsOfTheOutermostLabelChangeAlone() {
    let two = addresses + [0x88, 0x47] + entry(1, bottom: false, ttl: 3) + entry(2, tc: 7, ttl: 4) + body(v4)
    let expected = addresses + [0x88, 0x47] + entry(0xabcde, tc: 5, bottom: false, ttl: 200) + entry(2, tc: 7, ttl: 4) + body(v4)
    let result = after(two) {
      [
        $0.set(.mplsLabel, value: 0xabcde, mask: 0xfffff), $0.set(.mplsTC, value: 5, mask: 7),
        $0.set(.mplsTTL, value: 200, mask: 0xff),
      ]
    }
    #expect(result == expected)
  }

  @Test(arguments: [(0, false), (1, false), (2, true), (255, true)] as [(UInt8, Bool)])
  func aLabelsTTLGoesDownByOneAndEndsAtOne(_ ttl: UInt8, _ goesOn: Bool) {
    let bytes = addresses + [0x88, 0x47] + entry(9, ttl: ttl) + body(v4)
    guard goesOn else {
      #expect(outcome(bytes) { $0.decrementMPLSTTL() } == .ttlExpired)
      return
    }
    #expect(after(bytes) { [$0.decrementMPLSTTL()] } == addresses + [0x88, 0x47] + entry(9, ttl: ttl - 1) + body(v4))
  }

  // MARK: - Copying the TTL

  @Test func theTTLIsCopiedBetweenLabels() {
    let two = addresses + [0x88, 0x47] + entry(1, bottom: false, ttl: 3) + entry(2, ttl: 4) + body(v4)
    #expect(after(two) { [$0.copyTTLIn()] } == addresses + [0x88, 0x47] + entry(1, bottom: false, ttl: 3) + entry(2, ttl: 3) + body(v4))
    #expect(after(two) { [$0.copyTTLOut()] } == addresses + [0x88, 0x47] + entry(1, bottom: false, ttl: 4) + entry(2, ttl: 4) + body(v4))
  }

  @Test func theTTLIsCopiedBetweenALabelAndThePacketBelow() {
    let four = addresses + [0x88, 0x47] + entry(2, ttl: 44)
    let v4At44 = FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: 44).udp(1000, 53, payload: [1, 2, 3])
    #expect(after(four + body(v4)) { [$0.copyTTLIn()] } == four + body(v4At44))
    #expect(after(four + body(v4)) { [$0.copyTTLOut()] } == addresses + [0x88, 0x47] + entry(2, ttl: 9) + body(v4))
    let v6At44 = FramePacket().ipv6("fd00::1", "fd00::2", hopLimit: 44).tcp(1000, 80)
    #expect(after(four + body(v6)) { [$0.copyTTLIn()] } == four + body(v6At44))
    #expect(after(four + body(v6)) { [$0.copyTTLOut()] } == addresses + [0x88, 0x47] + entry(2, ttl: 7) + body(v6))
  }

  @Test func belowTheLastLabelThereMayBeNothingWithATTL() {
    let label = addresses + [0x88, 0x47] + entry(2, ttl: 44)
    let truncated = addresses + [0x88, 0x47] + entry(2, bottom: false, ttl: 44)
    for bytes in [label, label + [0x45], label + Array(body(v6)[..<39]), label + [0x44] + Array(body(v4)[1...]), label + [0x4f] + Array(body(v4)[1...]), label + [UInt8](repeating: 0, count: 40), truncated, truncated + [1, 2, 3]] {
      #expect(after(bytes) { [$0.copyTTLIn(), $0.copyTTLOut()] } == bytes)
    }
  }

  // MARK: - PBB

  @Test func anITagHidesTheFrameBehindCopiesOfItsAddresses() {
    let tagged = FramePacket().vlan(5, priority: 3).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2)
    let pushed = addresses + [0x88, 0xe7, 0x60, 0, 0, 0] + tagged.bytes
    #expect(after(tagged.bytes) { [$0.pushPBB()] } == pushed)
    #expect(after(pushed) { [$0.popPBB()] } == tagged.bytes)
    #expect(after(v4.bytes) { [$0.pushPBB()] } == addresses + [0x88, 0xe7, 0, 0, 0, 0] + v4.bytes)
  }

  @Test func backboneAddressesAndServiceAreSetWithoutTouchingTheCustomers() {
    let backbone = FramePacket(to: "0a:00:00:00:00:01", from: "0a:00:00:00:00:02").bytes[..<12]
    let result = after(v4.bytes) {
      [
        $0.pushPBB(), $0.set(.ethDst, value: 0x0a00_0000_0001, mask: 0xffff_ffff_ffff),
        $0.set(.ethSrc, value: 0x0a00_0000_0002, mask: 0xffff_ffff_ffff), $0.set(.pbbISID, value: 0xabcdef, mask: 0xff_ffff),
        $0.pushVLAN(tpid: 0x88a8), $0.set(.vlanVID, value: 9, mask: 0xfff),
      ]
    }
    #expect(result == backbone + [0x88, 0xa8, 0, 9, 0x88, 0xe7, 0, 0xab, 0xcd, 0xef] + v4.bytes)
    #expect(after(result) { [$0.popVLAN(), $0.popPBB()] } == v4.bytes)
    #expect(outcome(result) { $0.popPBB() } == .failed)
  }

  @Test func theNextITagHasTheServiceOfTheOneBelow() {
    let one = addresses + [0x88, 0xe7, 0xe0, 1, 2, 3] + v4.bytes
    #expect(after(one) { [$0.pushPBB()] } == addresses + [0x88, 0xe7, 0, 1, 2, 3] + one)
  }

  @Test func anITagNeedsRoom() {
    #expect(outcome(v4.bytes, room: 17) { $0.pushPBB() } == .failed)
    #expect(outcome(v4.bytes, room: 18) { $0.pushPBB() } == .done)
    #expect(outcome(v4.bytes) { $0.popPBB() } == .failed)
    #expect(outcome(v4.bytes) { $0.set(.pbbISID, value: 1, mask: 1) } == .failed)
  }

  @Test func aFrameWithThreeTagsFromATunnelLosesThemOneByOne() {
    let three = FramePacket().vlan(1).vlan(2).vlan(3).ipv4("10.0.0.1", "10.0.0.2", ttl: 9).udp(1, 2).bytes
    let expected = FramePacket().vlan(3).ipv4("10.0.0.1", "10.0.0.2", ttl: 8).udp(1, 2).bytes
    let tunnelled = addresses + [0x88, 0xe7, 0, 0, 0, 0] + three
    #expect(after(tunnelled) { [$0.popPBB(), $0.popVLAN(), $0.popVLAN(), $0.decrementTTL()] } == expected)
  }
}
