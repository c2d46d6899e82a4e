// TopFlows.swift
//
// The call Flows.Top: which flows have the most packets or bytes a second. What each flow has counted is compared with what it had an interval
// before, and only the flows that are shown are described.
// Invariants: a flow that got another answer meanwhile began to count anew; it is credited with what it has counted since.
// Threads: gRPC's tasks, one for each call; counters are read on the pipeline thread.
// Cost: for each call and interval, a look at every flow's counters.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

extension FlowsService {
  func top(
    request: Sluice_V1_TopFlowsRequest, response: RPCWriter<Sluice_V1_TopFlowsReply>, context call: ServerContext
  ) async throws {
    let milliseconds = request.intervalMilliseconds == 0 ? 1000 : request.intervalMilliseconds
    guard 100...3_600_000 ~= milliseconds else {
      throw RPCError(
        code: .invalidArgument, message: "an interval of \(milliseconds) ms is too \(milliseconds < 100 ? "short" : "long"); expected 100 ms to an hour")
    }
    try await context.answer {
      // A sleeping call does not notice by itself that its client went away.
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await measure(request, every: .milliseconds(Int(milliseconds)), response) }
        group.addTask { try? await call.cancellation.cancelled }
        try await group.next()
        group.cancelAll()
      }
    }
  }

  private func measure(
    _ request: Sluice_V1_TopFlowsRequest, every interval: Duration, _ response: RPCWriter<Sluice_V1_TopFlowsReply>
  ) async throws {
    let clock = ContinuousClock()
    var last = RateMeter.Sample(totals: try await totals(), time: clock.now)
    while true {
      try await clock.sleep(until: last.time + interval)
      let sample = RateMeter.Sample(totals: try await totals(), time: clock.now)
      let meter = RateMeter(from: last, to: sample)
      let shown = meter.highest(request.count == 0 ? 20 : Int(request.count), byBytes: request.order == .bytes)
      let (flows, ports) = try await context.plane.perform { core in (core.flows(of: shown.map(\.total)), core.ports) }
      var reply = Sluice_V1_TopFlowsReply()
      reply.seconds = meter.seconds
      reply.active = UInt64(meter.grown.count)
      reply.total = UInt64(sample.totals.count)
      reply.packetsPerSecond = meter.packetsPerSecond
      reply.bytesPerSecond = meter.bytesPerSecond
      let byID = Dictionary(flows.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
      reply.flows = shown.compactMap { growth in
        guard let flow = byID[growth.total.id] else { return nil }
        var rate = Sluice_V1_FlowRate()
        rate.flow = Sluice_V1_Flow(flow, ports: ports)
        rate.packetsPerSecond = Double(growth.packets) / meter.seconds
        rate.bytesPerSecond = Double(growth.bytes) / meter.seconds
        rate.port = ports[UInt32(truncatingIfNeeded: flow.match.key[.inPort])]?.name ?? ""
        return rate
      }
      try await response.write(reply)
      last = sample
    }
  }

  private func totals() async throws -> [FlowTotal] {
    try await context.plane.perform { core in core.flowTotals() }
  }
}

/// How much flows counted from one moment to another.
struct RateMeter {
  struct Sample {
    var totals: [FlowTotal]
    var time: ContinuousClock.Instant
  }

  struct Growth {
    var total: FlowTotal
    var packets: UInt64
    var bytes: UInt64
  }

  let seconds: Double
  /// Flows that had a packet.
  let grown: [Growth]

  init(from first: Sample, to second: Sample) {
    seconds = max((second.time - first.time) / .seconds(1), 1e-3)
    let before = Dictionary(first.totals.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    grown = second.totals.compactMap { total in
      var growth = Growth(total: total, packets: total.packets, bytes: total.bytes)
      if let old = before[total.id], old.packets <= total.packets, old.bytes <= total.bytes {
        growth.packets -= old.packets
        growth.bytes -= old.bytes
      }
      return growth.packets > 0 ? growth : nil
    }
  }

  var packetsPerSecond: Double { Double(grown.reduce(0) { $0 + $1.packets }) / seconds }
  var bytesPerSecond: Double { Double(grown.reduce(0) { $0 + $1.bytes }) / seconds }

  /// The flows that grew most, the most first; of equal ones the older first.
  func highest(_ count: Int, byBytes: Bool) -> [Growth] {
    let sorted = grown.sorted { first, second in
      let (one, other) = byBytes ? (first.bytes, second.bytes) : (first.packets, second.packets)
      return one != other ? one > other : first.total.id < second.total.id
    }
    return Array(sorted.prefix(count))
  }
}
