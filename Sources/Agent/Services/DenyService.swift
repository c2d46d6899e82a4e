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
      let prefixes = try request.prefixes.map { PolicyRule.deny(try IPPrefix($0)) }
      let tuples = try request.tuples.map { PolicyRule.deny(try FiveTuple($0)) }
      let (added, present) = try await context.control.addPolicy(prefixes + tuples)
      var reply = Sluice_V1_AddDenyReply()
      reply.added = UInt64(added)
      reply.alreadyPresent = UInt64(present)
      return reply
    }
  }

  func delete(request: Sluice_V1_DeleteDenyRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteDenyReply {
    try await context.answer {
      let prefixes = try request.prefixes.map { PolicyKey.prefix(try IPPrefix($0)) }
      let tuples = try request.tuples.map { PolicyKey.tuple(try FiveTuple($0)) }
      var reply = Sluice_V1_DeleteDenyReply()
      reply.deleted = UInt64(
        try await context.control.deletePolicy(prefixes + tuples, ifExists: request.ifExists, list: "deny"))
      return reply
    }
  }

  func list(
    request: Sluice_V1_ListDenyRequest, response: RPCWriter<Sluice_V1_ListDenyReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let entries = await context.control.listPolicy().compactMap(Self.message)
      for batch in entries.inBatches() {
        var reply = Sluice_V1_ListDenyReply()
        reply.entries = Array(batch)
        try await response.write(reply)
      }
    }
  }

  private static func message(_ entry: PolicyEntry) -> Sluice_V1_DenyEntry? {
    var message = Sluice_V1_DenyEntry()
    switch entry.rule.key {
    case .prefix(let prefix): message.prefix = prefix.description
    case .tuple(let tuple): message.tuple = tuple.description
    case .limit: return nil
    }
    message.dropped = Sluice_V1_Traffic(packets: entry.dropped.packets, bytes: entry.dropped.bytes)
    return message
  }
}
