// FrameParserTests.swift
//
// What: each header kind gives the expected fields and layout; nothing that a frame can say makes the parser crash, read past the frame, or
//       disagree with itself.

import Testing
import TestSupport

@testable import Dataplane

@Suite struct FrameParserTests {
  /// Parses a frame that ends at a guard page.
  private func parseGuarded(_ bytes: [UInt8]) -> (key: FlowKey, layout: FrameLayout) {
    let frame = GuardedFrame(bytes)
    var key = FlowKey()
    let layout = parse(frame.bytes, length: frame.count, inPortBigEndian: UInt32(7).bigEndian, into: &key)
    return (key, layout)
  }

  private func fields(_ packet: FramePacket) -> [FlowField: UInt128] {
    let (key, layout) = parseGuarded(packet.bytes)
    #expect(layout.problem == 0)
    return Dictionary(uniqueKeysWithValues: FlowField.allCases.map { ($0, key[$0]) })
  }

  @Test func ethernetFieldsAreThoseOfTheFrame() {
    let found = fields(FramePacket(to: "02:11:22:33:44:55", from: "0a:bb:cc:dd:ee:ff").etherType(0x88b5))
    #expect(found[.ethDst] == 0x0211_2233_4455)
    #expect(found[.ethSrc] == 0x0abb_ccdd_eeff)
    #expect(found[.ethType] == 0x88b5)
    #expect(found[.vlanTCI] == 0)
    #expect(found[.inPort] == 7)
  }

  @Test func twoTagsAreFoundAndTheirDropEligibleBitsAreNotKept() {
    let packet = FramePacket().vlan(100, priority: 5, dei: true, tpid: 0x88a8).vlan(200, priority: 2)
      .ipv4("10.0.0.1", "10.0.0.2").udp(1, 2)
    let found = fields(packet)
    #expect(found[.vlanTCI] == UInt128(5 << 13 | 0x1000 | 100))
    #expect(found[.vlanPCP] == 5)
    #expect(found[.innerVLANTCI] == UInt128(2 << 13 | 0x1000 | 200))
    #expect(found[.ethType] == 0x0800)
    #expect(found[.udpDst] == 2)
    let layout = parseGuarded(packet.bytes).layout
    #expect(layout.tags == 2)
    #expect(layout.l3 == 22)
    #expect(layout.l4 == 42)
  }

  @Test func tcpOverIPv4HasAddressesPortsAndFlags() {
    let found = fields(FramePacket().ipv4("10.1.2.3", "10.4.5.6", ttl: 9, tos: 0x2e).tcp(1000, 80, flags: 0x112))
    #expect(found[.ipv4Src] == 0x0a01_0203)
    #expect(found[.ipv4Dst] == 0x0a04_0506)
    #expect(found[.ipTTL] == 9)
    #expect(found[.ipTOS] == 0x2e)
    #expect(found[.ipDSCP] == 11)
    #expect(found[.ipECN] == 2)
    #expect(found[.ipProto] == 6)
    #expect(found[.ipFrag] == 0)
    #expect(found[.tcpSrc] == 1000)
    #expect(found[.tcpDst] == 80)
    #expect(found[.tcpFlags] == 0x112)
  }

  @Test func optionsMoveTheTransportHeader() {
    let packet = FramePacket().ipv4("10.0.0.1", "10.0.0.2", options: [7, 7, 4, 1, 2, 3, 4]).sctp(1000, 2000)
    #expect(fields(packet)[.sctpDst] == 2000)
    #expect(parseGuarded(packet.bytes).layout.l4 == 14 + 28)
  }

  @Test func icmpTypeAndCodeStandWhereTCPHasItsPorts() {
    let found = fields(FramePacket().ipv4("10.0.0.1", "10.0.0.2").icmp(type: 3, code: 13))
    #expect(found[.icmpType] == 3)
    #expect(found[.icmpCode] == 13)
    #expect(found[.tcpSrc] == 3)
  }

