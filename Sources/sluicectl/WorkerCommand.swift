// WorkerCommand.swift: `sluicectl worker`, the poll threads and where their cycles go.

import AgentAPI
import ArgumentParser

struct WorkerCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "worker", abstract: "Shows the poll threads.", subcommands: [Show.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Shows each worker: load, caches, and cycles per packet stage by stage.",
      discussion: """
        EXAMPLES:
          sluicectl worker show
          sluicectl worker show 0
          sluicectl worker show -o json | jq '.[].cyclesPerPacket'
        """,
      aliases: ["list"])

    @Argument(help: "Only the worker with this number.")
    var id: UInt32?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      var workers = try await global.withAgent { try await $0.workers() }.workers
      if let id {
        let count = workers.count
        workers = workers.filter { $0.id == id }
        if workers.isEmpty {
          throw CommandFailure("there is no worker \(id); the agent has \(Human.count(UInt64(count), "worker")), from 0")
        }
      }
      try global.show(workers.document) {
        workers.isEmpty ? "no workers" : workers.map(Self.text).joined(separator: "\n\n")
      }
    }

    static func text(_ worker: Sluice_V1_Worker) -> String {
      let place = worker.cpu < 0 ? "not pinned" : "cpu \(worker.cpu)"
      let perBatch = worker.batches == 0 ? 0 : Double(worker.packets) / Double(worker.batches)
      let queues = worker.queues.map { "\($0.port):\($0.queue)" }.joined(separator: " ")
      var lines = [
        "worker \(worker.id): \(place), \(worker.modeWord), \(worker.state.word), \(Human.percent(worker.cpuShare)) of the core, "
          + "slept \(Human.count(worker.sleeps, "time"))",
        "    queues    \(queues.isEmpty ? "none" : queues)",
        "    packets   \(worker.packets) in \(worker.batches) batches (\(Human.decimal(perBatch, places: 1)) each), "
          + "\(Human.decimal(worker.cyclesPerPacket, places: 1)) cycles per packet",
        "    lookups   \(worker.exactHits) exact hits, \(worker.classifierHits) classifier hits, \(worker.misses) misses, "
          + "\(worker.upcalls) upcalls",
        "    tables    \(Human.count(UInt64(worker.flows), "flow")) with \(Human.count(UInt64(worker.masks), "mask"))",
        "    frames    \(worker.framesFree) free of \(worker.framesTotal)",
      ]
      if !worker.stages.isEmpty {
        var table = Table(["stage", ">packets", ">cycles", ">cycles/packet"])
        for stage in worker.stages {
          table.add([stage.name, "\(stage.packets)", "\(stage.cycles)", Human.decimal(stage.cyclesPerPacket, places: 1)])
        }
        lines += table.text(bold: Terminal.takesColour).split(separator: "\n").map { "    \($0)" }
      }
      return lines.joined(separator: "\n")
    }
  }
}
