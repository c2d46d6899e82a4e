// LimitsService.swift
//
// gRPC service sluice.v1.Limits.
// Threads: gRPC's tasks.

import AgentAPI
import GRPCCore
import KernelTier

struct LimitsService: Sluice_V1_Limits.SimpleServiceProtocol {
  let context: AgentServiceContext

  func add(request: Sluice_V1_AddLimitsRequest, context call: ServerContext) async throws -> Sluice_V1_AddLimitsReply {
    try await context.answer {
      let rules = try request.limits.map { limit in
        PolicyRule.limit(
          try IPPrefix(limit.prefix),
          to: try PacketRate(packetsPerSecond: limit.packetsPerSecond, burst: limit.burst == 0 ? nil : limit.burst))
      }
      let (added, present) = try await context.control.addPolicy(rules)
      var reply = Sluice_V1_AddLimitsReply()
      reply.added = UInt64(added)
      reply.alreadyPresent = UInt64(present)
      return reply
    }
  }

  func delete(
    request: Sluice_V1_DeleteLimitsRequest, context call: ServerContext
  ) async throws -> Sluice_V1_DeleteLimitsReply {
    try await context.answer {
      let keys = try request.prefixes.map { PolicyKey.limit(try IPPrefix($0)) }
      var reply = Sluice_V1_DeleteLimitsReply()
      reply.deleted = UInt64(try await context.control.deletePolicy(keys, ifExists: request.ifExists, list: "limit"))
      return reply
    }
  }

  func list(
    request: Sluice_V1_ListLimitsRequest, response: RPCWriter<Sluice_V1_ListLimitsReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let entries = await context.control.listPolicy().compactMap(Self.message)
      for batch in entries.inBatches() {
        var reply = Sluice_V1_ListLimitsReply()
        reply.entries = Array(batch)
        try await response.write(reply)
      }
    }
  }

  private static func message(_ entry: PolicyEntry) -> Sluice_V1_LimitEntry? {
    guard case .limit(let prefix) = entry.rule.key, let rate = entry.rule.rate else { return nil }
    var message = Sluice_V1_LimitEntry()
    message.limit.prefix = prefix.description
    message.limit.packetsPerSecond = rate.packetsPerSecond
    message.limit.burst = rate.burst
    message.passed = Sluice_V1_Traffic(packets: entry.passed.packets, bytes: entry.passed.bytes)
    message.dropped = Sluice_V1_Traffic(packets: entry.dropped.packets, bytes: entry.dropped.bytes)
    return message
  }
}
