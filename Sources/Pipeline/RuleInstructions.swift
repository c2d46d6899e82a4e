// RuleInstructions.swift
//
// What: what a rule does with its packets, in the order in which OpenFlow carries instructions out: meter, apply actions now, clear the
//       action set, write to it, write metadata, go on in another table. Rules with equal instructions share one copy.
// Invariants: metadata has no value bit outside its mask. Nothing at all drops the packet, or rather ends the pipeline with the action
//             set as it is.
// Threads: RuleInstructions is a value; the interner is confined to the pipeline thread.
// Source: OpenFlow Switch Specification 1.3.5, section 5.9.

/// The instructions of a rule.
public struct RuleInstructions: Hashable, Sendable {
  /// The meter that the packets pass first.
  public var meter: UInt32?
  /// Actions that are applied at once, in their order.
  public var apply: [RuleAction]
  /// Empties the action set.
  public var clearsActions: Bool
  /// Actions that are merged into the action set, which is carried out when the pipeline ends.
  public var write: [RuleAction]
  public var metadata: MetadataWrite?
  /// The table that looks at the packet next; always a later one.
  public var goto: UInt8?

  public init(
    meter: UInt32? = nil, apply: [RuleAction] = [], clearsActions: Bool = false, write: [RuleAction] = [],
    metadata: MetadataWrite? = nil, goto: UInt8? = nil
  ) {
    self.meter = meter
    self.apply = apply
    self.clearsActions = clearsActions
    self.write = write
    self.metadata = metadata
    self.goto = goto
  }

  /// True when an action sends to exactly this port number, reserved ports included.
  public func sends(to port: UInt32) -> Bool {
    apply.contains { $0.sends(to: port) } || write.contains { $0.sends(to: port) }
  }

  /// True when an action uses this group.
  public func uses(group: UInt32) -> Bool { apply.contains(.group(group)) || write.contains(.group(group)) }
}

/// The bits of the metadata that a rule writes.
public struct MetadataWrite: Hashable, Sendable {
  public let value: UInt64
  public let mask: UInt64

  /// Bits of `value` outside `mask` are cleared.
  public init(value: UInt64, mask: UInt64 = .max) {
    self.value = value & mask
    self.mask = mask
  }
}

/// Instructions that rules in force share.
final class SharedInstructions {
  let value: RuleInstructions
  /// Rules in force that have them.
  fileprivate(set) var users = 0

  init(_ value: RuleInstructions) { self.value = value }
}

/// Keeps one copy of equal instructions.
struct InstructionInterner {
  private var known: [RuleInstructions: SharedInstructions] = [:]
  /// Rules come in runs that do the same.
  private var last: SharedInstructions?

  /// Different instructions in use.
  var count: Int { known.count }

  /// How many rules have instructions that `selects` selects.
  func count(where selects: (RuleInstructions) -> Bool) -> Int {
    known.values.reduce(0) { $0 + (selects($1.value) ? $1.users : 0) }
  }

  mutating func take(_ value: RuleInstructions) -> SharedInstructions {
    if let last, last.users > 0, last.value == value {
      last.users += 1
      return last
    }
    let shared: SharedInstructions
    if let found = known[value] {
      shared = found
    } else {
      shared = SharedInstructions(value)
      known[value] = shared
    }
    shared.users += 1
    last = shared
    return shared
  }

  mutating func release(_ shared: SharedInstructions) {
    shared.users -= 1
    if shared.users == 0 { known[shared.value] = nil }
  }
}
