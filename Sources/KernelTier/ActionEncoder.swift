// ActionEncoder.swift
//
// What: translates a flow's actions into what the BPF programs execute, or says why they cannot.
// Idea: an action of a worker that needs a header ends the frame when the header is missing. The programs have no such ending, so an action is
//       taken only where the flow's own key proves that every packet of it has the header; what is true of the tags is followed from action to
//       action.
// Invariants: what is encoded gives every packet of the flow the same fate as the worker would. The translation is a pure function of actions,
//       key and mask, so equal flows of two agents have equal answers, which adoption relies on.
// Threads: values only.
// Cost: one pass over the actions.

import CSluice
import Dataplane

/// Translates the actions of one flow.
public struct ActionEncoder {
  private var ops: [KernelOp] = []
  private let header: ProvenHeaders
  /// Tags that the frame has at least and at most, as it is now.
  private var tags: ClosedRange<Int>
  private var ttl = TTL.asReceived
  private var outputs = 0

  /// What is known of the TTL as it is now.
  private enum TTL { case asReceived, set(UInt8), setInPart, decremented }

  /// Translates a list of actions.
  /// - Parameters:
  ///   - key: the flow's, masked.
  ///   - mask: what the flow's packets have in common.
  /// - Throws: why the kernel does not execute them, for good: the same actions are refused again.
  public static func encode(_ actions: [FlowAction], key: FlowKey, mask: FlowMask) throws(TierRefusal) -> KernelAnswer {
    let header = ProvenHeaders(key: key, mask: mask)
    try header.requireVisible()
    var encoder = ActionEncoder(header: header)
    try encoder.append(actions, isEnd: true)
    return try encoder.answer()
  }

  private init(header: ProvenHeaders) {
    self.header = header
    tags = header.tags
  }

  /// Appends actions.
  /// - Parameter isEnd: nothing follows them, so they may leave the frame changed.
  private mutating func append(_ actions: [FlowAction], isEnd: Bool) throws(TierRefusal) {
    for (place, action) in actions.enumerated() {
      switch action {
      case .output(let port):
        ops.append(KernelOp(.output, port: port))
        outputs += 1
      case .setField(let field, let value, let bits): try set(field, value & bits, bits)
      case .pushVLAN(let tpid):
        guard tags.upperBound < 2 else {
          throw .action("push_vlan:0x\(String(tpid, radix: 16))", "the flow's packets may have two tags already; match on vlan_tci")
        }
        tags = tags.lowerBound + 1...tags.upperBound + 1
        ops.append(KernelOp(.pushVLAN, value: UInt128(tpid), mask: 0xffff))
      case .popVLAN:
        guard tags.lowerBound > 0 else { throw .action("pop_vlan", "the flow's packets may have no tag; match on vlan_vid") }
        tags = tags.lowerBound - 1...tags.upperBound - 1
        ops.append(KernelOp(.popVLAN))
      case .decrementTTL: try decrementTTL()
      // No port of ours has queues: nothing happens in a worker either.
      case .setQueue: break
      case .clone(let inner):
        if isEnd, place == actions.count - 1 {
          try append(inner, isEnd: true)
        } else if Self.isOutputsOnly(inner) {
          try append(inner, isEnd: false)
        } else {
          throw .action("clone", "the kernel tier cannot change a copy and go on with the packet as it was")
        }
      case .pushMPLS, .popMPLS, .decrementMPLSTTL, .copyTTLIn, .copyTTLOut:
        throw .action(Self.name(action), "the kernel tier does not change MPLS labels")
      case .pushPBB, .popPBB: throw .action(Self.name(action), "the kernel tier does not change PBB tags")
      case .meter: throw .action("meter", "meters are measured by workers only")
      case .select: throw .action("group", "the bucket of a select group is chosen by workers only")
      case .recirculate: throw .action("recirculate", "the packet has to be parsed a second time, which workers do")
      case .controller: throw .action("controller", "copies for the controller are made by workers only")
      }
    }
  }

  private static func isOutputsOnly(_ actions: [FlowAction]) -> Bool {
    actions.allSatisfy { action in
      switch action {
      case .output, .setQueue: true
      case .clone(let inner): isOutputsOnly(inner)
      default: false
      }
    }
  }

