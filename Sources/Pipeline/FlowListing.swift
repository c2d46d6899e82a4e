// FlowListing.swift
//
// What: cached flows for people: one by one, filtered, and summed up.
// Threads: made on the pipeline thread; what is returned are values.
// Cost: a listing looks at the key of every flow and builds only what is wanted; a summary looks at plans and totals.

import CSluice
import Dataplane

/// Names a rule that a flow met.
public struct RuleReference: Sendable, Hashable {
  public var table: UInt8
  public var priority: UInt16
  public var cookie: UInt64
}

/// A cached flow at one moment.
public struct FlowSnapshot: Sendable {
  public var id: UInt64
  public var worker: Int
  public var match: FlowMatch
  public var actions: [FlowAction]
  /// The rule that decided; nil when none matched.
  public var rule: Rule?
  /// All rules met, in order.
  public var rules: [RuleReference]
  /// Why nothing is sent; nil when something is.
  public var drop: TranslationDrop?
  /// By its worker and the tiers together.
  public var packets: UInt64
  public var bytes: UInt64
  public var ageSeconds: Double
  /// Seconds since the last packet.
  public var idleSeconds: Double
  /// The first place that executes it: the name of a tier, or `user`.
  public var tier: String
  /// Where it stands with each tier in front of the workers.
  public var tiers: [TierState]
}

/// All cached flows at one moment, in numbers.
public struct FlowSummary: Sendable {
  public struct Port: Sendable, Equatable {
    public var number: UInt32
    public var flows: Int
    /// Masks of its flows, the most that any worker has.
    public var masks: Int
  }
  public struct Table: Sendable, Equatable {
    public var table: UInt8
    /// Flows that met a rule of the table.
    public var flows: Int
  }
  public struct Worker: Sendable, Equatable {
    public var id: Int
    public var flows: Int
    public var masks: Int
    /// Flows that it may hold now; less than `capacity` while looking at all of them takes too long.
    public var limit: Int
    public var capacity: Int
    /// How long an idle flow stays now; less than configured when the limit is near.
    public var idleSeconds: Double
  }
  public var flows: Int
  /// Different answers that the flows inTier.
  public var plans: Int
  /// Masks of one worker's flows, the most that any has.
  public var masks: Int
  public var byPort: [Port]
  public var byTable: [Table]
  public var byWorker: [Worker]
  /// Flows that send nothing.
  public var dropping: Int
  /// What the tiers in front of the workers hold.
  public var tiers: [TierSummary]
  /// Memory that flows, their caches and books have touched.
  public var memoryBytes: Int
  /// Flows made since the switch began.
  public var setUps: UInt64
  /// Packets answered without a flow because there was no room, or the port had its inTier.
  public var uncached: UInt64
  /// Flows that got a wider mask than they needed because their port had too many.
  public var widened: UInt64
  /// Times that something was translated: misses, and flows looked at again.
  public var translations: UInt64
}

extension SwitchCore {
  /// Cached flows that share packets with a match.
  ///
  /// - Parameters:
  ///   - inPort: only those that came in by this port number.
  ///   - table: only those that met a rule of this table.
  ///   - cookie: only those that met a rule whose cookie equals this in the bits of `cookieMask`.
  ///   - limit: at most so many, the oldest first; nil for all.
  public func flows(
    overlapping match: FlowMatch = .any, inPort: UInt32? = nil, table: UInt8? = nil, cookie: UInt64 = 0, cookieMask: UInt64 = 0,
    limit: Int? = nil
  ) -> [FlowSnapshot] {
    completeCommits(waiting: true)
    let index = inPort.map { ports[$0]?.index }
    if case .some(.none) = index { return [] }
    var found: [(id: UInt64, handle: FlowHandle)] = []
    plans.forEach { plan in
      guard plan.met(table: table, cookie: cookie, cookieMask: cookieMask) else { return }
      var next = plan.firstFlow
      while !next.isNone {
        let handle = next
        let book = books[handle.worker]
        let record = book.record(handle.slot)
        next = record.pointee.nextOfPlan
        if let index, record.pointee.port != index { continue }
        guard record.pointee.state == .live, book.match(of: handle.slot).overlaps(match) else { continue }
        found.append((record.pointee.id, handle))
      }
    }
    found.sort { $0.id < $1.id }
    return found.prefix(limit ?? found.count).map { snapshot($0.handle) }
  }

  /// The flow with a number; nil when it is no more.
  public func flow(_ id: UInt64) -> FlowSnapshot? {
    completeCommits(waiting: true)
    for book in books {
      for slot in 1..<max(book.slotEnd, 1) where book.record(slot).pointee.id == id && book.record(slot).pointee.state == .live {
        return snapshot(FlowHandle(worker: book.number, slot: slot))
      }
    }
    return nil
  }

