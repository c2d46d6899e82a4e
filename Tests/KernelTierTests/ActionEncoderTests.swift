// ActionEncoderTests.swift
//
// Actions in, answer or refusal out; nothing here talks to the kernel.

import CSluice
import Dataplane
import Testing

@testable import KernelTier

/// A flow's match: field by field.
struct Match {
  var key = FlowKey()
  var mask = FlowMask()

  func with(_ field: FlowField, _ value: UInt128, mask bits: UInt128? = nil) -> Match {
    var match = self
    match.mask[field] = match.mask[field] | (bits ?? field.allOnes)
    match.key[field] = match.key[field] | value
    return match
  }

  static let any = Match().with(.inPort, 1).with(.recircID, 0)
  static let ipv4 = any.with(.ethType, 0x0800)
  static let ipv6 = any.with(.ethType, 0x86dd)
  static let tcp = ipv4.with(.ipProto, 6)
  static let udp6 = ipv6.with(.ipProto, 17)
  static let untagged = any.with(.vlanTCI, 0, mask: 0x1000)
  static let tagged = any.with(.vlanTCI, 0x1000, mask: 0x1000)
  static let tagged1 = tagged.with(.innerVLANTCI, 0, mask: 0x1000)
  static let tagged2 = tagged.with(.innerVLANTCI, 0x1000, mask: 0x1000)

  func encode(_ actions: [FlowAction]) throws(TierRefusal) -> KernelAnswer {
    try ActionEncoder.encode(actions, key: key, mask: mask)
  }

  func ops(_ actions: [FlowAction]) throws -> [KernelOp] {
    guard case .program(let program) = try encode(actions) else { return [] }
    return program.ops
  }

  func refusal(_ actions: [FlowAction]) -> TierRefusal? {
    do throws(TierRefusal) {
      _ = try encode(actions)
      return nil
    } catch { return error }
  }
}

@Suite struct ActionEncoderTests {
  @Test func aListWithoutOutputDrops() throws {
    #expect(try Match.any.encode([]) == .drop)
    #expect(try Match.any.encode([.setField(.ethDst, value: 1, mask: FlowField.ethDst.allOnes), .setQueue(1)]) == .drop)
  }

  @Test func oneOutputNeedsNoProgram() throws {
    #expect(try Match.any.encode([.output(7)]) == .output(7))
    #expect(try Match.any.encode([.setQueue(3), .output(7)]) == .output(7))
    #expect(try Match.any.encode([.clone([.output(7)])]) == .output(7))
  }

  @Test func whatFollowsTheLastOutputIsLeftOut() throws {
    #expect(try Match.ipv4.encode([.output(7), .decrementTTL]) == .output(7))
  }

