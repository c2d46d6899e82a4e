// WorkerConfiguration.swift
//
// What: what a worker is made of, and why one cannot be made.
// Threads: values.

import Glibc

/// How a worker behaves when there is nothing to do.
public enum PollMode: String, Sendable {
  /// Polls while there is work, then sleeps until a frame or a command arrives.
  case adaptive
  /// Never sleeps: one core is always busy, latency is lowest.
  case busy
}

/// What a worker is made of.
public struct WorkerConfiguration: Sendable {
  /// The CPU to run on, or nil to float.
  public var cpu: Int?
  public var mode: PollMode
  /// Bytes per frame buffer: 2,048 or 4,096.
  public var chunkSize: Int
  /// Frame buffers.
  public var chunkCount: Int
  /// Flows that can be held.
  public var flowLimit: Int
  /// Entries of the exact cache; a power of two.
  public var exactEntries: Int
  /// Misses of one port that may wait for the pipeline.
  public var upcallBudget: Int
  /// Empty poll rounds before an adaptive worker goes to sleep. Fewer give its CPU to others when there are more threads than CPUs.
  package var spinRounds = 200
  /// The same behind a tier, which carries out what comes often: what comes up is seldom followed by more so soon.
  package var spinRoundsBehindTier = 10

  public init(
    cpu: Int? = nil, mode: PollMode = .adaptive, chunkSize: Int = 4096, chunkCount: Int = 16384,
    flowLimit: Int = 200_000, exactEntries: Int = 1 << 17, upcallBudget: Int = 128
  ) {
    self.cpu = cpu
    self.mode = mode
    self.chunkSize = chunkSize
    self.chunkCount = chunkCount
    self.flowLimit = flowLimit
    self.exactEntries = exactEntries
    self.upcallBudget = upcallBudget
  }
}

/// Why a worker cannot be made.
public enum WorkerError: Error, CustomStringConvertible {
  case memory(FrameMemoryError)
  case noMemory(what: String)
  case thread(errno: Int32)
  case descriptor(errno: Int32)

  public var description: String {
    switch self {
    case .memory(let error): "\(error)"
    case .noMemory(let what): "not enough memory for \(what)"
    case .thread(let errno): "cannot start a worker thread: \(String(cString: strerror(errno)))"
    case .descriptor(let errno): "cannot make a descriptor for a worker to sleep on: \(String(cString: strerror(errno)))"
    }
  }
}
