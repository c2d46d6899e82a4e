// XDPHook.swift
//
// The place on an interface where one XDP program can be: who is there, and how ours gets there and away.
// Invariants: a program that is not ours is never replaced nor removed, not even when it appears between looking and acting:
//       every change names what it expects to find, and the kernel refuses when it finds something else.
// Threads: any, in the network namespace of the interface.
// Cost: a netlink dump of all links to look, a netlink request to change; attaching resets the queues of some NICs.

import CLibbpf
import Glibc

/// Where a program runs: in the driver, or in the network stack behind it.
public enum XDPAttachMode: Sendable, Hashable {
  /// The driver runs it, before the kernel makes a socket buffer.
  case native
  /// The network stack runs it, with a copy more per frame; `reason` is why the driver does not, in the kernel's words.
  case generic(reason: String)
}

/// A program on a hook.
struct XDPOccupant: Equatable {
  enum Place: Equatable { case native, generic, offloaded }
  var identity: XDPProgramIdentity
  var place: Place

  /// Sluice never offloads to a NIC's processor, so what is there is somebody else's whatever its name.
  var isOurs: Bool { identity.isOurs && place != .offloaded }
}

/// The XDP hook of an interface.
struct XDPHook {
  let index: UInt32
  let name: String

  /// Programs on the hook; more than one only with offloading NICs.
  func occupants() throws(KernelTierError) -> [XDPOccupant] {
    let ids = try BPFSystem.occupantIDs(interface: index)
    var occupants: [XDPOccupant] = []
    for (id, place) in [(ids.native, XDPOccupant.Place.native), (ids.generic, .generic), (ids.offloaded, .offloaded)]
    where id != 0 {
      do {
        let identity = try BPFSystem.identity(of: try BPFSystem.openProgram(id: id))
        occupants.append(XDPOccupant(identity: identity, place: place))
      } catch {
        // It left between the two questions.
        guard error.code == ENOENT else { throw error }
      }
    }
    return occupants
  }

  /// Puts our program on the hook: in the driver if it can, else in the stack. A leftover of ours gives way, without a gap where
  /// it ran in the driver.
  /// - Throws: `.foreignProgram`, `.noInterface`, `.attach` when neither way works.
  func install(_ program: borrowing BPFDescriptor) throws(KernelTierError) -> XDPAttachMode {
    // Somebody may come or go between looking and acting; then look again.
    var lost: KernelTierError?
    for _ in 0..<4 {
      do {
        if let mode = try installOnce(program) { return mode }
      } catch {
        guard error.isLostRace else { throw error }
        lost = error
      }
    }
    throw lost ?? .system(operation: "attach the XDP program to \(name)", code: EBUSY, detail: "")
  }

  /// One attempt; nil when a leftover had to be moved out of the way first.
  private func installOnce(_ program: borrowing BPFDescriptor) throws(KernelTierError) -> XDPAttachMode? {
    let occupants = try self.occupants()
    if let foreign = occupants.first(where: { !$0.isOurs }) {
      throw .foreignProgram(interface: name, program: foreign.identity)
    }
    guard let leftover = occupants.first else { return try installOnEmptyHook(program) }
    switch leftover.place {
    case .native:
      let old = try BPFSystem.openProgram(id: leftover.identity.id)
      try change(to: program.number, flags: Self.nativeFlag, expecting: old.number)
      return .native
    case .generic, .offloaded:
      // The reason why the driver refuses is to be learnt anew, and perhaps it does not any more.
      _ = try remove(leftover)
      return nil
    }
  }

  private func installOnEmptyHook(_ program: borrowing BPFDescriptor) throws(KernelTierError) -> XDPAttachMode {
    let native: KernelTierError
    do {
      try change(to: program.number, flags: Self.nativeFlag, expecting: nil)
      return .native
    } catch {
      guard error.isRefusalByDriver else { throw error }
      native = error
    }
    do {
      try change(to: program.number, flags: Self.genericFlag, expecting: nil)
      return .generic(reason: native.kernelWords)
    } catch {
      guard error.isRefusalByDriver else { throw error }
      throw .attach(interface: name, native: native.kernelWords, generic: error.kernelWords)
    }
  }

  /// Takes a program of ours away.
  /// - Returns: false when it, or the interface, was not there any more; what is there instead stays.
  func remove(_ occupant: XDPOccupant) throws(KernelTierError) -> Bool {
    do {
      let program = try BPFSystem.openProgram(id: occupant.identity.id)
      return try remove(program, place: occupant.place)
    } catch {
      if error.code == ENOENT { return false }
      throw error
    }
  }

  /// The same for a program that is open.
  func remove(_ program: borrowing BPFDescriptor, place: XDPOccupant.Place) throws(KernelTierError) -> Bool {
    do {
      try change(to: nil, flags: place == .native ? Self.nativeFlag : Self.genericFlag, expecting: program.number)
      return true
    } catch {
      // EEXIST: another program is there, or none.
      if error.code == EEXIST || error.code == ENODEV { return false }
      throw error
    }
  }

  private func change(to program: Int32?, flags: UInt32, expecting: Int32?) throws(KernelTierError) {
    do {
      try BPFSystem.setProgram(interface: index, flags: flags, program: program, expected: expecting)
    } catch {
      if error.code == ENODEV { throw .noInterface(name: name, index: index) }
      guard case .system(let operation, let code, let detail) = error else { throw error }
      throw .system(operation: "\(operation) \(program == nil ? "from" : "to") \(name)", code: code, detail: detail)
    }
  }

  private static let nativeFlag = UInt32(XDP_FLAGS_DRV_MODE)
  private static let genericFlag = UInt32(XDP_FLAGS_SKB_MODE)
}

extension KernelTierError {
  /// Something else was on the hook than when we looked.
  fileprivate var isLostRace: Bool { code == EBUSY || code == EEXIST || code == ENOENT }

  /// The interface cannot take the program this way, but perhaps another way.
  fileprivate var isRefusalByDriver: Bool {
    if case .system(_, let code, _) = self { !isLostRace && code != EPERM && code != EACCES } else { false }
  }

  /// The kernel's explanation, or else the meaning of its error number.
  fileprivate var kernelWords: String {
    guard case .system(_, let code, let detail) = self else { return description }
    return detail.isEmpty ? Self.words(code) : detail
  }
}
