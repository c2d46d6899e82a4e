// ActionText.swift
//
// What: reads and writes lists of actions in ovs-ofctl's syntax: `set_field:10.0.0.1->ip_src,output:2`. The instructions of a rule, of
//       which an action list is one, are InstructionText.swift's.
// Invariants: hostile text is refused with a SyntaxError, never a trap. An action that changes a field is accepted only when the
//             match makes sure that every packet has the field. What `text` writes is read back as the same actions.
// Threads: pure.
// Cost: a fraction of a microsecond per action.
// Source: ovs-actions(7); ovs-ofctl(8).

import Dataplane

/// Reads and writes lists of actions.
public enum ActionText {
  /// Actions that one list can have.
  public static let limit = 128

  /// What `text` is told when it names an action that is not there.
  static let supported =
    "output:PORT, drop, normal, flood, all, in_port, controller, group, set_queue, set_field, load, mod_dl_src, mod_dl_dst, "
    + "mod_vlan_vid, mod_vlan_pcp, mod_nw_src, mod_nw_dst, mod_nw_tos, mod_nw_ecn, mod_nw_ttl, mod_tp_src, mod_tp_dst, push_vlan, "
    + "pop_vlan, strip_vlan, push_mpls, pop_mpls, push_pbb, pop_pbb, set_mpls_label, set_mpls_tc, set_mpls_ttl, set_tunnel, dec_ttl, "
    + "dec_mpls_ttl, copy_ttl_in or copy_ttl_out"

  /// Reads a list of actions; `drop` is the empty one.
  ///
  /// - Parameters:
  ///   - match: the packets that the actions are for, for the prerequisites of the fields that are set; nil when nothing is known of
  ///     them, as in a group's bucket: then an action on a field that a packet lacks does nothing.
  ///   - names: knows the names of ports.
  public static func parse(_ text: TextPiece, match: FlowMatch?, names: PortNames) throws(SyntaxError) -> [RuleAction] {
    var reader = ActionReader(match: match, names: names)
    return try reader.readList(text)
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
    case .group(let id): "group:\(id)"
    case .setQueue(let queue): "set_queue:\(queue)"
    case .setField(let field, let value, let mask): setField(field, value: value, mask: mask)
    case .setVLAN(let vlan): "mod_vlan_vid:\(vlan)"
    case .setVLANPriority(let priority): "mod_vlan_pcp:\(priority)"
    case .pushVLAN(let tpid): "push_vlan:0x" + String(tpid, radix: 16)
    case .popVLAN: "pop_vlan"
    case .pushMPLS(let etherType): "push_mpls:0x" + padded(etherType)
    case .popMPLS(let etherType): "pop_mpls:0x" + padded(etherType)
    case .pushPBB: "push_pbb:0x88e7"
    case .popPBB: "pop_pbb"
    case .decrementTTL: "dec_ttl"
    case .decrementMPLSTTL: "dec_mpls_ttl"
    case .copyTTLIn: "copy_ttl_in"
    case .copyTTLOut: "copy_ttl_out"
    }
  }

  private static func padded(_ etherType: UInt16) -> String {
    let digits = String(etherType, radix: 16)
    return String(repeating: "0", count: 4 - digits.utf8.count) + digits
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
  case inPort, table, normal, flood, all, controller

  init?(_ lowercaseWord: String) {
    switch lowercaseWord {
    case "in_port": self = .inPort
    case "table": self = .table
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
    case ReservedPort.table: self = .table
    case ReservedPort.normal: self = .normal
    case ReservedPort.flood: self = .flood
    case ReservedPort.all: self = .all
    case ReservedPort.controller: self = .controller
    default: return nil
    }
  }

  var number: UInt32 {
    switch self {
    case .inPort: ReservedPort.inPort
    case .table: ReservedPort.table
    case .normal: ReservedPort.normal
    case .flood: ReservedPort.flood
    case .all: ReservedPort.all
    case .controller: ReservedPort.controller
    }
  }

  /// The action that sends there; nil for the pipeline, where no rule can send to.
  var action: RuleAction? {
    switch self {
    case .inPort: .inPort
    case .table: nil
    case .normal: .normal
    case .flood: .flood
    case .all: .all
    case .controller: .controller(maxLength: .max)
    }
  }
}

extension FlowField {
  /// The name that set_field is written with.
  var setFieldName: String { name }
}
