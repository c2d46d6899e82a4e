// FlowAction.swift
//
// What: what a flow does with its packets, after the pipeline has resolved every name: ports are dense indices, `normal` and
//       `flood` have become outputs. This is what all tiers execute.
// Invariants: actions run in order on the frame as the earlier ones left it; an empty list drops.
// Threads: values; shared freely.
// Cost: control plane. Workers run the compiled form, ActionProgram.

/// A port's index in the tables of all workers: dense, and used again only after every worker has forgotten its last owner.
public typealias PortIndex = UInt16

/// One step that a tier carries out on a frame.
public enum FlowAction: Hashable, Sendable {
  /// Sends the frame as it is now out of a port.
  case output(PortIndex)
  /// Replaces the bits of a field that are set in `mask` by those of `value`; checksums follow.
  case setField(FlowField, value: UInt128, mask: UInt128)
  /// Pushes a VLAN tag with this TPID (0x8100 or 0x88a8), VID 0 and priority 0.
  case pushVLAN(tpid: UInt16)
  /// Removes the outermost VLAN tag.
  case popVLAN
  /// Takes one from the IPv4 TTL or IPv6 hop limit; a packet whose TTL is 0 or 1 goes no further (reason `ttlExpired`).
  case decrementTTL
  /// Hands a copy of up to `maxLength` bytes to the control plane, which passes it to whoever watches.
  case controller(maxLength: UInt16, cookie: UInt64)
}
