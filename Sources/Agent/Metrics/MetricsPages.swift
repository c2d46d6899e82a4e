// MetricsPages.swift
//
// What /metrics, /healthz and /readyz say.
// Invariant: names begin with "sluice_", counters end in "_total" and only grow; label values are names that an operator
//            knows.
// Threads: called from tasks; asks the control actor and the pipeline thread, so a page also proves that these two
//          answer.
// Cost: for each port what `port show` costs.

import AgentAPI
import Dataplane
import Pipeline

struct MetricsPages: Sendable {
  let context: AgentServiceContext

  func page(_ path: String) async -> MetricsAnswer? {
    switch path {
    case "/metrics": return await metrics()
    case "/healthz":
      // The answer of the control thread is the sign of life; a thread that hangs makes the probe time out.
      _ = await context.control.readiness()
      return MetricsAnswer(status: .ok, body: "ok\n")
    case "/readyz":
      let (isReady, reason) = await context.control.readiness()
      return MetricsAnswer(status: isReady ? .ok : .serviceUnavailable, body: reason + "\n")
    default: return nil
    }
  }

  private func metrics() async -> MetricsAnswer {
    do {
      let status = try await context.control.status()
      let ports = await context.control.listPorts()
      let (stations, flows, tiers) = try await context.plane.perform { core in
        (core.macs.count, (setUps: core.setUpCount, uncached: core.uncachedCount), core.tierSummaries)
      }
      var page = PrometheusText()
      agent(status, stations: stations, &page)
      page.family("sluice_flow_setups_total", .counter, "Flows made.")
      page.sample(flows.setUps)
      page.family("sluice_flow_uncached_packets_total", .counter, "Packets answered without a flow, because there was no room for one.")
      page.sample(flows.uncached)
      placement(tiers, &page)
      traffic(ports, &page)
      kernel(ports, &page)
      workers(&page)
      return MetricsAnswer(status: .ok, contentType: PrometheusText.contentType, body: page.text)
    } catch {
      return MetricsAnswer(status: .internalServerError, body: "\(error)\n")
    }
  }

  private func agent(_ status: Sluice_V1_GetStatusReply, stations: Int, _ page: inout PrometheusText) {
    page.family("sluice_build_info", .gauge, "Always 1; the labels say what is running.")
    page.sample(1, ["version": SluiceVersion.current, "swift": StatusService.swiftVersion])
    page.family("sluice_uptime_seconds", .gauge, "Seconds since the agent started.")
    page.sample(Double(context.clock.nanoseconds) / 1e9)
    page.family("sluice_resident_bytes", .gauge, "Resident memory of the agent.")
    page.sample(ProcessFacts.residentBytes())
    page.family("sluice_rules", .gauge, "Rules in force.")
    page.sample(status.rules)
    page.family("sluice_flows", .gauge, "Flows that the workers hold.")
    page.sample(status.flows)
    page.family("sluice_stations", .gauge, "Addresses that normal has learned.")
    page.sample(stations)
    page.family("sluice_deny_prefixes", .gauge, "Prefixes on the deny list.")
    page.sample(status.denyPrefixes)
    page.family("sluice_deny_tuples", .gauge, "Five-tuples on the deny list.")
    page.sample(status.denyTuples)
    page.family("sluice_limits", .gauge, "Source prefixes that are held to a rate.")
    page.sample(status.limits)
    page.family("sluice_component_ok", .gauge, "1 while a part of the agent is well, 0 when it needs a person.")
    for part in status.components { page.sample(part.ok ? 1 : 0, ["component": part.name]) }
  }

  /// What tiers in front of the workers hold. Nothing while there is none.
  private func placement(_ tiers: [TierSummary], _ page: inout PrometheusText) {
    func perTier(_ name: String, _ kind: PrometheusText.Kind, _ help: String, _ value: (TierSummary) -> UInt64) {
      page.family(name, kind, help)
      for tier in tiers { page.sample(value(tier), ["tier": tier.tier]) }
    }
    perTier("sluice_tier_flows", .gauge, "Flows that a tier in front of the workers holds.") { UInt64($0.flows) }
    perTier("sluice_tier_capacity", .gauge, "Flows that a tier can hold.") { UInt64($0.capacity) }
    perTier("sluice_tier_placed_total", .counter, "Flows that a tier took.") { $0.placed }
    perTier("sluice_tier_withdrawn_total", .counter, "Flows that a tier gave back.") { $0.withdrawn }
    page.family("sluice_tier_refused_total", .counter, "Flows that a tier did not take, by cause.")
    for tier in tiers {
      for (cause, count) in tier.refused.sorted(by: { $0.key < $1.key }) { page.sample(count, ["tier": tier.tier, "cause": cause]) }
    }
  }