  /// All cached flows in numbers.
  public func flowSummary() -> FlowSummary {
    var tables: [UInt8: Int] = [:]
    var dropping = 0
    plans.forEach { plan in
      for table in Set(plan.rules.map(\.table)) { tables[table, default: 0] += plan.flowCount }
      if plan.kind == .drop { dropping += plan.flowCount }
    }
    let byPort = portRecords.compactMap { record -> FlowSummary.Port? in
      guard let port = record?.port else { return nil }
      let flows = books.reduce(0) { $0 + Int($1.countByPort[Int(port.index)]) }
      guard flows > 0 else { return nil }
      return FlowSummary.Port(
        number: port.number, flows: flows, masks: books.map { $0.masks.count(ofPort: port.index) }.max() ?? 0)
    }
    let configured = clock.cycles(seconds: configuration.flowIdleSeconds)
    let byWorker = zip(books, governors).map { book, governor in
      FlowSummary.Worker(
        id: book.number, flows: book.count, masks: book.masks.inUse.count, limit: governor.limit, capacity: governor.capacity,
        idleSeconds: Double(governor.idleTime(configured: configured, count: book.count)) / clock.cyclesPerSecond)
    }
    return FlowSummary(
      flows: flowCount, plans: plans.count, masks: flowMaskCount, byPort: byPort.sorted { $0.number < $1.number },
      byTable: tables.map { FlowSummary.Table(table: $0.key, flows: $0.value) }.sorted { $0.table < $1.table }, byWorker: byWorker,
      dropping: dropping, tiers: tierSummaries, memoryBytes: flowMemoryBytes, setUps: setUpCount, uncached: uncachedCount,
      widened: books.reduce(0) { $0 + $1.masks.widenedCount }, translations: translationCount)
  }

  /// Live flows of all workers.
  public var flowCount: Int { books.reduce(0) { $0 + $1.count } }

  /// Masks of one worker's flows, the most that any worker has.
  public var flowMaskCount: Int { books.map(\.masks.inUse.count).max() ?? 0 }

  /// Memory that flows, their caches and books have touched: an upper bound for tables that are touched here and there.
  private var flowMemoryBytes: Int {
    books.reduce(links.touchedBytes) { sum, book in
      sum + book.byteCount + book.worker.configuration.exactEntries * 8 + book.worker.tableByteCount
    }
  }

  /// Forgets all cached flows and returns how many there were; the next packets are translated anew.
  public func purgeFlows() -> Int {
    let count = flowCount
    forEachFlow { handle in remove(handle, .flushed) }
    settle()
    return count
  }

  func forEachFlow(_ body: (FlowHandle) -> Void) {
    for book in books {
      for slot in 1..<max(book.slotEnd, 1) where book.record(slot).pointee.state == .live {
        body(FlowHandle(worker: book.number, slot: slot))
      }
    }
  }

  /// A flow as it is now.
  ///
  /// - Parameter counts: where its counts begin and end, for one whose answer has just been replaced.
  func snapshot(_ handle: FlowHandle, counts: (begin: FlowCounts, end: FlowCounts)? = nil) -> FlowSnapshot {
    let book = books[handle.worker]
    let record = book.record(handle.slot)
    let counters = book.worker.slab.counters(of: handle.slot)
    let plan = plans[record.pointee.plan]
    let begin = counts?.begin ?? book.worker.slab.marks(of: handle.slot)
    let end = counts?.end ?? (packets: counters.packets, bytes: counters.bytes)
    // The worker stamps the slot when it installs the flow, which may be a moment away.
    let lastUsed = max(counters.lastUsed, record.pointee.seenUse)
    let inTier = countsInTier(handle)
    var idle = clock.seconds(since: lastUsed)
    if inTier.usedNanoseconds > 0 { idle = min(idle, seconds(since: inTier.usedNanoseconds)) }
    let tiers = tierStates(handle, inTier)
    return FlowSnapshot(
      id: record.pointee.id, worker: handle.worker, match: book.match(of: handle.slot), actions: plan?.actions ?? [],
      rule: plan?.rules.last?.rule, rules: plan?.rules.map(\.reference) ?? [], drop: plan?.drop,
      packets: end.packets - begin.packets + inTier.packets, bytes: end.bytes - begin.bytes + inTier.bytes,
      ageSeconds: Double(millisecondsNow() - record.pointee.createdMilliseconds) / 1e3, idleSeconds: idle,
      tier: tiers.first { $0.placement == .held }?.tier ?? TierState.user, tiers: tiers)
  }
}

extension FlowPlan {
  /// True when the plan met a rule of a table and with a cookie.
  func met(table: UInt8?, cookie: UInt64, cookieMask: UInt64) -> Bool {
    guard table != nil || cookieMask != 0 else { return true }
    return rules.contains { rule in (table == nil || rule.table == table) && (rule.cookie ^ cookie) & cookieMask == 0 }
  }
}

extension RuleEntry {
  var reference: RuleReference { RuleReference(table: table, priority: priority, cookie: cookie) }
}
