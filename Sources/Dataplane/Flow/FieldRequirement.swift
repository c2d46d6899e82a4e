// FieldRequirement.swift
//
// What: which packets have a field at all: what a match must pin before it may look at the field, and before an action may set it.
// Threads: constants.
// Source: ovs-fields(7), "Prerequisites"; OpenFlow Switch Specification 1.3.5, section 7.2.3.8.

/// What must be known of a packet for a field to mean something.
public enum FieldRequirement: UInt8, CaseIterable, Sendable {
  case none
  case ipv4OrARP, ip, ipOrARP, ipv4, ipv6, arp
  case mpls, pbb
  case tcp, udp, sctp, transport, icmp, icmpv6
  case neighbour, neighbourSolicitation, neighbourAdvertisement

  /// The requirement of a field.
  public init(_ field: FlowField) {
    switch field {
    case .inPort, .ethDst, .ethSrc, .ethType, .metadata, .vlanTCI, .vlanVID, .vlanPCP, .innerVLANTCI, .innerVLANVID,
      .innerVLANPCP, .tunnelID, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7, .recircID:
      self = .none
    case .ipProto, .ipTTL, .ipTOS, .ipDSCP, .ipECN, .ipFrag: self = .ip
    case .ipv4Src, .ipv4Dst: self = .ipv4
    case .ipv6Src, .ipv6Dst, .ipv6Label, .ipv6ExtHdr: self = .ipv6
    case .mplsLabel, .mplsTC, .mplsBOS, .mplsTTL: self = .mpls
    case .pbbISID: self = .pbb
    case .tcpSrc, .tcpDst, .tcpFlags: self = .tcp
    case .udpSrc, .udpDst: self = .udp
    case .sctpSrc, .sctpDst: self = .sctp
    case .icmpType, .icmpCode: self = .icmp
    case .icmpv6Type, .icmpv6Code: self = .icmpv6
    case .ndTarget: self = .neighbour
    case .ndSLL: self = .neighbourSolicitation
    case .ndTLL: self = .neighbourAdvertisement
    case .arpOp, .arpSPA, .arpTPA, .arpSHA, .arpTHA: self = .arp
    }
  }

  /// True when every packet of the match has the field.
  public func isMet(by match: FlowMatch) -> Bool {
    if case .none = self { return true }
    guard match.mask[.ethType] == 0xffff else { return false }
    let type = UInt16(truncatingIfNeeded: match.key[.ethType])
    let isIPv4 = type == EtherType.ipv4
    let isIPv6 = type == EtherType.ipv6
    let isARP = type == EtherType.arp || type == EtherType.rarp
    func isProtocol(_ number: UInt8) -> Bool {
      match.mask[.ipProto] == 0xff && match.key[.ipProto] == UInt128(number)
    }
    func isICMPv6(type: UInt8) -> Bool {
      isIPv6 && isProtocol(IPProtocol.icmpv6) && match.exactValue(of: .icmpv6Type) == UInt128(type)
    }
    switch self {
    case .none: return true
    case .ipv4: return isIPv4
    case .ipv6: return isIPv6
    case .arp: return isARP
    case .ip: return isIPv4 || isIPv6
    case .ipv4OrARP: return isIPv4 || isARP
    case .ipOrARP: return isIPv4 || isIPv6 || isARP
    case .mpls: return type == EtherType.mpls || type == EtherType.mplsMulticast
    case .pbb: return type == EtherType.pbb
    case .tcp: return (isIPv4 || isIPv6) && isProtocol(IPProtocol.tcp)
    case .udp: return (isIPv4 || isIPv6) && isProtocol(IPProtocol.udp)
    case .sctp: return (isIPv4 || isIPv6) && isProtocol(IPProtocol.sctp)
    case .transport:
      return (isIPv4 || isIPv6)
        && (isProtocol(IPProtocol.tcp) || isProtocol(IPProtocol.udp) || isProtocol(IPProtocol.sctp))
    case .icmp: return isIPv4 && isProtocol(IPProtocol.icmp) || isIPv6 && isProtocol(IPProtocol.icmpv6)
    case .icmpv6: return isIPv6 && isProtocol(IPProtocol.icmpv6)
    case .neighbour: return isICMPv6(type: 135) || isICMPv6(type: 136)
    case .neighbourSolicitation: return isICMPv6(type: 135)
    case .neighbourAdvertisement: return isICMPv6(type: 136)
    }
  }

  /// What the match lacks, in its own words.
  public var words: String {
    switch self {
    case .none: ""
    case .ipv4OrARP: "ip or arp"
    case .ip: "ip or ipv6"
    case .ipOrARP: "ip, ipv6 or arp"
    case .ipv4: "ip"
    case .ipv6: "ipv6"
    case .arp: "arp"
    case .mpls: "mpls or mplsm"
    case .pbb: "pbb"
    case .tcp: "tcp or tcp6"
    case .udp: "udp or udp6"
    case .sctp: "sctp or sctp6"
    case .transport: "tcp, udp or sctp (or tcp6, udp6, sctp6)"
    case .icmp: "icmp or icmp6"
    case .icmpv6: "icmp6"
    case .neighbour: "icmp6 and icmp_type=135 or icmp_type=136"
    case .neighbourSolicitation: "icmp6 and icmp_type=135"
    case .neighbourAdvertisement: "icmp6 and icmp_type=136"
    }
  }
}
