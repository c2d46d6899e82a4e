// WorkerControl.swift
//
// What: the pipeline thread's side of a worker: starting and stopping it, commands, fences, counters.
// Invariants: commands take effect in the order of these calls, between batches; after `fence` no batch can see what was before.
// Threads: the pipeline thread only, but for `snapshot`.
// Cost: a command is a copy into a ring, and a write(2) when the worker sleeps.

import CSluice
import Glibc

extension Worker {
  /// Starts the thread.
  /// - Throws: `WorkerError.thread`.
  public func start() throws(WorkerError) {
    var made = pthread_t()
    let code = pthread_create(
      &made, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Worker>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard code == 0 else {
      Unmanaged.passUnretained(self).release()
      throw .thread(errno: code)
    }
    thread = made
  }

  /// Stops the thread and waits for its end. Queues still attached are closed.
  public func stop() {
    guard let thread else { return }
    post(WorkerCommand(code: .stop))
    pthread_join(thread, nil)
    self.thread = nil
  }

  // Each of these is one command; see CommandCode for what it does.

  /// - Parameter upcall: the miss that the flow answers, if there is one.
  public func installFlow(_ slot: UInt32, _ flow: FlowDescription, resuming upcall: UnsafePointer<Upcall>? = nil) {
    var command = WorkerCommand(code: .installFlow, slot: slot)
    if let upcall {
      command.port = upcall.pointee.port
      command.frame = upcall.pointee.frame
      command.depth = upcall.pointee.depth
      command.recircID = upcall.pointee.recircID
    }
    while !mailbox.push(command, describing: flow) { waitForRoom() }
  }

  /// Carries out a list of changes, all of it between two batches. The caller keeps the list until a fence, or until `hasCarriedOut`
  /// what had been given then.
  public func change(_ changes: UnsafeBufferPointer<FlowChange>) {
    guard let list = changes.baseAddress, !changes.isEmpty else { return }
    post(WorkerCommand(code: .changeFlows, number: UInt32(changes.count), changes: list))
  }

  /// The queue must stay alive until a fence after `detachPort`.
  public func attachReceiver(_ queue: PortQueue, port: PortIndex, number: UInt32) {
    post(WorkerCommand(code: .attachReceiver, port: port, number: number, queue: Self.opaque(queue)))
  }

  /// The queue must stay alive until a fence after `detachPort`.
  /// - Parameter maxFrame: the longest frame that may leave, in bytes without FCS.
  public func attachTransmitter(_ queue: PortQueue, port: PortIndex, number: UInt32, maxFrame: UInt32) {
    post(
      WorkerCommand(
        code: .attachTransmitter, port: port, slot: maxFrame, number: number, queue: Self.opaque(queue)))
  }

  /// Begins to receive from a queue of the upcall device, whose frames carry a header with their ingress port. One queue at a time; it must
  /// stay alive until a fence after `detachUpcalls`.
  public func attachUpcalls(_ queue: PortQueue) { post(WorkerCommand(code: .attachUpcalls, queue: Self.opaque(queue))) }

  public func detachUpcalls() { post(WorkerCommand(code: .detachUpcalls)) }

  /// Says where the worker writes the monotonic time since which it has had nothing under way; see DrainStamp. The memory must stay until
  /// a fence after the next call. nil ends it.
  public func setDrainStamp(_ stamp: UnsafeMutablePointer<UInt64>?) {
    post(WorkerCommand(code: .setDrainStamp, queue: stamp.map { UnsafeRawPointer($0) }))
  }

  /// Asks for a drain stamp that is later than now by the time that the way up takes.
  public func attend() { post(WorkerCommand(code: .attend)) }

  public func setMaxFrame(_ maxFrame: UInt32, port: PortIndex) {
    post(WorkerCommand(code: .setMaxFrame, port: port, slot: maxFrame))
  }

  public func detachPort(_ port: PortIndex) { post(WorkerCommand(code: .detachPort, port: port)) }

  /// Answers a miss by a flow that has been installed.
  public func resume(_ upcall: Upcall, slot: UInt32) {
    push(
      WorkerCommand(
        code: .resume, depth: upcall.depth, port: upcall.port, recircID: upcall.recircID, slot: slot, frame: upcall.frame))
  }

  /// Answers a miss without a flow: runs a program, or drops the frame.
  public func resume(_ upcall: Upcall, program: UnsafePointer<ActionProgram>?) {
    push(
      WorkerCommand(
        code: .resume, depth: upcall.depth, port: upcall.port, recircID: upcall.recircID, frame: upcall.frame, program: program))
  }

  /// Gives back the frame of a `controller` upcall.
  public func releaseFrame(_ upcall: Upcall) {
    push(WorkerCommand(code: .releaseFrame, port: upcall.port, frame: upcall.frame))
  }

  private static func opaque(_ queue: PortQueue) -> UnsafeRawPointer { UnsafeRawPointer(Unmanaged.passUnretained(queue).toOpaque()) }

  /// A queue by which this worker can send to a port that `owner` polls. Both workers must have been linked by `link`.
  public func linkQueue(to owner: Worker, port: PortIndex) -> PortQueue? {
    guard let link = outgoing[owner.id] else { return nil }
    return LinkQueue(link: link, port: port)
  }

  /// Joins workers by links, each pair in both directions. Before any of them starts.
  public static func link(_ workers: [Worker]) {
    precondition(workers.count <= linkCapacity, "at most \(linkCapacity) workers can be linked")
    for sender in workers {
      sender.outgoing = workers.map { $0 === sender ? nil : WorkerLink(receiverDoorbell: $0.doorbell) }
      for receiver in workers {
        if let link = sender.outgoing[receiver.id] { receiver.incoming.append(link) }
      }
    }
  }

  /// Gives a command and wakes the worker.
  func post(_ command: WorkerCommand) {
    push(command)
    doorbell.ring()
  }

  /// Gives a command that may wait until the next `wake`, `post` or fence.
  private func push(_ command: WorkerCommand) {
    while !mailbox.push(command) { waitForRoom() }
  }

  private func waitForRoom() {
    doorbell.ring()
    sched_yield()
  }

  /// Wakes the worker for what `resume`, `releaseFrame` and `installFlow` have given it. One ring serves many of them.
  public func wake() { doorbell.ring() }

  /// Commands given so far.
  public var commandCount: UInt64 { mailbox.commands.pushedCount }

  /// True when the worker has carried out as many commands as had been given at some moment.
  public func hasCarriedOut(_ count: UInt64) -> Bool { thread == nil || mailbox.commands.consumedCount >= count }

  /// Waits until every command given so far has been carried out. After it returns no batch can see what was before.
  ///
  /// Cost: at most the rest of a poll round, tens of microseconds on a loaded worker.
  public func fence() {
    guard thread != nil else { return }
    doorbell.ring()
    let goal = mailbox.commands.pushedCount
    var spins = 0
    while mailbox.commands.consumedCount < goal {
      spins += 1
      if spins < 200 { sluice_relax() } else { sched_yield() }
    }
  }

  /// Waits until every frame that other workers have handed over so far has been taken. With a fence of those workers before it, no frame for
  /// a port that they have forgotten is under way any more.
  public func drainLinks() {
    guard thread != nil else { return }
    for link in incoming { link.waitUntilTaken() }
  }

  /// Tells the pipeline thread that there is an upcall.
  @inline(__always)
  func ringPipeline() { pipelineDoorbell.ring() }

  /// Memory of the flow table, whether touched or not.
  public var tableByteCount: Int { table.byteCount }

  /// Reads the counters. Any thread.
  public func snapshot() -> WorkerSnapshot {
    func total(_ t: WorkerTotal) -> UInt64 { sluice_load_relaxed_u64(counters.totals + t.rawValue) }
    return WorkerSnapshot(
      id: id, cpu: configuration.cpu ?? -1, isBusyPolling: configuration.mode == .busy, isSleeping: doorbell.isSleeping,
      stages: WorkerStage.allCases.map {
        .init(name: $0.name, cycles: sluice_load_relaxed_u64(counters.stages + $0.rawValue))
      },
      packets: total(.packets), batches: total(.batches), exactHits: total(.exactHits),
      classifierHits: total(.classifierHits), misses: total(.misses), sleeps: total(.sleeps), badUpcalls: total(.badUpcalls),
      recirculations: total(.recirculations), checksumsCompleted: total(.checksumsCompleted), masks: Int(sluice_load_relaxed_u64(published)),
      framesFree: Int(sluice_load_relaxed_u64(published + 1)), framesTotal: memory.chunkCount,
      cpuNanoseconds: sluice_load_relaxed_u64(published + 2))
  }
}
