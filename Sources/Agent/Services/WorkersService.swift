// WorkersService.swift
//
// gRPC service sluice.v1.Workers: where the poll threads spend their cycles.
// Threads: gRPC's tasks; counters are read without disturbing the workers.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

struct WorkersService: Sluice_V1_Workers.SimpleServiceProtocol {
  let context: AgentServiceContext

  func list(request: Sluice_V1_ListWorkersRequest, context call: ServerContext) async throws -> Sluice_V1_ListWorkersReply {
    try await context.answer {
      let queues = await context.control.queuesByWorker()
      let flows = try await context.plane.perform { core in
        var counts: [Int: Int] = [:]
        for flow in core.flows() { counts[flow.worker, default: 0] += 1 }
        return counts
      }
      var reply = Sluice_V1_ListWorkersReply()
      reply.cyclesPerSecond = context.clock.cyclesPerSecond
      reply.workers = context.plane.workers.map { worker in
        var message = Sluice_V1_Worker(worker.snapshot(), agentNanoseconds: context.clock.nanoseconds)
        message.upcalls = message.misses - min(message.misses, worker.refusedUpcalls)
        message.flows = UInt32(clamping: flows[worker.id] ?? 0)
        message.queues = queues[worker.id] ?? []
        return message
      }
      return reply
    }
  }
}

extension Control {
  /// What each worker polls.
  func queuesByWorker() -> [Int: [Sluice_V1_WorkerQueue]] {
    var queues: [Int: [Sluice_V1_WorkerQueue]] = [:]
    for port in portsInOrder {
      for attached in port.attachment?.queues ?? [] {
        var queue = Sluice_V1_WorkerQueue()
        queue.port = port.name
        queue.queue = attached.queue.queue
        queues[attached.worker, default: []].append(queue)
      }
    }
    return queues
  }
}

extension Worker {
  /// Misses that were dropped instead of being handed to the pipeline.
  fileprivate var refusedUpcalls: UInt64 {
    var sum = PortCounters()
    for port in 0..<WorkerCounters.portCapacity { counters.read(port: PortIndex(port), into: &sum) }
    return sum.drops[.upcallBudget, default: 0] + sum.drops[.upcallRingFull, default: 0]
  }
}

extension Sluice_V1_Worker {
  /// - Parameter agentNanoseconds: how long the agent, and with it the worker, has been running.
  init(_ snapshot: WorkerSnapshot, agentNanoseconds: UInt64) {
    self.init()
    id = UInt32(snapshot.id)
    cpu = Int32(snapshot.cpu)
    busy = snapshot.isBusyPolling
    state = snapshot.isSleeping ? .sleeping : .polling
    packets = snapshot.packets
    batches = snapshot.batches
    let perPacket = { (cycles: UInt64) in snapshot.packets == 0 ? 0 : Double(cycles) / Double(snapshot.packets) }
    stages = snapshot.stages.map { stage in
      var message = Sluice_V1_WorkerStage()
      message.name = stage.name
      message.cycles = stage.cycles
      message.packets = snapshot.packets
      message.cyclesPerPacket = perPacket(stage.cycles)
      return message
    }
    cyclesPerPacket = perPacket(snapshot.stages.filter { $0.name != WorkerStage.idle.name }.reduce(0) { $0 + $1.cycles })
    exactHits = snapshot.exactHits
    classifierHits = snapshot.classifierHits
    misses = snapshot.misses
    masks = UInt32(clamping: snapshot.masks)
    framesFree = UInt32(clamping: snapshot.framesFree)
    framesTotal = UInt32(clamping: snapshot.framesTotal)
    sleeps = snapshot.sleeps
    cpuShare = agentNanoseconds == 0 ? 0 : min(1, Double(snapshot.cpuNanoseconds) / Double(agentNanoseconds))
  }
}
