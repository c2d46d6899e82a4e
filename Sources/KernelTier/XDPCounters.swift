// XDPCounters.swift
//
// What an instance of the XDP program did with the frames of its port.
// Invariant: a frame has one verdict, but those that a flow answered have none here (KernelPortCounters has them). `malformed` counts beside.
// Threads: values only; the CPUs count on while a reading is made, so two of its figures may differ by packets in flight.
// Note: a frame that is `redirected` can still be lost when its socket's fill ring is empty; AF_XDP's statistics count that.

/// Packets and bytes that were counted together.
public struct XDPCounter: Sendable, Hashable {
  public var packets: UInt64
  public var bytes: UInt64

  public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
    self.packets = packets
    self.bytes = bytes
  }

  public static func + (left: XDPCounter, right: XDPCounter) -> XDPCounter {
    XDPCounter(packets: left.packets &+ right.packets, bytes: left.bytes &+ right.bytes)
  }
}

/// The counters of one port in the kernel, summed over all CPUs, since the program was loaded.
public struct XDPCounters: Sendable, Hashable {
  /// Handed to the AF_XDP socket of the queue.
  public var redirected = XDPCounter()
  /// Left to the host, to which they belong (shared ports).
  public var passedToHost = XDPCounter()
  /// Dropped because of a denied IPv4 source.
  public var droppedDenyV4 = XDPCounter()
  /// Dropped because of a denied IPv6 source.
  public var droppedDenyV6 = XDPCounter()
  /// Dropped because its five-tuple is denied, or hides behind too many IPv6 extension headers.
  public var droppedDenyTuple = XDPCounter()
  /// Dropped because its source had used up its rate.
  public var droppedLimit = XDPCounter()
  /// The queue had no socket: left to the host on a shared port, dropped on a dedicated one.
  public var noSocket = XDPCounter()
  /// Frames with a header that does not fit or contradicts itself. They went where a sound frame would have gone; the worker
  /// drops them and names the reason.
  public var malformed = XDPCounter()

  public init() {}

  /// All frames that arrived.
  public var received: XDPCounter { redirected + passedToHost + droppedDenyV4 + droppedDenyV6 + droppedDenyTuple + droppedLimit + noSocket }
}
