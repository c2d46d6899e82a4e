// FdbService.swift
//
// gRPC service sluice.v1.Fdb: the stations that `normal` has learned.
// Threads: gRPC's tasks.

import AgentAPI
import CSluice
import Dataplane
import GRPCCore
import Pipeline

struct FdbService: Sluice_V1_Fdb.SimpleServiceProtocol {
  let context: AgentServiceContext

  func list(
    request: Sluice_V1_ListFdbRequest, response: RPCWriter<Sluice_V1_ListFdbReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let (entries, ports) = try await context.plane.perform { core in (core.macs.entries, core.ports) }
      let now = sluice_monotonic_nanoseconds()
      for batch in entries.inBatches() {
        var reply = Sluice_V1_ListFdbReply()
        reply.entries = batch.map { entry in
          var message = Sluice_V1_FdbEntry()
          message.port = ports[entry.port]?.name ?? ""
          message.portNumber = entry.port
          message.vlan = UInt32(entry.station.vlan)
          message.mac = AddressText.formatMAC(entry.station.mac)
          message.ageSeconds = (now - min(now, entry.lastSeenNanoseconds)) / 1_000_000_000
          return message
        }
        try await response.write(reply)
      }
    }
  }

  func flush(request: Sluice_V1_FlushFdbRequest, context call: ServerContext) async throws -> Sluice_V1_FlushFdbReply {
    try await context.answer {
      var number: UInt32?
      if !request.port.isEmpty {
        number = await context.control.portNumber(request.port)
        if number == nil { throw PortFailure.missing("there is no port \(request.port)") }
      }
      let port = number
      var reply = Sluice_V1_FlushFdbReply()
      reply.flushed = UInt64(try await context.plane.perform { core in core.flushStations(port: port) })
      return reply
    }
  }
}
