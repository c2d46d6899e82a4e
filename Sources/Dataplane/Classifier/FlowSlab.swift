// FlowSlab.swift
//
// What: the flows of one worker in one stretch of memory, 128 bytes each, found by index; the second key line of IPv6 flows and
//       the masks lie in arrays beside it. Indices, not pointers, travel through caches and mailboxes.
// Invariants: slot 0 and mask 0 are never used: they match nothing (the mask is empty, the key is not), so an empty cache entry needs no test.
//             A removed slot gets mask 0 and so matches nothing from then on. A slot's key has no bit outside its mask.
// Threads: the pipeline thread fills a slot and a mask before it sends their index to the worker, and takes them back after the
//          worker has confirmed the removal; in between the worker owns them. Counters are written by the worker and read by
//          the pipeline thread, both with relaxed atomics.
// Cost: mapped at start for the flow limit, touched when used: 128 bytes per IPv4 flow, 192 per IPv6 flow.

import CSluice
import Glibc

/// What a worker does with the packets of a flow.
@frozen
public enum FlowKind: UInt8, Sendable {
  /// Drops.
  case drop = 0
  /// Sends to one port, unchanged: the case that is worth a path of its own.
  case output = 1
  /// Runs an ActionProgram.
  case program = 2
}

/// One flow as a worker sees it.
@frozen
public struct FlowSlot: BitwiseCopyable {
  /// Line 0 of the masked key.
  var key: FlowLine
  // Second cache line.
  var packets: UInt64
  var bytes: UInt64
  /// The worker's cycle counter when a packet last matched.
  var lastUsed: UInt64
  var program: UnsafePointer<ActionProgram>?
  var mask: UInt16
  var output: PortIndex
  var kind: FlowKind
  var usesLine1: Bool
  var hash: UInt64
  var reserved: (UInt64, UInt64)
}

/// A mask and how often it was the one that matched.
@frozen
public struct MaskSlot: BitwiseCopyable {
  var mask: FlowMask
}

/// Memory of the flows and masks of one worker.
///
/// @unchecked Sendable: see "Threads" above; ownership of each slot passes through the mailbox.
public final class FlowSlab: @unchecked Sendable {
  /// The most masks a worker tells apart.
  public static let maskCapacity = 4096

  let slots: UnsafeMutablePointer<FlowSlot>
  let line1: UnsafeMutablePointer<FlowLine>
  let masks: UnsafeMutablePointer<FlowMask>
  public let capacity: Int
  private let slotBytes: Int
  private let line1Bytes: Int
  private let maskBytes: Int

  /// - Parameter capacity: flows that can be held, slot 0 not counted.
  public static func make(capacity: Int) throws(FrameMemoryError) -> FlowSlab {
    precondition(MemoryLayout<FlowSlot>.stride == 128, "a flow slot is two cache lines")
    let count = capacity + 1
    let sizes = (
      count * MemoryLayout<FlowSlot>.stride, count * MemoryLayout<FlowLine>.stride,
      maskCapacity * MemoryLayout<FlowMask>.stride
    )
    guard let slots = sluice_map_memory(sizes.0, 0) else { throw .cannotMap(bytes: sizes.0, errno: errno) }
    guard let line1 = sluice_map_memory(sizes.1, 0) else {
      sluice_unmap_memory(slots, sizes.0)
      throw .cannotMap(bytes: sizes.1, errno: errno)
    }
    guard let masks = sluice_map_memory(sizes.2, 0) else {
      sluice_unmap_memory(slots, sizes.0)
      sluice_unmap_memory(line1, sizes.1)
      throw .cannotMap(bytes: sizes.2, errno: errno)
    }
    return FlowSlab(capacity: capacity, slots: slots, line1: line1, masks: masks, sizes: sizes)
  }

  private init(
    capacity: Int, slots: UnsafeMutableRawPointer, line1: UnsafeMutableRawPointer, masks: UnsafeMutableRawPointer,
    sizes: (Int, Int, Int)
  ) {
    self.capacity = capacity
    self.slots = slots.assumingMemoryBound(to: FlowSlot.self)
    self.line1 = line1.assumingMemoryBound(to: FlowLine.self)
    self.masks = masks.assumingMemoryBound(to: FlowMask.self)
    (slotBytes, line1Bytes, maskBytes) = sizes
    self.slots[0].key.w0 = .max
  }

