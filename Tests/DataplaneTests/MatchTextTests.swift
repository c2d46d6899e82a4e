// MatchTextTests.swift
//
// What: the match syntax: what is read, what is written, what is refused and how the refusal reads.

import Testing

@testable import Dataplane

/// SplitMix64: a seed printed by a failing test replays it.
private struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

private let ports = PortNames(
  number: { ["eth1": 1, "eth2": 2, "LOCAL2": 7, "12": 99][$0] }, name: { [1: "eth1", 2: "eth2", 99: "12"][$0] })

private func message(_ text: String) -> String {
  do {
    _ = try FlowMatch(text: text, names: ports)
    return "accepted"
  } catch { return error.description }
}

@Suite struct MatchTextTests {
  /// What is written in the first column is printed as the second.
  static let canonical: [(String, String)] = [
    ("", ""),
    (" , ,\t", ""),
    ("ip", "ip"),
    ("dl_type=0x800", "ip"),
    ("eth_type=2048", "ip"),
    ("dl_type=0x806", "arp"),
    ("dl_type=0x86dd,nw_proto=58", "icmp6"),
    ("dl_type=0x88cc", "dl_type=0x88cc"),
    ("ip,nw_proto=6", "tcp"),
    ("ip,ip_proto=47", "ip,nw_proto=47"),
    ("tcp6 , tp_dst=443", "tcp6,tp_dst=443"),
    ("ip,nw_src=10.1.2.3/8", "ip,nw_src=10.0.0.0/8"),
    ("ip,nw_src=10.1.2.3/255.0.255.0", "ip,nw_src=10.0.2.0/255.0.255.0"),
    ("ip,ip_src=10.1.2.3/32,ipv4_dst=1.2.3.4/0", "ip,nw_src=10.1.2.3"),
    ("nw_dst=10.0.0.0/8,ip", "ip,nw_dst=10.0.0.0/8"),
    ("tcp tp_dst=0x50", "tcp,tp_dst=80"),
    ("tcp,tcp_dst=80,tcp_src=0x1000/0xf000", "tcp,tp_src=0x1000/0xf000,tp_dst=80"),
    ("udp,udp_src=53", "udp,tp_src=53"),
    ("sctp,tp_src=1", "sctp,tp_src=1"),
    ("sctp6,sctp_dst=2", "sctp6,tp_dst=2"),
    ("icmp,icmp_type=8,icmp_code=0", "icmp,icmp_type=8,icmp_code=0"),
    ("icmp6,icmp_type=135", "icmp6,icmp_type=135"),
    ("icmp6,icmpv6_type=135,nd_target=fe80::1,nd_sll=2:0:0:0:0:1", "icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=02:00:00:00:00:01"),
    ("arp,arp_spa=10.0.0.1,arp_op=1", "arp,arp_spa=10.0.0.1,arp_op=1"),
    ("arp,nw_src=10.0.0.1,nw_proto=2", "arp,arp_spa=10.0.0.1,arp_op=2"),
    ("arp,arp_sha=1:2:3:4:5:6,arp_tha=ff:ff:ff:ff:ff:ff", "arp,arp_sha=01:02:03:04:05:06,arp_tha=ff:ff:ff:ff:ff:ff"),
    ("dl_vlan=10", "dl_vlan=10"),
    ("dl_vlan=0xffff", "dl_vlan=0xffff"),
    ("dl_vlan=65535", "dl_vlan=0xffff"),
    ("dl_vlan_pcp=3", "dl_vlan_pcp=3"),
    ("vlan_pcp=3,dl_vlan=0", "dl_vlan=0,dl_vlan_pcp=3"),
    ("vlan_vid=0x100a", "dl_vlan=10"),
    ("vlan_vid=0x1000/0x1000", "vlan_tci=0x1000/0x1000"),
    ("vlan_tci=0x100a", "dl_vlan=10,dl_vlan_pcp=0"),
    ("vlan_tci=0/0x1fff", "dl_vlan=0xffff"),
    ("vlan_tci=0", "vlan_tci=0x0000"),
    ("dl_vlan=1,dl_vlan2=2,dl_vlan_pcp2=7", "dl_vlan=1,dl_vlan2=2,dl_vlan_pcp2=7"),
    ("vlan_tci2=0x1000/0x1000", "vlan_tci2=0x1000/0x1000"),
    ("dl_src=00:11:22:33:44:55", "dl_src=00:11:22:33:44:55"),
    ("eth_dst=01:00:00:00:00:00/01:00:00:00:00:00", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"),
    ("ip,nw_tos=184", "ip,nw_tos=184"),
    ("ip,ip_dscp=46", "ip,nw_tos=184"),
    ("ip,ip_dscp=46,nw_ecn=1", "ip,nw_tos=184,nw_ecn=1"),
    ("ip,nw_tos=0x10/0x30", "ip,nw_tos=0x10/0x30"),
    ("ipv6,nw_ttl=64", "ipv6,nw_ttl=64"),
    ("ip,ip_frag=no", "ip,ip_frag=no"),
    ("ip,ip_frag=yes", "ip,ip_frag=yes"),
    ("ip,nw_frag=first", "ip,ip_frag=first"),
    ("ip,ip_frag=later", "ip,ip_frag=later"),
    ("ip,ip_frag=not_later", "ip,ip_frag=not_later"),
    ("ip,ip_frag=2/2", "ip,ip_frag=2/2"),
    ("tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=+syn-ack"),
    ("tcp,tcp_flags=2/0x12", "tcp,tcp_flags=+syn-ack"),
    ("tcp,tcp_flags=2", "tcp,tcp_flags=0x002"),
    ("tcp,tcp_flags=0x800/0xc00", "tcp,tcp_flags=0x800/0xc00"),
    ("ipv6,ipv6_src=2001:DB8::/32", "ipv6,ipv6_src=2001:db8::/32"),
    ("ipv6,ipv6_dst=::ffff:10.0.0.1", "ipv6,ipv6_dst=::ffff:a00:1"),
    ("ipv6,ipv6_dst=1:2:3:4:5:6:7:8/ffff::ff", "ipv6,ipv6_dst=1::8/ffff::ff"),
    ("ipv6,ipv6_dst=::", "ipv6,ipv6_dst=::"),
    ("ipv6,ipv6_dst=1::", "ipv6,ipv6_dst=1::"),
    ("ipv6,ipv6_dst=1:0:0:2::3", "ipv6,ipv6_dst=1:0:0:2::3"),
    ("ipv6,ipv6_label=0x12345", "ipv6,ipv6_label=0x12345"),
    ("metadata=0x10/0xf0", "metadata=0x10/0xf0"),
    ("metadata=0xffffffffffffffff", "metadata=0xffffffffffffffff"),
    ("tun_id=0x10000000000", "tun_id=0x10000000000"),
    ("tunnel_id=5/0xff", "tun_id=0x5/0xff"),
    ("reg7=1,reg0=0x10/0xf0", "reg0=0x10/0xf0,reg7=0x1"),
    ("metadata=1,tun_id=2,reg3=3,ip", "ip,reg3=0x3,tun_id=0x2,metadata=0x1"),
    ("mpls,mpls_label=0xfffff", "mpls,mpls_label=1048575"),
    ("dl_type=0x8847,mpls_bos=1,mpls_tc=7,mpls_ttl=64,mpls_label=16", "mpls,mpls_label=16,mpls_tc=7,mpls_ttl=64,mpls_bos=1"),
    ("mplsm,mpls_bos=0", "mplsm,mpls_bos=0"),
    ("dl_type=0x88e7,pbb_isid=70000", "pbb,pbb_isid=70000"),
    ("pbb_isid=0x10000/0xff0000,pbb", "pbb,pbb_isid=0x10000/0xff0000"),
    ("ipv6,ipv6_exthdr=+hop-frag", "ipv6,ipv6_exthdr=-frag+hop"),
    ("ipv6,ipv6_exthdr=0x40/0x50", "ipv6,ipv6_exthdr=-frag+hop"),
    ("ipv6,ipv6_exthdr=0", "ipv6,ipv6_exthdr=0x000"),
    ("ipv6,ipv6_exthdr=+nonext+esp+auth+dest+frag+router+hop+unrep+unseq", "ipv6,ipv6_exthdr=0x1ff"),
    ("ipv6,ipv6_flabel=0x12300/0xfff00", "ipv6,ipv6_label=0x12300/0xfff00"),
    ("rarp", "rarp"),
    ("dl_type=0x8035,arp_op=3,arp_sha=1:2:3:4:5:6", "rarp,arp_op=3,arp_sha=01:02:03:04:05:06"),
    ("icmp,icmpv4_type=8,icmpv4_code=0", "icmp,icmp_type=8,icmp_code=0"),
    ("icmp6,icmpv6_type=136,nd_target=::/8,nd_tll=2:0:0:0:0:1", "icmp6,icmp_type=136,nd_target=::/8,nd_tll=02:00:00:00:00:01"),
    ("icmp6,nd_target=fe80::1,icmp_code=0,icmp_type=135", "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1"),
    ("OXM_OF_ETH_TYPE=0x800,NXM_OF_IP_SRC=10.0.0.0/8,NXM_NX_REG1=7", "ip,reg1=0x7,nw_src=10.0.0.0/8"),
    ("in_phy_port=3", "in_port=3"),
    ("in_port=1", "in_port=1"),
    ("in_port=eth2", "in_port=2"),
    ("in_port=LOCAL", "in_port=LOCAL"),
    ("in_port=65534", "in_port=LOCAL"),
    ("tcp,nw_proto=6,dl_type=0x800", "tcp"),
  ]

  @Test(arguments: canonical)
  func aMatchIsPrintedInOneCanonicalForm(_ written: String, _ printed: String) throws {
    let match = try FlowMatch(text: written, names: ports)
    #expect(match.text() == printed)
    #expect(try FlowMatch(text: printed) == match)
  }

  /// Text that is refused, and the sentence that says why.
  static let refused: [(String, String)] = [
    ("nw_dst=10.0.0.1", "column 1, 'nw_dst=10.0.0.1': this field needs ip or arp in the match; expected the protocol to be named as well"),
    ("ip,tp_dst=80", "column 4, 'tp_dst=80': this field needs tcp, udp or sctp (or tcp6, udp6, sctp6) in the match; expected the protocol to be named as well"),
    ("tcp,udp_dst=80", "column 5, 'udp_dst=80': this field needs udp or udp6 in the match; expected the protocol to be named as well"),
    ("ipv6,nw_src=10.0.0.1", "column 6, 'nw_src=10.0.0.1': this field needs ip or arp in the match; expected the protocol to be named as well"),
    ("ip,arp_op=1", "column 4, 'arp_op=1': this field needs arp in the match; expected the protocol to be named as well"),
    ("ip,nw_dst=10.0.0.300", "column 11, '10.0.0.300': not an IPv4 address; expected an address or prefix such as 10.0.0.0/8"),
    ("ip,nw_dst=10.0.0.0/33", "column 20, '33': the prefix is too long; expected 0 to 32"),
    ("ip,nw_dst=10.0.0", "column 11, '10.0.0': not an IPv4 address; expected an address or prefix such as 10.0.0.0/8"),
    ("ipv6,ipv6_src=1::2::3", "column 15, '1::2::3': not an IPv6 address; expected an address or prefix such as 2001:db8::/32"),
    ("dl_src=00:11:22:33:44", "column 8, '00:11:22:33:44': not a MAC address; expected six bytes such as 00:11:22:33:44:55"),
    ("ip,nw_dts=10.0.0.1", "column 4, 'nw_dts': not a field that can be matched; expected nw_dst"),
    ("dl_vlan=4096", "column 9, '4096': not a VLAN ID; expected 0 to 4095, or 0xffff for untagged packets"),
    ("dl_vlan_pcp=8", "column 13, '8': not a VLAN priority; expected 0 to 7"),
    ("vlan_vid=10", "column 10, '10': no packet has a VLAN ID without the bit 0x1000, which says that there is a tag; expected dl_vlan=10 or vlan_vid=0x100a"),
    ("tcp,tp_dst=65536", "column 12, '65536': the number is too large; expected 0 to 65535, decimal or 0x..."),
    ("tcp,tp_dst=http", "column 12, 'http': not a number; expected 0 to 65535, decimal or 0x..."),
    ("tcp,tp_dst=", "column 5, 'tp_dst=': the field has no value; expected tp_dst=VALUE"),
    ("tcp,tp_dst", "column 5, 'tp_dst': the field has no value; expected tp_dst=VALUE"),
    ("ip=4", "column 1, 'ip=4': ip takes no value"),
    ("ip,ipv6", "column 4, 'ipv6': this contradicts an item before it in the match; expected each field once"),
    ("tcp,nw_proto=17", "column 5, 'nw_proto=17': this contradicts an item before it in the match; expected each field once"),
    ("mpls_label=5", "column 1, 'mpls_label=5': this field needs mpls or mplsm in the match; expected the protocol to be named as well"),
    ("mpls,mpls_label=0x100000", "column 17, '0x100000': the number is too large; expected 0 to 0xfffff, decimal or 0x..."),
    ("mpls,mpls_label=5/7", "column 6, 'mpls_label=5/7': only a whole value can be matched of this field; expected a value without a mask"),
    ("mpls,mpls_bos=2", "column 15, '2': the number is too large; expected 0 to 1, decimal or 0x..."),
    ("mpls,pbb_isid=1", "column 6, 'pbb_isid=1': this field needs pbb in the match; expected the protocol to be named as well"),
    ("dl_type=0x88e7,pbb_isid=0x1000000", "column 25, '0x1000000': the number is too large; expected 0 to 0xffffff, decimal or 0x..."),
    ("ip,ipv6_exthdr=1", "column 4, 'ipv6_exthdr=1': this field needs ipv6 in the match; expected the protocol to be named as well"),
    ("ipv6,ipv6_exthdr=+hip", "column 19, 'hip': not a kind of extension header; expected nonext, esp, auth, dest, frag, router, hop, unrep or unseq, each behind + or -"),
    ("ipv6,ipv6_exthdr=+hop+hop", "column 23, 'hop': the kind of extension header is given twice"),
    ("ipv6,ipv6_exthdr=0x200", "column 18, '0x200': the number is too large; expected 0 to 511, decimal or 0x..."),
    ("icmp6,nd_target=::1", "column 7, 'nd_target=::1': this field needs icmp6 and icmp_type=135 or icmp_type=136 in the match; expected the protocol to be named as well"),
    ("icmp6,icmp_type=136,nd_sll=1:2:3:4:5:6", "column 21, 'nd_sll=1:2:3:4:5:6': this field needs icmp6 and icmp_type=135 in the match; expected the protocol to be named as well"),
    ("nd_tll=1:2:3:4:5:6,icmp6,icmp_type=135", "column 1, 'nd_tll=1:2:3:4:5:6': this field needs icmp6 and icmp_type=136 in the match; expected the protocol to be named as well"),
    ("udp_dst=1,nw_src=10.0.0.1", "column 1, 'udp_dst=1': this field needs udp or udp6 in the match; expected the protocol to be named as well"),
    ("in_port=1,in_phy_port=2", "column 11, 'in_phy_port=2': this contradicts an item before it in the match; expected each field once"),
    ("reg8=1", "column 1, 'reg8': not a field that can be matched; expected reg0"),
    ("recirc_id=1", "column 1, 'recirc_id': not a field that can be matched; expected a field such as in_port, dl_vlan, nw_src, tp_dst, or a protocol such as ip, tcp, arp, ipv6"),
    ("OXM_OF_eth_src=1:2:3:4:5:6", "column 1, 'OXM_OF_eth_src': not a field that can be matched; expected a field such as in_port, dl_vlan, nw_src, tp_dst, or a protocol such as ip, tcp, arp, ipv6"),
    ("in_port=1/2", "column 1, 'in_port=1/2': only a whole value can be matched of this field; expected a value without a mask"),
    ("in_port=eth9", "column 9, 'eth9': there is no port of this name; expected a port's number or name, or LOCAL"),
    ("in_port=65536", "column 9, '65536': the port number is too large; expected a number from 0 to 65535, or a name"),
    ("ip,nw_tos=3", "column 11, '3': nw_tos matches the six DSCP bits, the lowest two bits are ECN; expected a multiple of 4; for ECN, nw_ecn"),
    ("ip,ip_frag=maybe", "column 12, 'maybe': not a kind of fragment; expected no, yes, first, later or not_later"),
    ("tcp,tcp_flags=+syn-foo", "column 20, 'foo': not a TCP flag; expected fin, syn, rst, psh, ack, urg, ece, cwr or ns, each behind + or -"),
    ("tcp,tcp_flags=+syn-syn", "column 20, 'syn': the TCP flag is given twice"),
    ("metadata=0x10000000000000000", "column 10, '0x10000000000000000': not a number; expected 0 to 0xffffffffffffffff, decimal or 0x..."),
    ("=5", "column 1: not a field that can be matched; expected a field such as in_port, dl_vlan, nw_src, tp_dst, or a protocol such as ip, tcp, arp, ipv6"),
    ("\u{1b}[31mred", "column 1, '?[31mred': not a field that can be matched; expected a field such as in_port, dl_vlan, nw_src, tp_dst, or a protocol such as ip, tcp, arp, ipv6"),
  ]

  @Test(arguments: refused)
  func aWrongMatchIsRefusedInOneSentence(_ text: String, _ expected: String) {
    #expect(message(text) == expected)
  }

  @Test func portsArePrintedByNameOnlyWhenTheNameReadsBack() throws {
    #expect(try FlowMatch(text: "in_port=1").text(names: ports) == "in_port=eth1")
    // A port called "12" would be read as number 12.
    #expect(try FlowMatch(text: "in_port=99").text(names: ports) == "in_port=99")
    #expect(try FlowMatch(text: "in_port=5").text(names: ports) == "in_port=5")
  }

  @Test func aPacketThatWasParsedAgainIsPrintedWithItsNumberAndOthersAreNot() {
    var key = FlowKey()
    var mask = FlowMask()
    mask.include(.recircID)
    #expect(FlowMatch(key, mask).text() == "")
    key[.recircID] = 0x1f
    #expect(FlowMatch(key, mask).text() == "recirc_id(0x1f)")
  }

  /// Every field that text can name: its name, a value, and what must stand beside it.
  @Test(arguments: FlowField.allCases)
  func everyFieldIsReadUnderItsNameAndOnlyWhereItsPrerequisiteIsMet(_ field: FlowField) throws {
    guard field != .recircID else { return }
    let beside: String =
      switch FieldRequirement(field) {
      case .none: ""
      case .ipv4, .ipv4OrARP, .ip, .ipOrARP: "ip"
      case .ipv6: "ipv6"
      case .arp: "arp"
      case .mpls: "mpls"
      case .pbb: "pbb"
      case .tcp, .transport: "tcp"
      case .udp: "udp"
      case .sctp: "sctp"
      case .icmp: "icmp"
      case .icmpv6: "icmp6"
      case .neighbour, .neighbourSolicitation: "icmp6,icmp_type=135"
      case .neighbourAdvertisement: "icmp6,icmp_type=136"
      }
    // An exact value that each kind of field can have.
    let item =
      switch field {
      case .ipProto: "nw_proto=47"
      case .vlanVID: "vlan_vid=0x1005"
      case .vlanTCI, .innerVLANTCI: "\(field.name)=0x1005"
      case .ipTOS: "nw_tos=4"
      case .ethType: "eth_type=0x88cc"
      case .ipFrag: "ip_frag=1/3"
      default: "\(field.name)=\(field.format(1, mask: field.allOnes))"
      }
    let whole = beside.isEmpty ? item : "\(beside),\(item)"
    let match = try FlowMatch(text: whole)
    #expect(match.mask[field] != 0, "\(whole)")
    #expect(try FlowMatch(text: match.text()) == match, "\(whole)")
    #expect(FieldRequirement(field).isMet(by: match))
    guard !beside.isEmpty else { return }
    #expect(message(item).contains("needs \(FieldName.named(field.name)?.requirement.words ?? "?") in the match"), "\(item)")
    #expect(message(item).contains(field.name))
  }

  @Test func everyShorthandSetsItsTypeAndProtocol() throws {
    let match = try FlowMatch(text: "sctp6")
    #expect(match.exactValue(of: .ethType) == 0x86dd)
    #expect(match.exactValue(of: .ipProto) == 132)
  }

  @Test func randomMatchesSurviveBeingWrittenAndRead() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(state: seed)
    for round in 0..<5_000 {
      let match = randomMatch(&random)
      let text = match.text()
      let back = try? FlowMatch(text: text)
      #expect(back == match, "seed \(seed) round \(round): \(text)")
      if back != match { return }
      #expect(back?.text() == text, "seed \(seed) round \(round)")
    }
  }

