// Main.swift
//
// What: sluice-proof, which compares the switch with a reference on random rules and packets. It is a program of its own, and not a test of
//       `swift test`, because a million packets want optimised code.

import ArgumentParser
import Dataplane
import Glibc
import ProofModel
import TestSupport

@main
struct SluiceProof: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-proof", abstract: "Prove that the switch does what the rules say.",
    subcommands: [
      SamenessCommand.self, KernelCommand.self, BarrierCommand.self, BundlesCommand.self, SharesCommand.self, MetersCommand.self,
      AttackCommand.self,
    ],
    defaultSubcommand: SamenessCommand.self)
}

struct SamenessCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sameness", abstract: "Compare reference, pipeline and cached flows on random rules and packets.")

  @Option(help: "Packets to compare.") var packets = 1_000_000
  @Option(help: "The seed of the first world, for seeing a difference again.") var seed: UInt64?
  @Option(help: "Worlds after which the cached flows are forgotten; with more than 1, revalidation is proven, too.") var worldsPerPurge = 1
  @Option(help: "Workers of the switch, 1 or 2; with 2, some ports belong to one of them only.") var workers = 1
  @Option(help: "Switches that share the worlds, each with its own reference.") var lanes = 2

  /// A long run says how far it is.
  private static let packetsPerLine = 5_000_000

  func validate() throws {
    guard workers == 1 || workers == 2 else { throw ValidationError("--workers \(workers): expected 1 or 2") }
    guard (1...64).contains(lanes) else { throw ValidationError("--lanes \(lanes): expected 1 to 64") }
  }

  func run() throws {
    let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("seed \(seed)")
    fflush(nil)
    let clock = ContinuousClock()
    let start = clock.now
    let shown = Locked(0)
    let (report, failure) = SamenessLanes.run(lanes: lanes, seed: seed, packets: packets, worldsPerPurge: worldsPerPurge, workers: workers) { report in
      let line = report.packets / Self.packetsPerLine
      let isNew = shown.withLock { shown in
        defer { shown = line }
        return line > shown
      }
      guard isNew else { return }
      print("same so far: \(report) in \(start.duration(to: clock.now))")
      fflush(nil)
    }
    if let failure {
      print("DIFFERENT after \(report)\n\(failure)")
      throw ExitCode.failure
    }
    print("same: \(report) in \(start.duration(to: clock.now))")
    if let refusal = report.refusal { print("refused, for example: \(refusal)") }
  }
}

struct KernelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel", abstract: "Compare the reference with what the BPF programs do with packets of flows that are in the kernel.")

  @Option(help: "Packets to run through the programs.") var packets = 200_000
  @Option(help: "The seed of the first world, for seeing a difference again.") var seed: UInt64?

  func run() throws {
    let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("seed \(seed)")
    let proof = try KernelSameness()
    let clock = ContinuousClock()
    let start = clock.now
    do { try proof.run(seed: seed, packets: packets) } catch {
      print("DIFFERENT after \(proof.report)\n\(error)")
      throw ExitCode.failure
    }
    proof.stop()
    print("same: \(proof.report) in \(start.duration(to: clock.now))")
    // Programs that answer nothing are never wrong.
    guard proof.report.isTelling else {
      print("FAILED: the programs answered too few packets themselves for this to be a proof")
      throw ExitCode.failure
    }
  }
}

struct BarrierCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "barrier", abstract: "Change a rule, wait for the acknowledgement, send one packet: it must follow the new rules.")

  @Option(help: "Changes to make.") var changes = 100_000
  @Option(help: "The seed of the changes.") var seed: UInt64?

  func run() throws {
    let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("seed \(seed)")
    let proof = try BarrierProof(seed: seed)
    let clock = ContinuousClock()
    let start = clock.now
    do { try proof.run(changes: changes) } catch {
      print("STALE: \(error)")
      throw ExitCode.failure
    }
    proof.stop()
    print("barrier: \(changes) changes, always the new answer, beside \(proof.loadPackets) packets of another port, in \(start.duration(to: clock.now))")
  }
}

struct BundlesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bundles", abstract: "Make many changes at a time under load: every packet must see all of them or none.")

  @Option(help: "Bundles to make, of some 150 changes each.") var bundles = 300
  @Option(help: "The seed of the changes.") var seed: UInt64?

  func run() throws {
    let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("seed \(seed)")
    let proof = try BundleProof(seed: seed)
    let clock = ContinuousClock()
    let start = clock.now
    do { try proof.run(bundles: bundles) } catch {
      print("TORN: \(error)")
      throw ExitCode.failure
    }
    proof.stop()
    print(
      "bundles: \(bundles) under \(proof.packets) packets, \(proof.relooked) of them looked up twice: none saw half of one, in "
        + "\(start.duration(to: clock.now))")
  }
}

struct SharesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shares", abstract: "Send many connections through a select group: each bucket must get its weight's share.")

  @Option(help: "Connections.") var connections = 50_000
  @Option(help: "The seed of the connections.") var seed: UInt64?

  func run() throws {
    let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("seed \(seed)")
    let proof = try SharesProof(seed: seed, connections: connections)
    do { try proof.run() } catch {
      print("WRONG: \(error)")
      throw ExitCode.failure
    }
    proof.stop()
    print("shares: \(connections) connections, \(proof.shares.count) rounds, weights 1:2:3:10:50 give \(proof.shares[0])")
  }
}

struct MetersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "meters", abstract: "Offer more than meters let pass, and see that their rates are exact to one percent.")

  @Option(help: "Seconds of the measurement.") var seconds = 10.0

  func run() throws {
    let reports = try MeterProof.run(seconds: seconds)
    for report in reports { print("meter: \(report)") }
    guard reports.allSatisfy({ abs($0.error) <= 0.01 }) else {
      print("FAILED: a rate is off by more than one percent")
      throw ExitCode.failure
    }
  }
}

struct AttackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attack", abstract: "Attack the switch by one port and see what the established flows of another lose.")

  @Option(help: "Seconds of each window.") var seconds = 3.0

  func run() throws {
    var isGood = true
    for attack in [AttackProof.flood, AttackProof.tuples] {
      // Another program may have taken the CPUs for a moment: what counts is the best of three.
      var best: AttackReport?
      for _ in 0..<3 where (best?.kept ?? 0) < 0.9 {
        let report = try attack(seconds)
        print(report)
        if report.receivedPackets != report.accountedPackets { isGood = false }
        if report.kept > best?.kept ?? 0 { best = report }
      }
      if (best?.kept ?? 0) < 0.9 { isGood = false }
    }
    guard isGood else {
      print("FAILED: established flows lost a tenth of their rate or more, or packets were lost without a reason")
      throw ExitCode.failure
    }
  }
}
