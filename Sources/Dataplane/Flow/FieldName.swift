// FieldName.swift
//
// What: the names that rule text has for fields: ovs-ofctl's, old and new, and Sluice's own for the inner tag.
// Threads: constants.
// Cost: one dictionary probe per name.
// Source: ovs-fields(7), ovs-ofctl(8) "Flow Syntax".

/// A name of a field in rule text.
public struct FieldName: Sendable {
  /// How a value that is given under this name becomes bits of the key.
  public enum Style: Sendable {
    /// The bits of the field.
    case plain
    /// dl_vlan: a VID from 0 to 4095, or 0xffff for untagged.
    case vlan
    /// dl_vlan_pcp: a priority; implies that there is a tag.
    case vlanPriority
    /// vlan_vid: a VID with the bit 0x1000 for "there is a tag", as OpenFlow 1.2 and later have it.
    case vlanID
    /// nw_tos: without a mask the six DSCP bits of the octet, otherwise the octet.
    case tos
  }

  public let field: FlowField
  public let style: Style
  public let requirement: FieldRequirement
  /// False for fields that only whole values are matched of.
  public let isMaskable: Bool

  private init(_ field: FlowField, _ style: Style = .plain, _ requirement: FieldRequirement? = nil, exact: Bool = false) {
    self.field = field
    self.style = style
    self.requirement = requirement ?? FieldRequirement(field)
    isMaskable = !exact
  }

  /// The field that a name stands for.
  public static func named(_ name: String) -> FieldName? { table[name] }

  /// All names, in alphabetical order.
  public static let allNames: [String] = table.keys.sorted()

  private static let table: [String: FieldName] = {
    var table: [String: FieldName] = [:]
    func define(_ names: String..., as field: FieldName) {
      for name in names { table[name] = field }
    }
    define("in_port", as: FieldName(.inPort, exact: true))
    define("metadata", as: FieldName(.metadata))
    define("dl_src", "eth_src", as: FieldName(.ethSrc))
    define("dl_dst", "eth_dst", as: FieldName(.ethDst))
    define("dl_type", "eth_type", as: FieldName(.ethType, exact: true))
    define("dl_vlan", as: FieldName(.vlanVID, .vlan, exact: true))
    define("dl_vlan_pcp", "vlan_pcp", as: FieldName(.vlanPCP, .vlanPriority, exact: true))
    define("vlan_vid", as: FieldName(.vlanVID, .vlanID))
    define("vlan_tci", as: FieldName(.vlanTCI))
    define("dl_vlan2", as: FieldName(.innerVLANVID, .vlan, exact: true))
    define("dl_vlan_pcp2", as: FieldName(.innerVLANPCP, .vlanPriority, exact: true))
    define("vlan_tci2", as: FieldName(.innerVLANTCI))
    // ARP has its addresses and its opcode where IPv4 has addresses and protocol, in the key and in these names.
    define("nw_src", "ip_src", "ipv4_src", as: FieldName(.ipv4Src, .plain, .ipv4OrARP))
    define("nw_dst", "ip_dst", "ipv4_dst", as: FieldName(.ipv4Dst, .plain, .ipv4OrARP))
    define("nw_proto", as: FieldName(.ipProto, .plain, .ipOrARP, exact: true))
    define("ip_proto", as: FieldName(.ipProto, exact: true))
    define("nw_tos", "ip_tos", as: FieldName(.ipTOS, .tos))
    define("ip_dscp", as: FieldName(.ipDSCP))
    define("nw_ecn", "ip_ecn", as: FieldName(.ipECN))
    define("nw_ttl", "ip_ttl", as: FieldName(.ipTTL))
    define("ip_frag", "nw_frag", as: FieldName(.ipFrag))
    define("ipv6_src", as: FieldName(.ipv6Src))
    define("ipv6_dst", as: FieldName(.ipv6Dst))
    define("ipv6_label", as: FieldName(.ipv6Label))
    define("arp_op", as: FieldName(.arpOp, exact: true))
    define("arp_spa", as: FieldName(.arpSPA))
    define("arp_tpa", as: FieldName(.arpTPA))
    define("arp_sha", as: FieldName(.arpSHA))
    define("arp_tha", as: FieldName(.arpTHA))
    define("tp_src", as: FieldName(.tcpSrc, .plain, .transport))
    define("tp_dst", as: FieldName(.tcpDst, .plain, .transport))
    define("tcp_src", as: FieldName(.tcpSrc))
    define("tcp_dst", as: FieldName(.tcpDst))
    define("tcp_flags", as: FieldName(.tcpFlags))
    define("udp_src", as: FieldName(.udpSrc))
    define("udp_dst", as: FieldName(.udpDst))
    define("sctp_src", as: FieldName(.sctpSrc))
    define("sctp_dst", as: FieldName(.sctpDst))
    define("icmp_type", as: FieldName(.icmpType))
    define("icmp_code", as: FieldName(.icmpCode))
    define("icmpv6_type", as: FieldName(.icmpv6Type))
    define("icmpv6_code", as: FieldName(.icmpv6Code))
    define("nd_target", as: FieldName(.ndTarget))
    define("nd_sll", as: FieldName(.ndSLL))
    define("nd_tll", as: FieldName(.ndTLL))
    return table
  }()
}

/// The shorthands that stand for an EtherType and perhaps an IP protocol.
struct ProtocolName {
  let name: StaticString
  let etherType: UInt16
  let ipProtocol: UInt8?

  static let all: [ProtocolName] = [
    ProtocolName(name: "ip", etherType: EtherType.ipv4, ipProtocol: nil),
    ProtocolName(name: "tcp", etherType: EtherType.ipv4, ipProtocol: IPProtocol.tcp),
    ProtocolName(name: "udp", etherType: EtherType.ipv4, ipProtocol: IPProtocol.udp),
    ProtocolName(name: "sctp", etherType: EtherType.ipv4, ipProtocol: IPProtocol.sctp),
    ProtocolName(name: "icmp", etherType: EtherType.ipv4, ipProtocol: IPProtocol.icmp),
    ProtocolName(name: "arp", etherType: EtherType.arp, ipProtocol: nil),
    ProtocolName(name: "ipv6", etherType: EtherType.ipv6, ipProtocol: nil),
    ProtocolName(name: "tcp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.tcp),
    ProtocolName(name: "udp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.udp),
    ProtocolName(name: "sctp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.sctp),
    ProtocolName(name: "icmp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.icmpv6),
  ]

  static func named(_ piece: TextPiece) -> ProtocolName? { all.first { piece.equals($0.name) } }
}
