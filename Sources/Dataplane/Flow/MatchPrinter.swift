// MatchPrinter.swift
//
// What: writes a match in ovs-ofctl's syntax, in one canonical form: shorthands instead of dl_type and nw_proto, fields in
//       ovs-ofctl's order, prefixes where a mask is one.
// Invariant: MatchText reads the same match back, as long as the match meets its fields' prerequisites, which all parsed ones do, and is not that of
//            a packet that was parsed a second time: `recirc_id(0x1)` is for flows, and no rule can name it.
// Threads: pure.
// Cost: a few microseconds; for people.

extension FlowMatch {
  /// Writes the match; the match of every packet is the empty text.
  ///
  /// - Parameter names: how ports are written.
  public func text(names: PortNames = .none) -> String { fieldTexts(names: names).joined(separator: ",") }

  /// Writes the match field by field, as the items of `text`.
  public func fieldTexts(names: PortNames = .none) -> [String] {
    var printer = MatchPrinter(match: self, names: names)
    printer.print()
    return printer.items
  }
}

private struct MatchPrinter {
  let match: FlowMatch
  let names: PortNames
  var items: [String] = []

  private static let registers: [FlowField] = [.reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7]

  mutating func print() {
    let type = match.exactValue(of: .ethType)
    let isARP = type == UInt128(EtherType.arp) || type == UInt128(EtherType.rarp)
    let isIPv6 = type == UInt128(EtherType.ipv6)
    let proto = match.exactValue(of: .ipProto)
    let shorthand = ProtocolName.all.last {
      UInt128($0.etherType) == type && ($0.ipProtocol == nil || !isARP && $0.ipProtocol.map { UInt128($0) } == proto)
    }
    if let shorthand { items.append(shorthand.name.description) }
    // Every flow looks whether a packet comes from a port; only the others are worth a word.
    if match.key[.recircID] != 0 { items.append("recirc_id(0x\(String(match.key[.recircID], radix: 16)))") }
    for register in MatchPrinter.registers { field(register, register.name) }
    field(.tunnelID, "tun_id")
    field(.metadata, "metadata")
    field(.inPort, "in_port")
    tag(.vlanTCI, .vlanVID, suffix: "")
    tag(.innerVLANTCI, .innerVLANVID, suffix: "2")
    field(.ethSrc, "dl_src")
    field(.ethDst, "dl_dst")
    if shorthand == nil { field(.ethType, "dl_type") }
    if isARP {
      field(.arpSPA, "arp_spa")
      field(.arpTPA, "arp_tpa")
      field(.arpOp, "arp_op")
      field(.arpSHA, "arp_sha")
      field(.arpTHA, "arp_tha")
    } else {
      field(.ipv4Src, "nw_src")
      field(.ipv4Dst, "nw_dst")
      field(.ipv6Src, "ipv6_src")
      field(.ipv6Dst, "ipv6_dst")
      field(.ipv6Label, "ipv6_label")
      field(.ipv6ExtHdr, "ipv6_exthdr")
      if shorthand?.ipProtocol == nil { field(.ipProto, "nw_proto") }
      field(.arpSHA, "arp_sha")
      field(.arpTHA, "arp_tha")
    }
    tos()
    field(.ipTTL, "nw_ttl")
    field(.mplsLabel, "mpls_label")
    field(.mplsTC, "mpls_tc")
    field(.mplsTTL, "mpls_ttl")
    field(.mplsBOS, "mpls_bos")
    field(.pbbISID, "pbb_isid")
    field(.ipFrag, "ip_frag")
    transport(isICMP: proto.map { $0 == UInt128(isIPv6 ? IPProtocol.icmpv6 : IPProtocol.icmp) } ?? false)
    field(.ndTarget, "nd_target")
    field(.ndSLL, "nd_sll")
    field(.ndTLL, "nd_tll")
  }

  private mutating func field(_ field: FlowField, _ name: String) {
    let mask = match.mask[field]
    guard mask != 0 else { return }
    items.append("\(name)=\(field.format(match.key[field], mask: mask, names: names))")
  }

  private mutating func tag(_ field: FlowField, _ vid: FlowField, suffix: String) {
    let mask = match.mask[field]
    let value = match.key[field]
    let isPresent = value & UInt128(vlanPresent) != 0
    switch mask {
    case 0: return
    case 0x1fff where value == 0: items.append("dl_vlan\(suffix)=0xffff")
    case 0x1fff where isPresent: items.append("dl_vlan\(suffix)=\(value & 0xfff)")
    case 0xf000 where isPresent: items.append("dl_vlan_pcp\(suffix)=\(value >> 13)")
    case 0xffff where isPresent:
      items.append("dl_vlan\(suffix)=\(value & 0xfff)")
      items.append("dl_vlan_pcp\(suffix)=\(value >> 13)")
    default: items.append("vlan_tci\(suffix)=\(field.format(value, mask: mask))")
    }
  }

  private mutating func tos() {
    let mask = match.mask[.ipTOS]
    let value = match.key[.ipTOS]
    switch mask {
    case 0xfc, 0xff: items.append("nw_tos=\(value & 0xfc)")
    case 3, 0: break
    default: return items.append("nw_tos=\(FlowField.ipTOS.format(value, mask: mask))")
    }
    if mask & 3 != 0 { items.append("nw_ecn=\(value & 3)") }
  }

  private mutating func transport(isICMP: Bool) {
    if isICMP {
      field(.icmpType, "icmp_type")
      field(.icmpCode, "icmp_code")
    } else {
      field(.tcpSrc, "tp_src")
      field(.tcpDst, "tp_dst")
    }
    field(.tcpFlags, "tcp_flags")
  }
}