  private mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128) throws(TierRefusal) {
    guard mask != 0 else { return }
    switch field {
    case .ethDst: ops.append(KernelOp(.ethDst, value: value, mask: mask))
    case .ethSrc: ops.append(KernelOp(.ethSrc, value: value, mask: mask))
    case .vlanTCI, .vlanVID:
      // The present bit of a key is the DEI bit of a frame, which stays.
      try setTag(field, value & 0xefff, mask & 0xefff)
    case .vlanPCP: try setTag(field, value << 13, mask << 13)
    case .ipv4Src, .ipv4Dst:
      try require(header.ipVersion == 4, field, "ip")
      ops.append(KernelOp(field == .ipv4Src ? .ipv4Src : .ipv4Dst, value: value, mask: mask))
    case .ipv6Src, .ipv6Dst:
      try require(header.ipVersion == 6, field, "ipv6")
      ops.append(KernelOp(field == .ipv6Src ? .ipv6Src : .ipv6Dst, value: value, mask: mask))
    case .ipTOS: try setTOS(field, value, mask)
    case .ipDSCP: try setTOS(field, value << 2, mask << 2)
    case .ipECN: try setTOS(field, value & 3, mask & 3)
    case .ipTTL:
      try require(header.ipVersion != nil, field, "ip or ipv6")
      ttl = mask == 0xff ? .set(UInt8(truncatingIfNeeded: value)) : .setInPart
      ops.append(KernelOp(.ipTTL, value: value, mask: mask))
    case .tcpSrc, .tcpDst, .udpSrc, .udpDst:
      let isTCP = field == .tcpSrc || field == .tcpDst
      try require(header.ipVersion != nil && header.proto == (isTCP ? 6 : 17), field, isTCP ? "tcp" : "udp")
      ops.append(KernelOp(field == .tcpSrc || field == .udpSrc ? .tpSrc : .tpDst, value: value, mask: mask))
    case .sctpSrc, .sctpDst:
      throw .action("set_field:\(field)", "SCTP has a checksum over the whole packet, which the kernel tier does not compute")
    default:
      throw .action("set_field:\(field)", "the kernel tier sets eth, vlan, ip, ipv6, tcp and udp fields only")
    }
  }

  private mutating func setTag(_ field: FlowField, _ value: UInt128, _ mask: UInt128) throws(TierRefusal) {
    guard mask != 0 else { return }
    try require(tags.lowerBound > 0, field, "a VLAN tag")
    ops.append(KernelOp(.vlanTCI, value: value, mask: mask))
  }

  private mutating func setTOS(_ field: FlowField, _ value: UInt128, _ mask: UInt128) throws(TierRefusal) {
    try require(header.ipVersion != nil, field, "ip or ipv6")
    ops.append(KernelOp(.ipTOS, value: value, mask: mask))
  }

  /// The programs send a packet up, unchanged, whose TTL does not survive; they look at the TTL as it was received.
  private mutating func decrementTTL() throws(TierRefusal) {
    try require(header.ipVersion != nil, .ipTTL, "ip or ipv6")
    switch ttl {
    case .asReceived:
      ttl = .decremented
      ops.append(KernelOp(.decTTL))
    case .set(let value) where value > 1:
      // The TTL is known, so what it becomes is, too.
      ttl = .set(value - 1)
      ops.append(KernelOp(.ipTTL, value: UInt128(value - 1), mask: 0xff))
    case .set: throw .action("dec_ttl", "the TTL that was set before ends here")
    case .setInPart, .decremented: throw .action("dec_ttl", "the kernel tier takes one from the TTL once, and not after it was set in part")
    }
  }

  private func require(_ isProven: Bool, _ field: FlowField, _ header: String) throws(TierRefusal) {
    if !isProven { throw .action("set_field:\(field)", "not every packet of the flow is sure to have \(header)") }
  }

  private mutating func answer() throws(TierRefusal) -> KernelAnswer {
    // What happens behind the last output nobody sees.
    while let last = ops.last, last.code != .output { ops.removeLast() }
    guard let only = ops.first else { return .drop }
    if ops.count == 1 { return .output(only.port) }
    guard ops.count <= Int(SLUICE_PROGRAM_OPS) else {
      throw .action("\(ops.count) actions", "a program of the kernel tier has at most \(SLUICE_PROGRAM_OPS) steps")
    }
    return .program(KernelProgram(ops: ops, isTCOnly: outputs > 1))
  }

  private static func name(_ action: FlowAction) -> String {
    switch action {
    case .pushMPLS: "push_mpls"
    case .popMPLS: "pop_mpls"
    case .decrementMPLSTTL: "dec_mpls_ttl"
    case .copyTTLIn: "copy_ttl_in"
    case .copyTTLOut: "copy_ttl_out"
    case .pushPBB: "push_pbb"
    case .popPBB: "pop_pbb"
    default: "action"
    }
  }
}

