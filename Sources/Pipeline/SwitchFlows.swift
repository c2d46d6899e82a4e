// SwitchFlows.swift
//
// What: the life of cached flows after their installation: revalidation, removal, counters, listing.
// Invariants: a removed flow's last packets are credited to its rule after the fence, so that a rule's counters are exactly the sum over
//             its flows, dead ones included.

import CSluice
import Dataplane

/// A cached flow at one moment.
public struct FlowSnapshot: Sendable {
  public var id: UInt64
  public var worker: Int
  public var match: FlowMatch
  public var actions: [FlowAction]
  /// The rule that decided; nil when none matched.
  public var rule: Rule?
  /// Why nothing is sent; nil when something is.
  public var drop: TranslationDrop?
  public var packets: UInt64
  public var bytes: UInt64
  public var ageSeconds: Double
  /// Seconds since the last packet.
  public var idleSeconds: Double
}

extension SwitchCore {
  /// Translates again what a flow stands for; keeps the flow if the answer is the same, else removes it.
  ///
  /// Where the new answer holds for all packets of the flow, a flow with that answer takes its place at once: the worker gets the new one before
  /// it loses the old one, so a change of rules or ports under load loses no packet and asks nothing again.
  func revalidate(_ handle: FlowHandle) {
    let directory = directories[handle.worker]
    guard var record = directory[handle.slot] else { return }
    let match = directory.match(of: handle.slot, record)
    let translation = Translator.translate(key: match.key, ports: ports, rules: rules, macs: macs)
    guard translation.learns == record.learns, match.mask.contains(translation.mask) else { return remove(handle, .changed) }
    guard translation.actions == record.actions else {
      var replacement = translation
      replacement.mask = match.mask
      let lastUsed = max(directory.worker.slab.counters(of: handle.slot).lastUsed, record.refreshedAt)
      install(key: match.key, replacement, worker: handle.worker, replacing: handle.slot, lastUsed: lastUsed)
      return remove(handle, .changed)
    }
    if translation.rule !== record.rule {
      credit(&record, handle)
      record.rule = translation.rule
    }
    for station in record.dependencies { forgetDependent(handle, on: station) }
    record.dependencies = translation.dependencies
    record.drop = translation.drop
    for station in translation.dependencies { dependents[station, default: []].insert(handle) }
    directory[handle.slot] = record
  }

  /// Looks again at every flow.
  func revalidateAll() {
    for (index, directory) in directories.enumerated() {
      for slot in directory.liveSlots { revalidate(FlowHandle(worker: index, slot: slot)) }
    }
  }

  /// Tells the worker to forget a flow. `settle` completes the removal.
  func remove(_ handle: FlowHandle, _ end: SwitchEvent.FlowEnd) {
    let directory = directories[handle.worker]
    guard let record = directory[handle.slot] else { return }
    let match = directory.match(of: handle.slot, record)
    directory.remove(handle.slot)
    for station in record.dependencies { forgetDependent(handle, on: station) }
    ending.append(EndingFlow(handle: handle, record: record, match: match, end: end))
  }

  /// Waits until no worker can execute a removed flow, then takes their last counts and frees what they held.
  func settle() {
    guard !ending.isEmpty else { return }
    for worker in Set(ending.map(\.handle.worker)) { workers[worker].fence() }
    for flow in ending {
      var record = flow.record
      credit(&record, flow.handle)
      if case .program = Self.execution(of: record.actions).kind { programs.release(record.actions) }
      events.publish(.flowRemoved(snapshot(flow.handle, record, match: flow.match), flow.end))
    }
    for worker in Set(ending.map(\.handle.worker)) { directories[worker].recycle() }
    ending.removeAll(keepingCapacity: true)
    programs.sweep()
  }

  /// How a worker executes a list: the drop and the single output have paths of their own, everything else is a program.
  static func execution(of actions: [FlowAction]) -> (kind: FlowKind, output: PortIndex) {
    if actions.isEmpty { return (.drop, 0) }
    if actions.count == 1, case .output(let port) = actions[0] { return (.output, port) }
    return (.program, 0)
  }

  private func forgetDependent(_ handle: FlowHandle, on station: Station) {
    guard dependents[station]?.remove(handle) != nil else { return }
    if dependents[station]?.isEmpty == true { dependents[station] = nil }
  }

  /// Adds to the rule what its flow has counted since the last time.
  func credit(_ record: inout FlowRecord, _ handle: FlowHandle) {
    let now = workers[handle.worker].slab.counters(of: handle.slot)
    let packets = now.packets - record.creditedPackets
    guard packets > 0 else { return }
    if let rule = record.rule {
      rule.packets += packets
      rule.bytes += now.bytes - record.creditedBytes
      let idle = UInt64(clock.seconds(since: now.lastUsed) * 1e9)
      rule.usedNanoseconds = max(rule.usedNanoseconds, sluice_monotonic_nanoseconds() - idle)
    }
    record.creditedPackets = now.packets
    record.creditedBytes = now.bytes
  }

  /// Brings the counters of all rules up to date.
  func creditAll() {
    for (index, directory) in directories.enumerated() {
      for slot in directory.liveSlots {
        guard var record = directory[slot] else { continue }
        credit(&record, FlowHandle(worker: index, slot: slot))
        directory[slot] = record
      }
    }
  }

  // MARK: - Listing

  /// Cached flows that share packets with a match and came in by a port.
  ///
  /// - Parameter inPort: a port number, or nil for all.
  public func flows(overlapping match: FlowMatch = .any, inPort: UInt32? = nil) -> [FlowSnapshot] {
    var found: [FlowSnapshot] = []
    for (index, directory) in directories.enumerated() {
      for slot in directory.liveSlots {
        let handle = FlowHandle(worker: index, slot: slot)
        let flow = snapshot(handle, directory[slot])
        guard flow.match.overlaps(match) else { continue }
        if let inPort, flow.match.exactValue(of: .inPort) != UInt128(inPort) { continue }
        found.append(flow)
      }
    }
    return found.sorted { $0.id < $1.id }
  }

  /// Live flows of all workers.
  public var flowCount: Int { directories.reduce(0) { $0 + $1.count } }

  /// Masks of one worker's flows, the most that any worker has.
  public var flowMaskCount: Int { directories.map(\.masks.count).max() ?? 0 }

  /// Forgets all cached flows and returns how many there were; the next packets are translated anew.
  public func purgeFlows() -> Int {
    let count = flowCount
    for (index, directory) in directories.enumerated() {
      for slot in directory.liveSlots { remove(FlowHandle(worker: index, slot: slot), .flushed) }
    }
    settle()
    return count
  }

  func snapshot(_ handle: FlowHandle, _ record: FlowRecord?, match: FlowMatch? = nil) -> FlowSnapshot {
    let counters = workers[handle.worker].slab.counters(of: handle.slot)
    let directory = directories[handle.worker]
    // The worker stamps the slot when it installs the flow, which may be a moment away.
    let lastUsed = max(counters.lastUsed, record?.refreshedAt ?? 0)
    return FlowSnapshot(
      id: record?.id ?? 0, worker: handle.worker,
      match: match ?? record.map { directory.match(of: handle.slot, $0) } ?? .any, actions: record?.actions ?? [],
      rule: record?.rule?.rule, drop: record?.drop,
      packets: counters.packets - (record?.basePackets ?? 0), bytes: counters.bytes - (record?.baseBytes ?? 0),
      ageSeconds: record.map { Double(sluice_monotonic_nanoseconds() - $0.createdNanoseconds) / 1e9 } ?? 0,
      idleSeconds: clock.seconds(since: lastUsed))
  }
}
