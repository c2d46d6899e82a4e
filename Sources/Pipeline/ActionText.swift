// ActionText.swift
//
// What: reads and writes the actions of a rule in ovs-ofctl's syntax: `set_field:10.0.0.1->ip_src,output:2`.
// Invariants: hostile text is refused with a SyntaxError, never a trap. An action that changes a field is accepted only when the
//             match makes sure that every packet has the field. What `text` writes is read back as the same actions.
// Threads: pure.
// Cost: about a microsecond per action.
// Source: ovs-actions(7); ovs-ofctl(8).

import Dataplane

/// Reads and writes lists of actions.
public enum ActionText {
  /// Actions that one rule can have.
  public static let limit = 128

  /// What `text` is told when it names an action that is not there.
  static let supported =
    "output:PORT, drop, normal, flood, all, in_port, controller, set_field, mod_dl_src, mod_dl_dst, mod_vlan_vid, "
    + "mod_vlan_pcp, mod_nw_src, mod_nw_dst, mod_nw_tos, mod_nw_ecn, mod_nw_ttl, mod_tp_src, mod_tp_dst, push_vlan, pop_vlan, "
    + "strip_vlan or dec_ttl"

  /// Reads the text behind `actions=`.
  ///
  /// - Parameters:
  ///   - match: the rule's match, for the prerequisites of the fields that are set.
  ///   - names: knows the names of ports.
  public static func parse(_ text: TextPiece, match: FlowMatch, names: PortNames) throws(SyntaxError) -> [RuleAction] {
    var reader = ActionReader(match: match, names: names)
    var items = TextItems(text)
    while let item = try items.nextAction() {
      guard reader.actions.count < limit else {
        throw item.whole.error("too many actions", expected: "at most \(limit)")
      }
      try reader.read(item)
    }
    guard let first = reader.actions.first else {
      throw text.error("there is no action", expected: "drop, or one of \(supported)")
    }
    guard first == .drop || !reader.actions.contains(.drop), reader.actions.count == 1 || first != .drop else {
      throw text.error("drop stands with other actions", expected: "drop alone")
    }
    return reader.actions
  }

  /// Writes actions as `ovs-ofctl dump-flows` does.
  public static func text(_ actions: [RuleAction], names: PortNames = .none) -> String {
    actions.isEmpty ? "drop" : actions.map { text($0, names: names) }.joined(separator: ",")
  }

  /// Writes one action.
  public static func text(_ action: RuleAction, names: PortNames = .none) -> String {
    switch action {
    case .output(let number): "output:" + port(number, names: names)
    case .inPort: "IN_PORT"
    case .normal: "NORMAL"
    case .flood: "FLOOD"
    case .all: "ALL"
    case .controller(let maxLength): "CONTROLLER:\(maxLength)"
    case .drop: "drop"
    case .setField(let field, let value, let mask): setField(field, value: value, mask: mask)
    case .setVLAN(let vlan): "mod_vlan_vid:\(vlan)"
    case .setVLANPriority(let priority): "mod_vlan_pcp:\(priority)"
    case .pushVLAN(let tpid): "push_vlan:0x" + String(tpid, radix: 16)
    case .popVLAN: "pop_vlan"
    case .decrementTTL: "dec_ttl"
    }
  }

  /// Writes a port so that it is not taken for a reserved one.
  static func port(_ number: UInt32, names: PortNames) -> String {
    let name = names.format(number)
    let isReserved = name != "LOCAL" && ReservedOutput(name.lowercased()) != nil
    return isReserved ? String(number) : name
  }

  /// Writes a set_field action.
  static func setField(_ field: FlowField, value: UInt128, mask: UInt128) -> String {
    switch field {
    case .vlanVID where mask & 0xfff == 0xfff: "set_field:\(value & 0xfff | 0x1000)->vlan_vid"
    case .ipTOS: "set_field:0x\(String(value, radix: 16))/0x\(String(mask, radix: 16))->nw_tos"
    default: "set_field:\(field.format(value, mask: mask))->\(field.setFieldName)"
    }
  }
}

/// The outputs that have words instead of numbers.
enum ReservedOutput {
  case inPort, normal, flood, all, controller

  init?(_ lowercaseWord: String) {
    switch lowercaseWord {
    case "in_port": self = .inPort
    case "normal": self = .normal
    case "flood": self = .flood
    case "all": self = .all
    case "controller": self = .controller
    default: return nil
    }
  }

  init?(_ number: UInt32) {
    switch number {
    case ReservedPort.inPort: self = .inPort
    case ReservedPort.normal: self = .normal
    case ReservedPort.flood: self = .flood
    case ReservedPort.all: self = .all
    case ReservedPort.controller: self = .controller
    default: return nil
    }
  }

  var action: RuleAction {
    switch self {
    case .inPort: .inPort
    case .normal: .normal
    case .flood: .flood
    case .all: .all
    case .controller: .controller(maxLength: .max)
    }
  }
}

extension FlowField {
  /// The name that set_field is written with.
  var setFieldName: String {
    switch self {
    case .ethSrc: "eth_src"
    case .ethDst: "eth_dst"
    case .vlanVID: "vlan_vid"
    case .vlanPCP: "vlan_pcp"
    case .ipv4Src: "ip_src"
    case .ipv4Dst: "ip_dst"
    case .ipv6Src: "ipv6_src"
    case .ipv6Dst: "ipv6_dst"
    case .ipTOS: "nw_tos"
    case .ipDSCP: "ip_dscp"
    case .ipECN: "nw_ecn"
    case .ipTTL: "nw_ttl"
    case .tcpSrc: "tcp_src"
    case .tcpDst: "tcp_dst"
    case .udpSrc: "udp_src"
    case .udpDst: "udp_dst"
    case .sctpSrc: "sctp_src"
    case .sctpDst: "sctp_dst"
    default: "\(self)"
    }
  }
}
