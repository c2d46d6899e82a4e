// Translation.swift
//
// What: what the rules mean for one class of packets: the flow (mask and actions), what the flow depends on, and why it
//       came out so.
// Invariant: every packet that agrees with the translated key in the bits of `mask` has the same translation, as long as the rules,
//            groups and meters it met, the ports it names and the stations in `dependencies` stay as they are.
// Threads: confined to the pipeline thread, because it holds rule entries.
// Cost: a packet that meets one rule with one output allocates the list of its actions and nothing else.

import Dataplane

/// Why nothing is sent for a class of packets.
public enum TranslationDrop: UInt8, CaseIterable, Sendable {
  /// No rule matches in some table.
  case noRule = 1
  /// The rules say `drop`, or send nowhere.
  case ruleDrops
  /// The only output is the port the packet came in on, which takes `in_port` to mean.
  case outputToIngressPort
  /// The rule sends to a port that is not there.
  case noSuchPort
  /// The port is down.
  case portDown
  /// `normal` does not forward link-local group addresses (01:80:c2:00:00:00 to 0f), as no bridge does.
  case reservedMulticast
  /// Flooded, but no other port takes part.
  case noPortToFlood
  /// A tag would be pushed on a packet that has two: more than Sluice parses.
  case tooManyTags
  /// The group is not there.
  case noSuchGroup
  /// No bucket of the group is alive.
  case noLiveBucket
  /// Groups within groups beyond the limit.
  case groupsTooDeep
  /// The rules make more actions of one packet than a flow can hold.
  case tooManyActions
  /// The packet comes back to a state of the pipeline that has been given up.
  case recirculationGone
  /// There is no number left for a state of the pipeline to come back to.
  case recirculationLimit

  /// The reason's name in counters and events.
  public var name: String {
    switch self {
    case .noRule: "no-rule"
    case .ruleDrops: "rule-drops"
    case .outputToIngressPort: "output-to-ingress-port"
    case .noSuchPort: "no-such-port"
    case .portDown: "port-down"
    case .reservedMulticast: "reserved-multicast"
    case .noPortToFlood: "no-port-to-flood"
    case .tooManyTags: "too-many-tags"
    case .noSuchGroup: "no-such-group"
    case .noLiveBucket: "no-live-bucket"
    case .groupsTooDeep: "groups-too-deep"
    case .tooManyActions: "too-many-actions"
    case .recirculationGone: "recirculation-gone"
    case .recirculationLimit: "recirculation-limit"
    }
  }

  /// The reason in words, to follow "dropped: ".
  public var explanation: String {
    switch self {
    case .noRule: "no rule matched"
    case .ruleDrops: "the rule drops it"
    case .outputToIngressPort: "it would leave by the port it came in on, which only in_port does"
    case .noSuchPort: "the rule sends to a port that is not there"
    case .portDown: "the port is down"
    case .reservedMulticast: "normal does not forward link-local group addresses (01:80:c2:00:00:0x)"
    case .noPortToFlood: "no other port is up to flood to"
    case .tooManyTags: "a third VLAN tag would be pushed"
    case .noSuchGroup: "the rule sends to a group that is not there"
    case .noLiveBucket: "no bucket of the group is alive"
    case .groupsTooDeep: "groups are nested more than \(GroupTable.depthLimit) deep"
    case .tooManyActions: "it would take more than \(Translator.actionLimit) actions"
    case .recirculationGone: "the state it comes back to has been given up"
    case .recirculationLimit: "there are too many states to come back to"
    }
  }
}

/// What `normal` learned from the source address of a packet.
public struct Learning: Hashable, Sendable {
  public let station: Station
  /// The number of the ingress port.
  public let port: UInt32
}

/// Why a flow looks at some bits.
public enum LookReason: Hashable, Sendable {
  /// Every flow looks at the ingress port and the EtherType.
  case always
  /// Compared with the rules of a table.
  case rules(table: UInt8)
  /// `normal` learns the source address in the packet's VLAN.
  case learning
  /// `normal` looks the destination address up in the packet's VLAN.
  case forwarding
  /// The action depends on which tags there are.
  case tags
  /// A later fragment has no ports that could be set.
  case fragment
  /// The action depends on which headers there are.
  case headers

  /// The reason in words.
  public var explanation: String {
    switch self {
    case .always: "every flow looks at it"
    case .rules(let table): "compared by rules of table \(table)"
    case .learning: "normal learns where the source is"
    case .forwarding: "normal looks up where the destination is"
    case .tags: "the actions depend on the VLAN tags"
    case .fragment: "a later fragment has no ports to set"
    case .headers: "the actions depend on which headers there are"
    }
  }
}