  @Test func aFirstFragmentHasPortsAndALaterOneHasNone() {
    let first = fields(FramePacket().ipv4("10.0.0.1", "10.0.0.2", moreFragments: true).udp(1000, 53, payload: [1]))
    #expect(first[.ipFrag] == UInt128(FragmentBits.any))
    #expect(first[.udpDst] == 53)
    let laterPacket = FramePacket().ipv4("10.0.0.1", "10.0.0.2", fragmentOffset: 8)
      .udp(1000, 53, payload: .init(repeating: 9, count: 8))
    let later = fields(laterPacket)
    #expect(later[.ipFrag] == UInt128(FragmentBits.any | FragmentBits.later))
    #expect(later[.udpDst] == 0)
    #expect(parseGuarded(laterPacket.bytes).layout.l4 == 0)
  }

  @Test func ipv6HasAddressesLabelTrafficClassAndHopLimit() {
    let packet = FramePacket().ipv6("fd00::1:2", "fe80::3", hopLimit: 5, trafficClass: 0xb9, label: 0xabcde).udp(1000, 53)
    let found = fields(packet)
    #expect(found[.ipv6Src] == 0xfd00_0000_0000_0000_0000_0000_0001_0002)
    #expect(found[.ipv6Dst] == 0xfe80_0000_0000_0000_0000_0000_0000_0003)
    #expect(found[.ipv6Label] == 0xabcde)
    #expect(found[.ipTOS] == 0xb9)
    #expect(found[.ipTTL] == 5)
    #expect(found[.ipProto] == 17)
    #expect(found[.udpSrc] == 1000)
    #expect(parseGuarded(packet.bytes).layout.lines == 3)
  }

  @Test func theProtocolBehindExtensionHeadersIsTheOneThatCounts() {
    let extensions: [IPv6Extension] = [
      .hopByHop(length: 16), .destinationOptions(), .routing(), .authentication(), .mobility, .fragment(offset: 0, more: false),
    ]
    let packet = FramePacket().ipv6("fd00::1", "fd00::2", extensions: extensions).tcp(1000, 80)
    let found = fields(packet)
    #expect(found[.ipProto] == 6)
    #expect(found[.tcpDst] == 80)
    #expect(found[.ipFrag] == 0)
    #expect(Int(parseGuarded(packet.bytes).layout.l4) == 54 + 16 + 8 + 24 + 24 + 8 + 8)
  }

  @Test func whatFollowsALaterIPv6FragmentIsNoHeader() {
    let packet = FramePacket().ipv6("fd00::1", "fd00::2", extensions: [.fragment(offset: 64, more: true)])
      .udp(1000, 53, payload: .init(repeating: 0, count: 16))
    let found = fields(packet)
    #expect(found[.ipFrag] == UInt128(FragmentBits.any | FragmentBits.later))
    #expect(found[.ipProto] == 17)
    #expect(found[.udpDst] == 0)
  }

  @Test func neighbourDiscoveryHasTargetAndLinkAddress() {
    let base = FramePacket().ipv6("fd00::1", "fd00::2")
    let solicitation = fields(base.neighbour(type: 135, target: "fd00::9", linkAddress: "02:00:00:00:00:09"))
    #expect(solicitation[.icmpv6Type] == 135)
    #expect(solicitation[.ndTarget] == 0xfd00_0000_0000_0000_0000_0000_0000_0009)
    #expect(solicitation[.ndSLL] == 0x0200_0000_0009)
    #expect(solicitation[.ndTLL] == 0)
    let advertisement = fields(base.neighbour(type: 136, target: "fd00::9", linkAddress: "02:00:00:00:00:0a"))
    #expect(advertisement[.ndTLL] == 0x0200_0000_000a)
    #expect(advertisement[.ndSLL] == 0)
  }

  @Test func arpHasOperationAndBothPairsOfAddresses() {
    let packet = FramePacket().arp(
      operation: 2, senderMAC: "02:00:00:00:00:03", senderIP: "10.0.0.3", targetMAC: "02:00:00:00:00:04", targetIP: "10.0.0.4")
    let found = fields(packet)
    #expect(found[.arpOp] == 2)
    #expect(found[.arpSPA] == 0x0a00_0003)
    #expect(found[.arpTPA] == 0x0a00_0004)
    #expect(found[.arpSHA] == 0x0200_0000_0003)
    #expect(found[.arpTHA] == 0x0200_0000_0004)
  }

