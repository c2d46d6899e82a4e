// WorkerPrograms.swift
//
// What: what a worker does with a frame whose flow is known: counts it, sends it, drops it, or runs the flow's program; and the packets that
//       programs send through the look-up again.
// Invariants: a program consumes its frame: it ends at a port, in an upcall, in the list of those to look up again, or in the frame memory, where
//             the drop is counted unless the program had already sent what it had to send. Clones and buckets run on a copy, but for
//             the last action of a program, which may have the frame itself. Packets to look up again are worked on when the batch is done; at the end of
//             a round none waits.
// Threads: the worker's own.
// Cost: a flow with one output or none does not come to `run`. A program costs a call and a switch per action; a copy costs a frame and its bytes;
//       a second look-up costs what the first did, and more for the general parser.

import CSluice

/// Where a frame comes from: what its program needs to know besides its bytes.
struct FrameOrigin {
  /// The key as the frame was parsed before its flow was looked up.
  var key: UnsafePointer<FlowKey>
  /// Lines of the key that are there.
  var lines: UInt8
  /// Rounds of look-up behind it.
  var depth: UInt8
  /// The ingress port.
  var port: Int
  /// The cycle counter at the beginning of the batch.
  var now: UInt64
}

/// A packet that waits to be looked up again.
struct RecirculatedFrame: BitwiseCopyable {
  var frame: FrameDescriptor
  var port: PortIndex
  /// What stands in its key as recircID.
  var id: UInt16
  var depth: UInt8
}

extension Worker {
  /// Rounds of look-up after the first that a packet may go through.
  public static let recirculationLimit: UInt8 = 8

  /// Does with a frame what a flow says, and counts it.
  @inline(__always)
  func execute(
    _ flow: UInt32, _ frame: FrameDescriptor, _ layout: FrameLayout, _ key: UnsafePointer<FlowKey>, port: Int, now: UInt64, depth: UInt8
  ) {
    let slot = slab.slots + Int(flow)
    countUse(slot, bytes: UInt64(frame.length), now: now)
    switch slot.pointee.kind {
    case .output: enqueue(frame, to: Int(slot.pointee.output))
    case .drop: drop(frame, port: port, .flowDrops)
    case .program:
      guard let program = slot.pointee.program else { return }
      run(program, frame, layout, FrameOrigin(key: key, lines: layout.lines, depth: depth, port: port, now: now))
    }
  }

  @inline(__always)
  private func countUse(_ slot: UnsafeMutablePointer<FlowSlot>, bytes: UInt64, now: UInt64) {
    let words = UnsafeMutableRawPointer(slot).assumingMemoryBound(to: UInt64.self)
    sluice_count_u64(words + 8, 1)
    sluice_count_u64(words + 9, bytes)
    sluice_store_relaxed_u64(words + 10, now)
  }

