// FlowSlab.swift
//
// What: the flows of one worker in one stretch of memory, 128 bytes each, found by index; the second key line of IPv6 flows and
//       the masks lie in arrays beside it. Indices, not pointers, travel through caches and mailboxes.
// Invariants: slot 0 and mask 0 are never used: they match nothing (the mask is empty, the key is not), so an empty cache entry needs no test.
//             A removed slot gets mask 0 and so matches nothing from then on. A slot's key has no bit outside its mask. Counters of a slot
//             only grow, through all flows that have had it: a flow's own counts are differences.
// Threads: the worker alone writes slots, because its exact cache may lead it to any of them at any time, removed ones included. The pipeline
//          thread describes a flow in the FlowSpec of the same index before it sends the index to the worker, and takes spec and mask
//          back after the worker has confirmed the removal; in between both only read them. Counters are written by the
//          worker and read by the pipeline thread, both with relaxed atomics.
// Cost: mapped at start for the flow limit, touched when used: 288 bytes per IPv4 flow, 352 per IPv6 flow; look-ups touch 128 and 192 of them.

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

/// A flow as the pipeline thread describes it to a worker.
struct FlowSpec: BitwiseCopyable {
  /// The masked key.
  var key: FlowKey
  var hash: UInt64
  /// The cycle counter when the flow was made: the stamp of its first "use".
  var now: UInt64
  var program: UnsafePointer<ActionProgram>?
  var mask: UInt16
  var output: PortIndex
  var kind: FlowKind
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
  private let specs: UnsafeMutablePointer<FlowSpec>
  public let capacity: Int
  private let slotBytes: Int
  private let line1Bytes: Int
  private let maskBytes: Int
  private let specBytes: Int

  /// - Parameter capacity: flows that can be held, slot 0 not counted.
  public static func make(capacity: Int) throws(FrameMemoryError) -> FlowSlab {
    precondition(MemoryLayout<FlowSlot>.stride == 128, "a flow slot is two cache lines")
    let count = capacity + 1
    let sizes = [
      count * MemoryLayout<FlowSlot>.stride, count * MemoryLayout<FlowLine>.stride,
      maskCapacity * MemoryLayout<FlowMask>.stride, count * MemoryLayout<FlowSpec>.stride,
    ]
    var memory: [UnsafeMutableRawPointer] = []
    for size in sizes {
      guard let mapped = sluice_map_memory(size, 0) else {
        let code = errno
        for (earlier, size) in zip(memory, sizes) { sluice_unmap_memory(earlier, size) }
        throw .cannotMap(bytes: size, errno: code)
      }
      memory.append(mapped)
    }
    return FlowSlab(capacity: capacity, memory: memory, sizes: sizes)
  }

  private init(capacity: Int, memory: [UnsafeMutableRawPointer], sizes: [Int]) {
    self.capacity = capacity
    slots = memory[0].assumingMemoryBound(to: FlowSlot.self)
    line1 = memory[1].assumingMemoryBound(to: FlowLine.self)
    masks = memory[2].assumingMemoryBound(to: FlowMask.self)
    specs = memory[3].assumingMemoryBound(to: FlowSpec.self)
    (slotBytes, line1Bytes, maskBytes, specBytes) = (sizes[0], sizes[1], sizes[2], sizes[3])
    slots[0].key.w0 = .max
  }

  deinit {
    sluice_unmap_memory(slots, slotBytes)
    sluice_unmap_memory(line1, line1Bytes)
    sluice_unmap_memory(masks, maskBytes)
    sluice_unmap_memory(specs, specBytes)
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

/// The pipeline thread's side.
extension FlowSlab {
  /// Describes a flow in a free place. Called by the pipeline thread before the index is sent to the worker.
  public func fill(
    slot index: UInt32, key: FlowKey, mask maskIndex: UInt16, kind: FlowKind, output: PortIndex,
    program: UnsafePointer<ActionProgram>?, hash: UInt64, now: UInt64
  ) {
    specs[Int(index)] = FlowSpec(
      key: key & masks[Int(maskIndex)], hash: hash, now: now, program: program, mask: maskIndex, output: output, kind: kind)
  }

  /// The masked key of a live flow.
  public func key(of index: UInt32) -> FlowKey { specs[Int(index)].key }

  /// The mask in a place.
  public func mask(_ index: UInt16) -> FlowMask { masks[Int(index)] }

  /// Writes a mask into a free place. Called by the pipeline thread before it tells the worker.
  public func setMask(_ index: UInt16, _ mask: FlowMask) { masks[Int(index)] = mask }

  /// Packets and bytes of all flows that have had this slot, and the cycle stamp of the last use. They are those of the flow before until the
  /// worker has carried out the installation.
  public func counters(of index: UInt32) -> (packets: UInt64, bytes: UInt64, lastUsed: UInt64) {
    let slot = slots + Int(index)
    let raw = UnsafeMutableRawPointer(slot)
    func read(_ offset: Int) -> UInt64 {
      sluice_load_relaxed_u64(raw.advanced(by: offset).assumingMemoryBound(to: UInt64.self))
    }
    return (read(64), read(72), read(80))
  }
}

/// The worker's side.
extension FlowSlab {
  /// Makes a slot what its spec says. Worker only.
  func activate(_ index: UInt32) {
    let spec = specs + Int(index)
    let slot = slots + Int(index)
    slot.pointee.key = spec.pointee.key.line0
    slot.pointee.program = spec.pointee.program
    slot.pointee.mask = spec.pointee.mask
    slot.pointee.output = spec.pointee.output
    slot.pointee.kind = spec.pointee.kind
    slot.pointee.hash = spec.pointee.hash
    slot.pointee.usesLine1 = masks[Int(spec.pointee.mask)].packetLines & 2 != 0
    if slot.pointee.usesLine1 { line1[Int(index)] = spec.pointee.key.line1 }
    let words = UnsafeMutableRawPointer(slot).assumingMemoryBound(to: UInt64.self)
    sluice_store_relaxed_u64(words + 10, spec.pointee.now)
  }

  /// Makes a slot match nothing. Worker only.
  func deactivate(_ index: UInt32) {
    let slot = slots + Int(index)
    slot.pointee.mask = 0
    slot.pointee.key.w0 |= 1
    slot.pointee.usesLine1 = false
  }
}
