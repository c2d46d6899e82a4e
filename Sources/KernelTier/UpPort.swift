// UpPort.swift
//
// The far end of the way from tc to the worker: an interface whose program hands frames with our header to AF_XDP sockets, and drops all others.
// Invariants: as in XDPPort.swift.
// Threads: `attach` and `detach` act in the network namespace of the calling thread; everything else may be called from anywhere.
// Cost: control path only.

import CLibbpf
import CSluice
import Synchronization

/// An interface with the upcall program on it.
public final class UpPort: Sendable {
  public let interfaceIndex: UInt32
  public let interfaceName: String
  public let attachMode: XDPAttachMode
  public let identity: XDPProgramIdentity
  public let queues: Int
  private let descriptor: BPFDescriptor
  private let sockets: QueueSockets
  private let isAttached = Mutex(true)

  private init(
    index: UInt32, name: String, mode: XDPAttachMode, identity: XDPProgramIdentity, queues: Int, descriptor: consuming BPFDescriptor,
    sockets: consuming QueueSockets
  ) {
    interfaceIndex = index
    interfaceName = name
    attachMode = mode
    self.identity = identity
    self.queues = queues
    self.descriptor = descriptor
    self.sockets = sockets
  }

  public var programID: UInt32 { identity.id }

  /// Loads the program and puts it on an interface; one of an agent before this one gives way.
  /// - Throws: as `XDPPort.attach`.
  public static func attach(interfaceIndex: UInt32, interfaceName: String, queues: Int) throws(KernelTierError) -> UpPort {
    let object = try BPFObject(bytes: EmbeddedBPF.upObject, name: SLUICE_UP_PROGRAM)
    try QueueSockets.size(object, map: "sluice_up_xsks", queues: queues)
    try object.load()
    let descriptor = try object.program(SLUICE_UP_PROGRAM)
    let identity = try BPFSystem.identity(of: descriptor)
    let sockets = try QueueSockets(object, map: "sluice_up_xsks", queues: queues)
    let mode = try XDPHook(index: interfaceIndex, name: interfaceName).install(descriptor)
    return UpPort(
      index: interfaceIndex, name: interfaceName, mode: mode, identity: identity, queues: queues, descriptor: descriptor, sockets: sockets)
  }

  /// Sends the frames of a queue to an AF_XDP socket, in place of the one before.
  public func setSocket(queue: Int, descriptor: Int32) throws(KernelTierError) { try sockets.set(queue: queue, descriptor: descriptor) }

  /// Frames of the queue are dropped from now on.
  public func clearSocket(queue: Int) throws(KernelTierError) { try sockets.clear(queue: queue) }

  /// Takes the program off the interface, if it is still this instance that is there.
  /// - Returns: false when it was gone already.
  @discardableResult
  public func detach() throws(KernelTierError) -> Bool {
    try isAttached.withLock { isAttached throws(KernelTierError) in
      guard isAttached else { return false }
      let hook = XDPHook(index: interfaceIndex, name: interfaceName)
      let removed = try hook.remove(descriptor, place: attachMode == .native ? .native : .generic)
      isAttached = false
      return removed
    }
  }
}
