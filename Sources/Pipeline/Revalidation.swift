// Revalidation.swift
//
// What: looks again at the cached flows that a change may concern, and stages what has to become of them. `settle` carries it out.
// How: flows are found through plans. A rule that went concerns the plans that met it; a new rule concerns the plans that met none
//      or one of no higher priority, and of those the flows that share packets with it; a port concerns the plans that send to it or
//      flood. No other flow is looked at.
// Invariants: between a change and `settle` no miss is answered. A flow whose new answer holds for all its packets keeps its slot and mask;
//             only one whose answer now depends on more bits is removed.
// Threads: the pipeline thread only.
// Cost: a translation per concerned flow.

import CSluice
import Dataplane

/// What has changed, for whoever looks at flows again.
public enum RevalidationScope {
  case everything
  /// New rules, and rules that are gone or mean something else now.
  case rules(added: [RuleEntry], removed: [RuleEntry])
  /// Groups by id.
  case groups(Set<UInt32>)
  /// Meters by id.
  case meters(Set<UInt32>)
  /// Ports by index: there, gone, up or down.
  case ports(Set<PortIndex>)
}

extension SwitchCore {
  /// From so many new rules on, comparing flows with each of them costs more than translating them.
  private static let comparedRules = 64

  /// Looks again at the flows that a change may concern. `settle` completes it.
  public func revalidate(_ scope: RevalidationScope) {
    let began = sluice_monotonic_nanoseconds()
    let before = translationCount
    switch scope {
    case .everything:
      plans.forEach { plan in revalidateFlows(of: plan) }
    case .rules(let added, let removed):
      var concerned: Set<UInt32> = []
      for rule in removed { concerned.formUnion(rule.plans) }
      revalidateFlows(of: concerned)
      if !added.isEmpty { revalidate(added: added, except: concerned) }
    case .groups(let ids): revalidateFlows(of: plans.plans(ofGroups: ids))
    case .meters(let ids): revalidateFlows(of: plans.plans(ofMeters: ids))
    case .ports(let changed):
      plans.forEach { plan in
        if changed.contains(where: { plan.depends(onPort: $0) }) { revalidateFlows(of: plan) }
      }
    }
    let took = sluice_monotonic_nanoseconds() - began
    for index in governors.indices {
      governors[index].noteRevalidation(nanoseconds: took, flows: Int(translationCount - before))
    }
  }

  private func revalidate(added: [RuleEntry], except done: Set<UInt32>) {
    var highest: [UInt8: UInt16] = [:]
    for rule in added { highest[rule.table] = max(highest[rule.table] ?? 0, rule.priority) }
    plans.forEach { plan in
      guard !done.contains(plan.index) else { return }
      // The searches whose result a new rule may be: a search without a result met the end of the table.
      let open = plan.visits.filter { visit in highest[visit.table].map { visit.canYield(to: $0) } ?? false }
      guard !open.isEmpty else { return }
      // Where a table was searched with fields that actions had changed, the flow's key says nothing about what was found there.
      guard added.count <= Self.comparedRules, open.allSatisfy(\.isIngressKey) else { return revalidateFlows(of: plan) }
      let rivals = added.filter { rule in open.contains { $0.table == rule.table && $0.canYield(to: rule.priority) } }.map(\.match)
      guard !rivals.isEmpty else { return }
      revalidateFlows(of: plan) { match in rivals.contains { $0.overlaps(match) } }
    }
  }

  private func revalidateFlows(of indices: Set<UInt32>) {
    for index in indices { if let plan = plans[index] { revalidateFlows(of: plan) } }
  }

  /// Looks again at flows of a plan.
  private func revalidateFlows(of plan: FlowPlan, where isConcerned: ((FlowMatch) -> Bool)? = nil) {
    var next = plan.firstFlow
    while !next.isNone {
      let handle = next
      let book = books[handle.worker]
      next = book.record(handle.slot).pointee.nextOfPlan
      if let isConcerned, !isConcerned(book.match(of: handle.slot)) { continue }
      revalidate(handle)
    }
  }

  /// Translates again what a flow stands for, and stages what follows from it.
  func revalidate(_ handle: FlowHandle) {
    let book = books[handle.worker]
    let record = book.record(handle.slot)
    guard record.pointee.state == .live, !isEnding(record) else { return }
    let key = book.key(of: handle.slot)
    let translation = translate(key)
    let mask = book.worker.slab.mask(record.pointee.mask)
    guard translation.learns?.station == links.source(record.pointee.firstLink), mask.contains(translation.mask) else {
      return remove(handle, .changed)
    }
    if !links.isLinked(record.pointee.firstLink, to: translation.dependencies) {
      guard links.hasRoom(translation.dependencies.count) else { return remove(handle, .changed) }
      links.unlink(record.pointee.firstLink)
      record.pointee.firstLink = links.link(handle, to: translation.dependencies, taught: translation.learns?.station)
    }
    let plan = plans.plan(for: translation)
    if record.pointee.staged != 0 {
      restage(Int(record.pointee.staged) - 1, plan)
    } else if plan.index != record.pointee.plan {
      stage(StagedChange(handle: handle, plan: plan, end: .changed))
    }
  }

  /// Looks again at the flows that depend on a station.
  func stationChanged(_ station: Station) {
    let flows = links.flows(of: station)
    guard !flows.isEmpty else { return }
    let port = macs.port(of: station)
    for handle in flows {
      let record = books[handle.worker].record(handle.slot)
      guard record.pointee.state == .live else { continue }
      // While a flow from the station's old place (or of a forgotten station) is cached, its packets teach nothing; the next one has
      // to come up again.
      if links.source(record.pointee.firstLink) == station, self.record(at: record.pointee.port)?.port.number != port {
        remove(handle, .changed)
      } else {
        revalidate(handle)
      }
    }
  }
}

extension TableVisit {
  /// True when a rule of this priority would be found in the place of what was found.
  fileprivate func canYield(to priority: UInt16) -> Bool { rule.map { $0.priority <= priority } ?? true }
}
