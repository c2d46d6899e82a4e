// FakeTier.swift
//
// What: a tier in memory that keeps the contract of FlowTier strictly and complains about whoever does not: a test says what hits which flow, and sees what
//       the tier could still execute.
// Threads: the pipeline thread, as the contract says; tests reach it through `perform`.

import CSluice
import Dataplane
import Testing

@testable import Pipeline

final class FakeTier: FlowTier, @unchecked Sendable {
  enum Step: Equatable {
    case offered(UInt64), refused(UInt64), adopted(UInt64), withdrawn(UInt64), fenced, released(UInt64)
  }

  struct Held {
    var flow: TierFlow
    var counts = TierCounts()
    var isWithdrawn = false
    var isFenced = false
  }

  let name = "fake"
  var capacity: Int
  private(set) var held: [TierHandle: Held] = [:]
  private(set) var log: [Step] = []
  private var next: UInt32 = 1
  /// Why an offer is refused; nil to take it.
  var refusal: ((TierFlow) -> TierRefusal?)?
  /// What happens at an offer, and at a fence before it lets go.
  var onOffer: ((TierFlow) -> Void)?
  var onFence: (() -> Void)?
  /// Packets that find a withdrawn flow before the fence is over.
  var lateHits: UInt64 = 0
  /// Packets ever counted.
  private(set) var hitCount: UInt64 = 0

  init(capacity: Int = 1000) { self.capacity = capacity }

  var count: Int { held.count }

  func offer(_ flow: TierFlow) throws(TierRefusal) -> TierHandle {
    onOffer?(flow)
    if let refused = refusal?(flow) {
      log.append(.refused(flow.id))
      throw refused
    }
    guard held.count < capacity else {
      log.append(.refused(flow.id))
      throw TierRefusal(cause: "table-full", description: "all \(capacity) places are taken", isTemporary: true)
    }
    #expect(!held.values.contains { !$0.isWithdrawn && $0.flow.key == flow.key && $0.flow.mask == flow.mask && $0.flow.worker == flow.worker })
    log.append(.offered(flow.id))
    return hold(flow)
  }

  /// As a process before this one did.
  func hold(_ flow: TierFlow, counts: TierCounts = TierCounts()) -> TierHandle {
    let handle = TierHandle(rawValue: next)
    next += 1
    held[handle] = Held(flow: flow, counts: counts)
    return handle
  }

  func adopt(_ handle: TierHandle, as flow: TierFlow) -> Bool {
    guard let mine = held[handle], !mine.isWithdrawn else {
      Issue.record("adopted \(handle), which is not held")
      return false
    }
    guard mine.flow.key == flow.key, mine.flow.mask == flow.mask, mine.flow.port == flow.port, mine.flow.actions == flow.actions else {
      return false
    }
    held[handle]?.flow = flow
    log.append(.adopted(flow.id))
    return true
  }

  func withdraw(_ handle: TierHandle) {
    guard let mine = held[handle], !mine.isWithdrawn else {
      Issue.record("withdrew \(handle), which is not held")
      return
    }
    held[handle]?.isWithdrawn = true
    log.append(.withdrawn(mine.flow.id))
  }

  func fence() {
    guard held.values.contains(where: { $0.isWithdrawn && !$0.isFenced }) else { return }
    onFence?()
    for (handle, mine) in held where mine.isWithdrawn && !mine.isFenced {
      if lateHits > 0 { hit(handle, packets: lateHits, bytes: 10 * lateHits) }
      held[handle]?.isFenced = true
    }
    log.append(.fenced)
  }

  func counts(of handle: TierHandle) -> TierCounts {
    guard let mine = held[handle] else {
      Issue.record("asked for the counts of \(handle), which is not held")
      return TierCounts()
    }
    return mine.counts
  }

  func release(_ handle: TierHandle) {
    guard let mine = held.removeValue(forKey: handle), mine.isWithdrawn, mine.isFenced else {
      Issue.record("released \(handle), which was not withdrawn and fenced")
      return
    }
    log.append(.released(mine.flow.id))
  }

  // MARK: - The test's side

  /// Flows that a packet could find.
  var executing: [Held] { held.values.filter { !$0.isFenced } }

  func hit(_ handle: TierHandle, packets: UInt64, bytes: UInt64) {
    held[handle]?.counts.packets += packets
    held[handle]?.counts.bytes += bytes
    held[handle]?.counts.usedNanoseconds = sluice_monotonic_nanoseconds()
    hitCount += packets
  }

  /// Packets of 10 bytes for every flow that can be found.
  func hitAll(packets: UInt64) {
    for (handle, mine) in held where !mine.isFenced { hit(handle, packets: packets, bytes: 10 * packets) }
  }

  func takeLog() -> [Step] {
    defer { log = [] }
    return log
  }
}

extension SwitchBench {
  /// A bench whose ports have a tier in front of them.
  convenience init(
    tier: FakeTier, placement: FlowPlacement, ports: UInt32 = 3, workers: Int = 1, rules: [String] = ["actions=normal"],
    flowIdleSeconds: Double = 60, macAgingSeconds: Double = 300
  ) throws {
    try self.init(ports: 0, workers: workers, rules: rules, flowIdleSeconds: flowIdleSeconds, macAgingSeconds: macAgingSeconds)
    try on { core in core.setKernel(tier) }
    for number in 1...ports { try addPort(number, placement: placement) }
  }

  @discardableResult
  func on<T: Sendable>(_ body: @escaping @Sendable (SwitchCore) throws -> T) throws -> T { try sluice.performAndWait(body) }

  /// Lets the clock hand go round.
  func sweep(rounds: Int = 1) throws {
    try on { core in
      for _ in 0..<rounds {
        while core.isSweeping { core.sweepSlice() }
        core.beginSweep()
        while core.isSweeping { core.sweepSlice() }
      }
    }
  }
}
