// AgentOptions.swift
//
// What the command line of sluiced says. It wins over the configuration file.
// Threads: a value.

import Glibc
import Logging
import Pipeline

/// The options of the program.
public struct AgentOptions: Sendable {
  /// The configuration file; nil means `AgentConfiguration.defaultPath` if it exists, else defaults.
  public var configurationFile: String?
  public var socket: String?
  public var logLevel: Logger.Level?

  public init(configurationFile: String? = nil, socket: String? = nil, logLevel: Logger.Level? = nil) {
    self.configurationFile = configurationFile
    self.socket = socket
    self.logLevel = logLevel
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
    if let file { configuration = try AgentConfiguration.read(file: file) { Self.flaw(ofRule: $0) } }
    if let socket { configuration.agent.socket = socket }
    if let logLevel { configuration.agent.logLevel = logLevel }
    return configuration
  }

  /// What is wrong with a rule in the file. Port names are looked up when the rules are put in force, so any name passes here.
  private static func flaw(ofRule text: String) -> String? {
    do {
      _ = try Rule(text: text, names: .init(number: { _ in 1 }, name: { _ in nil }))
      return nil
    } catch {
      return "\(error)"
    }
  }
}
