// PortFailure.swift
//
// Why a port cannot be as it was asked for, in one sentence, with the kind that decides the gRPC status and the port's
// state.
// Threads: a value.

/// What stands in the way of a port.
struct PortFailure: Error, CustomStringConvertible, Equatable {
  enum Kind {
    /// The request itself is wrong.
    case invalid
    /// There is no such port or interface.
    case missing
    /// A different port of this name, number or interface is there.
    case conflict
    /// The machine cannot do it as it is.
    case refused
    /// A limit of the agent.
    case limit
  }

  var kind: Kind
  var description: String

  static func invalid(_ text: String) -> PortFailure { PortFailure(kind: .invalid, description: text) }
  static func missing(_ text: String) -> PortFailure { PortFailure(kind: .missing, description: text) }
  static func conflict(_ text: String) -> PortFailure { PortFailure(kind: .conflict, description: text) }
  static func refused(_ text: String) -> PortFailure { PortFailure(kind: .refused, description: text) }
  static func limit(_ text: String) -> PortFailure { PortFailure(kind: .limit, description: text) }
}
