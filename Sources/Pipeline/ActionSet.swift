// ActionSet.swift
//
// What: the actions that write_actions collects on a packet's way through the tables, and those of a group's bucket: at most one of each
//       kind, executed in an order of their own, whatever the order in which they were written.
// Invariant: one action of each kind, and one set_field per field; what is written later replaces what was written before.
// Threads: a value.
// Cost: writing compares with what is there; sets are short.
// Source: OpenFlow Switch Specification 1.3.5, section 5.10.
//
// Where the specification leaves the order open: tags are popped from the outside in (VLAN, PBB, MPLS), and fields are set in the order
// in which they were written. Everything that names an output (normal, flood, controller ...) is of the kind "output".

import Dataplane

/// An action set.
struct ActionSet: Hashable {
  private(set) var actions: [RuleAction] = []

  init(_ actions: [RuleAction] = []) { write(actions) }

  var isEmpty: Bool { actions.isEmpty }

  /// Adds actions, each in the place of one of its kind.
  mutating func write(_ new: [RuleAction]) {
    for action in new {
      let kind = Self.kind(action)
      actions.removeAll { Self.kind($0) == kind }
      actions.append(action)
    }
  }

  mutating func clear() { actions.removeAll() }

  /// The actions in the order of their execution. A group stands for the output.
  var ordered: [RuleAction] {
    guard actions.count > 1 else { return actions }
    let hasGroup = actions.contains { Self.stage($0) == Stage.group }
    let kept = hasGroup ? actions.filter { Self.stage($0) != Stage.output } : actions
    return kept.enumerated().sorted { a, b in (Self.stage(a.element), a.offset) < (Self.stage(b.element), b.offset) }.map(\.element)
  }

  private enum Stage {
    static let set = 10
    static let group = 12
    static let output = 13
  }

  /// What tells an action from others that may be in the set beside it.
  private struct Kind: Hashable {
    let stage: Int
    let field: FlowField?
  }

  private static func kind(_ action: RuleAction) -> Kind {
    let field: FlowField? =
      switch action {
      case .setField(let field, _, _): field
      case .setVLAN: .vlanVID
      case .setVLANPriority: .vlanPCP
      default: nil
      }
    return Kind(stage: stage(action), field: field)
  }

  private static func stage(_ action: RuleAction) -> Int {
    switch action {
    case .copyTTLIn: 0
    case .popVLAN: 1
    case .popPBB: 2
    case .popMPLS: 3
    case .pushMPLS: 4
    case .pushPBB: 5
    case .pushVLAN: 6
    case .copyTTLOut: 7
    case .decrementTTL: 8
    case .decrementMPLSTTL: 9
    case .setField, .setVLAN, .setVLANPriority: Stage.set
    case .setQueue: 11
    case .group: Stage.group
    case .output, .inPort, .normal, .flood, .all, .controller: Stage.output
    }
  }
}
