// ReferenceField.swift
//
// What: the fields that the reference interpreter knows, by the names that rule text has for them, and where the bytes of each lie
//       in a frame. Written from the OpenFlow 1.3.5 specification (7.2.3.7, 7.2.3.8) and the protocols' own documents; nothing here
//       comes from the data plane, so that an error there is not repeated here.
// Threads: constants.

/// A field of a packet.
public enum ReferenceField: UInt8, CaseIterable, Sendable {
  case inPort, metadata, tunnelID, reg0, reg1, reg2, reg3, reg4, reg5, reg6, reg7
  case ethDst, ethSrc, ethType
  case vlanTCI, vlanVID, vlanPCP, vlanTCI2
  case ipProto, ipTTL, ipDSCP, ipECN, ipFrag
  case ipv4Src, ipv4Dst
  case ipv6Src, ipv6Dst, ipv6Label, ipv6ExtHdr
  case tcpSrc, tcpDst, tcpFlags, udpSrc, udpDst, sctpSrc, sctpDst
  case icmpType, icmpCode, icmpv6Type, icmpv6Code
  case ndTarget, ndSLL, ndTLL
  case arpOp, arpSPA, arpTPA, arpSHA, arpTHA
  case mplsLabel, mplsTC, mplsBOS, mplsTTL, pbbISID

  /// The field's name in a match; nil when it is not matched under a name of its own.
  public var matchName: String {
    switch self {
    case .inPort: "in_port"
    case .metadata: "metadata"
    case .tunnelID: "tun_id"
    case .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7: "reg\(rawValue - Self.reg0.rawValue)"
    case .ethDst: "dl_dst"
    case .ethSrc: "dl_src"
    case .ethType: "dl_type"
    case .vlanTCI: "vlan_tci"
    case .vlanVID: "vlan_vid"
    case .vlanPCP: "dl_vlan_pcp"
    case .vlanTCI2: "vlan_tci2"
    case .ipProto: "ip_proto"
    case .ipTTL: "nw_ttl"
    case .ipDSCP: "ip_dscp"
    case .ipECN: "nw_ecn"
    case .ipFrag: "ip_frag"
    case .ipv4Src: "nw_src"
    case .ipv4Dst: "nw_dst"
    case .ipv6Src: "ipv6_src"
    case .ipv6Dst: "ipv6_dst"
    case .ipv6Label: "ipv6_label"
    case .ipv6ExtHdr: "ipv6_exthdr"
    case .tcpSrc: "tcp_src"
    case .tcpDst: "tcp_dst"
    case .tcpFlags: "tcp_flags"
    case .udpSrc: "udp_src"
    case .udpDst: "udp_dst"
    case .sctpSrc: "sctp_src"
    case .sctpDst: "sctp_dst"
    case .icmpType: "icmp_type"
    case .icmpCode: "icmp_code"
    case .icmpv6Type: "icmpv6_type"
    case .icmpv6Code: "icmpv6_code"
    case .ndTarget: "nd_target"
    case .ndSLL: "nd_sll"
    case .ndTLL: "nd_tll"
    case .arpOp: "arp_op"
    case .arpSPA: "arp_spa"
    case .arpTPA: "arp_tpa"
    case .arpSHA: "arp_sha"
    case .arpTHA: "arp_tha"
    case .mplsLabel: "mpls_label"
    case .mplsTC: "mpls_tc"
    case .mplsBOS: "mpls_bos"
    case .mplsTTL: "mpls_ttl"
    case .pbbISID: "pbb_isid"
    }
  }

  /// The field's name behind the arrow of set_field.
  public var setName: String { self == .vlanPCP ? "vlan_pcp" : matchName }

  /// Bits in a value.
  public var width: Int {
    switch self {
    case .ipv6Src, .ipv6Dst, .ndTarget: 128
    case .metadata, .tunnelID: 64
    case .ethDst, .ethSrc, .ndSLL, .ndTLL, .arpSHA, .arpTHA: 48
    case .inPort, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7, .ipv4Src, .ipv4Dst, .arpSPA, .arpTPA: 32
    case .pbbISID: 24
    case .ipv6Label, .mplsLabel: 20
    case .ethType, .vlanTCI, .vlanTCI2, .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst: 16
    case .vlanVID: 13
    case .tcpFlags: 12
    case .ipv6ExtHdr: 9
    case .ipProto, .ipTTL, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code, .mplsTTL, .arpOp: 8
    case .ipDSCP: 6
    case .vlanPCP, .mplsTC: 3
    case .ipECN, .ipFrag: 2
    case .mplsBOS: 1
    }
  }

  public var allOnes: UInt128 { width == 128 ? .max : (UInt128(1) << UInt128(width)) - 1 }

  /// True for fields that rules may look at parts of.
  public var isMaskable: Bool {
    switch self {
    case .inPort, .ethType, .vlanPCP, .ipProto, .ipDSCP, .ipECN, .ipTTL, .arpOp, .icmpType, .icmpCode, .icmpv6Type,
      .icmpv6Code, .mplsLabel, .mplsTC, .mplsBOS, .mplsTTL:
      false
    default: true
    }
  }

  /// True for fields that set_field may change.
  public var isSettable: Bool {
    switch self {
    case .inPort, .ethType, .vlanTCI, .vlanTCI2, .ipProto, .ipFrag, .ipv6ExtHdr, .tcpFlags, .mplsBOS: false
    default: true
    }
  }

  /// True for fields of the pipeline, not of the frame.
  public var isPipeline: Bool { rawValue <= Self.reg7.rawValue }

  /// A value in rule text.
  public func text(_ value: UInt128) -> String {
    func bytes(_ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt128(8 * (count - 1 - $0))) }
    }
    func hex(_ number: some BinaryInteger, _ digits: Int) -> String {
      let text = String(number, radix: 16)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    switch self {
    case .ethDst, .ethSrc, .ndSLL, .ndTLL, .arpSHA, .arpTHA: return bytes(6).map { hex($0, 2) }.joined(separator: ":")
    case .ipv4Src, .ipv4Dst, .arpSPA, .arpTPA: return bytes(4).map { String($0) }.joined(separator: ".")
    case .ipv6Src, .ipv6Dst, .ndTarget:
      let all = bytes(16)
      return stride(from: 0, to: 16, by: 2).map { hex(UInt16(all[$0]) << 8 | UInt16(all[$0 + 1]), 1) }.joined(separator: ":")
    case .inPort, .ipFrag: return String(value)
    default: return "0x" + String(value, radix: 16)
    }
  }
}

/// The bits of a field that something looks at or writes.
public struct FieldBits: Hashable, Sendable {
  public var field: ReferenceField
  public var value: UInt128
  public var mask: UInt128

  public init(_ field: ReferenceField, _ value: UInt128, _ mask: UInt128? = nil) {
    self.field = field
    self.mask = mask ?? field.allOnes
    self.value = value & self.mask
  }

  /// The bits in rule text: `10.0.0.0/255.0.0.0`.
  public var valueText: String {
    mask == field.allOnes && field != .ipFrag ? field.text(value) : field.text(value) + "/" + field.text(mask)
  }
}
