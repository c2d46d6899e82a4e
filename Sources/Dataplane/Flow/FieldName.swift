// FieldName.swift
//
// What: the names that rule text has for fields and protocols: ovs-ofctl's, old and new, those of OpenFlow's and Nicira's field
//       classes (OXM_OF_ETH_DST, NXM_NX_REG0), and Sluice's own for the inner tag and the extension headers.
// Threads: constants.
// Cost: one look-up in a WordTable per name; nothing is allocated.
// Source: ovs-fields(7), ovs-ofctl(8) "Flow Syntax"; OpenFlow Switch Specification 1.3.5, section 7.2.3.7 (names of the OXM class).

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
  public static func named(_ name: String) -> FieldName? { named(TextPiece(name)) }

  /// The field that a name stands for: as ovs-ofctl has it, or in capitals behind `OXM_OF_`, `NXM_OF_` or `NXM_NX_`.
  public static func named(_ piece: TextPiece) -> FieldName? {
    guard case .field(let name) = MatchWord.named(piece) else { return nil }
    return name
  }

  /// All names, in alphabetical order.
  public static let allNames: [String] = all.map(\.name).sorted()

  fileprivate static let all: [(name: String, field: FieldName)] = {
    var all: [(name: String, field: FieldName)] = []
    func define(_ names: String..., as field: FieldName) {
      for name in names { all.append((name, field)) }
    }
    // A packet's port is also its physical port: there are no ports made of others.
    define("in_port", "in_phy_port", as: FieldName(.inPort, exact: true))
    define("metadata", as: FieldName(.metadata))
    define("tun_id", "tunnel_id", as: FieldName(.tunnelID))
    let registers: [FlowField] = [.reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7]
    for (number, field) in registers.enumerated() { define("reg\(number)", as: FieldName(field)) }
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
    define("ipv6_label", "ipv6_flabel", as: FieldName(.ipv6Label))
    define("ipv6_exthdr", as: FieldName(.ipv6ExtHdr))
    define("mpls_label", as: FieldName(.mplsLabel, exact: true))
    define("mpls_tc", as: FieldName(.mplsTC, exact: true))
    define("mpls_bos", as: FieldName(.mplsBOS, exact: true))
    define("mpls_ttl", as: FieldName(.mplsTTL, exact: true))
    define("pbb_isid", as: FieldName(.pbbISID))
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
    define("icmp_type", "icmpv4_type", as: FieldName(.icmpType))
    define("icmp_code", "icmpv4_code", as: FieldName(.icmpCode))
    define("icmpv6_type", as: FieldName(.icmpv6Type))
    define("icmpv6_code", as: FieldName(.icmpv6Code))
    define("nd_target", as: FieldName(.ndTarget))
    define("nd_sll", as: FieldName(.ndSLL))
    define("nd_tll", as: FieldName(.ndTLL))
    return all
  }()
}

extension FlowField {
  /// The name that actions and explanations are written with.
  public var name: String {
    switch self {
    case .inPort: "in_port"
    case .ethDst: "eth_dst"
    case .ethSrc: "eth_src"
    case .ethType: "eth_type"
    case .vlanTCI: "vlan_tci"
    case .vlanVID: "vlan_vid"
    case .vlanPCP: "vlan_pcp"
    case .innerVLANTCI: "vlan_tci2"
    case .innerVLANVID: "dl_vlan2"
    case .innerVLANPCP: "dl_vlan_pcp2"
    case .ipProto: "nw_proto"
    case .ipTTL: "nw_ttl"
    case .ipTOS: "nw_tos"
    case .ipDSCP: "ip_dscp"
    case .ipECN: "nw_ecn"
    case .ipFrag: "ip_frag"
    case .ipv4Src: "ip_src"
    case .ipv4Dst: "ip_dst"
    case .ipv6Src: "ipv6_src"
    case .ipv6Dst: "ipv6_dst"
    case .ipv6Label: "ipv6_label"
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
    case .metadata: "metadata"
    case .mplsLabel: "mpls_label"
    case .mplsTC: "mpls_tc"
    case .mplsBOS: "mpls_bos"
    case .mplsTTL: "mpls_ttl"
    case .pbbISID: "pbb_isid"
    case .ipv6ExtHdr: "ipv6_exthdr"
    case .tunnelID: "tun_id"
    case .reg0: "reg0"
    case .reg1: "reg1"
    case .reg2: "reg2"
    case .reg3: "reg3"
    case .reg4: "reg4"
    case .reg5: "reg5"
    case .reg6: "reg6"
    case .reg7: "reg7"
    case .recircID: "recirc_id"
    }
  }
}

/// A word that begins an item of a match.
enum MatchWord {
  case field(FieldName)
  case shorthand(ProtocolName)

  /// The word that a piece is, if it is one.
  static func named(_ piece: TextPiece) -> MatchWord? {
    if let word = words[piece] { return word }
    // OXM_OF_ETH_DST and its like: the name in capitals behind that of the class.
    guard piece.count > 7, piece.bytes[piece.start + 3] == UInt8(ascii: "_") else { return nil }
    let prefix = piece.part(piece.start, piece.start + 7)
    guard prefix.equals("OXM_OF_") || prefix.equals("NXM_OF_") || prefix.equals("NXM_NX_") else { return nil }
    return capitals[piece.part(piece.start + 7, piece.end)]
  }

  private static let words = WordTable<MatchWord>(
    FieldName.all.map { ($0.name, .field($0.field)) } + ProtocolName.all.map { ($0.name.description, .shorthand($0)) })

  private static let capitals = WordTable<MatchWord>(FieldName.all.map { ($0.name.uppercased(), .field($0.field)) })
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
    ProtocolName(name: "rarp", etherType: EtherType.rarp, ipProtocol: nil),
    ProtocolName(name: "mpls", etherType: EtherType.mpls, ipProtocol: nil),
    ProtocolName(name: "mplsm", etherType: EtherType.mplsMulticast, ipProtocol: nil),
    ProtocolName(name: "pbb", etherType: EtherType.pbb, ipProtocol: nil),
    ProtocolName(name: "ipv6", etherType: EtherType.ipv6, ipProtocol: nil),
    ProtocolName(name: "tcp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.tcp),
    ProtocolName(name: "udp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.udp),
    ProtocolName(name: "sctp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.sctp),
    ProtocolName(name: "icmp6", etherType: EtherType.ipv6, ipProtocol: IPProtocol.icmpv6),
  ]
}
