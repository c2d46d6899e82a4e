// FlowAction.swift
//
// What: what a flow does with its packets, after the pipeline has resolved every name: ports are dense indices, `normal` and
//       `flood` have become outputs, groups have become clones and selections. This is what all tiers execute.
// Invariants: actions run in order on the frame as the earlier ones left it; an empty list drops. An action that needs a header which the
//             frame does not have ends the frame (reason `actionFailed`), unless it says otherwise: the translator leaves such actions out.
// Threads: values; shared freely.
// Cost: control plane. Workers run the compiled form, ActionProgram.
// Source: OpenFlow Switch Specification 1.3.5, section 5.12.

/// A port's index in the tables of all workers: dense, and used again only after every worker has forgotten its last owner.
public typealias PortIndex = UInt16

/// One step that a tier carries out on a frame.
public enum FlowAction: Hashable, Sendable {
  /// Sends the frame as it is now out of a port.
  case output(PortIndex)
  /// Replaces the bits of a field that are set in `mask` by those of `value`; checksums follow. Ports of a later fragment and a link-layer
  /// address option that a neighbour discovery packet does not carry are left alone.
  case setField(FlowField, value: UInt128, mask: UInt128)
  /// Pushes a VLAN tag with this TPID (0x8100 or 0x88a8); VID and priority are those of the outermost tag so far, else 0.
  case pushVLAN(tpid: UInt16)
  /// Removes the outermost VLAN tag.
  case popVLAN
  /// Pushes an MPLS label stack entry right behind the Ethernet addresses, in front of any VLAN tag, with this EtherType (0x8847 or
  /// 0x8848). Label, TC and TTL are those of the outermost entry so far; without one the TTL is that of the IP packet, else 0.
  case pushMPLS(etherType: UInt16)
  /// Removes the outermost MPLS label stack entry; the EtherType is that of what is below.
  case popMPLS(etherType: UInt16)
  /// Pushes a PBB I-TAG (0x88e7). The backbone addresses start as copies of the customer's, the I-SID as that of the I-TAG so far, else
  /// 0, the priority as that of the outermost VLAN tag, else 0.
  case pushPBB
  /// Removes the PBB I-TAG, which must be the outermost tag: the customer addresses become the frame's.
  case popPBB
  /// Takes one from the IPv4 TTL or IPv6 hop limit; a packet whose TTL is 0 or 1 goes no further (reason `ttlExpired`).
  case decrementTTL
  /// Takes one from the TTL of the outermost MPLS entry; a packet whose TTL is 0 or 1 goes no further (reason `ttlExpired`).
  case decrementMPLSTTL
  /// Copies the TTL of the outermost MPLS entry to the next one, or to the IP packet below the last; nothing happens when there is neither.
  case copyTTLIn
  /// Copies the TTL of the MPLS entry below the outermost one, or of the IP packet below the last, to the outermost entry; nothing happens
  /// when there is neither.
  case copyTTLOut
  /// The queue of the ports that the following outputs name. No port of ours has queues, so frames are sent as ever.
  case setQueue(UInt32)
  /// Measures the packet. What exceeds a drop band's rate goes no further (reason `meter`); a remark band raises the drop precedence.
  case meter(FlowMeter)
  /// Runs one bucket, chosen by the table from the packet's addresses and ports as they were parsed: on a copy of the frame if
  /// anything follows. A frame for which no bucket is live and that nothing follows is dropped (reason `noLiveBucket`).
  case select(SelectTable, [[FlowAction]])
  /// Runs actions on a copy of the frame; the last action of a list needs no copy.
  case clone([FlowAction])
  /// Parses the frame as it is now, and looks it up again as a packet with this recirculation id. After 8 rounds a packet goes no further
  /// (reason `recirculationLimit`).
  case recirculate(UInt16)
  /// Hands a copy of up to `maxLength` bytes to the control plane, which passes it to whoever watches.
  case controller(maxLength: UInt16, cookie: UInt64)
}
