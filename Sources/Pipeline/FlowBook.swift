// FlowBook.swift
//
// What: the pipeline thread's book of one worker's flows: which slots and masks are taken, what each flow's key and answer is, and
//       which flow a packet belongs to.
// Invariants: a slot is free, live or leaving. It is leaving from the moment the worker is told to remove it until the worker has done so; only
//             then is it free again, and its mask with it. A live flow, and no other, is in the index. The book keeps the masked keys itself:
//             the worker's slots are the worker's.
// Threads: confined to the pipeline thread.
// Cost: 128 bytes a flow (192 for IPv6), and 12 bytes of the index per flow that can be held; all of it is mapped at start and
//       touched when used. Filing a flow touches four cache lines.

import CSluice
import Dataplane

/// What the pipeline thread knows of a cached flow, besides its key.
struct FlowRecord: BitwiseCopyable {
  enum State: UInt8, BitwiseCopyable { case free, live, leaving }

  /// Unique in this process; a flow whose answer changes in place gets a new one.
  var id: UInt64
  /// The slot's counts that have been added to the rules.
  var creditedPackets: UInt64
  var creditedBytes: UInt64
  /// The worker's stamp of last use when the flow was last looked at.
  var seenUse: UInt64
  /// When the answer began: milliseconds since the book was opened.
  var createdMilliseconds: UInt32
  var plan: UInt32
  /// Other flows of the plan. `nextOfPlan` links the free slots, too.
  var nextOfPlan: FlowHandle
  var previousOfPlan: FlowHandle
  /// The first link to a station; 0 for none. See StationLinks.
  var firstLink: UInt32
  /// One more than the place in the list of staged changes; 0 for none.
  var staged: UInt32
  var mask: UInt16
  /// The index of the ingress port.
  var port: PortIndex
  var state: State
  /// Where it stands with the tier in front of the workers.
  var placement: PlacementMark = .none
  /// Packets since the clock hand looked at it last that were added to its rules in the meantime; up to 255.
  var recentPackets: UInt8 = 0
}

/// A flow that has a slot.
struct FiledFlow {
  let slot: UInt32
  /// False when a flow for the same packets was there already.
  let isNew: Bool
  let key: FlowKey
  let hash: UInt64
}

final class FlowBook {
  let worker: Worker
  let number: Int
  let masks: FlowMasks
  let records: UnsafeMutablePointer<FlowRecord>
  private let line0: UnsafeMutablePointer<FlowLine>
  private let line1: UnsafeMutablePointer<FlowLine>
  private var index: FlowIndex
  private let secrets: HashSecrets
  private let byteCounts: (records: Int, line: Int)
  private var firstFree = UInt32(0)
  /// One more than the highest slot that was ever taken.
  private(set) var slotEnd: UInt32 = 1
  /// Live flows.
  private(set) var count = 0
  /// Flows on their way out.
  private(set) var leavingCount = 0
  /// Live flows of each ingress port.
  private(set) var countByPort = [Int32](repeating: 0, count: WorkerCounters.portCapacity)

  /// - Throws: `WorkerError.noMemory`.
  static func make(worker: Worker, number: Int, secrets: HashSecrets, masksPerPort: Int) throws(WorkerError) -> FlowBook {
    precondition(MemoryLayout<FlowRecord>.stride <= 64, "a record is a cache line")
    let slots = min(worker.slab.capacity, FlowHandle.slotLimit - 1) + 1
    let sizes = (records: slots * MemoryLayout<FlowRecord>.stride, line: slots * MemoryLayout<FlowLine>.stride)
    guard let records = sluice_map_memory(sizes.records, 0) else { throw .noMemory(what: "the book of flows") }
    guard let line0 = sluice_map_memory(sizes.line, 0) else {
      sluice_unmap_memory(records, sizes.records)
      throw .noMemory(what: "the keys in the book of flows")
    }
    guard let line1 = sluice_map_memory(sizes.line, 0) else {
      sluice_unmap_memory(records, sizes.records)
      sluice_unmap_memory(line0, sizes.line)
      throw .noMemory(what: "the IPv6 keys in the book of flows")
    }
    guard let index = FlowIndex(capacity: slots) else {
      sluice_unmap_memory(records, sizes.records)
      sluice_unmap_memory(line0, sizes.line)
      sluice_unmap_memory(line1, sizes.line)
      throw .noMemory(what: "the index of the book of flows")
    }
    return FlowBook(
      worker: worker, number: number, secrets: secrets, masksPerPort: masksPerPort, slots: slots,
      records: records.assumingMemoryBound(to: FlowRecord.self), line0: line0.assumingMemoryBound(to: FlowLine.self),
      line1: line1.assumingMemoryBound(to: FlowLine.self), index: index, sizes: sizes)
  }

  private init(
    worker: Worker, number: Int, secrets: HashSecrets, masksPerPort: Int, slots: Int, records: UnsafeMutablePointer<FlowRecord>,
    line0: UnsafeMutablePointer<FlowLine>, line1: UnsafeMutablePointer<FlowLine>, index: consuming FlowIndex,
    sizes: (records: Int, line: Int)
  ) {
    self.worker = worker
    self.number = number
    self.secrets = secrets
    self.records = records
    self.line0 = line0
    self.line1 = line1
    self.index = index
    byteCounts = sizes
    capacity = slots - 1
    masks = FlowMasks(slab: worker.slab, secrets: secrets, masksPerPort: masksPerPort)
  }

