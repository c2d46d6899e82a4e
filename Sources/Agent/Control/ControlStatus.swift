// ControlStatus.swift
//
// How the agent is: for `sluicectl status`, /healthz, /readyz and the metrics page.
// Threads: the control thread (see Control.swift).

import AgentAPI
import Dataplane
import Pipeline

extension Control {
  /// What the parts of the agent hold, and whether they are well. The caller adds what it knows of the process.
  func status() throws -> Sluice_V1_GetStatusReply {
    var reply = Sluice_V1_GetStatusReply()
    reply.workers = UInt32(plane.workers.count)
    reply.store = store.path
    let counts = policyCounts
    reply.denyPrefixes = UInt64(counts.prefixes)
    reply.denyTuples = UInt64(counts.tuples)
    reply.limits = UInt64(counts.limits)
    (reply.rules, reply.groups, reply.meters, reply.flows) = try onPlane { core in
      (UInt64(core.rules.count), UInt64(core.groups.count), UInt64(core.meters.count), UInt64(core.flowCount))
    }

    var states: [Sluice_V1_PortState: UInt32] = [:]
    var total = PortCounters()
    for port in ports.values {
      states[port.condition.state, default: 0] += 1
      total.add(port.carried)
      total.add(port.carriedKernel)
      if let attachment = port.attachment { total.add(kernelCounters(of: attachment)) }
    }
    total.add(try attachedCounters().values.reduce(into: PortCounters()) { $0.add($1) })
    reply.portsByState = states.sorted { $0.key.rawValue < $1.key.rawValue }.map { state, count in
      var entry = Sluice_V1_PortStateCount()
      entry.state = state
      entry.count = count
      return entry
    }
    let counters = Sluice_V1_PortCounters(total)
    reply.received = counters.received
    reply.transmitted = counters.transmitted
    reply.droppedPackets = counters.droppedPackets
    reply.drops = counters.drops
    reply.components = components()
    return reply
  }

  /// The parts of the agent, in a stable order.
  func components() -> [Sluice_V1_Component] {
    let bad = portsInOrder.filter { if case .failed = $0.condition { true } else { false } }
    var parts = [
      component("store", "\(store.path) is open"),
      component("workers", "\(plane.workers.count) polling"),
      component("rules", rulesAreOperators ? "set through the API, in the store" : "set by the configuration"),
      component("policy", policyWords),
      component("kernel tier", kernelWords),
      component("configuration", "as in the file"),
    ]
    var ports = Sluice_V1_Component()
    ports.name = "ports"
    ports.ok = bad.isEmpty
    ports.message =
      bad.isEmpty ? "\(self.ports.count) wanted" : bad.map { "\($0.name): \($0.condition.message)" }.joined(separator: "; ")
    parts.insert(ports, at: 2)
    return parts
  }

  private var policyWords: String {
    let counts = policyCounts
    return "\(counts.prefixes) denied prefixes, \(counts.tuples) denied five-tuples, \(counts.limits) rate limits"
  }

  /// Whether the agent does what it is told; the reason when it does not.
  func readiness() -> (isReady: Bool, reason: String) {
    if isDraining { return (false, "the agent is stopping") }
    let bad = components().filter { !$0.ok }
    // A port that cannot be opened is shown, but other ports forward: taking the whole node out of service would make it
    // worse.
    return (true, bad.isEmpty ? "ready" : "ready, but " + bad.map { "\($0.name): \($0.message)" }.joined(separator: "; "))
  }

  /// The counters of the attached ports since they were attached, by number.
  func attachedCounters() throws -> [UInt32: PortCounters] {
    let numbers = ports.values.filter { $0.attachment != nil }.map(\.number)
    return try onPlane { core in
      Dictionary(uniqueKeysWithValues: numbers.map { ($0, core.counters(of: $0)) })
    }
  }

  private func component(_ name: String, _ message: String) -> Sluice_V1_Component {
    var part = Sluice_V1_Component()
    part.name = name
    part.ok = troubles[name] == nil
    part.message = troubles[name] ?? message
    return part
  }
}
