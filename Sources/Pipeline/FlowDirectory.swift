// FlowDirectory.swift
//
// What: the pipeline thread's book about the flows of one worker: which slots are taken, by which flow, under which mask, and what each flow
//       depends on. The keys themselves are in the worker's FlowSlab and not kept twice.
// Invariants: a slot is free, live, or retiring. It is retiring from the moment the worker is told to remove it until `recycle`, which
//             is called after a fence; only then may it be filled again. The same holds for masks.
// Threads: confined to the pipeline thread.
// Cost: about 150 bytes a flow beside the slot; finding a flow by key costs one dictionary probe per mask.

import Dataplane

/// What the pipeline thread knows of an installed flow.
struct FlowRecord {
  let id: UInt64
  let mask: UInt16
  var actions: [FlowAction]
  /// The rule that decided; nil when none matched.
  var rule: RuleEntry?
  var dependencies: [Station]
  var learns: Learning?
  /// Why nothing is sent; nil when something is.
  var drop: TranslationDrop?
  let createdNanoseconds: UInt64
  let hash: UInt64
  /// What the slot had counted when the flow got it.
  var basePackets: UInt64 = 0
  var baseBytes: UInt64 = 0
  /// The slot's counts that have been added to the rule, or are not this flow's.
  var creditedPackets: UInt64 = 0
  var creditedBytes: UInt64 = 0
  /// The worker's stamp of last use when the source station was last refreshed.
  var refreshedAt: UInt64
}

final class FlowDirectory {
  let worker: Worker
  private(set) var records: [FlowRecord?] = [nil]
  private var freeSlots: [UInt32] = []
  private var retiring: [UInt32] = []
  private var slotByHash: [UInt64: UInt32] = [:]
  private var maskIndex: [FlowMask: UInt16] = [:]
  private var maskUsers: [UInt32] = [0]
  private var freeMasks: [UInt16] = []
  private var retiringMasks: [UInt16] = []
  /// Masks in use.
  private(set) var masks: [UInt16] = []
  private let secrets: HashSecrets

  init(worker: Worker, secrets: HashSecrets) {
    self.worker = worker
    self.secrets = secrets
  }

  /// Live flows.
  private(set) var count = 0

  /// The slots of all live flows.
  var liveSlots: [UInt32] { records.indices.filter { records[$0] != nil }.map { UInt32($0) } }

  subscript(slot: UInt32) -> FlowRecord? {
    get { records[Int(slot)] }
    set { records[Int(slot)] = newValue }
  }

  /// The class of packets of a live flow.
  func match(of slot: UInt32, _ record: FlowRecord) -> FlowMatch {
    FlowMatch(worker.slab.key(of: slot), worker.slab.mask(record.mask))
  }

  /// The live flow that a packet belongs to.
  func find(_ key: FlowKey) -> UInt32? {
    for index in masks {
      let mask = worker.slab.mask(index)
      guard let slot = slotByHash[fileHash(secrets.flowHash(key, mask), index)], let record = self[slot] else { continue }
      if match(of: slot, record).matches(key) { return slot }
    }
    return nil
  }

  private func fileHash(_ hash: UInt64, _ mask: UInt16) -> UInt64 { hash ^ UInt64(mask) &* 0x9e37_79b9_7f4a_7c15 }

  /// Takes a slot and a mask for a flow, fills them and tells the worker. nil when the worker holds as many flows or masks as it can.
  ///
  /// - Parameter old: a flow for the same packets that is going to be removed right after this.
  func install(
    replacing old: UInt32? = nil, key: FlowKey, mask: FlowMask, kind: FlowKind, output: PortIndex, program: UnsafePointer<ActionProgram>?, now: UInt64,
    record makeRecord: (_ mask: UInt16, _ hash: UInt64) -> FlowRecord
  ) -> UInt32? {
    let slab = worker.slab
    guard !freeSlots.isEmpty || records.count <= slab.capacity else { return nil }
    guard let maskIndex = takeMask(mask) else { return nil }
    let hash = secrets.flowHash(key & mask, mask)
    let filed = fileHash(hash, maskIndex)
    guard slotByHash[filed] == nil || slotByHash[filed] == old else {
      releaseMask(maskIndex)
      return nil
    }
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = UInt32(records.count)
      records.append(nil)
    }
    slab.fill(
      slot: slot, key: key, mask: maskIndex, kind: kind, output: output, program: program, hash: hash, now: now)
    var record = makeRecord(maskIndex, hash)
    let counted = slab.counters(of: slot)
    (record.basePackets, record.baseBytes) = (counted.packets, counted.bytes)
    (record.creditedPackets, record.creditedBytes) = (counted.packets, counted.bytes)
    self[slot] = record
    slotByHash[filed] = slot
    count += 1
    worker.installFlow(slot)
    return slot
  }

  /// Tells the worker to forget a flow. The slot can be used again after a fence and `recycle`.
  func remove(_ slot: UInt32) {
    guard let record = self[slot] else { return }
    worker.removeFlow(slot)
    let filed = fileHash(record.hash, record.mask)
    if slotByHash[filed] == slot { slotByHash[filed] = nil }
    self[slot] = nil
    count -= 1
    retiring.append(slot)
    releaseMask(record.mask)
  }

  /// Makes retired slots and masks available. Call after a fence of the worker.
  func recycle() {
    freeSlots.append(contentsOf: retiring)
    retiring.removeAll(keepingCapacity: true)
    freeMasks.append(contentsOf: retiringMasks)
    retiringMasks.removeAll(keepingCapacity: true)
  }

  private func takeMask(_ mask: FlowMask) -> UInt16? {
    if let index = maskIndex[mask] {
      maskUsers[Int(index)] += 1
      return index
    }
    let index: UInt16
    if let free = freeMasks.popLast() {
      index = free
    } else {
      guard maskUsers.count < FlowSlab.maskCapacity else { return nil }
      index = UInt16(maskUsers.count)
      maskUsers.append(0)
    }
    worker.slab.setMask(index, mask)
    maskIndex[mask] = index
    maskUsers[Int(index)] = 1
    masks.append(index)
    return index
  }

  private func releaseMask(_ index: UInt16) {
    maskUsers[Int(index)] -= 1
    guard maskUsers[Int(index)] == 0 else { return }
    maskIndex[worker.slab.mask(index)] = nil
    masks.removeAll { $0 == index }
    retiringMasks.append(index)
  }
}
