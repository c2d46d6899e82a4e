// AgentOptions.swift
//
// What the command line of sluiced says. It wins over the configuration file.
// Threads: a value.

import Dataplane
import Glibc
import Logging
import Pipeline

/// The options of the program.
public struct AgentOptions: Sendable {
  /// The configuration file; nil means `AgentConfiguration.defaultPath` if it exists, else defaults.
  public var configurationFile: String?
  public var socket: String?
  public var logLevel: Logger.Level?

  /// Remove what an agent left in the kernel, and do nothing else.
  public var uninstalls = false

  public init(
    configurationFile: String? = nil, socket: String? = nil, logLevel: Logger.Level? = nil, uninstalls: Bool = false
  ) {
    self.configurationFile = configurationFile
    self.socket = socket
    self.logLevel = logLevel
    self.uninstalls = uninstalls
  }

  /// The file that counts; nil when there is none.
  var file: String? {
    if let configurationFile { return configurationFile }
    return access(AgentConfiguration.defaultPath, F_OK) == 0 ? AgentConfiguration.defaultPath : nil
  }

  /// The configuration of a file with what the command line overrides; defaults without a file.
  ///
  /// - Throws: `ConfigurationError`.
  func configuration(file: String?) throws(ConfigurationError) -> AgentConfiguration {
    var configuration = AgentConfiguration()
    if let file {
      configuration = try AgentConfiguration.read(file: file, allowedCPUs: ProcessFacts.allowedCPUs()) {
        Self.flaw(ofRule: $0, portNames: $1)
      }
    }
    if let socket { configuration.agent.socket = socket }
    if let logLevel { configuration.agent.logLevel = logLevel }
    return configuration
  }

  /// What is wrong with a rule in the file. Its ports may be named; numbers are given to them later, so any number will
  /// do here.
  private static func flaw(ofRule text: String, portNames: Set<String>) -> String? {
    do {
      _ = try Rule(text: text, names: PortNames(number: { portNames.contains($0) ? 1 : nil }, name: { _ in nil }))
      return nil
    } catch {
      return "\(error)"
    }
  }
}