  /// Runs a program on a frame, which it consumes.
  @inline(never)
  func run(_ program: UnsafePointer<ActionProgram>, _ frame: FrameDescriptor, _ layout: FrameLayout, _ origin: FrameOrigin) {
    var active = ActiveFrame(
      bytes: memory.bytes(at: frame.address), length: Int(frame.length), layout: layout,
      room: memory.roomBefore(frame.address))
    let ops = program.pointee.ops
    let count = program.pointee.count
    var descriptor = frame
    for i in 0..<count {
      let op = ops + i
      let isLast = i == count - 1
      var outcome = ActiveFrame.Outcome.done
      switch op.pointee.code {
      case .output:
        // The last action may have the frame itself; earlier outputs get copies.
        if isLast { return enqueue(descriptor, to: Int(op.pointee.argument)) }
        if let copy = copy(descriptor, port: origin.port) { enqueue(copy, to: Int(op.pointee.argument)) }
      case .setField:
        if let field = FlowField(rawValue: op.pointee.field) {
          outcome = active.set(field, value: op.pointee.value, mask: op.pointee.mask)
        }
      case .pushVLAN: outcome = active.pushVLAN(tpid: op.pointee.argument)
      case .popVLAN: outcome = active.popVLAN()
      case .pushMPLS: outcome = active.pushMPLS(etherType: op.pointee.argument)
      case .popMPLS: outcome = active.popMPLS(etherType: op.pointee.argument)
      case .pushPBB: outcome = active.pushPBB()
      case .popPBB: outcome = active.popPBB()
      case .decrementTTL: outcome = active.decrementTTL()
      case .decrementMPLSTTL: outcome = active.decrementMPLSTTL()
      case .copyTTLIn: outcome = active.copyTTLIn()
      case .copyTTLOut: outcome = active.copyTTLOut()
      case .controller: sendToController(descriptor, op, port: origin.port)
      case .meter:
        guard measure(op, &active, origin) else { return drop(descriptor, port: origin.port, .meter) }
      case .select:
        if isLast { return select(op, descriptor, active.layout, origin) }
        if let copy = copy(descriptor, port: origin.port) { select(op, copy, active.layout, origin) }
      case .clone:
        guard let pointer = op.pointee.pointer else { break }
        let nested = pointer.assumingMemoryBound(to: ActionProgram.self)
        if isLast { return run(nested, descriptor, active.layout, origin) }
        if let copy = copy(descriptor, port: origin.port) { run(nested, copy, active.layout, origin) }
      case .recirculate:
        if isLast { return recirculate(descriptor, id: op.pointee.argument, origin) }
        if let copy = copy(descriptor, port: origin.port) { recirculate(copy, id: op.pointee.argument, origin) }
      }
      switch outcome {
      case .done: break
      case .failed: return drop(descriptor, port: origin.port, .actionFailed)
      case .ttlExpired: return drop(descriptor, port: origin.port, .ttlExpired)
      }
      descriptor.address = UInt64(active.bytes - memory.base)
      descriptor.length = UInt32(active.length)
    }
    // A program that ends in no output has already sent its copies, or was to send none: a bucket without actions, a meter before a table
    // without a rule for the packet.
    if program.pointee.sendsNothing { return drop(descriptor, port: origin.port, .flowDrops) }
    memory.release(descriptor.address)
  }

  /// A copy of a frame, at the same place of its chunk: there it fits, with the same room in front for tags.
  private func copy(_ frame: FrameDescriptor, port: Int) -> FrameDescriptor? {
    guard let chunk = memory.allocate() else {
      counters.drop(port: port, .noFreeFrame)
      return nil
    }
    let address = chunk &+ UInt64(memory.roomBefore(frame.address))
    memory.bytes(at: address).update(from: memory.bytes(at: frame.address), count: Int(frame.length))
    return FrameDescriptor(address: address, length: frame.length)
  }

  private func sendToController(_ frame: FrameDescriptor, _ op: UnsafePointer<ActionOp>, port: Int) {
    guard mayUpcall(port) else { return counters.drop(port: port, .upcallBudget) }
    guard let copy = copy(frame, port: port) else { return }
    let record = Upcall(
      line0: FlowLine(), line1: FlowLine(), frame: copy, layout: FrameLayout(), cookie: UInt64(truncatingIfNeeded: op.pointee.value),
      seenCommands: 0, port: PortIndex(truncatingIfNeeded: port), kind: .controller, maxLength: op.pointee.argument)
    guard upcalls.push(record) else { return drop(copy, port: port, .upcallRingFull) }
    ports[port].pendingUpcalls += 1
    ringPipeline()
  }

  // MARK: - Meters and selections

  /// Measures a frame; false when it goes no further.
  private func measure(_ op: UnsafePointer<ActionOp>, _ active: inout ActiveFrame, _ origin: FrameOrigin) -> Bool {
    guard let pointer = op.pointee.pointer else { return true }
    if meterCycles != origin.now {
      meterCycles = origin.now
      meterNanoseconds = sluice_monotonic_nanoseconds()
    }
    let plan = pointer.assumingMemoryBound(to: MeterPlan.self)
    let answer = plan.pointee.measure(bytes: active.length, now: meterNanoseconds)
    if answer >= 0 { active.raiseDropPrecedence(by: answer) }
    return answer != MeterPlan.drops
  }

