// DropReason.swift
//
// What: every way in which a worker can lose a frame, each with a name. A frame that is not forwarded is counted under exactly
//       one of these, per ingress port and worker; the reasons sum to the drops.

/// Why a frame was dropped.
public enum DropReason: UInt8, CaseIterable, Sendable {
  // 1...14 are the malformations, with their raw values.
  case ethernetTruncated = 1
  case vlanTruncated
  case tooManyTags
  case ipv4Truncated
  case ipv4BadHeader
  case ipv4BadLength
  case ipv6Truncated
  case ipv6BadHeader
  case ipv6BadLength
  case ipv6BadExtension
  case arpBad
  case l4Truncated
  case mplsTruncated
  case pbbTruncated
  /// A flow's answer is "no action": a rule said drop, or nothing was left to send it to.
  case flowDrops
  /// dec_ttl met a TTL or hop limit of 0 or 1 (RFC 791, RFC 8200).
  case ttlExpired
  /// An action needed a header that this frame does not have, or has no room to push one.
  case actionFailed
  /// The port has as many misses waiting for the pipeline as its budget allows.
  case upcallBudget
  /// The ring to the pipeline thread is full.
  case upcallRingFull
  /// The egress port's transmit ring is full.
  case transmitFull
  /// The egress port went away while the frame was under way.
  case portGone
  /// No free frame to copy into.
  case noFreeFrame
  /// The frame is longer than the egress port's MTU allows.
  case tooBig
  /// The pipeline said that this packet goes nowhere (as `flowDrops`, for the packets that came before the flow was installed), or the rules
  /// changed between two rounds of its look-up.
  case pipelineDrops
  /// A meter's drop band: the packet exceeds the rate.
  case meter
  /// The packet went through as many rounds of look-up as it may, or too many packets wait for one.
  case recirculationLimit
  /// No bucket of a select group is live.
  case noLiveBucket
  /// A program in the kernel had no way to hand the packet up, or was not let change it. Counted there, never by a worker.
  case lostInKernel

  /// The name in counters, events and metrics.
  public var name: String {
    switch self {
    case .flowDrops: "flow-drops"
    case .ttlExpired: "ttl-expired"
    case .actionFailed: "action-failed"
    case .upcallBudget: "upcall-budget"
    case .upcallRingFull: "upcall-ring-full"
    case .transmitFull: "transmit-full"
    case .portGone: "port-gone"
    case .noFreeFrame: "no-free-frame"
    case .tooBig: "too-big"
    case .pipelineDrops: "pipeline-drops"
    case .meter: "meter"
    case .recirculationLimit: "recirculation-limit"
    case .noLiveBucket: "no-live-bucket"
    case .lostInKernel: "lost-in-kernel"
    default: Malformation(rawValue: rawValue)?.name ?? "unknown"
    }
  }

  /// One more than the highest raw value: the size of an array indexed by reason.
  static let tableSize = 40
}
