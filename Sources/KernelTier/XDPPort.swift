// XDPPort.swift
//
// A port of the switch in the kernel: an interface that runs an instance of our XDP program.
// Invariants: the interface is meant by its index, its name serves messages. `detach` removes this instance and nothing else.
//       Dropping the object without `detach` closes descriptors and leaves the program running, as a crash does; the next agent
//       replaces it.
// Threads: `attach` and `detach` act in the network namespace of the calling thread; everything else may be called from
//       anywhere.
// Cost: control path only.

import Synchronization

/// An interface with our XDP program on it.
public final class XDPPort: Sendable {
  public let interfaceIndex: UInt32
  public let interfaceName: String
  /// Where the program runs, and why not in the driver if so.
  public let attachMode: XDPAttachMode
  /// The loaded program: its sockets, host addresses and counters.
  public let program: XDPProgram
  private let isAttached = Mutex(true)

  private init(index: UInt32, name: String, mode: XDPAttachMode, program: XDPProgram) {
    interfaceIndex = index
    interfaceName = name
    attachMode = mode
    self.program = program
  }

  /// Loads an instance of the program and puts it on an interface.
  ///
  /// `// ip link set dev X xdpdrv obj ... || ip link set dev X xdpgeneric obj ...`
  /// - Parameters:
  ///   - interfaceIndex: in the calling thread's network namespace.
  ///   - queues: receive queues of the interface.
  ///   - policy: the early drop policy that all ports share; nil leaves it out of the program.
  ///   - flows: the flow table; nil leaves it out of the program.
  /// - Throws: `.foreignProgram` when somebody else's program is there, `.noInterface`, `.attach` when the interface takes the
  ///   program neither way, `.load`.
  public static func attach(
    interfaceIndex: UInt32, interfaceName: String, mode: XDPPortMode, queues: Int, policy: Policy?, flows: FlowHookSpec? = nil
  ) throws(KernelTierError) -> XDPPort {
    let program = try XDPProgram.load(mode: mode, queues: queues, policy: policy, flows: flows)
    return try attach(program, interfaceIndex: interfaceIndex, interfaceName: interfaceName)
  }

  /// Puts a loaded program on an interface: when sockets are in its map before, a leftover is replaced without a gap.
  public static func attach(
    _ program: XDPProgram, interfaceIndex: UInt32, interfaceName: String
  ) throws(KernelTierError) -> XDPPort {
    let hook = XDPHook(index: interfaceIndex, name: interfaceName)
    let attachMode = try hook.install(program.descriptor)
    return XDPPort(index: interfaceIndex, name: interfaceName, mode: attachMode, program: program)
  }

  /// Whether a program of ours is in an interface's driver, of an agent before this one.
  public static func hasLeftover(interfaceIndex: UInt32, interfaceName: String) throws(KernelTierError) -> Bool {
    try XDPHook(index: interfaceIndex, name: interfaceName).occupants().contains { $0.isOurs && $0.place == .native }
  }

  /// Who gets the frames.
  public var mode: XDPPortMode { program.spec.mode }
  public var programID: UInt32 { program.identity.id }
  /// 16 hexadecimal digits that change with the program's version and configuration.
  public var tag: String { program.identity.tag }

  /// `XDPProgram.setSocket`.
  public func setSocket(queue: Int, descriptor: Int32) throws(KernelTierError) {
    try program.setSocket(queue: queue, descriptor: descriptor)
  }

  /// `XDPProgram.clearSocket`.
  public func clearSocket(queue: Int) throws(KernelTierError) { try program.clearSocket(queue: queue) }

  /// `XDPProgram.setHost`.
  public func setHost(mac: [UInt8], addresses: [IPAddress]) throws(KernelTierError) {
    try program.setHost(mac: mac, addresses: addresses)
  }

  /// `XDPProgram.counters`.
  public func counters() throws(KernelTierError) -> XDPCounters { try program.counters() }

  /// Takes the program off the interface, if it is still this instance that is there.
  /// - Returns: false when it was gone already, with the interface or because somebody replaced it.
  @discardableResult
  public func detach() throws(KernelTierError) -> Bool {
    try isAttached.withLock { isAttached throws(KernelTierError) in
      guard isAttached else { return false }
      let hook = XDPHook(index: interfaceIndex, name: interfaceName)
      let removed = try hook.remove(program.descriptor, place: attachMode == .native ? .native : .generic)
      isAttached = false
      return removed
    }
  }
}