  /// Runs a bucket on a frame, which it consumes.
  private func select(_ op: UnsafePointer<ActionOp>, _ frame: FrameDescriptor, _ layout: FrameLayout, _ origin: FrameOrigin) {
    guard let pointer = op.pointee.pointer else { return drop(frame, port: origin.port, .noLiveBucket) }
    let plan = pointer.assumingMemoryBound(to: SelectPlan.self)
    let view = plan.pointee.view
    guard let bucket = view.pointee.bucket(SelectTable.hash(origin.key, lines: origin.lines, multiplier: plan.pointee.multiplier)) else {
      return drop(frame, port: origin.port, .noLiveBucket)
    }
    view.pointee.count(bucket, bytes: Int(frame.length))
    run(plan.pointee.buckets[bucket], frame, layout, origin)
  }

  // MARK: - Looking up again

  /// Puts a frame, which it consumes, on the list of those to look up again.
  private func recirculate(_ frame: FrameDescriptor, id: UInt16, _ origin: FrameOrigin) {
    let waiting = recirculatedEnd &- recirculatedBegin
    guard origin.depth < Self.recirculationLimit, waiting < Self.recirculatedCapacity else {
      return drop(frame, port: origin.port, .recirculationLimit)
    }
    recirculated[recirculatedEnd & (Self.recirculatedCapacity - 1)] = RecirculatedFrame(
      frame: frame, port: PortIndex(truncatingIfNeeded: origin.port), id: id, depth: origin.depth + 1)
    recirculatedEnd &+= 1
  }

  /// Looks up and executes the frames that wait for that, and those that they add, until none is left.
  @inline(never)
  func serveRecirculated(now: UInt64) {
    while recirculatedBegin != recirculatedEnd {
      let first = recirculated[recirculatedBegin & (Self.recirculatedCapacity - 1)]
      // Frames of one port and one round together, as in a batch.
      var count = 0
      while count < Self.batchSize, recirculatedBegin != recirculatedEnd {
        let next = recirculated[recirculatedBegin & (Self.recirculatedCapacity - 1)]
        guard next.port == first.port, next.depth == first.depth else { break }
        recirculatedBegin &+= 1
        if parseAgain(next, place: count) { count += 1 }
      }
      lookUpAgain(count: count, port: Int(first.port), depth: first.depth, now: now)
    }
  }

  /// Parses a frame into a place of the batch; false when it cannot be parsed and has been dropped.
  private func parseAgain(_ item: RecirculatedFrame, place: Int) -> Bool {
    let port = Int(item.port)
    let layout = parse(
      memory.bytes(at: item.frame.address), length: Int(item.frame.length), inPortBigEndian: ports[port].numberBigEndian,
      into: batch.keys + place)
    guard layout.problem == 0 else {
      dropMalformed(item.frame, port: port, layout.problem)
      return false
    }
    batch.keys[place][.recircID] = UInt128(item.id)
    batch.layouts[place] = layout
    batch.frames[place] = item.frame
    return true
  }

  /// The stages of `process` behind the parser, for frames of one port.
  private func lookUpAgain(count: Int, port: Int, depth: UInt8, now: UInt64) {
    let reader = cache.reader
    unionHashes[port].run(batch.keys, batch.layouts, batch.hashes, count: count, cache: reader)
    for i in 0..<count {
      batch.flows[i] = reader.find(batch.hashes[i])
      sluice_prefetch(slab.slots + Int(batch.flows[i]))
    }
    for i in 0..<count {
      let key = batch.keys + i
      var flow = batch.flows[i]
      if slab.matches(slab.slots + Int(flow), index: flow, key) {
        counters.add(.exactHits, 1)
      } else {
        flow = table.find(key, lines: batch.layouts[i].lines, port: port)
        if flow != 0 { cache.insert(batch.hashes[i], flow) }
        counters.add(flow != 0 ? .classifierHits : .misses, 1)
      }
      if flow != 0 {
        execute(flow, batch.frames[i], batch.layouts[i], key, port: port, now: now, depth: depth)
      } else {
        upcall(batch.frames[i], batch.layouts[i], key, port: port, depth: depth)
      }
    }
    counters.add(.recirculations, UInt64(count))
  }
}
