// WorkerBatch.swift
//
// What: the stages of a batch: parse, look up, classify, execute, transmit. WorkerPrograms.swift has what executing means.
// Invariants: every frame of the batch ends in exactly one place: a port's waiting list, an upcall, or back in the frame memory with a
//             drop counted. At the end of a round nothing waits for a port.
// Threads: the worker's own.
// Cost: see Worker. Each stage runs over the whole batch, so that a cache miss of one packet is waited for while the others are worked
//       on: frames, cache buckets and flow slots are prefetched one stage ahead.

import CSluice

extension Worker {
  /// Handles `count` frames in `batch.frames` that came in by `port`.
  @inline(never)
  func process(count received: Int, port: Int, completeChecksums: Bool) {
    let frames = batch.frames
    let keys = batch.keys
    let layouts = batch.layouts
    let hashes = batch.hashes
    let flows = batch.flows
    let base = memory.base
    let started = sluice_cycles()

    // Parse. A malformed frame leaves the batch here.
    var byteSum: UInt64 = 0
    var count = 0
    let number = ports[port].numberBigEndian
    for i in 0..<min(4, received) { sluice_prefetch(base + Int(frames[i].address)) }
    for i in 0..<received {
      let frame = frames[i]
      if i &+ 4 < received { sluice_prefetch(base + Int(truncatingIfNeeded: frames[i &+ 4].address)) }
      byteSum &+= UInt64(frame.length)
      let bytes = base + Int(truncatingIfNeeded: frame.address)
      let layout = parse(bytes, length: Int(frame.length), inPortBigEndian: number, into: keys + count)
      if layout.problem != 0 {
        dropMalformed(frame, port: port, layout.problem)
        continue
      }
      layouts[count] = layout
      if count != i { frames[count] = frame }
      count &+= 1
    }
    if completeChecksums { completePartialChecksums(count) }
    counters.add(port: port, .receivedPackets, UInt64(received))
    counters.add(port: port, .receivedBytes, byteSum)
    let parsed = sluice_cycles()
    counters.add(.parse, parsed &- started)

    // Look up: hash and prefetch, probe and prefetch, verify.
    let reader = cache.reader
    unionHashes[port].run(keys, layouts, hashes, count: count, cache: reader)
    let slots = slab.slots
    for i in 0..<count {
      let flow = reader.find(hashes[i])
      flows[i] = flow
      let slot = slots + Int(flow)
      sluice_prefetch(slot)
      sluice_prefetch_write(UnsafeRawPointer(slot) + 64)
    }
    let misses = batch.misses
    var missCount = 0
    for i in 0..<count {
      let flow = flows[i]
      if !slab.matches(slots + Int(flow), index: flow, keys + i) {
        misses[missCount] = Int32(truncatingIfNeeded: i)
        missCount &+= 1
      }
    }
    let looked = sluice_cycles()
    counters.add(.lookup, looked &- parsed)

    // Classify what the cache did not know.
    var unknown = 0
    if missCount > 0 {
      for m in 0..<missCount {
        let i = Int(misses[m])
        let flow = table.find(keys + i, lines: layouts[i].lines, port: port)
        flows[i] = flow
        if flow != 0 { cache.insert(hashes[i], flow) } else { unknown &+= 1 }
      }
      counters.add(.classifierHits, UInt64(missCount &- unknown))
      counters.add(.misses, UInt64(unknown))
    }
    counters.add(.exactHits, UInt64(count &- missCount))
    let classified = sluice_cycles()
    counters.add(.classify, classified &- looked)

    // Execute.
    for i in 0..<count {
      let flow = flows[i]
      let frame = frames[i]
      if flow == 0 {
        upcall(frame, layouts[i], keys + i, port: port, depth: 0)
        continue
      }
      execute(flow, frame, layouts[i], keys + i, port: port, now: started, depth: 0)
    }
    if recirculatedBegin != recirculatedEnd { serveRecirculated(now: started) }
    counters.add(.packets, UInt64(received))
    counters.add(.batches, 1)
    counters.add(.execute, sluice_cycles() &- classified)
  }

  /// Puts a frame on the waiting list of a port.
  @inline(__always)
  func enqueue(_ frame: FrameDescriptor, to port: Int) {
    let entry = ports + port
    guard frame.length <= entry.pointee.maxFrame else { return refuse(frame, to: port) }
    let waiting = entry.pointee.waitingCount
    entry.pointee.waiting[waiting] = frame
    entry.pointee.waitingCount = waiting &+ 1
    // A port that was flushed because it was full is still in the list.
    if !entry.pointee.isDirty {
      entry.pointee.isDirty = true
      dirty[dirtyCount] = UInt16(truncatingIfNeeded: port)
      dirtyCount &+= 1
    }
    if waiting &+ 1 == Self.waitingCapacity { flush(port) }
  }

