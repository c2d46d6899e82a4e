// RuleAction.swift
//
// What: what a rule asks for, in OpenFlow's terms: ports are numbers or reserved ports. The translator turns these into the
//       FlowActions that tiers execute; ActionText.swift writes and reads them in ovs-ofctl's syntax.
// Invariants: a `setField` names a settable field, has no value bit outside its mask and a mask that is not zero. An empty list drops.
// Threads: values.
// Source: OpenFlow Switch Specification 1.3.5, section 5.12.

import Dataplane

/// Port numbers that OpenFlow reserves.
/// - Source: OpenFlow Switch Specification 1.0.0, section 5.2.1 (ofp_port); ovs-ofctl writes and prints these.
public enum ReservedPort {
  /// The largest number that an ordinary port can have.
  public static let largestOrdinary: UInt32 = 0xfeff
  public static let inPort: UInt32 = 0xfff8
  /// The pipeline itself: packets from a controller begin there. No rule sends to it.
  public static let table: UInt32 = 0xfff9
  public static let normal: UInt32 = 0xfffa
  public static let flood: UInt32 = 0xfffb
  public static let all: UInt32 = 0xfffc
  public static let controller: UInt32 = 0xfffd
  /// The host's own port, called LOCAL.
  public static let local: UInt32 = PortNames.localNumber
  public static let none: UInt32 = 0xffff
}

/// One action of a rule.
public enum RuleAction: Hashable, Sendable {
  /// Sends the packet out of a port by its number; nothing happens when that is the port it came in on.
  case output(UInt32)
  /// Sends the packet back out of the port it came in on.
  case inPort
  /// Forwards as a learning switch does, per VLAN.
  case normal
  /// Sends the packet out of every port that is up and not excluded from flooding, except the ingress port.
  case flood
  /// Sends the packet out of every port that is up, except the ingress port.
  case all
  /// Hands a copy of up to `maxLength` bytes to whoever watches.
  case controller(maxLength: UInt16)
  /// Hands the packet to a group.
  case group(UInt32)
  /// Chooses the queue of the ports that the packet is sent to.
  case setQueue(UInt32)
  /// Replaces the bits of a field that are set in `mask`.
  case setField(FlowField, value: UInt128, mask: UInt128)
  /// Sets the VLAN ID (0 to 4095) of the outermost tag; pushes an 802.1Q tag first when there is none.
  case setVLAN(UInt16)
  /// Sets the priority (0 to 7) of the outermost tag; pushes an 802.1Q tag first when there is none.
  case setVLANPriority(UInt8)
  /// Pushes a tag with this TPID: 0x8100 or 0x88a8.
  case pushVLAN(tpid: UInt16)
  /// Removes the outermost tag, if there is one.
  case popVLAN
  /// Pushes an MPLS label stack entry; the EtherType becomes 0x8847 or 0x8848.
  case pushMPLS(etherType: UInt16)
  /// Removes the outermost MPLS label stack entry; what is below has this EtherType.
  case popMPLS(etherType: UInt16)
  /// Pushes a provider backbone bridge header (802.1ah).
  case pushPBB
  /// Removes the provider backbone bridge header.
  case popPBB
  /// Takes one from the TTL or hop limit; a packet with TTL 0 or 1 goes no further.
  case decrementTTL
  /// Takes one from the TTL of the outermost MPLS label; a packet with TTL 0 or 1 goes no further.
  case decrementMPLSTTL
  /// Copies the TTL from the outermost header that has one to the next.
  case copyTTLIn
  /// Copies the TTL from the second outermost header that has one to the outermost.
  case copyTTLOut
}

extension RuleAction {
  /// True for an output to exactly this port number, reserved ports included.
  func sends(to number: UInt32) -> Bool {
    switch self {
    case .output(let port): port == number
    case .inPort: number == ReservedPort.inPort
    case .normal: number == ReservedPort.normal
    case .flood: number == ReservedPort.flood
    case .all: number == ReservedPort.all
    case .controller: number == ReservedPort.controller
    default: false
    }
  }
}
