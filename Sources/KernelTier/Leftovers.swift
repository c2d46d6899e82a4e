// Leftovers.swift
//
// Programs that an agent left on interfaces when it crashed, or that are no ports any more.
// Invariant: only programs that bear our name are touched.
// Threads: any, in the network namespace of the interfaces.

/// A program that was taken away.
public struct RemovedLeftover: Sendable, Hashable {
  public var interfaceIndex: UInt32
  public var program: XDPProgramIdentity
}

/// Takes our XDP programs off interfaces that are not ports any more. An interface without one, or that is gone, is passed over.
/// - Parameter interfaceIndices: in the calling thread's network namespace, without those that are configured as ports: their
///   leftovers are replaced by `XDPPort.attach`, without a gap.
/// - Returns: what was removed.
/// - Throws: the first failure, after the other interfaces were done too.
@discardableResult
public func removeLeftovers(interfaceIndices: [UInt32]) throws(KernelTierError) -> [RemovedLeftover] {
  var removed: [RemovedLeftover] = []
  var failure: KernelTierError?
  for index in interfaceIndices {
    let hook = XDPHook(index: index, name: "interface \(index)")
    do {
      for occupant in try hook.occupants() where occupant.isOurs {
        if try hook.remove(occupant) {
          removed.append(RemovedLeftover(interfaceIndex: index, program: occupant.identity))
        }
      }
    } catch {
      failure = failure ?? error
    }
  }
  if let failure { throw failure }
  return removed
}
