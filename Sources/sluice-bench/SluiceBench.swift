// SluiceBench.swift
//
// What: `sluice-bench`: measures the real worker, classifier and pipeline without a NIC.

import ArgumentParser

@main
struct SluiceBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-bench",
    abstract: "Measures Sluice's forwarding without a NIC.",
    discussion: """
      The worker threads, the caches and the pipeline are those of sluiced; only the ports are in memory.
      Compare figures with those of a peer in the same run, as ratios: absolute values move with the machine.
      """,
    subcommands: [Forward.self])
}
