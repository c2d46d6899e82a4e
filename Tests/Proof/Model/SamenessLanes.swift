// SamenessLanes.swift
//
// What: a run of the proof of sameness on several switches at a time, each with its own reference, so that all CPUs have work while somewhere one
//       thread waits for another.
// Invariants: the worlds of a run are the same however many lanes share them: lane L of N proves the worlds with the seeds `seed + L`,
//             `seed + L + N`, ... Every lane stops when one has found a difference.
// Threads: one for each lane, and the caller's, which waits.

import Dataplane
import TestSupport

public enum SamenessLanes {
  /// What the lanes tell each other.
  private struct Shared {
    var reports: [SamenessReport]
    var failure: (any Error)?

    var report: SamenessReport { reports.reduce(into: SamenessReport()) { $0.add($1) } }
  }

  /// Proves worlds until `packets` packets have been sent.
  /// - Parameters:
  ///   - worldsPerPurge: see `Sameness`.
  ///   - progress: told now and then how far all lanes are.
  /// - Returns: what all lanes have compared, and the first error of one: a `Difference`, made small, or whatever else goes wrong with a switch.
  public static func run(
    lanes: Int, seed: UInt64, packets: Int, worldsPerPurge: Int = 1, workers: Int = 1, progress: @escaping @Sendable (SamenessReport) -> Void = { _ in }
  ) -> (report: SamenessReport, failure: (any Error)?) {
    let shared = Locked(Shared(reports: .init(repeating: SamenessReport(), count: lanes)))
    let threads = (0..<lanes).map { lane in
      TestThread {
        do {
          let sameness = try Sameness(worldsPerPurge: worldsPerPurge, workers: workers)
          defer { sameness.stop() }
          try sameness.run(seed: seed &+ UInt64(lane), stride: UInt64(lanes)) { report in
            shared.withLock { shared in
              shared.reports[lane] = report
              let sum = shared.report
              progress(sum)
              return shared.failure == nil && sum.packets < packets
            }
          }
        } catch { shared.withLock { shared in if shared.failure == nil { shared.failure = error } } }
      }
    }
    for thread in threads { thread.join() }
    return shared.withLock { ($0.report, $0.failure) }
  }
}
