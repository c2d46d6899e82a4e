// StoredPort.swift
//
// A port as somebody asked for it through the API: what the agent needs to open it again after a restart.
// Invariants: name and number are unique in the store; words of enumerations are those of the API and of the CLI.
// Threads: a value.

import GRDB

/// A port that was added through the API.
public struct StoredPort: Sendable, Hashable {
  public var name: String
  /// The OpenFlow port number; it stays the port's for as long as the port is in the store.
  public var number: UInt32
  /// "netdev" or "internal".
  public var kind: String
  /// The interface the port is on; for an internal port the name of the host's end.
  public var interface: String
  /// "dedicated" or "shared".
  public var mode: String
  /// The queues that were asked for; empty means all.
  public var queues: [UInt32]
  /// "off", "auto" or "eager"; empty means as the configuration says.
  public var placement: String
  /// "auto", "xdp" or "tc".
  public var hook: String

  public init(
    name: String, number: UInt32, kind: String, interface: String, mode: String, queues: [UInt32], placement: String = "",
    hook: String = "auto"
  ) {
    self.name = name
    self.number = number
    self.kind = kind
    self.interface = interface
    self.mode = mode
    self.queues = queues
    self.placement = placement
    self.hook = hook
  }
}

extension StoredPort {
  static let columns = "number, name, kind, interface, mode, queues, placement, hook"

  /// - Throws: `StoreError.badRow` when a column holds what no agent writes.
  init(row: Row, path: String) throws(StoreError) {
    let queueText: String = row["queues"]
    var queues: [UInt32] = []
    for piece in queueText.split(separator: ",") {
      guard let queue = UInt32(piece) else {
        throw .badRow(path: path, table: "port", reason: "queue list '\(queueText)' is not a list of numbers")
      }
      queues.append(queue)
    }
    let number: Int64 = row["number"]
    guard let number = UInt32(exactly: number) else {
      throw .badRow(path: path, table: "port", reason: "\(number) is not a port number")
    }
    self.init(
      name: row["name"], number: number, kind: row["kind"], interface: row["interface"], mode: row["mode"],
      queues: queues, placement: row["placement"], hook: row["hook"])
  }

  var arguments: StatementArguments {
    [
      Int64(number), name, kind, interface, mode, queues.map(String.init).joined(separator: ","), placement, hook,
    ]
  }
}
