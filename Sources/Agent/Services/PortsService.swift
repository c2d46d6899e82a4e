// PortsService.swift
//
// gRPC service sluice.v1.Ports.
// Threads: gRPC's tasks; the work is the control actor's.

import AgentAPI
import GRPCCore

struct PortsService: Sluice_V1_Ports.SimpleServiceProtocol {
  let context: AgentServiceContext

  func add(request: Sluice_V1_AddPortRequest, context call: ServerContext) async throws -> Sluice_V1_AddPortReply {
    try await context.answer {
      let wanted = try PortRequest(request)
      let (port, wasThere) = try await context.control.addPort(wanted)
      var reply = Sluice_V1_AddPortReply()
      reply.port = port
      reply.alreadyPresent = wasThere
      return reply
    }
  }

  func delete(request: Sluice_V1_DeletePortRequest, context call: ServerContext) async throws -> Sluice_V1_DeletePortReply {
    try await context.answer {
      guard !request.port.isEmpty else { throw PortFailure.invalid("no port is named; expected a port's name or number") }
      var reply = Sluice_V1_DeletePortReply()
      reply.deleted = try await context.control.deletePort(request.port, ifExists: request.ifExists)
      return reply
    }
  }

  func list(request: Sluice_V1_ListPortsRequest, context call: ServerContext) async throws -> Sluice_V1_ListPortsReply {
    var reply = Sluice_V1_ListPortsReply()
    reply.ports = await context.control.listPorts()
    return reply
  }

  func get(request: Sluice_V1_GetPortRequest, context call: ServerContext) async throws -> Sluice_V1_GetPortReply {
    try await context.answer {
      var reply = Sluice_V1_GetPortReply()
      reply.port = try await context.control.showPort(request.port)
      return reply
    }
  }
}
