// DenyService.swift
//
// gRPC service sluice.v1.Deny.
// Threads: gRPC's tasks.

import AgentAPI
import GRPCCore
import KernelTier

struct DenyService: Sluice_V1_Deny.SimpleServiceProtocol {
  let context: AgentServiceContext

  func add(request: Sluice_V1_AddDenyRequest, context call: ServerContext) async throws -> Sluice_V1_AddDenyReply {
    try await context.answer {
      let (added, present) = try await context.control.addDeny(try request.prefixes.map { try IPPrefix($0) })
      var reply = Sluice_V1_AddDenyReply()
      reply.added = UInt64(added)
      reply.alreadyPresent = UInt64(present)
      return reply
    }
  }

  func delete(request: Sluice_V1_DeleteDenyRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteDenyReply {
    try await context.answer {
      let prefixes = try request.prefixes.map { try IPPrefix($0) }
      var reply = Sluice_V1_DeleteDenyReply()
      reply.deleted = UInt64(try await context.control.deleteDeny(prefixes, ifExists: request.ifExists))
      return reply
    }
  }

  func list(
    request: Sluice_V1_ListDenyRequest, response: RPCWriter<Sluice_V1_ListDenyReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let entries = try await context.control.listDeny().sorted { $0.prefix < $1.prefix }
      for batch in entries.inBatches() {
        var reply = Sluice_V1_ListDenyReply()
        reply.entries = batch.map { entry in
          var message = Sluice_V1_DenyEntry()
          message.prefix = entry.prefix.description
          message.dropped = Sluice_V1_Traffic(packets: entry.packets, bytes: entry.bytes)
          return message
        }
        try await response.write(reply)
      }
    }
  }
}
