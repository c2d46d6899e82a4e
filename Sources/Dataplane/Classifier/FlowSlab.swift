// FlowSlab.swift
//
// What: the flows of one worker in one stretch of memory, 128 bytes each, found by index; the second key line of IPv6 flows and
//       the masks lie in arrays beside it. Indices, not pointers, travel through caches and mailboxes.
// Invariants: slot 0 and mask 0 are never used: they match nothing (the mask is empty, the key is not), so an empty cache entry needs no test.
//             A removed slot gets mask 0 and so matches nothing from then on. A slot's key has no bit outside its mask. Counters of a live slot
//             only grow; its marks are what they were when the present answer began.
// Threads: the worker alone writes live slots, because its exact cache may lead it to any of them at any time, removed ones included. The
//          pipeline thread describes a flow in the command that installs it; it writes into a slot only to clear the
//          counters of a removed one, after the worker has confirmed the removal and before it is told to use the slot again. A mask is
//          written by the pipeline thread before the first command that names it and after the last flow that used it has gone.
//          Counters are written by the worker and read by the pipeline thread, both with relaxed atomics; marks are read after
//          a fence only.
// Cost: mapped at start for the flow limit, touched when used: 128 bytes per flow, 64 more per IPv6 flow.

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
  /// The ingress port, which every mask looks at.
  var port: PortIndex
  var hash: UInt64
  /// The counters when the present answer began.
  var markPackets: UInt64
  var markBytes: UInt64
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
  /// Bytes of the slots whose pages are there. The pipeline thread's.
  private var preparedBytes = 0
  private let line1Bytes: Int
  private let maskBytes: Int

  /// - Parameter capacity: flows that can be held, slot 0 not counted.
  public static func make(capacity: Int) throws(FrameMemoryError) -> FlowSlab {
    precondition(MemoryLayout<FlowSlot>.stride == 128, "a flow slot is two cache lines")
    let count = capacity + 1
    let sizes = [
      count * MemoryLayout<FlowSlot>.stride, count * MemoryLayout<FlowLine>.stride,
      maskCapacity * MemoryLayout<FlowMask>.stride,
    ]
    var memory: [UnsafeMutableRawPointer] = []
    for (place, size) in sizes.enumerated() {
      // The slots are read at random by every packet: large pages save the walk through the page table.
      guard let mapped = sluice_map_memory(size, place == 0 ? 1 : 0) else {
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
    (slotBytes, line1Bytes, maskBytes) = (sizes[0], sizes[1], sizes[2])
    slots[0].key.w0 = .max
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

/// The pipeline thread's side.
extension FlowSlab {
  /// Describes a flow, to be sent with the command that installs it.
  ///
  /// - Parameter key: the key of one of its packets.
  public func describe(
    key: FlowKey, mask: UInt16, port: PortIndex, kind: FlowKind, output: PortIndex, program: UnsafePointer<ActionProgram>?,
    hash: UInt64, now: UInt64
  ) -> FlowDescription {
    FlowDescription(
      key: key & masks[Int(mask)], mask: mask, port: port, kind: kind, output: output, program: program, hash: hash, now: now)
  }

  /// Takes the memory for slots up to this one, two megabytes at a time, so that the worker does not wait for a page to be cleared.
  public func prepare(_ index: UInt32) {
    let end = (Int(index) + 1) * MemoryLayout<FlowSlot>.stride
    guard end > preparedBytes else { return }
    let next = min(slotBytes, (end + Self.preparedPart - 1) / Self.preparedPart * Self.preparedPart)
    sluice_populate_memory(UnsafeMutableRawPointer(slots) + preparedBytes, next - preparedBytes)
    preparedBytes = next
  }

  private static let preparedPart = 1 << 21

  /// The mask in a place.
  public func mask(_ index: UInt16) -> FlowMask { masks[Int(index)] }

  /// Writes a mask into a free place. Called by the pipeline thread before it tells the worker.
  public func setMask(_ index: UInt16, _ mask: FlowMask) { masks[Int(index)] = mask }

  /// Packets and bytes since the slot was installed, and the cycle stamp of the last use. They are zero, and the stamp is that of the flow
  /// before, until the worker has carried out the installation.
  public func counters(of index: UInt32) -> (packets: UInt64, bytes: UInt64, lastUsed: UInt64) {
    let words = words(of: index)
    return (
      sluice_load_relaxed_u64(words + 8), sluice_load_relaxed_u64(words + 9), sluice_load_relaxed_u64(words + 10)
    )
  }

  /// The cycle stamp of the last use, as `counters` has it.
  @inline(__always)
  public func lastUse(of index: UInt32) -> UInt64 { sluice_load_relaxed_u64(words(of: index) + 10) }

  /// Packets and bytes when the present answer began. Only after a fence behind the last change of the slot.
  public func marks(of index: UInt32) -> (packets: UInt64, bytes: UInt64) {
    (slots[Int(index)].markPackets, slots[Int(index)].markBytes)
  }

  /// Asks for the lines of a slot that `counters` will read.
  @inline(__always)
  public func prefetchCounters(of index: UInt32) { sluice_prefetch(UnsafeRawPointer(slots + Int(index)) + 64) }

  /// Sets the counters of a removed slot to zero, for its next flow. Only after the worker has confirmed the removal.
  public func clearCounters(of index: UInt32) {
    let words = words(of: index)
    sluice_store_relaxed_u64(words + 8, 0)
    sluice_store_relaxed_u64(words + 9, 0)
    slots[Int(index)].markPackets = 0
    slots[Int(index)].markBytes = 0
  }

  private func words(of index: UInt32) -> UnsafeMutablePointer<UInt64> {
    UnsafeMutableRawPointer(slots + Int(index)).assumingMemoryBound(to: UInt64.self)
  }
}

/// The worker's side.
extension FlowSlab {
  /// Makes a slot what a description says. Worker only.
  func activate(_ index: UInt32, _ flow: UnsafePointer<FlowDescription>) {
    let slot = slots + Int(index)
    slot.pointee.key = flow.pointee.line0
    slot.pointee.program = flow.pointee.program
    slot.pointee.mask = flow.pointee.mask
    slot.pointee.output = flow.pointee.output
    slot.pointee.kind = flow.pointee.kind
    slot.pointee.port = flow.pointee.port
    slot.pointee.hash = flow.pointee.hash
    slot.pointee.usesLine1 = masks[Int(flow.pointee.mask)].packetLines & 2 != 0
    if slot.pointee.usesLine1 { line1[Int(index)] = flow.pointee.line1 }
    sluice_store_relaxed_u64(words(of: index) + 10, flow.pointee.now)
  }

  /// Gives a live slot another answer; what it has counted so far was by the old one. Worker only.
  func replace(_ change: FlowChange) {
    let slot = slots + Int(change.slot)
    slot.pointee.kind = change.kind
    slot.pointee.output = change.output
    slot.pointee.program = change.program
    slot.pointee.markPackets = slot.pointee.packets
    slot.pointee.markBytes = slot.pointee.bytes
  }

  /// Makes a slot match nothing. Worker only.
  func deactivate(_ index: UInt32) {
    let slot = slots + Int(index)
    slot.pointee.mask = 0
    slot.pointee.key.w0 |= 1
    slot.pointee.usesLine1 = false
  }
}