  @inline(never)
  private func refuse(_ frame: FrameDescriptor, to port: Int) {
    drop(frame, port: port, ports[port].transmitter == nil ? .portGone : .tooBig)
  }

  /// Hands all waiting frames to their queues.
  @inline(__always)
  func flushTransmits() {
    guard dirtyCount > 0 else { return }
    let began = sluice_cycles()
    for i in 0..<dirtyCount {
      ports[Int(dirty[i])].isDirty = false
      flush(Int(dirty[i]))
    }
    dirtyCount = 0
    counters.add(.transmit, sluice_cycles() &- began)
  }

  @inline(never)
  private func flush(_ port: Int) {
    let entry = ports + port
    let count = entry.pointee.waitingCount
    guard count > 0 else { return }
    let waiting = entry.pointee.waiting
    entry.pointee.waitingCount = 0
    guard let queue = entry.pointee.transmitter else {
      for i in 0..<count { drop(waiting[i], port: port, .portGone) }
      return
    }
    // The queue may give frames back while it sends, so their lengths are read first.
    var bytes: UInt64 = 0
    for i in 0..<count { bytes &+= UInt64(waiting[i].length) }
    let sent = queue._withUnsafeGuaranteedRef { $0.transmit(waiting, count: count, memory: memory) }
    for i in sent..<count {
      bytes &-= UInt64(waiting[i].length)
      drop(waiting[i], port: port, .transmitFull)
    }
    if entry.pointee.isSender, !entry.pointee.isUnderWay {
      entry.pointee.isUnderWay = true
      senders[senderCount] = UInt16(truncatingIfNeeded: port)
      senderCount &+= 1
    }
    // Frames handed to another worker are counted there, when they leave.
    guard !entry.pointee.isLink else { return }
    counters.add(port: port, .sentPackets, UInt64(sent))
    counters.add(port: port, .sentBytes, bytes)
  }

  /// Counts a drop and gives the frame back.
  @inline(__always)
  func drop(_ frame: FrameDescriptor, port: Int, _ reason: DropReason) {
    counters.drop(port: port, reason)
    memory.release(frame.address)
  }

  @inline(never)
  func dropMalformed(_ frame: FrameDescriptor, port: Int, _ problem: UInt8) {
    drop(frame, port: port, DropReason(rawValue: problem) ?? .ethernetTruncated)
  }

  /// Completes the checksums that a veth peer left to its "hardware".
  @inline(never)
  private func completePartialChecksums(_ count: Int) {
    var completed: UInt64 = 0
    for i in 0..<count {
      let frame = batch.frames[i]
      let word = batch.keys[i].line0.w4
      let isFragment = UInt8(truncatingIfNeeded: word >> 24) != 0
      if Checksum.completeIfPartial(
        memory.bytes(at: frame.address), length: Int(frame.length), batch.layouts[i], proto: UInt8(truncatingIfNeeded: word >> 8),
        isFragment: isFragment)
      {
        completed &+= 1
      }
    }
    counters.add(.checksumsCompleted, completed)
  }

  /// Sends a packet that no flow matched to the pipeline.
  @inline(never)
  func upcall(_ frame: FrameDescriptor, _ layout: FrameLayout, _ key: UnsafePointer<FlowKey>, port: Int, depth: UInt8) {
    guard mayUpcall(port) else { return drop(frame, port: port, .upcallBudget) }
    let record = Upcall(
      line0: key.pointee.line0, line1: layout.lines & 2 == 0 ? FlowLine() : key.pointee.line1, frame: frame, layout: layout,
      cookie: 0, seenCommands: mailbox.commands.consumedCount, port: PortIndex(truncatingIfNeeded: port), kind: .miss,
      depth: depth, recircID: UInt16(truncatingIfNeeded: key.pointee[.recircID]), maxLength: 0)
    guard upcalls.push(record) else { return drop(frame, port: port, .upcallRingFull) }
    ports[port].pendingUpcalls += 1
    pendingMisses += 1
    ringPipeline()
  }

  /// How many times the budget of other ports one has whose packets come up from tc.
  private static let raisedBudgetFactor = 4

  /// True when a port may put one more packet into the upcall ring: it has not used up its budget, nor has it more there than places are
  /// free. So however many ports are flooded, one more always finds a place.
  @inline(__always)
  func mayUpcall(_ port: Int) -> Bool {
    let pending = Int(ports[port].pendingUpcalls)
    // What tc sends up are the segments of whole bursts of flows that the kernel let go of a moment ago: when a rule changes, or with an agent
    // that makes a new table, all of them wait for one answer.
    let budget = ports[port].isSender ? configuration.upcallBudget &* Self.raisedBudgetFactor : configuration.upcallBudget
    return pending < budget && pending <= upcalls.roomCount
  }
}