  @Test func reverseARPHasTheFieldsOfARP() {
    let arp = FramePacket().arp(
      operation: 3, senderMAC: "02:00:00:00:00:03", senderIP: "0.0.0.0", targetMAC: "02:00:00:00:00:03", targetIP: "0.0.0.0")
    let (key, layout) = parseGuarded(arp.bytes.changed(at: 12, to: 0x80).changed(at: 13, to: 0x35))
    #expect(layout.problem == 0)
    #expect(key[.ethType] == 0x8035)
    #expect(key[.arpOp] == 3)
    #expect(key[.arpSHA] == 0x0200_0000_0003)
  }

  @Test func theOutermostLabelStackEntryIsTheOneThatCounts() {
    let packet = FramePacket().vlan(5).mpls(label: 0xabcde, trafficClass: 5, ttl: 63).mpls(label: 17, ttl: 9).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2)
    let found = fields(packet)
    #expect(found[.ethType] == 0x8847)
    #expect(found[.mplsLabel] == 0xabcde)
    #expect(found[.mplsTC] == 5)
    #expect(found[.mplsBOS] == 0)
    #expect(found[.mplsTTL] == 63)
    #expect(found[.ipv4Src] == 0)
    #expect(found[.pbbISID] == 0)
    #expect(parseGuarded(packet.bytes).layout.l3 == 0)
    let last = fields(FramePacket().mpls(label: 3, etherType: 0x8848).ipv6("fd00::1", "fd00::2").udp(1, 2))
    #expect(last[.ethType] == 0x8848)
    #expect(last[.mplsBOS] == 1)
    #expect(last[.mplsLabel] == 3)
    #expect(last[.ipv6Src] == 0)
  }

  @Test func aServiceTagHasAServiceIDAndHidesTheFrameBehindIt() {
    let customer = FramePacket(to: "02:00:00:00:00:0c", from: "02:00:00:00:00:0d").ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).bytes
    let found = fields(FramePacket().vlan(9, tpid: 0x88a8).etherType(0x88e7, payload: [0xff, 0x01, 0x02, 0x03] + customer))
    #expect(found[.ethType] == 0x88e7)
    #expect(found[.pbbISID] == 0x010203)
    #expect(found[.vlanVID] == 0x1009)
    #expect(found[.mplsLabel] == 0)
    #expect(found[.ethDst] == 0x0200_0000_0002)
    #expect(found[.ipv4Src] == 0)
  }

  /// Chains of extension headers, and which bits of OFPIEH_* they have.
  private static let chains: [(headers: [IPv6Extension], bits: String)] = [
    ([], ""), ([.hopByHop()], "+hop"), ([.destinationOptions()], "+dest"), ([.routing()], "+router"),
    ([.fragment(offset: 0, more: true)], "+frag"), ([.fragment(offset: 64, more: false), .hopByHop()], "+frag"), ([.authentication()], "+auth"),
    ([.mobility], ""), ([.mobility, .hopByHop()], "+unseq"),
    // In the recommended order.
    ([.hopByHop(), .destinationOptions(), .routing(), .fragment(offset: 0, more: false), .authentication(), .destinationOptions()],
     "+hop+dest+router+frag+auth"),
    ([.destinationOptions(), .authentication()], "+dest+auth"), ([.destinationOptions(), .destinationOptions()], "+dest"),
    ([.routing(), .destinationOptions()], "+router+dest"),
    // Out of order.
    ([.routing(), .hopByHop()], "+router+unseq"), ([.authentication(), .routing()], "+auth+router+unseq"),
    ([.routing(), .destinationOptions(), .authentication()], "+router+dest+auth+unseq"),
    ([.destinationOptions(), .destinationOptions(), .routing()], "+dest+router+unseq"),
    // More often than expected.
    ([.hopByHop(), .hopByHop()], "+hop+unrep"), ([.routing(), .routing()], "+router+unrep"),
    ([.destinationOptions(), .destinationOptions(), .destinationOptions()], "+dest+unrep"),
    ([.authentication(), .routing(), .authentication()], "+auth+router+unrep+unseq"),
  ]

  @Test(arguments: chains.indices)
  func extensionHeadersAreNotedWithTheirOrder(_ index: Int) throws {
    let (headers, bits) = Self.chains[index]
    let payload = [UInt8](repeating: 0, count: 16)
    func expect(_ packet: FramePacket, _ bits: String) throws {
      let expected = bits.isEmpty ? 0 : try FlowField.ipv6ExtHdr.parse(TextPiece(bits)).value
      let found = fields(packet)[.ipv6ExtHdr] ?? 0
      #expect(found == expected, "\(headers): \(FlowField.ipv6ExtHdr.format(found, mask: found))")
    }
    let base = FramePacket().ipv6("fd00::1", "fd00::2", label: 0xfffff, extensions: headers)
    try expect(base.udp(1, 2, payload: payload), bits)
    // What follows a later fragment's header is no header.
    if case .fragment(64, _) = headers.first { return }
    try expect(base.ip(proto: 59, payload: []), bits + "+nonext")
    let isLastEncryption = headers.filter { if case .destinationOptions = $0 { true } else { false } }.count < 2
    guard isLastEncryption, !bits.contains("dest") else { return }
    try expect(base.ip(proto: 50, payload: payload), bits + "+esp")
  }

  @Test func aFieldThatThePacketDoesNotHaveIsZero() {
    let (key, _) = parseGuarded(FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).bytes)
    for field in [FlowField.tcpFlags, .innerVLANTCI, .arpSHA, .arpTHA, .ipv6Src, .ndTarget, .mplsLabel, .pbbISID, .ipv6ExtHdr, .recircID, .tunnelID, .metadata, .reg0] {
      #expect(key[field] == 0, "\(field)")
    }
  }

  @Test(arguments: FrameCatalog.malformed.indices)
  func aMalformedFrameIsNamed(_ index: Int) {
    let (reason, bytes) = FrameCatalog.malformed[index]
    let layout = parseGuarded(bytes).layout
    #expect(Malformation(rawValue: layout.problem)?.name == reason)
  }

  @Test func everyMalformationHasAFrame() {
    #expect(Set(FrameCatalog.malformed.map(\.reason)) == Set(Malformation.allCases.map(\.name)))
  }

  @Test(arguments: FrameCatalog.wellFormed)
  func aFrameCutAnywhereIsMalformedOrMeansTheSame(_ frame: NamedFrame) {
    let whole = parseGuarded(frame.bytes)
    #expect(whole.layout.problem == 0)
    for length in 0..<frame.bytes.count {
      let cut = parseGuarded(Array(frame.bytes.prefix(length)))
      if cut.layout.problem == 0 {
        #expect(cut.key == whole.key, "cut to \(length)")
      } else {
        #expect(Malformation(rawValue: cut.layout.problem) != nil, "cut to \(length)")
      }
    }
  }

  @Test(arguments: FrameCatalog.wellFormed)
  func aFrameWithOneLyingByteIsParsedOrNamed(_ frame: NamedFrame) {
    for place in frame.bytes.indices {
      for value: UInt8 in [0, 1, 0x0f, 0x45, 0x60, 0x7f, 0x80, 0xff] {
        let layout = parseGuarded(frame.bytes.changed(at: place, to: value)).layout
        let isNamed = layout.problem == 0 || Malformation(rawValue: layout.problem) != nil
        #expect(isNamed, "byte \(place) = \(value)")
        #expect(Int(layout.l4) < frame.bytes.count, "byte \(place) = \(value)")
      }
    }
  }

  @Test func theFastPathSaysWhatTheGeneralOneSays() {
    var generator = SeededGenerator.fresh()
    for round in 0..<60_000 {
      let bytes = FrameCatalog.random(using: &generator)
      bytes.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        var fast = FlowKey()
        var general = FlowKey()
        let a = parse(base, length: buffer.count, inPortBigEndian: 7, into: &fast)
        let b = parseGeneral(base, length: buffer.count, inPortBigEndian: 7, into: &general)
        if a.word != b.word || (a.problem == 0 && fast != general) {
          Issue.record("seed \(generator.seed), round \(round): \(bytes)")
        }
      }
    }
  }

  @Test func anArrayWithoutBytesIsNoFrame() {
    #expect(parseFrame([], inPort: 1).layout.problem == Malformation.ethernetTruncated.rawValue)
  }
}
