// HealthService.swift
//
// The standard gRPC health service: SERVING while the agent works, NOT_SERVING while it stops.
// Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
// Threads: gRPC's tasks.

import AgentAPI
import GRPCCore

struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
  let context: AgentServiceContext

  /// The services that can be asked about; the empty name is the agent as a whole.
  static let names: Set<String> = [
    "", "sluice.v1.Agent", "sluice.v1.Ports", "sluice.v1.Rules", "sluice.v1.Groups", "sluice.v1.Meters", "sluice.v1.Flows",
    "sluice.v1.Kernel", "sluice.v1.Deny", "sluice.v1.Limits", "sluice.v1.Workers", "sluice.v1.Fdb", "sluice.v1.Monitor",
  ]

  func check(
    request: Grpc_Health_V1_HealthCheckRequest, context call: ServerContext
  ) async throws -> Grpc_Health_V1_HealthCheckResponse {
    guard Self.names.contains(request.service) else {
      throw RPCError(code: .notFound, message: "there is no service \(request.service)")
    }
    return await answer()
  }

  func watch(
    request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
    context call: ServerContext
  ) async throws {
    guard Self.names.contains(request.service) else {
      var unknown = Grpc_Health_V1_HealthCheckResponse()
      unknown.status = .serviceUnknown
      try await response.write(unknown)
      try await call.cancellation.cancelled
      return
    }
    let events = context.control.events.watch()
    try await response.write(await answer())
    // The stream of events ends when the agent stops, which is the only change there is to tell.
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in events {} }
      group.addTask { try? await call.cancellation.cancelled }
      await group.next()
      group.cancelAll()
    }
    var last = Grpc_Health_V1_HealthCheckResponse()
    last.status = .notServing
    try await response.write(last)
  }

  private func answer() async -> Grpc_Health_V1_HealthCheckResponse {
    var reply = Grpc_Health_V1_HealthCheckResponse()
    reply.status = await context.control.readiness().isReady ? .serving : .notServing
    return reply
  }
}
