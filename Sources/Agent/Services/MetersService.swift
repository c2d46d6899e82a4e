// MetersService.swift
//
// gRPC service sluice.v1.Meters.
// Threads: gRPC's tasks; the work is the control actor's, counters are read on the pipeline thread.
// Cost: listing walks all rules once to count who uses a meter.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

struct MetersService: Sluice_V1_Meters.SimpleServiceProtocol {
  let context: AgentServiceContext

  func add(request: Sluice_V1_MeterText, context call: ServerContext) async throws -> Sluice_V1_ChangeMetersReply {
    try await change(request, isModification: false)
  }

  func modify(request: Sluice_V1_MeterText, context call: ServerContext) async throws -> Sluice_V1_ChangeMetersReply {
    try await change(request, isModification: true)
  }

  private func change(_ request: Sluice_V1_MeterText, isModification: Bool) async throws -> Sluice_V1_ChangeMetersReply {
    try await context.answer {
      var reader = RuleReader(.meters(isChange: isModification), ports: [:])
      for line in request.lines { reader.read(line) }
      try reader.check()
      let (changed, unchanged) = try await context.applyDifferences(reader) { request, core in
        switch request {
        case .addMeter(let meter), .modifyMeter(let meter): core.meters.entry(meter.id)?.spec == meter
        default: false
        }
      }
      var reply = Sluice_V1_ChangeMetersReply()
      reply.changed = changed
      reply.unchanged = unchanged
      return reply
    }
  }

  func delete(request: Sluice_V1_DeleteMetersRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteMetersReply
  {
    try await context.answer {
      let known = try await context.plane.perform { core in Set(core.meters.all.map(\.spec.id)) }
      try context.checkDeletion(of: request.ids, all: request.all, known: known, what: "meter")
      var reply = Sluice_V1_DeleteMetersReply()
      guard !known.isEmpty else { return reply }
      let requests: [RuleChangeRequest] = request.all ? [.deleteMeter(nil)] : request.ids.map { .deleteMeter($0) }
      let change = try await context.control.apply(RuleBundle(requests))
      reply.deleted = UInt64(change.removedMeters)
      reply.deletedRules = UInt64(change.removed)
      return reply
    }
  }

  func list(
    request: Sluice_V1_ListMetersRequest, response: RPCWriter<Sluice_V1_ListMetersReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let wanted = Set(request.ids)
      let meters = try await context.plane.perform { core in
        core.meterList().filter { wanted.isEmpty || wanted.contains($0.meter.id) }.map { Sluice_V1_Meter($0) }
      }
      if let unknown = request.ids.first(where: { id in !meters.contains { $0.id == id } }) {
        throw RPCError(code: .notFound, message: "there is no meter \(unknown)")
      }
      for batch in meters.inBatches() {
        var reply = Sluice_V1_ListMetersReply()
        reply.meters = Array(batch)
        try await response.write(reply)
      }
    }
  }
}

extension Sluice_V1_Meter {
  init(_ snapshot: MeterSnapshot) {
    self.init()
    let meter = snapshot.meter
    id = meter.id
    text = meter.text
    matched = Sluice_V1_Traffic(packets: snapshot.packets, bytes: snapshot.bytes)
    durationSeconds = UInt64(max(0, snapshot.ageSeconds))
    references = UInt32(clamping: snapshot.referenceCount)
    bands = zip(meter.bands, snapshot.bands).map { band, count in
      var message = Sluice_V1_MeterBand()
      message.type =
        switch band.kind {
        case .drop: "drop"
        case .remarkDSCP: "dscp_remark"
        }
      message.rate = band.rate
      message.burstSize = meter.hasBurst ? band.burst : 0
      message.matched = Sluice_V1_Traffic(packets: count.packets, bytes: count.bytes)
      return message
    }
  }
}
