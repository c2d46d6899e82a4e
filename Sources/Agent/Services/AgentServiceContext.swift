// AgentServiceContext.swift
//
// What every gRPC service of the agent needs, and how the agent's errors become gRPC's.
// Invariant: the status message is one sentence for a person; the code says its kind, as sluice.proto promises.
// Threads: Sendable.

import AgentAPI
import CSluice
import Dataplane
import GRPCCore
import KernelTier
import Logging
import Pipeline
import Store

/// What the services share.
struct AgentServiceContext: Sendable {
  let control: Control
  let plane: Switch
  let logger: Logger
  /// The configuration file in use; empty when there is none.
  let configurationFile: String
  let socket: String
  let clock = AgentClock()

  /// Items per message of a stream.
  static let batch = 256
}

/// The time since the agent started, in nanoseconds and in cycles.
struct AgentClock: Sendable {
  private let startNanoseconds = sluice_monotonic_nanoseconds()
  private let startCycles = sluice_cycles()

  var nanoseconds: UInt64 { sluice_monotonic_nanoseconds() - startNanoseconds }

  /// Cycles of the time stamp counter in a second, as measured since the start; 0 in the first millisecond.
  var cyclesPerSecond: UInt64 {
    let nanoseconds = nanoseconds
    guard nanoseconds > 1_000_000 else { return 0 }
    return UInt64(Double(sluice_cycles() - startCycles) / Double(nanoseconds) * 1e9)
  }
}

extension AgentServiceContext {
  /// Runs the body of a call and turns its errors into gRPC's.
  func answer<Reply>(_ body: () async throws -> Reply) async throws(RPCError) -> Reply {
    do {
      return try await body()
    } catch {
      throw Self.explain(error)
    }
  }

  static func explain(_ error: any Error) -> RPCError {
    let code: RPCError.Code
    switch error {
    case let error as RPCError: return error
    case let failure as PortFailure:
      code =
        switch failure.kind {
        case .invalid: .invalidArgument
        case .missing: .notFound
        case .conflict: .alreadyExists
        case .refused: .failedPrecondition
        case .limit: .resourceExhausted
        }
    case is SyntaxError, is IPPrefixError, is FiveTupleError, KernelTierError.invalid: code = .invalidArgument
    case is RuleFailure, KernelTierError.policyFull: code = .resourceExhausted
    case is PolicyFailure: code = .notFound
    case is KernelTierError, is StoreError, is RefusedChange: code = .failedPrecondition
    default: code = .internalError
    }
    return RPCError(code: code, message: "\(error)")
  }
}

extension Collection {
  /// The elements in pieces of a stream's messages.
  func inBatches() -> [SubSequence] {
    var batches: [SubSequence] = []
    var start = startIndex
    while start != endIndex {
      let end = index(start, offsetBy: AgentServiceContext.batch, limitedBy: endIndex) ?? endIndex
      batches.append(self[start..<end])
      start = end
    }
    return batches
  }
}
