// SluiceBench.swift
//
// What: `sluice-bench`: measures the real worker, classifier and pipeline without a NIC.
// Invariant: exit status 0 when it measured, 1 when something failed, 2 when the command line is wrong.

import ArgumentParser
import Glibc

struct SluiceBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-bench",
    abstract: "Measures Sluice without a NIC: forwarding, flow set-ups, rule changes, attacks.",
    discussion: """
      The worker threads, the caches and the pipeline are those of sluiced; only the ports are in memory.
      Compare figures with those of a peer in the same run, as ratios: absolute values move with the machine.
      """,
    subcommands: [Forward.self, Setup.self, RuleLoad.self, Attack.self])
}

@main
enum Main {
  static func main() {
    var command: any ParsableCommand
    do { command = try SluiceBench.parseAsRoot() } catch { end(error, status: 2) }
    do { try command.run() } catch { end(error, status: 1) }
  }

  private static func end(_ error: any Error, status: CInt) -> Never {
    // Help arrives as an error that is none.
    guard SluiceBench.exitCode(for: error) != .success else { SluiceBench.exit(withError: error) }
    let bytes = Array((SluiceBench.fullMessage(for: error) + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
    exit(status)
  }
}