  @Test func severalOutputsAreForTCOnly() throws {
    #expect(
      try Match.any.encode([.output(1), .output(2)])
        == .program(KernelProgram(ops: [KernelOp(.output, port: 1), KernelOp(.output, port: 2)], isTCOnly: true)))
    guard case .program(let program) = try Match.ipv4.encode([.decrementTTL, .output(2)]) else {
      Issue.record("a change and an output are a program")
      return
    }
    #expect(!program.isTCOnly)
  }

  @Test func aRouterIsAProgram() throws {
    let mac = FlowField.ethDst.allOnes
    #expect(
      try Match.ipv4.ops([
        .setField(.ethSrc, value: 0x0200_0000_0001, mask: mac), .setField(.ethDst, value: 0x0200_0000_0002, mask: mac), .decrementTTL,
        .output(3),
      ]) == [
        KernelOp(.ethSrc, value: 0x0200_0000_0001, mask: mac), KernelOp(.ethDst, value: 0x0200_0000_0002, mask: mac), KernelOp(.decTTL),
        KernelOp(.output, port: 3),
      ])
  }

  @Test func fieldsOfOneByteShareAnOp() throws {
    #expect(try Match.ipv4.ops([.setField(.ipDSCP, value: 5, mask: 0x3f), .output(1)])[0] == KernelOp(.ipTOS, value: 20, mask: 0xfc))
    #expect(try Match.ipv6.ops([.setField(.ipECN, value: 3, mask: 3), .output(1)])[0] == KernelOp(.ipTOS, value: 3, mask: 3))
  }

  @Test func aTagIsSetOnlyWhereThereIsOne() throws {
    let set = FlowAction.setField(.vlanVID, value: 0x1005, mask: 0x1fff)
    #expect(try Match.tagged.ops([set, .output(1)])[0] == KernelOp(.vlanTCI, value: 5, mask: 0x0fff))
    #expect(try Match.tagged.ops([.setField(.vlanPCP, value: 5, mask: 7), .output(1)])[0] == KernelOp(.vlanTCI, value: 0xa000, mask: 0xe000))
    #expect(Match.untagged.refusal([set, .output(1)])?.cause == "action")
    #expect(Match.any.refusal([set, .output(1)])?.cause == "action")
    #expect(try Match.untagged.ops([.pushVLAN(tpid: 0x8100), set, .output(1)]).count == 3)
  }

  @Test func tagsAreFollowedFromActionToAction() throws {
    let push = FlowAction.pushVLAN(tpid: 0x88a8)
    #expect(Match.any.refusal([push, .output(1)]) != nil)
    #expect(Match.tagged.refusal([push, .output(1)]) != nil)
    #expect(Match.tagged1.refusal([push, .output(1)]) == nil)
    #expect(Match.tagged2.refusal([push, .output(1)]) != nil)
    #expect(Match.tagged2.refusal([.popVLAN, push, .output(1)]) == nil)
    #expect(Match.untagged.refusal([push, push, .output(1)]) == nil)
    #expect(Match.untagged.refusal([push, push, push, .output(1)]) != nil)
    #expect(Match.untagged.refusal([.popVLAN, .output(1)]) != nil)
    #expect(Match.tagged2.refusal([.popVLAN, .popVLAN, .output(1)]) == nil)
    #expect(Match.tagged1.refusal([.popVLAN, .popVLAN, .output(1)]) != nil)
  }

  @Test func anAddressIsSetOnlyInPacketsThatHaveIt() {
    let v4 = FlowAction.setField(.ipv4Src, value: 1, mask: .max)
    let v6 = FlowAction.setField(.ipv6Src, value: 1, mask: .max)
    #expect(Match.ipv4.refusal([v4, .output(1)]) == nil)
    #expect(Match.ipv6.refusal([v6, .output(1)]) == nil)
    #expect(Match.ipv6.refusal([v4, .output(1)])?.isTemporary == false)
    #expect(Match.any.refusal([v6, .output(1)]) != nil)
    let port = FlowAction.setField(.tcpDst, value: 80, mask: 0xffff)
    #expect(Match.tcp.refusal([port, .output(1)]) == nil)
    #expect(Match.udp6.refusal([port, .output(1)]) != nil)
    #expect(Match.udp6.refusal([.setField(.udpDst, value: 53, mask: 0xffff), .output(1)]) == nil)
    #expect(Match.ipv4.refusal([port, .output(1)]) != nil)
  }

  @Test func theTTLIsTakenFromOnce() throws {
    #expect(Match.any.refusal([.decrementTTL, .output(1)]) != nil)
    #expect(Match.ipv4.refusal([.decrementTTL, .decrementTTL, .output(1)]) != nil)
    let set = FlowAction.setField(.ipTTL, value: 64, mask: 0xff)
    #expect(
      try Match.ipv4.ops([set, .output(1), .decrementTTL, .output(2)]) == [
        KernelOp(.ipTTL, value: 64, mask: 0xff), KernelOp(.output, port: 1), KernelOp(.ipTTL, value: 63, mask: 0xff),
        KernelOp(.output, port: 2),
      ])
    #expect(Match.ipv4.refusal([.setField(.ipTTL, value: 1, mask: 0xff), .decrementTTL, .output(1)]) != nil)
    #expect(Match.ipv4.refusal([.setField(.ipTTL, value: 1, mask: 0x0f), .decrementTTL, .output(1)]) != nil)
  }

  @Test func aCopyIsChangedOnlyWhenNothingFollows() throws {
    let change: [FlowAction] = [.setField(.ethDst, value: 1, mask: FlowField.ethDst.allOnes), .output(1)]
    #expect(Match.any.refusal([.clone(change), .output(2)])?.cause == "action")
    #expect(Match.any.refusal([.output(2), .clone(change)]) == nil)
    #expect(try Match.any.ops([.clone([.output(1), .setQueue(1)]), .output(2)]).map(\.port) == [1, 2])
  }

  @Test(arguments: [
    FlowAction.pushMPLS(etherType: 0x8847), .popMPLS(etherType: 0x0800), .pushPBB, .popPBB, .decrementMPLSTTL, .copyTTLIn, .copyTTLOut,
    .recirculate(3), .controller(maxLength: 64, cookie: 1), .setField(.arpOp, value: 1, mask: 0xff),
    .setField(.ipv6Label, value: 1, mask: 0xfffff), .setField(.icmpType, value: 1, mask: 0xff), .setField(.sctpDst, value: 1, mask: 0xffff),
  ])
  func whatTheKernelDoesNotDoIsRefusedForGood(action: FlowAction) throws {
    let refusal = try #require(Match.ipv6.refusal([action, .output(1)]))
    #expect(refusal.cause == "action")
    #expect(!refusal.isTemporary)
    #expect(refusal.description.contains(": "))
  }

  @Test(arguments: [
    Match.any.with(.ethType, 0x0806), Match.any.with(.ethType, 0x8847), Match.any.with(.ethType, 0x88e7), Match.any.with(.recircID, 4),
    Match.ipv6.with(.ipProto, 58).with(.icmpv6Type, 135), Match.ipv6.with(.ipv6ExtHdr, 1 << 6),
  ])
  func flowsThatTheKernelNeverSeesAreRefused(match: Match) throws {
    #expect(match.refusal([.output(1)])?.cause == "key")
  }

  @Test func aProgramHasAnEnd() {
    let outputs = (1...UInt16(SLUICE_PROGRAM_OPS)).map { FlowAction.output($0) }
    #expect(Match.any.refusal(outputs) == nil)
    #expect(Match.any.refusal(outputs + [.output(99)])?.description.contains("at most 16 steps") == true)
  }

  @Test func bytesAndBackAreTheSame() throws {
    let actions: [FlowAction] = [
      .setField(.ethDst, value: 0x0200_0000_0042, mask: 0xffff_0000_ffff), .setField(.vlanVID, value: 0x1abc, mask: 0x1fff),
      .setField(.ipv6Dst, value: UInt128(0x2001_0db8) << 96 | 7, mask: .max), .setField(.udpSrc, value: 53, mask: 0xffff), .decrementTTL,
      .popVLAN, .pushVLAN(tpid: 0x88a8), .output(3), .output(1023),
    ]
    let match = Match.udp6.with(.vlanTCI, 0x1000, mask: 0x1000)
    guard case .program(let program) = try match.encode(actions) else {
      Issue.record("that is a program")
      return
    }
    let bytes = program.encoded
    #expect(KernelProgram(bytes) == program)
    #expect(bytes.ttl == 2)
    #expect(bytes.count == 9)
    #expect(withUnsafeBytes(of: bytes.ops) { Array($0[8..<14]) } == [0x02, 0, 0, 0, 0, 0x42])
    #expect(withUnsafeBytes(of: bytes.ops) { Array($0[24..<30]) } == [0xff, 0xff, 0, 0, 0xff, 0xff])
  }
}