  deinit {
    sluice_unmap_memory(records, byteCounts.records)
    sluice_unmap_memory(line0, byteCounts.line)
    sluice_unmap_memory(line1, byteCounts.line)
  }

  /// Flows that can be held.
  let capacity: Int

  /// Bytes that the flows take now: the worker's slots, table and the book.
  var byteCount: Int {
    let slots = Int(slotEnd)
    return slots * (128 + 64 + 64) + index.byteCount
  }

  @inline(__always)
  func record(_ slot: UInt32) -> UnsafeMutablePointer<FlowRecord> { records + Int(slot) }

  /// The masked key of a flow.
  func key(of slot: UInt32) -> FlowKey {
    var key = FlowKey()
    key.line0 = line0[Int(slot)]
    if worker.slab.mask(record(slot).pointee.mask).lines & 2 != 0 { key.line1 = line1[Int(slot)] }
    return key
  }

  /// The class of packets of a flow.
  func match(of slot: UInt32) -> FlowMatch { FlowMatch(key(of: slot), worker.slab.mask(record(slot).pointee.mask)) }

  /// The live flow that a packet belongs to, among those that were installed after the worker had carried out so many commands.
  func find(_ key: FlowKey, installedAfter commands: UInt64) -> UInt32? {
    for mask in masks.inUse where masks.lastInstall(mask) > commands {
      if let slot = find(key, under: mask) { return slot }
    }
    return nil
  }

  private func find(_ key: FlowKey, under mask: UInt16) -> UInt32? {
    let bits = worker.slab.mask(mask)
    let masked = key & bits
    return find(masked, mask, tag: FlowIndex.tag(secrets.flowHash(masked, bits), mask), usesLine1: bits.lines & 2 != 0)
  }

  private func find(_ masked: FlowKey, _ mask: UInt16, tag: UInt32, usesLine1: Bool) -> UInt32? {
    index.first(tag) { slot in
      let at = Int(slot)
      guard records[at].mask == mask, (line0[at] ^ masked.line0).isZero else { return false }
      return !usesLine1 || (line1[at] ^ masked.line1).isZero
    }
  }

  /// Takes a slot for a flow. The caller completes the record of a new one, and then sends it to the worker.
  ///
  /// - Parameters:
  ///   - key: the key of one of its packets.
  ///   - mask: a place that `masks.take` gave; goes back to `masks` when the flow ends or, here, when there is no room.
  /// - Returns: nil when the book is full. A flow for the same packets that is there already is returned with `isNew` false.
  func file(key: FlowKey, mask: UInt16, port: PortIndex) -> FiledFlow? {
    let bits = worker.slab.mask(mask)
    let masked = key & bits
    let hash = secrets.flowHash(masked, bits)
    let tag = FlowIndex.tag(hash, mask)
    let usesLine1 = bits.lines & 2 != 0
    if let slot = find(masked, mask, tag: tag, usesLine1: usesLine1) {
      masks.release(mask, port: port)
      return FiledFlow(slot: slot, isNew: false, key: masked, hash: hash)
    }
    guard let slot = takeSlot() else {
      masks.release(mask, port: port)
      return nil
    }
    line0[Int(slot)] = masked.line0
    if usesLine1 { line1[Int(slot)] = masked.line1 }
    index.insert(tag, slot)
    count += 1
    countByPort[Int(port)] += 1
    return FiledFlow(slot: slot, isNew: true, key: masked, hash: hash)
  }

  /// Gives the worker a new flow.
  ///
  /// - Parameter upcall: the miss that it answers.
  func send(_ flow: FiledFlow, plan: FlowPlan, now: UInt64, resuming upcall: UnsafePointer<Upcall>? = nil) {
    let record = record(flow.slot)
    worker.installFlow(
      flow.slot,
      FlowDescription(
        key: flow.key, mask: record.pointee.mask, port: record.pointee.port, kind: plan.kind, output: plan.output,
        program: plan.program, hash: flow.hash, now: now),
      resuming: upcall)
    masks.noteInstall(record.pointee.mask, command: worker.commandCount)
  }

  /// Takes a flow out of the index: from here on it is leaving, and its packets may get another flow.
  func markLeaving(_ slot: UInt32) {
    let record = record(slot)
    let bits = worker.slab.mask(record.pointee.mask)
    index.remove(FlowIndex.tag(secrets.flowHash(key(of: slot), bits), record.pointee.mask), slot)
    record.pointee.state = .leaving
    count -= 1
    leavingCount += 1
    countByPort[Int(record.pointee.port)] -= 1
  }

  /// Frees the slot of a leaving flow. Only after the worker has removed it.
  func recycle(_ slot: UInt32) {
    let record = record(slot)
    masks.release(record.pointee.mask, port: record.pointee.port)
    worker.slab.clearCounters(of: slot)
    record.pointee.state = .free
    record.pointee.nextOfPlan = FlowHandle(bits: firstFree)
    firstFree = slot
    leavingCount -= 1
  }

  private func takeSlot() -> UInt32? {
    if firstFree != 0 {
      let slot = firstFree
      firstFree = record(slot).pointee.nextOfPlan.bits
      return slot
    }
    guard Int(slotEnd) <= capacity else { return nil }
    slotEnd += 1
    worker.slab.prepare(slotEnd - 1)
    return slotEnd - 1
  }
}
