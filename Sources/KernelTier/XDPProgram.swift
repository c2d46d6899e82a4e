// XDPProgram.swift
//
// One instance of the XDP program in the kernel, with the maps that are its own, attached or not.
// Invariants: specialised once, by its spec. Closing this object closes its
//       descriptors and nothing else: an interface that runs the program goes on running it.
// Threads: any.
// Cost: loading takes some milliseconds (the verifier); reading the counters is one system call per counter.

import CLibbpf
import CSluice
import Glibc

/// What the program said should become of a frame.
public enum XDPVerdict: UInt32, Sendable, Hashable {
  case aborted = 0
  case drop = 1
  case pass = 2
  case transmit = 3
  case redirect = 4
}

/// Outcome of running the program on one packet.
public struct XDPTestRun: Sendable, Hashable {
  public var verdict: XDPVerdict
  /// The packet as the program left it.
  public var packet: [UInt8]
  /// Mean time of one run.
  public var nanoseconds: UInt32
}

/// A loaded instance of the XDP program.
public final class XDPProgram: Sendable {
  public let spec: XDPProgramSpec
  public let identity: XDPProgramIdentity
  let descriptor: BPFDescriptor
  private let sockets: QueueSockets
  private let counts: BPFPerCPUArray<sluice_counter>
  private let host: HostTable?

  private init(
    spec: XDPProgramSpec, identity: XDPProgramIdentity, descriptor: consuming BPFDescriptor,
    sockets: consuming QueueSockets, counts: consuming BPFPerCPUArray<sluice_counter>, host: HostTable?
  ) {
    self.spec = spec
    self.identity = identity
    self.descriptor = descriptor
    self.sockets = sockets
    self.counts = counts
    self.host = host
  }

  /// Loads an instance.
  /// - Parameters:
  ///   - policy: the early drop policy that all ports share; nil leaves it out of the program.
  ///   - flows: the flow table; nil leaves it out of the program.
  /// - Throws: `.load` with the verifier's words, `.invalid` when there are no queues.
  public static func load(
    mode: XDPPortMode, queues: Int, policy: Policy?, flows: FlowHookSpec? = nil
  ) throws(KernelTierError) -> XDPProgram {
    let object = try self.object(mode: mode, queues: queues, policy: policy, flows: flows, isDry: false)
    let spec = XDPProgramSpec(mode: mode, queues: queues, usesPolicy: policy != nil, usesFlows: flows != nil)
    let descriptor = try object.program(SLUICE_XDP_PROGRAM)
    let identity = try BPFSystem.identity(of: descriptor)
    let sockets = try QueueSockets(object, map: "sluice_xsks", queues: queues)
    let counts = try BPFPerCPUArray<sluice_counter>(
      try object.descriptor(ofMap: "sluice_counters"), name: "sluice_counters")
    let host = mode == .shared ? try HostTable(object) : nil
    return XDPProgram(
      spec: spec, identity: identity, descriptor: descriptor, sockets: sockets, counts: counts, host: host)
  }

  /// Loads the object that an instance is taken out of.
  /// - Parameter isDry: nothing is sent; outputs of flows go to the ring buffer of dry runs.
  static func object(
    mode: XDPPortMode, queues: Int, policy: Policy?, flows: FlowHookSpec?, isDry: Bool
  ) throws(KernelTierError) -> BPFObject {
    let object = try BPFObject(bytes: EmbeddedBPF.uplinkObject, name: SLUICE_XDP_PROGRAM)
    try object.prepare(isShared: mode == .shared, policy: policy, flows: flows, isDry: isDry)
    try QueueSockets.size(object, map: "sluice_xsks", queues: queues)
    if mode == .dedicated {
      for map in ["sluice_host_mac", "sluice_host_v4", "sluice_host_v6"] { try object.omit(map) }
    }
    try object.load()
    return object
  }

  /// Sends the frames of a queue to an AF_XDP socket, in place of the one before.
  /// - Parameter descriptor: the socket, with its memory, receive and fill rings set up. The kernel forgets it when it closes.
  /// - Throws: `.noQueue`, or `.system` when the descriptor is no such socket.
  public func setSocket(queue: Int, descriptor: Int32) throws(KernelTierError) { try sockets.set(queue: queue, descriptor: descriptor) }

  /// Frames of the queue go to the host (shared) or nowhere (dedicated) from now on. It is no error when they did before.
  public func clearSocket(queue: Int) throws(KernelTierError) { try sockets.clear(queue: queue) }

  /// Tells a shared port which frames are the host's: the interface's MAC, and the addresses that the host answers for there.
  /// Until then it has none, and everything goes to the switch.
  /// - Parameter mac: six bytes.
  /// - Throws: `.notShared` for a dedicated port.
  public func setHost(mac: [UInt8], addresses: [IPAddress]) throws(KernelTierError) {
    guard let host else { throw .notShared }
    try host.set(mac: mac, addresses: addresses)
  }

  /// What became of the frames since the program was loaded, summed over the CPUs.
  public func counters() throws(KernelTierError) -> XDPCounters {
    var counters = XDPCounters()
    counters.redirected = try sum(SLUICE_COUNT_REDIRECTED)
    counters.passedToHost = try sum(SLUICE_COUNT_TO_HOST)
    counters.droppedDenyV4 = try sum(SLUICE_COUNT_DENIED_V4)
    counters.droppedDenyV6 = try sum(SLUICE_COUNT_DENIED_V6)
    counters.droppedDenyTuple = try sum(SLUICE_COUNT_DENIED_TUPLE)
    counters.droppedLimit = try sum(SLUICE_COUNT_LIMITED)
    counters.noSocket = try sum(SLUICE_COUNT_NO_SOCKET)
    counters.malformed = try sum(SLUICE_COUNT_MALFORMED)
    return counters
  }

  /// Runs the program on a packet, on queue 0 and without any interface. The packet is counted like any other.
  /// - Parameters:
  ///   - packet: at least 14 bytes; the kernel takes no shorter ones.
  ///   - repetitions: how often, for a measurement of the time.
  /// - Throws: `.system` when the kernel does not run it.
  public func testRun(packet: [UInt8], repetitions: Int = 1) throws(KernelTierError) -> XDPTestRun {
    let run = try BPFSystem.testRun(descriptor, packet: packet, repetitions: repetitions)
    guard let verdict = XDPVerdict(rawValue: run.value) else {
      throw .invalid(what: "a verdict of", value: "\(run.value)", expected: "an XDP action, 0 to 4")
    }
    return XDPTestRun(verdict: verdict, packet: run.packet, nanoseconds: run.nanoseconds)
  }

  private func sum(_ index: sluice_count) throws(KernelTierError) -> XDPCounter {
    try counts.values(at: Int(index.rawValue), blank: sluice_counter()).reduce(XDPCounter()) {
      $0 + XDPCounter(packets: $1.packets, bytes: $1.bytes)
    }
  }
}
