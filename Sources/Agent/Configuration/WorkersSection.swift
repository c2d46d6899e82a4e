// WorkersSection.swift
//
// Section `workers` of the configuration: how many poll threads there are, where they run and what memory they have.
// Invariant: `cpus` is empty or has one CPU for each worker, each once.
// Threads: a value.

/// What a worker does when there is nothing to do.
public enum WorkerMode: String, Sendable, CaseIterable {
  /// Polls, then sleeps until a frame comes.
  case adaptive
  /// Never sleeps: the lowest latency, for a whole core.
  case busy
}

/// Section `workers`.
public struct WorkersSection: Sendable, Equatable {
  public var count = 1
  /// The CPU of each worker; empty leaves the choice to the agent.
  public var cpus: [Int] = []
  public var mode = WorkerMode.adaptive
  /// Frames of 4 KiB that each worker has for all its ports together.
  public var frames = 16384
  /// Flows that each worker holds at most.
  public var flowLimit = 200_000

  public init() {}

  static let keys = ["count", "cpus", "mode", "frames", "flowLimit"]
  static let countRange = 1...64
  static let frameRange = 1024...1_048_576
  static let flowRange = 16...10_000_000

  /// - Parameter allowedCPUs: empty checks none.
  init(_ node: ConfigurationNode, allowedCPUs: [Int]) {
    guard let values = node.mapping(keys: Self.keys) else { return }
    if let value = values["cpus"], let elements = value.elements() {
      for element in elements {
        guard let cpu = element.integer(in: 0...1023) else { continue }
        if cpus.contains(cpu) { element.problem("CPU \(cpu) is given twice; expected one CPU for each worker") }
        if !allowedCPUs.isEmpty, !allowedCPUs.contains(cpu) {
          element.problem(
            "this process may not run on CPU \(cpu); expected one of \(allowedCPUs.map(String.init).joined(separator: ", "))"
          )
        }
        cpus.append(cpu)
      }
    }
    if let value = values["count"] {
      count = value.integer(in: Self.countRange) ?? count
    } else if !cpus.isEmpty {
      count = cpus.count
    }
    if let value = values["cpus"], !cpus.isEmpty, cpus.count != count {
      value.problem("\(cpus.count) CPUs for \(count) workers; expected one CPU for each worker (workers.count)")
    }
    if let value = values["mode"], let mode = value.choice(WorkerMode.self) { self.mode = mode }
    if let value = values["frames"], let frames = value.integer(in: Self.frameRange) { self.frames = frames }
    if let value = values["flowLimit"], let limit = value.integer(in: Self.flowRange) { flowLimit = limit }
  }
}
