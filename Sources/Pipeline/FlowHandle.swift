// FlowHandle.swift
//
// What: names a cached flow: the worker that holds it and its slot there, in 32 bits, so that lists of flows cost four bytes a link.
// Invariants: 0 is no flow, because slot 0 is never used.

/// A cached flow's worker and slot.
struct FlowHandle: Hashable, BitwiseCopyable {
  let bits: UInt32

  static let none = FlowHandle(bits: 0)
  /// Slots of one worker, as 24 bits can tell apart.
  static let slotLimit = 1 << 24
  /// Workers, as 8 bits can tell apart.
  static let workerLimit = 1 << 8

  init(bits: UInt32) { self.bits = bits }

  init(worker: Int, slot: UInt32) { bits = UInt32(truncatingIfNeeded: worker) << 24 | slot }

  var isNone: Bool { bits == 0 }
  var worker: Int { Int(bits >> 24) }
  var slot: UInt32 { bits & 0xff_ffff }
}
