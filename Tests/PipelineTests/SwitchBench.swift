// SwitchBench.swift
//
// What: a whole switch on ports in memory: real workers, real pipeline thread; the test injects frames and looks at what comes out.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

final class SwitchBench {
  let sluice: Switch
  private(set) var queues: [UInt32: RingQueue] = [:]
  private var isStopped = false

  /// Ports 1 to `ports`, spread over the workers in turn.
  init(
    ports: UInt32 = 3, workers: Int = 1, rules: [String] = ["actions=normal"], flowIdleSeconds: Double = 60,
    macAgingSeconds: Double = 300, macCapacity: Int = 1000, flowLimit: Int = 20_000, upcallBudget: Int = 128
  ) throws {
    let worker = WorkerConfiguration(
      chunkSize: 2048, chunkCount: 4096, flowLimit: flowLimit, exactEntries: 4096, upcallBudget: upcallBudget)
    sluice = try Switch(
      configuration: SwitchConfiguration(
        workers: .init(repeating: worker, count: workers), flowIdleSeconds: flowIdleSeconds, macAgingSeconds: macAgingSeconds,
        macCapacity: macCapacity))
    if ports > 0 { for number in 1...ports { try addPort(number) } }
    try add(rules: rules)
  }

  deinit { stop() }

  func stop() {
    guard !isStopped else { return }
    isStopped = true
    sluice.stop()
  }

  subscript(number: UInt32) -> RingQueue {
    guard let queue = queues[number] else { fatalError("the test has no port \(number)") }
    return queue
  }

  // MARK: - Changes

  @discardableResult
  func addPort(
    _ number: UInt32, index: PortIndex? = nil, maxFrame: UInt32 = 1514, receives: Bool = true, placement: FlowPlacement = .off
  ) throws -> RingQueue {
    let queue = RingQueue(receives: receives)
    let worker = Int(number - 1) % sluice.workers.count
    try sluice.performAndWait { core in
      _ = try core.addPort(
        name: "eth\(number)", number: number, index: index, queues: [WorkerQueue(worker: worker, queue: queue)], maxFrame: maxFrame,
        placement: placement)
    }
    queues[number] = queue
    return queue
  }

  func removePort(_ number: UInt32) throws {
    try sluice.performAndWait { core in try core.removePort(number) }
  }

  @discardableResult
  func add(rules: [String]) throws -> RuleChange {
    let parsed = try rules.map { try Rule(text: $0) }
    return try sluice.performAndWait { core in try core.addRules(parsed) }
  }

  @discardableResult
  func delete(_ filter: RuleFilter = .all) throws -> [RuleSnapshot] {
    try sluice.performAndWait { core in core.deleteRules(filter) }
  }

  // MARK: - Questions

  func rules() throws -> [RuleSnapshot] { try sluice.performAndWait { core in core.ruleList() } }

  func flows() throws -> [FlowSnapshot] { try sluice.performAndWait { core in core.flows() } }

  func flowCount() throws -> Int { try sluice.performAndWait { core in core.flowCount } }

  func counters(_ number: UInt32) throws -> PortCounters { try sluice.performAndWait { core in core.counters(of: number) } }

  /// Packets that no cached flow knew.
  func misses() -> UInt64 { sluice.workers.reduce(0) { $0 + $1.snapshot().misses } }

  /// Waits until no frame is under way: all are received, answered and sent.
  func settle() throws {
    #expect(eventually { queues.values.allSatisfy(\.isDrained) })
    // Twice: an answer may send a frame over a link to another worker.
    for _ in 0..<2 {
      try sluice.performAndWait { core in
        // A command is carried out between batches: what was received before it has been handled when it is done.
        for worker in core.workers { worker.setMaxFrame(0, port: PortIndex(WorkerCounters.portCapacity - 1)) }
        for worker in core.workers { worker.fence() }
        core.serveWaitingUpcalls()
        for worker in core.workers { worker.fence() }
        for worker in core.workers { worker.drainLinks() }
      }
    }
  }

  /// Removes all ports, stops, and expects every frame back in its memory.
  func expectNoLeak(sourceLocation: SourceLocation = #_sourceLocation) throws {
    for number in queues.keys { _ = try? removePort(number) }
    let workers = sluice.workers
    // Frames that went over links come back while the workers run.
    _ = eventually { workers.allSatisfy { $0.snapshot().framesFree == $0.memory.chunkCount } }
    stop()
    for worker in workers {
      #expect(worker.memory.freeCount == worker.memory.chunkCount, "worker \(worker.id)", sourceLocation: sourceLocation)
    }
  }
}

/// What a watcher has seen so far.
final class EventLog: Sendable {
  private let seen = Locked<[WatchedEvent]>([])
  private let task = Locked<Task<Void, Never>?>(nil)

  init(_ sluice: Switch) {
    let stream = sluice.watch()
    let collector = Task { [weak self] in
      for await event in stream { self?.seen.withLock { $0.append(event) } }
    }
    task.withLock { $0 = collector }
  }

  deinit { task.withLock { $0?.cancel() } }

  var events: [WatchedEvent] { seen.withLock { $0 } }

  /// The first event for which `pick` has an answer, waited for.
  func first<T>(_ pick: (SwitchEvent) -> T?) async -> T? {
    for _ in 0..<500 {
      for watched in events { if let found = pick(watched.event) { return found } }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return nil
  }
}

/// A frame from station `from` to station `to`: the last bytes of their addresses; station 255 is everybody.
func frame(_ from: UInt8, to: UInt8, vlan: UInt16? = nil, payload: [UInt8] = []) -> [UInt8] {
  func mac(_ n: UInt8) -> String { n == 255 ? "ff:ff:ff:ff:ff:ff" : "02:00:00:00:00:" + String(n, radix: 16) }
  var packet = FramePacket(to: mac(to), from: mac(from))
  if let vlan { packet = packet.vlan(vlan) }
  return packet.ipv4("10.0.0.\(from)", "10.0.0.\(to)").udp(1000, 53, payload: payload).bytes
}
