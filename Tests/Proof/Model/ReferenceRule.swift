// ReferenceRule.swift
//
// What: rules, groups and meters as the reference knows them, and their text in ovs-ofctl's syntax, which is how the real switch gets
//       them. So the text is part of what is compared.
// Threads: values.

/// One action.
public enum ReferenceAction: Hashable, Sendable {
  case output(UInt32)
  case inPort, flood, all, normal
  case controller(UInt16)
  case group(UInt32)
  case setQueue(UInt32)
  case set(FieldBits)
  case modVLAN(UInt16)
  case modPriority(UInt8)
  case pushVLAN(UInt16)
  case popVLAN
  case pushMPLS(UInt16)
  case popMPLS(UInt16)
  case pushPBB, popPBB
  case decrementTTL, decrementMPLSTTL, copyTTLIn, copyTTLOut

  public var text: String {
    func hex(_ value: UInt16) -> String { "0x" + String(value, radix: 16) }
    switch self {
    case .output(let port): return "output:\(port)"
    case .inPort: return "in_port"
    case .flood: return "flood"
    case .all: return "all"
    case .normal: return "normal"
    case .controller(let length): return "controller:\(length)"
    case .group(let id): return "group:\(id)"
    case .setQueue(let queue): return "set_queue:\(queue)"
    case .set(let bits): return "set_field:\(bits.valueText)->\(bits.field.setName)"
    case .modVLAN(let vlan): return "mod_vlan_vid:\(vlan)"
    case .modPriority(let priority): return "mod_vlan_pcp:\(priority)"
    case .pushVLAN(let type): return "push_vlan:\(hex(type))"
    case .popVLAN: return "pop_vlan"
    case .pushMPLS(let type): return "push_mpls:\(hex(type))"
    case .popMPLS(let type): return "pop_mpls:\(hex(type))"
    case .pushPBB: return "push_pbb:0x88e7"
    case .popPBB: return "pop_pbb"
    case .decrementTTL: return "dec_ttl"
    case .decrementMPLSTTL: return "dec_mpls_ttl"
    case .copyTTLIn: return "copy_ttl_in"
    case .copyTTLOut: return "copy_ttl_out"
    }
  }
}

/// One rule.
public struct ReferenceRule: Hashable, Sendable {
  public var table: UInt8
  public var priority: UInt16
  public var match: [FieldBits]
  public var meter: UInt32?
  public var apply: [ReferenceAction] = []
  public var clears = false
  public var write: [ReferenceAction] = []
  public var metadata: FieldBits?
  public var goto: UInt8?

  public init(table: UInt8, priority: UInt16, match: [FieldBits]) {
    self.table = table
    self.priority = priority
    self.match = match
  }

  /// The rule in ovs-ofctl's syntax. Its cookie tells it from the others.
  public func text(cookie: Int) -> String {
    var parts = ["table=\(table)", "priority=\(priority)", "cookie=0x\(String(cookie, radix: 16))"]
    parts += match.map { "\($0.field.matchName)=\($0.valueText)" }
    var instructions: [String] = []
    if let meter { instructions.append("meter:\(meter)") }
    instructions += apply.map(\.text)
    if clears { instructions.append("clear_actions") }
    if !write.isEmpty { instructions.append("write_actions(" + write.map(\.text).joined(separator: ",") + ")") }
    if let metadata { instructions.append("write_metadata:" + metadata.valueText) }
    if let goto { instructions.append("goto_table:\(goto)") }
    return parts.joined(separator: ",") + ",actions=" + (instructions.isEmpty ? "drop" : instructions.joined(separator: ","))
  }
}

/// One bucket of a group.
public struct ReferenceBucket: Hashable, Sendable {
  public var weight: UInt16 = 1
  public var watchPort: UInt32?
  public var watchGroup: UInt32?
  public var actions: [ReferenceAction]

  public init(actions: [ReferenceAction]) { self.actions = actions }
}

/// One group.
public struct ReferenceGroup: Hashable, Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case all, select, indirect
    case fastFailover = "ff"
  }

  public var id: UInt32
  public var kind: Kind
  public var buckets: [ReferenceBucket]

  public init(id: UInt32, kind: Kind, buckets: [ReferenceBucket]) {
    self.id = id
    self.kind = kind
    self.buckets = buckets
  }

  /// The group in ovs-ofctl's syntax.
  public var text: String {
    var text = "group_id=\(id),type=\(kind.rawValue)"
    for bucket in buckets {
      text += ",bucket="
      if kind == .select { text += "weight:\(bucket.weight)," }
      if let port = bucket.watchPort { text += "watch_port:\(port)," }
      if let group = bucket.watchGroup { text += "watch_group:\(group)," }
      text += "actions=" + (bucket.actions.isEmpty ? "drop" : bucket.actions.map(\.text).joined(separator: ","))
    }
    return text
  }
}

/// A port as rules see it.
public struct ReferencePort: Hashable, Sendable {
  public var number: UInt32
  public var isUp: Bool
  public var noFlood: Bool

  public init(number: UInt32, isUp: Bool = true, noFlood: Bool = false) {
    self.number = number
    self.isUp = isUp
    self.noFlood = noFlood
  }
}