/// What a flow's key says about the headers of all of its packets.
private struct ProvenHeaders {
  /// 4, 6, or nil when it may be either or neither.
  var ipVersion: Int?
  var proto: UInt8?
  var tags: ClosedRange<Int>
  private let type: UInt16?
  private let key: FlowKey
  private let mask: FlowMask

  init(key: FlowKey, mask: FlowMask) {
    self.key = key
    self.mask = mask
    type = mask[.ethType] == 0xffff ? UInt16(truncatingIfNeeded: key[.ethType]) : nil
    ipVersion = type == 0x0800 ? 4 : type == 0x86dd ? 6 : nil
    proto = mask[.ipProto] == 0xff ? UInt8(truncatingIfNeeded: key[.ipProto]) : nil
    func isTagged(_ field: FlowField) -> Bool? { mask[field] & 0x1000 == 0 ? nil : key[field] & 0x1000 != 0 }
    switch (isTagged(.vlanTCI), isTagged(.innerVLANTCI)) {
    case (false, _): tags = 0...0
    case (_, true): tags = 2...2
    case (true, false): tags = 1...1
    case (true, nil): tags = 1...2
    case (nil, false): tags = 0...1
    case (nil, nil): tags = 0...2
    }
  }

  private var isNeighbourDiscovery: Bool {
    ipVersion == 6 && mask[.icmpv6Type] == 0xff && 135...136 ~= key[.icmpv6Type]
  }

  /// Refuses flows none of whose packets the programs understand, or ever see.
  func requireVisible() throws(TierRefusal) {
    if mask[.recircID] != 0, key[.recircID] != 0 { throw .key("packets of a second look-up stay in the worker") }
    switch type {
    case 0x0806, 0x8035: throw .key("the kernel tier leaves ARP to the worker")
    case 0x8847, 0x8848: throw .key("the kernel tier does not look into MPLS packets")
    case 0x88e7: throw .key("the kernel tier does not look into PBB packets")
    default: break
    }
    // The programs do not compare these words, because in the packets that they understand they are zero (hash.h).
    let line0 = key.line0 & mask.bits.line0
    if line0.w5 | line0.w6 | line0.w7 != 0 { throw .key("the kernel tier leaves ARP, MPLS and PBB to the worker") }
    if (key.line1 & mask.bits.line1).hasNeighbourDiscovery || proto == 58 && isNeighbourDiscovery {
      throw .key("the kernel tier leaves neighbour discovery to the worker")
    }
    // The unusual bit of "no next header" aside, such a packet has an extension header.
    if key[.ipv6ExtHdr] & mask[.ipv6ExtHdr] & ~1 != 0 { throw .key("the kernel tier leaves IPv6 extension headers to the worker") }
  }
}

extension FlowLine {
  /// As line 1: a target or a link-layer address.
  fileprivate var hasNeighbourDiscovery: Bool { w4 | w5 | w6 >> 32 | w7 != 0 }
}

extension TierRefusal {
  /// An action that the kernel tier does not have.
  static func action(_ name: String, _ why: String) -> TierRefusal {
    TierRefusal(cause: "action", description: "\(name): \(why)", isTemporary: false)
  }

  /// Packets that the kernel tier does not have.
  static func key(_ why: String) -> TierRefusal { TierRefusal(cause: "key", description: why, isTemporary: false) }

  /// Something that may have passed at the next attempt.
  static func temporary(_ cause: String, _ description: String) -> TierRefusal {
    TierRefusal(cause: cause, description: description, isTemporary: true)
  }
}
