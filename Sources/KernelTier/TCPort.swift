// TCPort.swift
//
// A port of the switch at the tc hook: a container's veth, whose packets keep their segmentation and checksum offload there; or an uplink, where
// tc does what XDP leaves to it.
// Invariants: the interface is meant by its index, its name serves messages. `detach` removes this instance and nothing else. Dropping the object
//       without `detach` leaves the program running, as a crash does; the next agent replaces it.
// Threads: `attach` and `detach` act in the network namespace of the calling thread.
// Cost: control path only; loading takes some milliseconds (the verifier).

import CLibbpf
import CSluice
import Synchronization

/// An interface with our tc program on it.
public final class TCPort: Sendable {
  public let interfaceIndex: UInt32
  public let interfaceName: String
  public let identity: XDPProgramIdentity
  /// Whether the clsact qdisc is ours: keep it in the port's hooks (`.clsact`), so that the next agent knows.
  public let madeQdisc: Bool
  private let descriptor: BPFDescriptor
  private let isAttached = Mutex(true)

  private init(
    index: UInt32, name: String, identity: XDPProgramIdentity, madeQdisc: Bool, descriptor: consuming BPFDescriptor
  ) {
    interfaceIndex = index
    interfaceName = name
    self.identity = identity
    self.madeQdisc = madeQdisc
    self.descriptor = descriptor
  }

  public var programID: UInt32 { identity.id }

  /// Whether it is still this instance that is the first filter: nobody is told when somebody replaces the qdisc.
  /// - Throws: `.system` when the kernel does not say, as for an interface that is gone.
  public func isInPlace() throws(KernelTierError) -> Bool { try BPFSystem.tcProgramID(interface: interfaceIndex) == programID }

  /// Loads an instance of the program and makes it the first filter of what an interface receives.
  ///
  /// `// tc qdisc add dev X clsact; tc filter replace dev X ingress prio 1 handle 1 bpf direct-action ...`
  /// - Parameters:
  ///   - behind: the XDP program of the same interface, which leaves packets to this one; nil on a container's veth.
  ///   - policy: whose samples of drops these are, too; tc asks it nothing else.
  ///   - madeQdisc: whether an agent before this one made the qdisc, as the port's hooks tell.
  /// - Throws: `.foreignFilter` when somebody else's filter is there, `.noInterface`, `.load`.
  public static func attach(
    interfaceIndex: UInt32, interfaceName: String, flows: FlowHookSpec, behind: XDPProgram? = nil, policy: Policy? = nil,
    madeQdisc: Bool = false
  ) throws(KernelTierError) -> TCPort {
    var flows = flows
    flows.isWithTC = behind != nil
    let object = try BPFObject(bytes: EmbeddedBPF.containerObject, name: SLUICE_TC_PROGRAM)
    try object.prepare(policy: policy, flows: flows)
    try object.load()
    let descriptor = try object.program(SLUICE_TC_PROGRAM)
    let identity = try BPFSystem.identity(of: descriptor)
    let isMade = try TCHook(index: interfaceIndex, name: interfaceName).install(descriptor)
    return TCPort(
      index: interfaceIndex, name: interfaceName, identity: identity, madeQdisc: isMade || madeQdisc, descriptor: descriptor)
  }

  /// Takes the program off the interface, if it is still this instance that is there; and the qdisc, if it is ours and empty.
  /// - Returns: false when it was gone already, with the interface or because somebody replaced it.
  @discardableResult
  public func detach() throws(KernelTierError) -> Bool {
    try isAttached.withLock { isAttached throws(KernelTierError) in
      guard isAttached else { return false }
      let removed = try TCHook(index: interfaceIndex, name: interfaceName).remove(id: programID, removesQdisc: madeQdisc)
      isAttached = false
      return removed != nil
    }
  }
}

/// Takes our tc programs off interfaces. An interface without one, or that is gone, is passed over.
/// - Parameters:
///   - interfaceIndices: in the calling thread's network namespace, without those that are configured as ports.
///   - madeQdisc: whether we made the qdisc of an interface, as the port's hooks tell.
/// - Returns: what was removed.
/// - Throws: the first failure, after the other interfaces were done too.
@discardableResult
public func removeTCLeftovers(
  interfaceIndices: [UInt32], madeQdisc: (UInt32) -> Bool
) throws(KernelTierError) -> [RemovedLeftover] {
  var removed: [RemovedLeftover] = []
  var failure: KernelTierError?
  for index in interfaceIndices {
    do {
      let hook = TCHook(index: index, name: "interface \(index)")
      if let program = try hook.remove(id: nil, removesQdisc: madeQdisc(index)) {
        removed.append(RemovedLeftover(interfaceIndex: index, program: program))
      }
    } catch {
      failure = failure ?? error
    }
  }
  if let failure { throw failure }
  return removed
}
