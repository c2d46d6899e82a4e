// MetersService.swift
//
// gRPC service sluice.v1.Meters.
// Threads: gRPC's tasks; the work is the control actor's, counters are read on the pipeline thread.
// Cost: listing walks all rules once to count who uses a meter.

import AgentAPI
import CSluice
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
      let bundle = reader.bundle
      // What is there exactly so is left alone, so that a client may ask twice.
      let isSame = try await context.plane.perform { core in
        bundle.requests.map { request in
          switch request {
          case .addMeter(let meter), .modifyMeter(let meter): core.meters.entry(meter.id)?.spec == meter
          default: false
          }
        }
      }
      reader.keepRequests { !isSame[$0] }
      _ = try await context.apply(reader)
      var reply = Sluice_V1_ChangeMetersReply()
      reply.changed = UInt64(reader.bundle.requests.count)
      reply.unchanged = UInt64(bundle.requests.count) - reply.changed
      return reply
    }
  }

  func delete(request: Sluice_V1_DeleteMetersRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteMetersReply
  {
    try await context.answer {
      let known = try await context.plane.perform { core in Set(core.meters.all.map(\.spec.id)) }
      if let unknown = request.ids.first(where: { !known.contains($0) }) {
        throw RPCError(code: .notFound, message: "there is no meter \(unknown); nothing was deleted")
      }
      guard request.all || !request.ids.isEmpty else {
        throw RPCError(code: .invalidArgument, message: "no meter is named; expected ids, or all")
      }
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
        let uses = RuleUses(core)
        return core.meters.all.filter { wanted.isEmpty || wanted.contains($0.spec.id) }
          .map { Sluice_V1_Meter($0, core: core, references: uses.meters[$0.spec.id] ?? 0) }
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
  init(_ entry: MeterEntry, core: SwitchCore, references: Int) {
    self.init()
    let spec = entry.spec
    let counts = core.meters[spec.id]?.counts
    id = spec.id
    text = spec.text
    matched = Sluice_V1_Traffic(packets: counts?.packets ?? 0, bytes: counts?.bytes ?? 0)
    durationSeconds = (sluice_monotonic_nanoseconds() - entry.createdNanoseconds) / 1_000_000_000
    self.references = UInt32(clamping: references)
    bands = spec.bands.enumerated().map { place, band in
      var message = Sluice_V1_MeterBand()
      message.type =
        switch band.kind {
        case .drop: "drop"
        case .remarkDSCP: "dscp_remark"
        }
      message.rate = band.rate
      message.burstSize = spec.hasBurst ? band.burst : 0
      if let counts, place < counts.bands.count {
        message.matched = Sluice_V1_Traffic(packets: counts.bands[place].packets, bytes: counts.bands[place].bytes)
      }
      return message
    }
  }
}
