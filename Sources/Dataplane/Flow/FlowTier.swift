// FlowTier.swift
//
// What: what the pipeline asks of a tier that executes flows in front of the workers: the kernel, a NIC. The workers are where every flow
//       starts, and a flow that a tier holds stays in its worker too, so whatever the tier lets go of is answered at once.
// Invariants: a tier executes a flow exactly as a worker would, or refuses it. What was withdrawn is not executed any more once `fence` has
//             returned; its counts are final then, and `release` lets the handle be used again.
// Threads: the pipeline thread only.
// Cost: `offer`, `withdraw` and `counts` make no system call, so that a flow's placement costs less than its translation.

/// A flow for a tier.
public struct TierFlow: Sendable {
  /// The masked key, lines 0 and 1.
  public var key: FlowKey
  public var mask: FlowMask
  public var actions: [FlowAction]
  /// The index of the ingress port, which every mask looks at.
  public var port: PortIndex
  /// The worker that has the packets which went up before the flow was placed, or `severalWorkers`.
  public var worker: Int
  /// The flow's number, for people.
  public var id: UInt64
  /// No packets went up before whose order has to be kept, so the tier executes it at once.
  public var isFirst: Bool

  /// The port's packets come up to more than one worker, so that no single one can say when the last has passed.
  public static let severalWorkers = Int.max

  public init(key: FlowKey, mask: FlowMask, actions: [FlowAction], port: PortIndex, worker: Int, id: UInt64, isFirst: Bool = false) {
    self.key = key
    self.mask = mask
    self.actions = actions
    self.port = port
    self.worker = worker
    self.id = id
    self.isFirst = isFirst
  }
}

/// Where a tier keeps a flow.
public struct TierHandle: Hashable, Sendable, BitwiseCopyable {
  public var rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// Why a tier does not take a flow.
public struct TierRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  /// A word or two for counters: "table-full", "action".
  public var cause: String
  /// A sentence for people.
  public var description: String
  /// The same offer may succeed later, because what stands in the way is not the flow itself.
  public var isTemporary: Bool

  public init(cause: String, description: String, isTemporary: Bool) {
    self.cause = cause
    self.description = description
    self.isTemporary = isTemporary
  }
}

/// What a tier has counted for a flow since it took it.
public struct TierCounts: Hashable, Sendable {
  /// Packets and bytes as on the wire.
  public var packets: UInt64
  public var bytes: UInt64
  /// The monotonic clock's time of the last packet; 0 when there was none.
  public var usedNanoseconds: UInt64

  public init(packets: UInt64 = 0, bytes: UInt64 = 0, usedNanoseconds: UInt64 = 0) {
    self.packets = packets
    self.bytes = bytes
    self.usedNanoseconds = usedNanoseconds
  }
}

/// A flow that a tier held before this process began: what an agent left behind that crashed or was replaced.
public struct AdoptedFlow: Sendable {
  public var handle: TierHandle
  /// The masked key, lines 0 and 1.
  public var key: FlowKey
  public var mask: FlowMask
  /// The index of the ingress port.
  public var port: PortIndex
  /// The flow's number in that process.
  public var id: UInt64
  /// What the tier does, in words of the flow engine; perhaps not the very words that it was given.
  public var actions: [FlowAction]
  public var counts: TierCounts

  public init(
    handle: TierHandle, key: FlowKey, mask: FlowMask, port: PortIndex, id: UInt64, actions: [FlowAction], counts: TierCounts
  ) {
    self.handle = handle
    self.key = key
    self.mask = mask
    self.port = port
    self.id = id
    self.actions = actions
    self.counts = counts
  }
}

/// A tier in front of the workers.
public protocol FlowTier: AnyObject {
  /// Its name in commands and events: "kernel".
  var name: String { get }
  /// Flows that it can hold, and holds.
  var capacity: Int { get }
  var count: Int { get }

  /// Takes a flow. Packets reach it from now on; those before them keep their place, unless it is the first.
  func offer(_ flow: TierFlow) throws(TierRefusal) -> TierHandle

  /// Takes over a flow that the tier held before this process began, if it is exactly this one: the same key, mask and port, and an answer
  /// that means the same. It keeps its counts, and has the worker and the number of `flow` from then on.
  /// - Returns: false when it is another; nothing has changed then, and the caller withdraws it.
  func adopt(_ handle: TierHandle, as flow: TierFlow) -> Bool

  /// Stops executing a flow: packets that arrive from now on go up.
  func withdraw(_ handle: TierHandle)

  /// Returns when no packet can be under way that found a flow before it was withdrawn. Returns at once when nothing was.
  func fence()

  /// What was counted. After `withdraw` and `fence`: all that will ever be.
  func counts(of handle: TierHandle) -> TierCounts

  /// Lets go of a withdrawn flow, after the fence.
  func release(_ handle: TierHandle)
}
