// ConfigurationChange.swift
//
// What differs between the configuration in force and the one on the disk: what a reload can do while packets flow, and
// what needs a restart. A reload never does half of a thing: a key that needs a restart keeps its old value until then.
// Threads: a value.

/// The difference of two configurations.
struct ConfigurationChange: Sendable, Equatable {
  var addedPorts: [PortRequest] = []
  var removedPorts: [PortRequest] = []
  /// Ports of the same name that are otherwise different: removed and added again.
  var changedPorts: [PortRequest] = []
  var rulesChanged = false
  var logChanged = false
  /// Keys whose new value waits for a restart, as paths.
  var needsRestart: [String] = []

  var isEmpty: Bool { self == ConfigurationChange() }

  init() {}

  init(from old: AgentConfiguration, to new: AgentConfiguration) {
    logChanged = old.agent.logLevel != new.agent.logLevel || old.agent.logFormat != new.agent.logFormat
    if old.agent.socket != new.agent.socket { needsRestart.append("agent.socket") }
    if old.agent.group != new.agent.group { needsRestart.append("agent.group") }
    if old.agent.store != new.agent.store { needsRestart.append("agent.store") }
    if old.metrics != new.metrics { needsRestart.append("metrics.address") }
    if old.workers.count != new.workers.count { needsRestart.append("workers.count") }
    if old.workers.cpus != new.workers.cpus { needsRestart.append("workers.cpus") }
    if old.workers.mode != new.workers.mode { needsRestart.append("workers.mode") }
    if old.workers.frames != new.workers.frames { needsRestart.append("workers.frames") }
    if old.workers.flowLimit != new.workers.flowLimit { needsRestart.append("workers.flowLimit") }
    if old.kernel.placement != new.kernel.placement { needsRestart.append("kernel.placement") }
    if old.kernel.flows != new.kernel.flows { needsRestart.append("kernel.flows") }
    if old.kernel.directory != new.kernel.directory { needsRestart.append("kernel.directory") }

    for port in new.ports {
      guard let before = old.ports.first(where: { $0.name == port.name }) else {
        addedPorts.append(port)
        continue
      }
      if before != port { changedPorts.append(port) }
    }
    removedPorts = old.ports.filter { port in !new.ports.contains { $0.name == port.name } }
    rulesChanged = old.rules != new.rules
  }

  /// One sentence for the log.
  var summary: String {
    if isEmpty { return "nothing changed" }
    var parts: [String] = []
    func list(_ verb: String, _ ports: [PortRequest]) {
      if !ports.isEmpty { parts.append("ports \(verb): \(ports.map(\.name).joined(separator: ", "))") }
    }
    list("added", addedPorts)
    list("removed", removedPorts)
    list("changed", changedPorts)
    if rulesChanged { parts.append("rules changed") }
    if logChanged { parts.append("logging changed") }
    if !needsRestart.isEmpty { parts.append("waits for a restart: \(needsRestart.joined(separator: ", "))") }
    return parts.joined(separator: "; ")
  }
}