/// One search of a table.
public struct TableVisit {
  public let table: UInt8
  /// The rule that matched; nil for none.
  public let rule: RuleEntry?
  /// The table was searched with the packet's fields as they came in: no action had changed one of them.
  public let isIngressKey: Bool
}

/// The searches of a translation, in order. The first one is kept in place: most packets meet one rule.
public struct TableVisits: RandomAccessCollection {
  private var first: TableVisit?
  private var later: [TableVisit] = []

  init() {}

  mutating func append(_ visit: TableVisit) {
    if first == nil { first = visit } else { later.append(visit) }
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { first == nil ? 0 : 1 + later.count }

  public subscript(position: Int) -> TableVisit {
    if position == 0, let first { return first }
    return later[position - 1]
  }
}

/// One thing that happened while a packet was translated, for explanations.
public enum TranslationStep {
  /// The packet comes back from a worker, to what is left of a rule's actions or to a table.
  case resumed(id: UInt16, table: UInt8)
  /// A table was searched; no rule when none matched.
  case matched(table: UInt8, RuleEntry?)
  /// An action begins.
  case action(RuleAction)
  /// The packet is measured; false when there is no such meter.
  case metered(UInt32, exists: Bool)
  /// The action set was emptied.
  case cleared
  /// Actions went into the action set.
  case wrote([RuleAction])
  /// Metadata was written.
  case metadata(MetadataWrite)
  /// The search goes on in another table.
  case wentTo(UInt8)
  /// The action set is executed, in this order.
  case actionSet([RuleAction])
  /// A bucket begins; the steps up to `bucketEnds` belong to it.
  case bucket(GroupBucket, of: Group)
  case bucketEnds
  /// A bucket is passed over because what it watches is down.
  case deadBucket(GroupBucket)
  /// The packet was sent to a port.
  case sent(to: SwitchPort)
  /// An output was left out.
  case suppressed(TranslationDrop, port: UInt32)
  /// `normal` saw a source.
  case learned(Learning, previous: UInt32?)
  /// `normal` looked a destination up.
  case lookedUp(Station, port: UInt32?)
  /// `normal` or `flood` sends to all ports that take part.
  case flooded
  /// An action that does nothing to this packet.
  case noEffect(String)
  /// The worker parses the packet again before anything more can be said.
  case recirculated(id: UInt16)
  /// Nothing more is done.
  case ended(TranslationDrop)
}

/// The meaning of the rules for one packet and all that look like it.
public struct Translation {
  /// The bits that the answer depends on.
  public var mask = FlowMask()
  /// What to do; empty drops.
  public var actions: [FlowAction] = []
  /// The tables that were searched, in order.
  public var visits = TableVisits()
  /// The groups and buckets that the packets go through, and the groups whose liveness was asked for, each once per meeting.
  public var groups: [GroupUse] = []
  /// The meters that measure the packets, each once per meeting.
  public var meters: [UInt32] = []
  /// The numbers of frozen states that the actions lead to, and the one that the key came back with. A flow holds them all.
  public var recirculations: [UInt16] = []
  /// The stations whose place the answer depends on: the destination that was looked up, found or not, and the source that was
  /// learned: while the flow is cached the pipeline does not see its packets, so the flow has to go when its source moves or is
  /// forgotten.
  public var dependencies: [Station] = []
  /// The source to learn, for the caller to do: translating changes nothing.
  public var learns: Learning?
  /// The answer depends on ports beyond those that it sends to: it floods, left a port out, or asked whether a bucket is alive.
  public var floods = false
  /// Why nothing is sent; nil when something is. There may be actions nevertheless: a meter counts what goes nowhere.
  public var drop: TranslationDrop?
  /// The table in which no rule matched.
  public var missTable: UInt8?
  /// What happened, in order; empty unless asked for.
  public var steps: [TranslationStep] = []
  /// Which bits were looked at and why, in order; a bit is listed with its first reason only. Empty unless asked for.
  public var looks: [(mask: FlowMask, reason: LookReason)] = []

  /// The rule of the first table; nil when none matched.
  public var rule: RuleEntry? { visits.first?.rule }

  /// Every rule that the packets meet, in order, each once per meeting.
  public var rules: [RuleEntry] { visits.compactMap(\.rule) }
}
