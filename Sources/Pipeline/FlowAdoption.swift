// FlowAdoption.swift
//
// What: takes over the flows that a tier still holds from a process before this one.
// How: the stations that the flows teach are learned first, of all of them, the one used last at the end; only then does a flow of `normal`
//      mean what it meant. Then each flow's key is translated like that of a packet. If the answer depends on no bit that the flow
//      does not look at, and the tier says that it is the answer that it executes, the flow becomes a flow of a worker, with all that the tier
//      has counted; else it is withdrawn, and its packets come up.
// Invariants: what is not adopted is not executed any more when this returns. An adopted flow has the mask under which the tier holds it.
// Threads: the pipeline thread only.
// Cost: two translations and an installation per flow, some microseconds; misses wait meanwhile.

import CSluice
import Dataplane

/// What became of the flows that a tier held.
public struct AdoptionReport: Sendable, Equatable {
  public var adopted = 0
  public var withdrawn = 0
}

extension SwitchCore {
  /// Takes over flows of the tier that `setKernel` was given. Ports have the indices that they had, and their placement, by now.
  public func adopt(_ flows: [AdoptedFlow]) -> AdoptionReport {
    guard let tiers = tierBook else { return AdoptionReport() }
    learnStations(of: flows)
    var report = AdoptionReport()
    var leaving: [TierHandle] = []
    let use = useClock()
    // Numbers stay in order, as far as they can stay.
    for flow in flows.sorted(by: { $0.id < $1.id }) {
      if adopt(flow, tiers, use) {
        report.adopted += 1
      } else {
        tiers.tier.withdraw(flow.handle)
        leaving.append(flow.handle)
      }
    }
    report.withdrawn = leaving.count
    tiers.tier.fence()
    for handle in leaving { tiers.tier.release(handle) }
    wakeForOffers()
    return report
  }

  private func learnStations(of flows: [AdoptedFlow]) {
    for flow in flows.sorted(by: { $0.counts.usedNanoseconds < $1.counts.usedNanoseconds }) where port(of: flow) != nil {
      _ = learn(translate(flow.key))
    }
  }

  /// The port that a flow's packets come in by, if the flow looks at it and its flows are offered to tiers.
  private func port(of flow: AdoptedFlow) -> SwitchPort? {
    guard let port = record(at: flow.port)?.port, placements[Int(flow.port)] != .off else { return nil }
    guard flow.key[.inPort] == UInt128(port.number), flow.mask.contains(.ingressPort) else { return nil }
    return port
  }

  private func adopt(_ flow: AdoptedFlow, _ tiers: TierBook, _ use: UseClock) -> Bool {
    guard port(of: flow) != nil else { return false }
    let translation = translate(flow.key)
    guard flow.mask.contains(translation.mask), links.hasRoom(translation.dependencies.count) else { return false }
    let index = worker(ofPort: flow.port)
    let book = books[index]
    guard let mask = book.masks.take(flow.mask, port: flow.port, isIPv6: flow.mask.packetLines & 2 != 0) else { return false }
    guard book.worker.slab.mask(mask) == flow.mask else {
      book.masks.release(mask, port: flow.port)
      return false
    }
    guard let filed = book.file(key: flow.key, mask: mask, port: flow.port) else { return false }
    let plan = plans.plan(for: translation)
    let handle = FlowHandle(worker: index, slot: filed.slot)
    let now = flow.counts.usedNanoseconds == 0 ? use.cycles : use.cycles(of: flow.counts.usedNanoseconds)
    if filed.isNew {
      enter(handle, id: takeFlowID(preferring: flow.id), translation, plan, mask: mask, port: flow.port, now: now)
      book.send(filed, plan: plan, now: now)
      setUpCount += 1
    }
    defer {
      if filed.isNew { events.publish(.flowAdded(snapshot(handle))) }
      plans.retireIfUnused(plan)
    }
    return takeOver(flow, handle, tiers)
  }

  /// Lets the tier's flow be that of a worker, if they are the same.
  private func takeOver(_ flow: AdoptedFlow, _ handle: FlowHandle, _ tiers: TierBook) -> Bool {
    let record = books[handle.worker].record(handle.slot)
    // A flow that was made since the start may have been offered and taken on its own.
    guard record.pointee.placement != .held, let plan = plans[record.pointee.plan] else { return false }
    let same = TierFlow(
      key: flow.key, mask: flow.mask, actions: plan.actions, port: flow.port, worker: workerToWaitFor(handle), id: record.pointee.id)
    guard tiers.tier.adopt(flow.handle, as: same) else { return false }
    tiers.refusals.release(record.pointee.placement)
    tiers.hold(handle, flow.handle, port: flow.port, now: max(1, flow.counts.usedNanoseconds))
    record.pointee.placement = .held
    return true
  }

  /// The worker that gets the packets of a port.
  private func worker(ofPort index: PortIndex) -> Int {
    let queues = record(at: index)?.queues ?? []
    return (queues.first { $0.queue.receives } ?? upcallQueue ?? queues.first)?.worker ?? 0
  }

  /// A flow's number from the process before, unless it may be taken.
  private func takeFlowID(preferring id: UInt64) -> UInt64 {
    if id >= nextFlowID, id < .max { nextFlowID = id }
    return takeFlowID()
  }
}

extension FlowMask {
  /// The whole number of the ingress port.
  fileprivate static var ingressPort: FlowMask {
    var mask = FlowMask()
    mask.include(.inPort)
    return mask
  }
}