  @Test func randomBytesNeverTrap() {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(state: seed)
    let seeds = Self.canonical.map(\.0).filter { !$0.isEmpty } + Self.refused.map(\.0)
    for _ in 0..<5_000 {
      var bytes = Array((seeds.randomElement(using: &random) ?? "").utf8)
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let byte = UInt8.random(in: 0...255, using: &random)
        let at = Int.random(in: 0...bytes.count, using: &random)
        if at < bytes.count, Bool.random(using: &random) { bytes[at] = byte } else { bytes.insert(byte, at: at) }
      }
      let text = String(decoding: bytes, as: UTF8.self)
      do { _ = try FlowMatch(text: text) } catch {
        let isOneLine = error.description.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
        #expect(isOneLine, "seed \(seed): \(text)")
      }
    }
  }
}

/// A match that meets the prerequisites of its fields, with random values and masks.
private func randomMatch(_ random: inout SeededGenerator) -> FlowMatch {
  var key = FlowKey()
  var mask = FlowMask()
  func pin(_ field: FlowField, _ value: UInt128) {
    key[field] = value
    mask.include(field)
  }
  if Bool.random(using: &random) { pin(.inPort, UInt128(UInt16.random(in: 0 ... .max, using: &random))) }
  var fields: [FlowField] = [.ethSrc, .ethDst, .vlanTCI, .innerVLANTCI, .metadata, .tunnelID, .reg0, .reg3, .reg7]
  let ip: [FlowField] = [.ipTTL, .ipTOS, .ipFrag]
  switch Int.random(in: 0..<7, using: &random) {
  case 0: break
  case 1: pin(.ethType, UInt128(UInt16.random(in: 0x600...0x7ff, using: &random)))
  case 5:
    pin(.ethType, Bool.random(using: &random) ? 0x8847 : 0x8848)
    for (field, limit) in [(FlowField.mplsLabel, 0xfffff), (.mplsTC, 7), (.mplsBOS, 1), (.mplsTTL, 255)] where Bool.random(using: &random) {
      pin(field, UInt128(Int.random(in: 0...limit, using: &random)))
    }
  case 6:
    pin(.ethType, 0x88e7)
    fields.append(.pbbISID)
  case 2:
    pin(.ethType, Bool.random(using: &random) ? 0x806 : 0x8035)
    fields += [.arpSPA, .arpTPA, .arpSHA, .arpTHA]
    if Bool.random(using: &random) { pin(.arpOp, 1) }
  case let version:
    pin(.ethType, version == 3 ? 0x800 : 0x86dd)
    fields += ip + (version == 3 ? [.ipv4Src, .ipv4Dst] : [.ipv6Src, .ipv6Dst, .ipv6Label, .ipv6ExtHdr])
    switch Int.random(in: 0..<5, using: &random) {
    case 0: break
    case 1:
      pin(.ipProto, 6)
      fields += [.tcpSrc, .tcpDst, .tcpFlags]
    case 2:
      pin(.ipProto, 17)
      fields += [.udpSrc, .udpDst]
    case 3:
      pin(.ipProto, version == 3 ? 1 : 58)
      fields.append(.icmpCode)
      switch Int.random(in: 0..<3, using: &random) {
      case 0 where version == 4:
        pin(.icmpv6Type, 135)
        fields += [.ndTarget, .ndSLL]
      case 1 where version == 4:
        pin(.icmpv6Type, 136)
        fields += [.ndTarget, .ndTLL]
      default: fields.append(.icmpType)
      }
    default: pin(.ipProto, UInt128(UInt8.random(in: 0...255, using: &random)))
    }
  }
  for field in fields where Int.random(in: 0..<3, using: &random) == 0 {
    var bits = UInt128(random.next()) << 64 | UInt128(random.next())
    switch Int.random(in: 0..<3, using: &random) {
    case 0: bits = field.allOnes
    case 1: bits = field.allOnes & ~(field.allOnes >> UInt128(Int.random(in: 0..<field.place.width, using: &random)))
    default: break
    }
    bits &= field.allOnes
    mask[field] = bits
    key[field] = (UInt128(random.next()) << 64 | UInt128(random.next())) & bits
  }
  return FlowMatch(key, mask)
}
