// FlowSweep.swift
//
// What: the clock hand: goes round all flows once per tick, forgets idle ones, adds what the others have counted to their rules, and keeps the stations
//       of busy flows fresh.
// Invariants: a slice takes about a millisecond at most, so that misses are answered in between. A removal is not waited for.
// Threads: the pipeline thread only.
// Cost: two cache lines per flow, prefetched: a million flows are about 40 slices.

import CSluice
import Dataplane

extension SwitchCore {
  /// Begins to go round; does nothing while a round is under way.
  func beginSweep() {
    guard sweep == nil else { return }
    sweep = (worker: 0, slot: 1)
    tierBook?.round += 1
  }

  var isSweeping: Bool { sweep != nil }

  /// True while there is a round to go on with, or a removal to complete that waits for a worker.
  var isBusy: Bool { isSweeping || commits.contains(where: isFenced) }

  /// Goes on for up to a millisecond.
  func sweepSlice() {
    guard var (worker, slot) = sweep else { return }
    let end = sluice_cycles() + clock.cycles(seconds: 0.001)
    let use = useClock()
    let configured = clock.cycles(seconds: configuration.flowIdleSeconds)
    round: while worker < books.count {
      let book = books[worker]
      let (records, slab) = (book.records, book.worker.slab)
      let idle = governors[worker].idleTime(configured: configured, count: book.count)
      while slot < book.slotEnd {
        let stop = min(slot + 128, book.slotEnd)
        for next in slot..<stop { slab.prefetchCounters(of: next) }
        for next in slot..<stop {
          let record = records + Int(next)
          guard record.pointee.state == .live else { continue }
          var used = max(slab.lastUse(of: next), record.pointee.seenUse)
          if record.pointee.placement == .held { used = max(used, useInTier(FlowHandle(worker: worker, slot: next), use)) }
          // Neither used since the last look nor idle for long: nothing to do, as for most flows.
          guard used != record.pointee.seenUse || use.cycles > used && use.cycles - used > idle else { continue }
          look(at: FlowHandle(worker: worker, slot: next), used: used, use, idle: idle)
        }
        slot = stop
        if sluice_cycles() > end { break round }
      }
      worker += 1
      slot = 1
    }
    sweep = worker < books.count ? (worker, slot) : nil
    settleLater()
    wakeForOffers()
  }

  private func look(at handle: FlowHandle, used: UInt64, _ use: UseClock, idle: UInt64) {
    let record = books[handle.worker].record(handle.slot)
    if use.cycles > used, use.cycles - used > idle {
      remove(handle, .idle)
    } else if used != record.pointee.seenUse {
      record.pointee.seenUse = used
      credit(handle, use)
      if tierBook != nil { considerPlacing(handle) }
      record.pointee.recentPackets = 0
      if let station = links.source(record.pointee.firstLink), let port = self.record(at: record.pointee.port)?.port.number {
        _ = macs.learn(station, port: port, nowNanoseconds: use.nanoseconds)
      }
    }
  }

  // MARK: - Counts

  /// Adds to the rules what a flow has counted since the last time.
  func credit(_ handle: FlowHandle, _ use: UseClock) {
    let book = books[handle.worker]
    let record = book.record(handle.slot)
    if record.pointee.placement == .held { creditTier(handle, use) }
    let now = book.worker.slab.counters(of: handle.slot)
    let packets = now.packets - record.pointee.creditedPackets
    guard packets > 0, let plan = plans[record.pointee.plan] else { return }
    record.pointee.recentPackets = UInt8(min(255, packets + UInt64(record.pointee.recentPackets)))
    plan.credit(
      packets: packets, bytes: now.bytes - record.pointee.creditedBytes, usedNanoseconds: use.nanoseconds(of: now.lastUsed))
    record.pointee.creditedPackets = now.packets
    record.pointee.creditedBytes = now.bytes
  }

  /// Brings the counters of all rules up to date.
  public func creditAll() {
    completeCommits(waiting: true)
    let use = useClock()
    plans.forEach { plan in credit(plan, use) }
  }

  /// Brings the counters of some rules up to date.
  public func credit(_ rules: [RuleEntry]) {
    completeCommits(waiting: true)
    let use = useClock()
    for rule in rules { for index in rule.plans { if let plan = plans[index] { credit(plan, use) } } }
  }

  private func credit(_ plan: FlowPlan, _ use: UseClock) {
    var next = plan.firstFlow
    while !next.isNone {
      let handle = next
      next = books[handle.worker].record(handle.slot).pointee.nextOfPlan
      credit(handle, use)
    }
  }

  func useClock() -> UseClock { UseClock(clock) }
}

/// One moment on both clocks, to turn stamps of the cycle counter into the monotonic clock's time.
struct UseClock {
  let cycles: UInt64
  let nanoseconds: UInt64
  private let nanosecondsPerCycle: Double

  init(_ clock: CycleClock) {
    nanoseconds = sluice_monotonic_nanoseconds()
    cycles = sluice_cycles()
    nanosecondsPerCycle = 1e9 / clock.cyclesPerSecond
  }

  /// The stamp of a time; now for one in the future.
  func cycles(of time: UInt64) -> UInt64 {
    guard nanoseconds > time else { return cycles }
    return cycles - min(cycles, UInt64(Double(nanoseconds - time) / nanosecondsPerCycle))
  }

  /// The time of a stamp; now for one in the future (another core's counter may be a little ahead).
  func nanoseconds(of stamp: UInt64) -> UInt64 {
    guard cycles > stamp else { return nanoseconds }
    return nanoseconds - min(nanoseconds, UInt64(Double(cycles - stamp) * nanosecondsPerCycle))
  }
}
