// Translation.swift
//
// What: what the rules mean for one class of packets: the flow (mask and actions), what the flow depends on, and why it
//       came out so.
// Invariant: every packet that agrees with the translated key in the bits of `mask` has the same translation, as long as the rules,
//            the ports it names and the stations in `dependencies` stay as they are.
// Threads: confined to the pipeline thread, because it holds a RuleEntry.

import Dataplane

/// Why nothing is sent for a class of packets.
public enum TranslationDrop: UInt8, CaseIterable, Sendable {
  /// No rule matches.
  case noRule = 1
  /// The rule says `drop`, or sends nowhere.
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
  /// Compared with the rules of the table.
  case rules
  /// `normal` learns the source address in the packet's VLAN.
  case learning
  /// `normal` looks the destination address up in the packet's VLAN.
  case forwarding
  /// The action depends on which tags there are.
  case tags
  /// A later fragment has no ports that could be set.
  case fragment

  /// The reason in words.
  public var explanation: String {
    switch self {
    case .always: "every flow looks at it"
    case .rules: "compared by rules of table 0"
    case .learning: "normal learns where the source is"
    case .forwarding: "normal looks up where the destination is"
    case .tags: "the actions depend on the VLAN tags"
    case .fragment: "a later fragment has no ports to set"
    }
  }
}

/// One thing that happened while a packet was translated, for explanations.
public enum TranslationStep {
  /// The table was searched; nil when no rule matched.
  case matched(RuleEntry?)
  /// An action of the rule begins.
  case action(RuleAction)
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
  /// Nothing more is done.
  case ended(TranslationDrop)
}

/// The meaning of the rules for one packet and all that look like it.
public struct Translation {
  /// The bits that the answer depends on.
  public var mask = FlowMask()
  /// What to do; empty drops.
  public var actions: [FlowAction] = []
  /// The rule that decided; nil when none matched.
  public var rule: RuleEntry?
  /// The stations whose place the answer depends on: the destination that was looked up, found or not, and the source that was
  /// learned: while the flow is cached the pipeline does not see its packets, so the flow has to go when its source moves or is
  /// forgotten.
  public var dependencies: [Station] = []
  /// The source to learn, for the caller to do: translating changes nothing.
  public var learns: Learning?
  /// The answer depends on ports beyond those that it sends to: it floods, or left out one that is down or not there.
  public var floods = false
  /// Why nothing is sent; nil when something is.
  public var drop: TranslationDrop?
  /// What happened, in order; empty unless asked for.
  public var steps: [TranslationStep] = []
  /// Which bits were looked at and why, in order; a bit is listed with its first reason only. Empty unless asked for.
  public var looks: [(mask: FlowMask, reason: LookReason)] = []
}