  deinit {
    sluice_unmap_memory(slots, slotBytes)
    sluice_unmap_memory(line1, line1Bytes)
    sluice_unmap_memory(masks, maskBytes)
  }

  /// Prefers pages on the NUMA node of a CPU; before any slot is filled.
  func placeOnNode(of cpu: Int?) {
    MemoryPlacement.prefer(nodeOf: cpu, slots, byteCount: slotBytes)
    MemoryPlacement.prefer(nodeOf: cpu, line1, byteCount: line1Bytes)
    MemoryPlacement.prefer(nodeOf: cpu, masks, byteCount: maskBytes)
  }

  /// Compares a packet's key with a slot's masked key. True only for a live slot.
  @inline(__always)
  func matches(_ slot: UnsafePointer<FlowSlot>, index: UInt32, _ key: UnsafePointer<FlowKey>) -> Bool {
    let mask = UnsafePointer(masks + Int(slot.pointee.mask))
    let k = UnsafeRawPointer(key).assumingMemoryBound(to: UInt64.self)
    let m = UnsafeRawPointer(mask).assumingMemoryBound(to: UInt64.self)
    let s = UnsafeRawPointer(slot).assumingMemoryBound(to: UInt64.self)
    // No early exit: eight masked compares become a few vector instructions.
    var difference = ((k[0] & m[0]) ^ s[0]) | ((k[1] & m[1]) ^ s[1])
    difference |= ((k[2] & m[2]) ^ s[2]) | ((k[3] & m[3]) ^ s[3])
    difference |= ((k[4] & m[4]) ^ s[4]) | ((k[5] & m[5]) ^ s[5])
    difference |= ((k[6] & m[6]) ^ s[6]) | ((k[7] & m[7]) ^ s[7])
    guard difference == 0 else { return false }
    guard slot.pointee.usesLine1 else { return true }
    let k1 = key.pointee.line1 & mask.pointee.bits.line1
    return (k1 ^ line1[Int(index)]).isZero
  }
}

/// A flow as the pipeline thread hands it to a worker and reads it back.
extension FlowSlab {
  /// Fills a free slot. Called by the pipeline thread before the slot's index is sent to the worker.
  public func fill(
    slot index: UInt32, key: FlowKey, mask maskIndex: UInt16, kind: FlowKind, output: PortIndex,
    program: UnsafePointer<ActionProgram>?, hash: UInt64, now: UInt64
  ) {
    let mask = masks[Int(maskIndex)]
    let usesLine1 = mask.lines & 2 != 0
    slots[Int(index)] = FlowSlot(
      key: key.line0 & mask.bits.line0, packets: 0, bytes: 0, lastUsed: now, program: program, mask: maskIndex,
      output: output, kind: kind, usesLine1: usesLine1, hash: hash, reserved: (0, 0))
    if usesLine1 { line1[Int(index)] = key.line1 & mask.bits.line1 }
  }

  /// The masked key of a live flow.
  public func key(of index: UInt32) -> FlowKey {
    var key = FlowKey()
    key.line0 = slots[Int(index)].key
    if slots[Int(index)].usesLine1 { key.line1 = line1[Int(index)] }
    return key
  }

  /// The mask in a place.
  public func mask(_ index: UInt16) -> FlowMask { masks[Int(index)] }

  /// Writes a mask into a free place. Called by the pipeline thread before it tells the worker.
  public func setMask(_ index: UInt16, _ mask: FlowMask) { masks[Int(index)] = mask }

  /// Packets, bytes and the cycle stamp of the last use.
  public func counters(of index: UInt32) -> (packets: UInt64, bytes: UInt64, lastUsed: UInt64) {
    let slot = slots + Int(index)
    let raw = UnsafeMutableRawPointer(slot)
    func read(_ offset: Int) -> UInt64 {
      sluice_load_relaxed_u64(raw.advanced(by: offset).assumingMemoryBound(to: UInt64.self))
    }
    return (read(64), read(72), read(80))
  }
}
