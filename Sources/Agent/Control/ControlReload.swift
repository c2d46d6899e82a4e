// ControlReload.swift
//
// SIGHUP: the configuration file is read again, and what can be changed while packets flow is changed.
// Invariant: a file with a mistake changes nothing.
// Threads: the control thread (see Control.swift).

import Logging

extension Control {
  /// Reads the file again and follows it.
  ///
  /// - Parameter command: what the command line overrides.
  /// - Throws: `ConfigurationError`; nothing has changed then.
  func reload(file: String, command: AgentOptions) throws {
    try checkDraining()
    let wanted = try command.configuration(file: file)
    let change = ConfigurationChange(from: configuration, to: wanted)
    logger.notice("reloading the configuration", metadata: ["file": "\(file)", "result": "\(change.summary)"])
    for key in change.needsRestart {
      logger.warning("a change in the configuration waits for a restart of the agent", metadata: ["key": "\(key)"])
    }
    AgentLog.shared.level = wanted.agent.logLevel
    AgentLog.shared.format = wanted.agent.logFormat
    configuration.agent.logLevel = wanted.agent.logLevel
    configuration.agent.logFormat = wanted.agent.logFormat
    configuration.ports = wanted.ports
    configuration.rules = wanted.rules
    troubles["configuration"] = nil

    for port in change.removedPorts + change.changedPorts {
      guard let present = ports[port.name], present.origin == .configuration else { continue }
      forget(present)
    }
    // A port that was added through the API becomes the configuration's when the file names it, too.
    for port in change.addedPorts {
      guard let present = ports[port.name] else { continue }
      try store.deletePort(named: port.name)
      forget(present)
    }
    try adoptConfigured(change.addedPorts + change.changedPorts)
    for port in portsInOrder where port.attachment == nil { bringUp(port) }
    if change.rulesChanged { try reloadRules() }
  }
}
