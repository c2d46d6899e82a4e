// WorkerBench.swift
//
// What: real workers on ports in memory, with the test in the place of the pipeline thread: it installs flows, answers upcalls, and counts
//       frames at the end.
// Threads: used by one test thread; workers run on their own.

import CSluice
import Testing
import TestSupport

@testable import Dataplane

final class WorkerBench {
  let workers: [Worker]
  let secrets = HashSecrets()
  let bell = Doorbell()
  /// Queues by port index, kept until the end.
  private(set) var queues: [PortIndex: RingQueue] = [:]
  private var links: [PortQueue] = []
  private var owners: [PortIndex: Int] = [:]
  private var nextSlot: UInt32 = 1
  private var masks: [FlowMask: UInt16] = [:]
  private var programs: [UnsafePointer<ActionProgram>] = []
  /// What programs refer to lives as long as they do.
  private var lists: [[FlowAction]] = []
  private var isStopped = false

  init(
    workerCount: Int = 1, chunkSize: Int = 2048, chunkCount: Int = 4096, upcallBudget: Int = 128, mode: PollMode = .adaptive
  ) throws {
    let configuration = WorkerConfiguration(
      mode: mode, chunkSize: chunkSize, chunkCount: chunkCount, flowLimit: 1000, exactEntries: 1024, upcallBudget: upcallBudget)
    workers = try (0..<workerCount).map { [bell, secrets] id in
      try Worker.make(id: id, configuration: configuration, pipelineDoorbell: bell, secrets: secrets)
    }
    Worker.link(workers)
    for worker in workers { try worker.start() }
  }

  deinit {
    stop()
    for program in programs { ActionProgram.destroy(program) }
  }

  /// Ends the threads; from then on the workers' memory may be looked at.
  func stop() {
    guard !isStopped else { return }
    isStopped = true
    for worker in workers { worker.stop() }
  }

  var worker: Worker { workers[0] }

  // MARK: - Ports

  /// Adds a port with this index and number, polled by one worker; the others reach it by links.
  @discardableResult
  func addPort(_ index: PortIndex, worker owner: Int = 0, maxFrame: UInt32 = 1514, receives: Bool = true) -> RingQueue {
    let queue = RingQueue(receives: receives)
    queues[index] = queue
    owners[index] = owner
    for worker in workers {
      if worker.id == owner {
        worker.attachTransmitter(queue, port: index, number: UInt32(index), maxFrame: maxFrame)
        if receives { worker.attachReceiver(queue, port: index, number: UInt32(index)) }
      } else if let link = worker.linkQueue(to: workers[owner], port: index) {
        links.append(link)
        worker.attachTransmitter(link, port: index, number: UInt32(index), maxFrame: maxFrame)
      }
    }
    fence()
    return queue
  }

  func removePort(_ index: PortIndex) {
    for worker in workers { worker.detachPort(index) }
    fence()
    for worker in workers { worker.drainLinks() }
  }

  /// Waits until the batches under way are done.
  func fence() {
    // A fence waits for commands, so there has to be one: it is carried out behind what was received before it.
    for worker in workers { worker.setMaxFrame(0, port: PortIndex(WorkerCounters.portCapacity - 1)) }
    for worker in workers { worker.fence() }
  }

  func counters(_ port: PortIndex) -> PortCounters {
    var sum = PortCounters()
    for worker in workers { worker.counters.read(port: port, into: &sum) }
    return sum
  }

  // MARK: - Flows

  /// Installs a flow for the packets that come in by a port and look like `frame` in these fields; returns its slot.
  @discardableResult
  func install(
    _ frame: [UInt8], inPort: PortIndex, fields: [FlowField] = [], recircID: UInt16 = 0, _ actions: [FlowAction], on index: Int = 0
  ) -> UInt32 {
    let worker = workers[index]
    var mask = FlowMask()
    for field in [.inPort, .ethType] + fields { mask.include(field) }
    let place = masks[mask] ?? UInt16(masks.count + 1)
    if masks[mask] == nil {
      masks[mask] = place
      for worker in workers { worker.slab.setMask(place, mask) }
    }
    var whole = parseFrame(frame, inPort: UInt32(inPort)).key
    whole[.recircID] = UInt128(recircID)
    let key = whole & mask
    var kind = FlowKind.program
    var output: PortIndex = 0
    var program: UnsafePointer<ActionProgram>?
    if actions.isEmpty {
      kind = .drop
    } else if actions.count == 1, case .output(let port) = actions[0] {
      kind = .output
      output = port
    } else {
      program = compile(actions)
    }
    let slot = nextSlot
    nextSlot += 1
    worker.installFlow(
      slot,
      worker.slab.describe(
        key: key, mask: place, port: inPort, kind: kind, output: output, program: program, hash: secrets.flowHash(key, mask),
        now: sluice_cycles()))
    worker.fence()
    return slot
  }

  /// Removes a flow and waits until the worker has done so.
  func remove(_ slot: UInt32, on index: Int = 0) { change([.remove(slot)], on: index) }

  /// Carries out a list of changes and waits until the worker has done so.
  func change(_ changes: [FlowChange], on index: Int = 0) {
    changes.withUnsafeBufferPointer { list in
      workers[index].change(list)
      workers[index].fence()
    }
  }

  /// A program that lives as long as the bench.
  func compile(_ actions: [FlowAction]) -> UnsafePointer<ActionProgram> {
    let program = ActionProgram.compile(actions)
    programs.append(program)
    lists.append(actions)
    return program
  }

  /// The next upcall, or nil when none comes.
  func nextUpcall(from index: Int = 0, seconds: Double = 5) -> Upcall? {
    let ring = workers[index].upcalls
    guard eventually(seconds: seconds, { !ring.isEmpty }), let upcall = ring.peek()?.pointee else { return nil }
    ring.consume()
    return upcall
  }

  // MARK: - Accounts

  /// Stops the workers and expects every frame to be where it began.
  func expectNoLeak(sourceLocation: SourceLocation = #_sourceLocation) {
    for index in queues.keys { removePort(index) }
    // Addresses come back over links while the workers run.
    for worker in workers {
      _ = eventually { worker.outgoing.allSatisfy { $0.map { $0.over.isEmpty } ?? true } }
    }
    fence()
    stop()
    for worker in workers {
      let memory = worker.memory
      for link in worker.outgoing { link?.reclaim(memory) }
      #expect(memory.freeCount == memory.chunkCount, "worker \(worker.id)", sourceLocation: sourceLocation)
    }
  }
}
