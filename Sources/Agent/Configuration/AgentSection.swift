// AgentSection.swift
//
// Section `agent` of the configuration: where the agent is reached, what it keeps, how it logs.
// Invariant: paths are absolute; the socket's fits into a socket address.
// Threads: a value.

import Logging

/// How a log line looks.
public enum LogFormat: String, Sendable, CaseIterable {
  case text
  case json
}

/// Section `agent`.
public struct AgentSection: Sendable, Equatable {
  /// Path of the Unix socket the API is served on.
  public var socket = "/run/sluice/sluice.sock"
  /// Members of this group may use the API, besides root. When the system has no such group, only root may.
  public var group = "sluice"
  /// Path of the durable store.
  public var store = "/var/lib/sluice/sluice.db"
  public var logLevel = Logger.Level.info
  public var logFormat = LogFormat.text

  public init() {}

  static let keys = ["socket", "group", "store", "logLevel", "logFormat"]

  /// A path in a socket address ends with a zero byte and has 108 bytes in all.
  public static let longestSocketPath = 107

  init(_ node: ConfigurationNode) {
    guard let values = node.mapping(keys: Self.keys) else { return }
    if let value = values["socket"], let path = value.absolutePath() {
      if path.utf8.count > Self.longestSocketPath {
        value.problem("the path has \(path.utf8.count) bytes, a Unix socket's may have \(Self.longestSocketPath)")
      }
      socket = path
    }
    if let value = values["group"], let name = value.text() {
      if name.isEmpty { value.problem("expected the name of a group, found an empty text") }
      group = name
    }
    if let value = values["store"], let path = value.absolutePath() { store = path }
    if let value = values["logLevel"], let level = value.choice(Logger.Level.self) { logLevel = level }
    if let value = values["logFormat"], let format = value.choice(LogFormat.self) { logFormat = format }
  }
}

extension ConfigurationNode {
  /// A path that does not depend on where the agent was started.
  func absolutePath() -> String? {
    guard let path = text() else { return nil }
    guard path.hasPrefix("/"), !path.hasSuffix("/") else {
      problem("expected an absolute path of a file, found the text \"\(path)\"")
      return nil
    }
    return path
  }
}
