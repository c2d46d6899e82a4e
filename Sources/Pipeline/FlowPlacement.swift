// FlowPlacement.swift
//
// What: which flows the tier in front of the workers is offered, and when they come back.
// How: - A port's placement says which of its flows are offered: none, those that are busy, or all. `eager` offers a flow as it is made, `auto`
//        when the clock hand finds that it had so many packets since the last look.
//      - A flow whose answer changes is withdrawn first, the tier is fenced once for all of them, the workers change, and then it is offered
//        again. A flow that ends is withdrawn with it.
//      - What was refused is remembered: for good as long as the answer is the same, or for some rounds of the clock hand when it was for want of
//        room. While somebody finds no room, flows that are idle in the tier are withdrawn.
// Invariants: the counts of a flow are its worker's and the tier's together; a stay's counts are credited to the plan that it began with, and
//             kept when it is over, so no sum ever goes back. A flow of packets that are looked up again is never offered: tiers see packets
//             as they come in.
// Threads: the pipeline thread only.
// Cost: an offer is a hash table insertion in the tier and one here, without a system call. A fence is a system call that may take some tens of milliseconds; a change
//       pays it when the tier held a flow that it concerns, flows that are merely idle wait for one a second.

import CSluice
import Dataplane

/// Which flows of a port are offered to the tier in front of the workers.
public enum FlowPlacement: String, Sendable, CaseIterable {
  case off
  /// Those that had at least `SwitchCore.busyPackets` packets within half a second.
  case auto
  /// All of them, with their first packet.
  case eager
}

extension SwitchCore {
  /// Packets between two looks of the clock hand, half a second apart, from which on `auto` offers a flow.
  public static let busyPackets: UInt8 = 20
  /// How long a flow may be idle in the tier while others find no room there.
  private static let idleNanoseconds: UInt64 = 10_000_000_000
  /// How long withdrawn flows wait for a fence when nobody else needs one.
  private static let fenceNanoseconds: UInt64 = 1_000_000_000

  /// The tier in front of the workers.
  public var kernel: (any FlowTier)? { tierBook?.tier }

  /// Puts a tier in front of the workers, or takes it away: its flows are withdrawn then.
  ///
  /// - Parameter drainStamps: by worker, where each writes since when it has had nothing under way; they must stay until the tier is
  ///   taken away.
  public func setKernel(_ tier: (any FlowTier)?, drainStamps: [UnsafeMutablePointer<UInt64>] = []) {
    if tierBook != nil {
      _ = withdrawAll()
      completeCommits(waiting: true)
      forEachFlow { handle in books[handle.worker].record(handle.slot).pointee.placement = .none }
    }
    tierBook = tier.map { TierBook(tier: $0) }
    for (index, worker) in workers.enumerated() { worker.setDrainStamp(tier != nil && index < drainStamps.count ? drainStamps[index] : nil) }
    for worker in workers { worker.fence() }
  }

  /// Says which flows of a port are offered. With `off` the tier holds none of them any more when this returns; what `eager` and `auto` want
  /// is offered as the clock hand comes by.
  public func setPort(_ number: UInt32, placement: FlowPlacement) throws(SwitchPortError) {
    guard let port = ports[number] else { throw .noSuchPort(number) }
    placements[Int(port.index)] = placement
    guard placement == .off, let book = tierBook else { return }
    for (handle, stay) in book.stays.entries where !stay.isLeaving {
      if books[handle.worker].record(handle.slot).pointee.port == port.index { book.withdraw(handle, wasIdle: false) }
    }
    fenceTiers()
  }

  /// A port's placement.
  public func placement(of number: UInt32) -> FlowPlacement { ports[number].map { placements[Int($0.index)] } ?? .off }

  /// Switches placement off for all ports. The tier holds nothing when this returns, and forwarding goes on in the workers.
  ///
  /// - Returns: how many flows it held.
  public func drainTiers() -> Int {
    for port in ports.ports { placements[Int(port.index)] = .off }
    return withdrawAll()
  }

  private func withdrawAll() -> Int {
    guard let book = tierBook else { return 0 }
    var count = 0
    for (handle, stay) in book.stays.entries where !stay.isLeaving {
      book.withdraw(handle, wasIdle: false)
      count += 1
    }
    fenceTiers()
    return count
  }

  // MARK: - Offers

  private static let shareRefusal = TierRefusal(
    cause: "port-share", description: "its port has its share of the places: no more than eight for each that is free", isTemporary: true)

  /// Offers a flow that the tier does not hold, and remembers what comes of it.
  /// - Parameter isFirst: see `TierFlow`.
  func offer(_ handle: FlowHandle, isFirst: Bool = false) {
    guard let tiers = tierBook else { return }
    let book = books[handle.worker]
    let record = book.record(handle.slot)
    let key = book.key(of: handle.slot)
    guard let plan = plans[record.pointee.plan], key[.recircID] == 0 else { return }
    let flow = TierFlow(
      key: key, mask: book.worker.slab.mask(record.pointee.mask), actions: plan.actions, port: record.pointee.port,
      worker: workerToWaitFor(handle), id: record.pointee.id, isFirst: isFirst)
    let before = record.pointee.placement
    do throws(TierRefusal) {
      guard tiers.admits(flow.port) else { throw Self.shareRefusal }
      tiers.hold(handle, try tiers.tier.offer(flow), port: flow.port, isFirst: isFirst, now: sluice_monotonic_nanoseconds())
      record.pointee.placement = .held
    } catch {
      record.pointee.placement = tiers.note(error)
    }
    tiers.refusals.release(before)
  }

