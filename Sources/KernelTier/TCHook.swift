// TCHook.swift
//
// The place on an interface where our tc program is: the first filter of clsact's ingress.
// Invariants: a filter that is not ours is never replaced nor removed. The qdisc goes only when we made it and nothing else is on it.
// Threads: any, in the network namespace of the interface.
// Cost: a few netlink requests.

import Glibc

struct TCHook {
  let index: UInt32
  let name: String

  /// Who is the first filter.
  enum Occupant: Equatable {
    case nobody
    case ours(XDPProgramIdentity)
    /// Nil when it is no BPF program.
    case foreign(XDPProgramIdentity?)
  }

  func occupant() throws(KernelTierError) -> Occupant {
    guard let id = try BPFSystem.tcProgramID(interface: index) else { return .nobody }
    guard id != 0 else { return .foreign(nil) }
    do {
      let identity = try BPFSystem.identity(of: try BPFSystem.openProgram(id: id))
      return identity.isOurs ? .ours(identity) : .foreign(identity)
    } catch {
      // It left between the two questions.
      if error.code == ENOENT { return .nobody }
      throw error
    }
  }

  /// Makes our program the first filter; one of ours that is there gives way without a gap.
  /// - Returns: whether the qdisc had to be made.
  /// - Throws: `.foreignFilter`, `.noInterface`.
  func install(_ program: borrowing BPFDescriptor) throws(KernelTierError) -> Bool {
    do throws(KernelTierError) {
      let isMade = try BPFSystem.makeTCHook(interface: index)
      do throws(KernelTierError) {
        let occupant = try occupant()
        if case .foreign(let identity) = occupant { throw .foreignFilter(interface: name, program: identity) }
        try BPFSystem.attachTC(interface: index, program: program.number, replaces: occupant != .nobody)
      } catch {
        if isMade { _ = try? removeQdisc() }
        throw error
      }
      return isMade
    } catch {
      throw named(error)
    }
  }

  /// Takes our program away, when it is this one; nil: whichever of ours.
  /// - Parameter removesQdisc: the qdisc too, when nothing else is on it.
  /// - Returns: what was removed; nil when it was not there any more.
  func remove(id: UInt32?, removesQdisc: Bool) throws(KernelTierError) -> XDPProgramIdentity? {
    do throws(KernelTierError) {
      guard case .ours(let identity) = try occupant(), id == nil || identity.id == id else { return nil }
      try BPFSystem.detachTC(interface: index)
      if removesQdisc { try removeQdisc() }
      return identity
    } catch {
      if error.isNotThere || error.code == EINVAL { return nil }
      throw named(error)
    }
  }

  private func removeQdisc() throws(KernelTierError) {
    guard try !BPFSystem.hasTCFilters(interface: index) else { return }
    try BPFSystem.removeTCHook(interface: index)
  }

  private func named(_ error: KernelTierError) -> KernelTierError {
    guard case .system(let operation, let code, let detail) = error else { return error }
    if code == ENODEV { return .noInterface(name: name, index: index) }
    return .system(operation: "\(operation) (\(name))", code: code, detail: detail)
  }
}