  private func traffic(_ ports: [Sluice_V1_Port], _ page: inout PrometheusText) {
    func perPort(_ name: String, _ help: String, _ value: (Sluice_V1_Port) -> UInt64) {
      page.family(name, .counter, help)
      for port in ports { page.sample(value(port), ["port": port.name]) }
    }
    page.family("sluice_port_up", .gauge, "1 while a port forwards.")
    for port in ports { page.sample(port.state == .up || port.state == .degraded ? 1 : 0, ["port": port.name]) }
    perPort("sluice_port_receive_packets_total", "Frames received by a port.") { $0.counters.received.packets }
    perPort("sluice_port_receive_bytes_total", "Bytes received by a port.") { $0.counters.received.bytes }
    perPort("sluice_port_transmit_packets_total", "Frames sent by a port.") { $0.counters.transmitted.packets }
    perPort("sluice_port_transmit_bytes_total", "Bytes sent by a port.") { $0.counters.transmitted.bytes }
    perPort("sluice_port_kernel_receive_packets_total", "Packets received by a port that the kernel tier answered.") { $0.kernelReceived.packets }
    perPort("sluice_port_kernel_receive_bytes_total", "Bytes of them.") { $0.kernelReceived.bytes }
    perPort("sluice_port_kernel_transmit_packets_total", "Packets that the kernel tier sent by a port.") { $0.kernelTransmitted.packets }
    perPort("sluice_port_kernel_transmit_bytes_total", "Bytes of them.") { $0.kernelTransmitted.bytes }
    page.family("sluice_drops_total", .counter, "Frames dropped, by port and reason.")
    for port in ports {
      for drop in port.counters.drops { page.sample(drop.count, ["port": port.name, "reason": drop.name]) }
    }
  }

  private func kernel(_ ports: [Sluice_V1_Port], _ page: inout PrometheusText) {
    page.family("sluice_xdp_packets_total", .counter, "Frames by what the port's XDP program did with them.")
    for port in ports {
      for counter in port.xdpCounters { page.sample(counter.count, ["port": port.name, "verdict": counter.name]) }
    }
    page.family("sluice_socket_events_total", .counter, "What the AF_XDP socket of a queue counted since it was opened.")
    for port in ports {
      for queue in port.queues {
        for counter in queue.socketCounters {
          page.sample(counter.count, ["port": port.name, "queue": "\(queue.queue)", "event": counter.name])
        }
      }
    }
    page.family("sluice_queue_restarts_total", .counter, "Times that a stuck queue was opened again.")
    for port in ports {
      for queue in port.queues { page.sample(queue.restarts, ["port": port.name, "queue": "\(queue.queue)"]) }
    }
  }

  private func workers(_ page: inout PrometheusText) {
    let snapshots = context.plane.workers.map { $0.snapshot() }
    func perWorker(_ name: String, _ kind: PrometheusText.Kind, _ help: String, _ value: (WorkerSnapshot) -> UInt64) {
      page.family(name, kind, help)
      for worker in snapshots { page.sample(value(worker), ["worker": "\(worker.id)"]) }
    }
    perWorker("sluice_worker_packets_total", .counter, "Packets that a worker handled.") { $0.packets }
    perWorker("sluice_worker_batches_total", .counter, "Batches that held a packet.") { $0.batches }
    perWorker("sluice_worker_exact_hits_total", .counter, "Packets found in the exact cache.") { $0.exactHits }
    perWorker("sluice_worker_classifier_hits_total", .counter, "Packets found in the classifier.") { $0.classifierHits }
    perWorker("sluice_worker_upcalls_total", .counter, "Packets that no flow matched.") { $0.misses }
    perWorker("sluice_worker_bad_upcalls_total", .counter, "Frames on the way up from tc that carried no header of ours.") { $0.badUpcalls }
    perWorker("sluice_worker_sleeps_total", .counter, "Times that a worker went to sleep.") { $0.sleeps }
    perWorker("sluice_worker_checksums_completed_total", .counter, "Partial checksums that a worker completed.") {
      $0.checksumsCompleted
    }
    perWorker("sluice_worker_masks", .gauge, "Masks in a worker's classifier.") { UInt64($0.masks) }
    perWorker("sluice_worker_frames_free", .gauge, "Frames that a worker has free.") { UInt64($0.framesFree) }
    perWorker("sluice_worker_frames", .gauge, "Frames that a worker has in all.") { UInt64($0.framesTotal) }
    page.family("sluice_worker_cpu_seconds_total", .counter, "CPU time of a worker's thread.")
    for worker in snapshots { page.sample(Double(worker.cpuNanoseconds) / 1e9, ["worker": "\(worker.id)"]) }
    page.family("sluice_worker_stage_cycles_total", .counter, "TSC cycles by stage of the worker's loop.")
    for worker in snapshots {
      for stage in worker.stages { page.sample(stage.cycles, ["worker": "\(worker.id)", "stage": stage.name]) }
    }
  }
}