  /// The worker whose queues have to have been empty before the tier may execute a flow, for its packets to keep their order.
  func workerToWaitFor(_ handle: FlowHandle) -> Int {
    let port = Int(books[handle.worker].record(handle.slot).pointee.port)
    let isAlone = portRecords[port]?.queues.allSatisfy { !$0.queue.receives || $0.worker == handle.worker } ?? true
    return isAlone ? handle.worker : TierFlow.severalWorkers
  }

  /// Offers a flow with a new answer.
  func offerAgain(_ handle: FlowHandle, wasHeld: Bool) {
    switch placements[Int(books[handle.worker].record(handle.slot).pointee.port)] {
    case .off: return
    case .auto: if wasHeld { offer(handle) }
    case .eager: offer(handle)
    }
  }

  /// Offers a flow that the clock hand finds in use, if it is to be offered.
  func considerPlacing(_ handle: FlowHandle) {
    guard let tiers = tierBook else { return }
    let record = books[handle.worker].record(handle.slot)
    guard record.pointee.placement != .held, tiers.refusals.mayRetry(record.pointee.placement, round: tiers.round) else { return }
    switch placements[Int(record.pointee.port)] {
    case .off: return
    case .auto: if record.pointee.recentPackets >= Self.busyPackets { offer(handle) }
    case .eager: offer(handle)
    }
  }

  /// Has the workers say after offers when they have nothing under way.
  func wakeForOffers() {
    guard let tiers = tierBook, tiers.hasNews else { return }
    tiers.hasNews = false
    for worker in workers { worker.attend() }
  }

  // MARK: - Withdrawals

  /// Withdraws a flow whose answer changes or that ends.
  func withdraw(_ handle: FlowHandle) { tierBook?.withdraw(handle, wasIdle: false) }

  /// Returns when the tier executes nothing that has been withdrawn, and settles the counts.
  func fenceTiers() {
    guard let tiers = tierBook, !tiers.unfenced.isEmpty else { return }
    let flows = tiers.fence(now: sluice_monotonic_nanoseconds())
    let use = useClock()
    for handle in flows { endStay(handle, tiers, use) }
  }

  /// Fences when withdrawn flows have waited for it, or have become many.
  func fenceTiersInTime(now: UInt64) {
    guard let tiers = tierBook, !tiers.unfenced.isEmpty else { return }
    guard now > tiers.fencedNanoseconds + Self.fenceNanoseconds || tiers.unfenced.count > tiers.tier.capacity / 16 else { return }
    fenceTiers()
  }

  /// Settles the counts of a stay that is over.
  private func endStay(_ handle: FlowHandle, _ tiers: TierBook, _ use: UseClock) {
    creditTier(handle, use)
    guard let stay = tiers.stays[handle] else { return }
    if stay.credited.packets > 0 {
      let past = pastStays[handle] ?? (0, 0)
      pastStays[handle] = (past.packets + stay.credited.packets, past.bytes + stay.credited.bytes)
    }
    let record = books[handle.worker].record(handle.slot)
    tiers.release(handle, port: record.pointee.port)
    record.pointee.placement = stay.wasIdle ? .idle : .none
  }

  /// Forgets what is known of a flow's placement, as its answer is no more. Its stay is over.
  func forgetPlacement(_ handle: FlowHandle) {
    pastStays[handle] = nil
    let record = books[handle.worker].record(handle.slot)
    tierBook?.refusals.release(record.pointee.placement)
    record.pointee.placement = .none
  }

  // MARK: - Use

  /// Adds to the rules what the tier has counted for a flow since the last time.
  func creditTier(_ handle: FlowHandle, _ use: UseClock) {
    guard let tiers = tierBook, var stay = tiers.stays[handle] else { return }
    let counts = tiers.tier.counts(of: stay.handle)
    guard counts.packets > stay.credited.packets, let plan = plans[books[handle.worker].record(handle.slot).pointee.plan] else { return }
    plan.credit(
      packets: counts.packets - stay.credited.packets, bytes: counts.bytes - min(counts.bytes, stay.credited.bytes),
      usedNanoseconds: min(use.nanoseconds, counts.usedNanoseconds))
    stay.credited = (counts.packets, counts.bytes)
    tiers.update(handle, stay)
  }

  /// The stamp of a held flow's last use in the tier, if that is news; else 0. One that has been idle while others find no room is withdrawn.
  func useInTier(_ handle: FlowHandle, _ use: UseClock) -> UInt64 {
    guard let tiers = tierBook, var stay = tiers.stays[handle], !stay.isLeaving else { return 0 }
    let used = tiers.tier.counts(of: stay.handle).usedNanoseconds
    if used > stay.usedNanoseconds {
      stay.usedNanoseconds = used
      tiers.update(handle, stay)
      return use.cycles(of: used)
    }
    if tiers.isCrowded, use.nanoseconds > stay.usedNanoseconds + Self.idleNanoseconds { tiers.withdraw(handle, wasIdle: true) }
    return 0
  }
}
