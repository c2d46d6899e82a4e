// Worker.swift
//
// What: one pinned thread that forwards packets: it takes batches from its receive queues, finds each packet's flow and does what the flow says.
//
//     receive -> parse -> hash, exact cache, verify -> (masks) -> execute -> transmit
//                                                         |
//                                                         +-> upcall ring -> pipeline thread -> mailbox
//
// Invariants: everything that the loop touches belongs to this worker, but for the mailbox, the upcall ring and the links to other
//             workers, which are single-producer single-consumer rings. A command takes effect between batches. Each frame is owned once: see
//             FrameMemory.
// Threads: the loop runs on the worker's own thread; WorkerControl.swift has what the pipeline thread calls.
// Cost: no allocation, no reference counting, no lock and no system call per packet; per batch, one virtual call per queue and eight
//       readings of the cycle counter. An idle worker sleeps in epoll_wait unless it is told to poll busily.

import CSluice
import Glibc

/// A port as the worker's tables have it.
struct WorkerPort {
  /// Where frames for this port go; nil when the port does not exist.
  var transmitter: Unmanaged<PortQueue>?
  /// Frames waiting for the end of the batch.
  var waiting: UnsafeMutablePointer<FrameDescriptor>
  var waitingCount: Int
  /// The port is in the list of those to be flushed at the end of the batch.
  var isDirty: Bool
  /// The transmitter leads to another worker, which counts what is sent.
  var isLink: Bool
  /// The transmitter is this worker's and no receiver, so nobody else looks after it.
  var isSender: Bool
  /// The port is in the list of senders with frames under way.
  var isUnderWay: Bool
  /// The longest frame that may leave.
  var maxFrame: UInt32
  /// The OpenFlow number, big-endian.
  var numberBigEndian: UInt32
  /// Misses that wait for the pipeline.
  var pendingUpcalls: Int32
  /// The masks of the port's flows have changed since its hash was planned.
  var hasStaleHash: Bool
  /// Cycles that the port's misses have cost beyond their share; see ReceiveShares.swift.
  var missDebt: Int64
}

/// A receive queue and the port that its frames come in by.
struct Receiver {
  var queue: Unmanaged<PortQueue>
  /// `Worker.upcallPort` when each frame says it itself.
  var port: Int
  /// The queue is of the upcall device.
  var isUpcall: Bool
}

/// A forwarding thread.
///
/// @unchecked Sendable: the loop's state is touched by the worker's thread only; control goes through rings and atomics.
public final class Worker: @unchecked Sendable {
  public let id: Int
  public let configuration: WorkerConfiguration
  public let memory: FrameMemory
  public let slab: FlowSlab
  public let counters: WorkerCounters
  public let upcalls: SPSCRing<Upcall>
  let mailbox = Mailbox()
  let doorbell = Doorbell()
  let pipelineDoorbell: Doorbell
  let secrets: HashSecrets

  // The loop's own state.
  var cache: ExactCache
  var table: MegaflowTable
  /// By port: the hash of what the flows of the port look at.
  let unionHashes: UnsafeMutablePointer<UnionHash>
  let ports: UnsafeMutablePointer<WorkerPort>
  let receivers: UnsafeMutablePointer<Receiver>
  var receiverCount = 0
  /// Queues that a worker can receive from.
  public static let receiverCapacity = 4096
  let dirty: UnsafeMutablePointer<UInt16>
  var dirtyCount = 0
  /// Ports whose sender has frames under way.
  let senders: UnsafeMutablePointer<UInt16>
  var senderCount = 0
  /// A batch of the upcall device, on its way to the batches of the ports.
  let raised: UnsafeMutablePointer<RaisedFrame>
  /// Misses in the hands of the pipeline.
  var pendingMisses = 0
  private var drain = DrainStamp()
  /// Ports whose masks have changed since their hash was planned.
  private let staleHashes: UnsafeMutablePointer<UInt16>
  private var staleHashCount = 0
  let batch: Batch
  /// A ring of packets that wait to be looked up again: those between begin and end.
  let recirculated: UnsafeMutablePointer<RecirculatedFrame>
  var recirculatedBegin = 0
  var recirculatedEnd = 0
  static let recirculatedCapacity = 4096
  /// The clock of meters, read once per batch: the batch's cycle stamp and the time then.
  var meterCycles: UInt64 = 0
  var meterNanoseconds: UInt64 = 0
  /// Links by which other workers send frames here, and by which this one sends to others.
  var incoming: [WorkerLink] = []
  var outgoing: [WorkerLink?] = []
  private let incomingLinks: UnsafeMutablePointer<Unmanaged<WorkerLink>>
  private var incomingCount = 0
  private let outgoingLinks: UnsafeMutablePointer<Unmanaged<WorkerLink>>
  private var outgoingCount = 0
  /// Workers that can be linked.
  static let linkCapacity = 256
  private let epoll: Int32
  let published: UnsafeMutablePointer<UInt64>  // [0] masks, [1] free frames, [2] CPU nanoseconds
  var thread: pthread_t?

  /// Frames that wait for one port at most, before they are handed to its queue.
  static let waitingCapacity = 256
  /// The waiting lists of all ports; only those of ports in use are ever touched.
  private let waiting: UnsafeMutablePointer<FrameDescriptor>
  private static let waitingBytes = WorkerCounters.portCapacity * waitingCapacity * MemoryLayout<FrameDescriptor>.stride
  static let batchSize = 64
  /// The place of the upcall device among the ports, behind them.
  static let upcallPort = WorkerCounters.portCapacity

  /// - Parameters:
  ///   - pipelineDoorbell: rung when an upcall has been put into the ring.
  ///   - secrets: the same for all workers, so that the pipeline computes a flow's hash once.
  /// - Throws: `WorkerError`.
  public static func make(
    id: Int, configuration: WorkerConfiguration, pipelineDoorbell: Doorbell, secrets: HashSecrets
  ) throws(WorkerError) -> Worker {
    let memory: FrameMemory
    let slab: FlowSlab
    do {
      memory = try FrameMemory.make(chunkSize: configuration.chunkSize, chunkCount: configuration.chunkCount)
      slab = try FlowSlab.make(capacity: configuration.flowLimit)
    } catch {
      throw .memory(error)
    }
    MemoryPlacement.prefer(nodeOf: configuration.cpu, memory.base, byteCount: memory.byteCount)
    slab.placeOnNode(of: configuration.cpu)
    guard let counters = WorkerCounters() else { throw .noMemory(what: "worker counters") }
    guard let cache = ExactCache(entryCount: configuration.exactEntries) else {
      throw .noMemory(what: "the exact cache")
    }
    guard let table = MegaflowTable(slab: slab, secrets: secrets) else { throw .noMemory(what: "the flow table") }
    let epoll = sluice_epoll_create()
    guard epoll >= 0 else { throw .descriptor(errno: errno) }
    guard let waiting = sluice_map_memory(waitingBytes, 0) else {
      _ = Glibc.close(epoll)
      throw .noMemory(what: "the ports' waiting lists")
    }
    let worker = Worker(
      id: id, configuration: configuration, memory: memory, slab: slab, counters: counters, cache: cache, table: table,
      waiting: waiting.assumingMemoryBound(to: FrameDescriptor.self), epoll: epoll, pipelineDoorbell: pipelineDoorbell,
      secrets: secrets)
    guard worker.doorbell.descriptor >= 0, sluice_epoll_add(epoll, worker.doorbell.descriptor) == 0 else {
      throw .descriptor(errno: errno)
    }
    return worker
  }

  private init(
    id: Int, configuration: WorkerConfiguration, memory: FrameMemory, slab: FlowSlab, counters: WorkerCounters,
    cache: consuming ExactCache, table: consuming MegaflowTable, waiting: UnsafeMutablePointer<FrameDescriptor>,
    epoll: Int32, pipelineDoorbell: Doorbell, secrets: HashSecrets
  ) {
    self.id = id
    self.configuration = configuration
    self.memory = memory
    self.slab = slab
    self.counters = counters
    self.cache = cache
    self.table = table
    self.epoll = epoll
    self.pipelineDoorbell = pipelineDoorbell
    self.secrets = secrets
    upcalls = SPSCRing(capacity: 2048)
    unionHashes = .allocate(capacity: WorkerCounters.portCapacity)
    unionHashes.initialize(repeating: UnionHash(secrets: secrets), count: WorkerCounters.portCapacity)
    ports = .allocate(capacity: WorkerCounters.portCapacity + 1)
    self.waiting = waiting
    for i in 0...WorkerCounters.portCapacity {
      (ports + i).initialize(
        to: WorkerPort(
          transmitter: nil, waiting: i == Self.upcallPort ? waiting : waiting + i * Self.waitingCapacity, waitingCount: 0,
          isDirty: false, isLink: false, isSender: false, isUnderWay: false, maxFrame: 0, numberBigEndian: 0, pendingUpcalls: 0,
          hasStaleHash: false, missDebt: 0))
    }
    receivers = .allocate(capacity: Self.receiverCapacity)
    dirty = .allocate(capacity: WorkerCounters.portCapacity)
    senders = .allocate(capacity: WorkerCounters.portCapacity)
    raised = .allocate(capacity: Self.batchSize)
    staleHashes = .allocate(capacity: WorkerCounters.portCapacity)
    incomingLinks = .allocate(capacity: Self.linkCapacity)
    outgoingLinks = .allocate(capacity: Self.linkCapacity)
    batch = Batch(capacity: Self.batchSize)
    recirculated = .allocate(capacity: Self.recirculatedCapacity)
    published = .allocate(capacity: 4)
    published.initialize(repeating: 0, count: 4)
    published[1] = UInt64(memory.freeCount)
  }

  deinit {
    sluice_unmap_memory(waiting, Self.waitingBytes)
    ports.deallocate()
    receivers.deallocate()
    unionHashes.deallocate()
    dirty.deallocate()
    senders.deallocate()
    raised.deallocate()
    staleHashes.deallocate()
    incomingLinks.deallocate()
    outgoingLinks.deallocate()
    published.deallocate()
    batch.deallocate()
    recirculated.deallocate()
    _ = Glibc.close(epoll)
  }

  // MARK: - The loop

  /// Polls until it is told to stop.
  func run() {
    sluice_name_thread("sluice-w\(id)")
    if let cpu = configuration.cpu { _ = sluice_pin_thread(Int32(cpu)) }
    noteLinks()
    var emptyRounds = 0
    var round: UInt64 = 0
    var ranked = sluice_cycles()
    var start = ranked
    var shares = ReceiveShares(now: start)
    while true {
      var worked = 0
      if !mailbox.commands.isEmpty {
        guard carryOutCommands() else { break }
        worked += 1
      }
      worked += serveLinks()
      var now = sluice_cycles()
      counters.add(.control, now &- start)
      shares.beginRound(now: now)
      var isComplete = true
      for i in 0..<receiverCount {
        let receiver = receivers[i]
        guard shares.serves(ports + receiver.port) else {
          isComplete = false
          continue
        }
        let began = now
        let received = receiver.queue._withUnsafeGuaranteedRef {
          $0.receive(batch.frames, limit: Self.batchSize, memory: memory)
        }
        guard received > 0 else { continue }
        now = sluice_cycles()
        counters.add(.receive, now &- began)
        worked += received
        let partial = receiver.queue._withUnsafeGuaranteedRef { $0.deliversPartialChecksums }
        let missesBefore = counters.value(.misses)
        if receiver.isUpcall {
          processRaised(count: received)
        } else {
          process(count: received, port: receiver.port, completeChecksums: partial)
        }
        flushTransmits()
        now = sluice_cycles()
        shares.charge(
          ports + receiver.port, received: received, misses: Int(counters.value(.misses) &- missesBefore), cycles: now &- began)
      }
      start = sluice_cycles()
      flushTransmits()
      var underWay = false
      for i in 0..<receiverCount {
        if receivers[i].queue._withUnsafeGuaranteedRef({ $0.progress(memory: memory) }) { underWay = true }
      }
      if senderCount > 0, progressSenders() { underWay = true }
      round &+= 1
      if worked > 0 {
        emptyRounds = 0
        drain.noteWork()
        if start &- ranked > 1 << 30 {
          table.rank()
          ranked = start
        }
        if round & 255 == 0 { publish() }
        continue
      }
      emptyRounds += 1
      drain.noteEmptyRound(isDrained: isComplete && !underWay && pendingMisses == 0 && lentFrames == 0)
      let end = sluice_cycles()
      counters.add(.idle, end &- start)
      start = end
      let spinRounds = drain.place == nil ? configuration.spinRounds : configuration.spinRoundsBehindTier
      if configuration.mode == .adaptive, emptyRounds > spinRounds {
        sleep(underWay: underWay)
        emptyRounds = 0
        start = sluice_cycles()
      } else {
        if round & 1023 == 0 { publish() }
        sluice_relax()
      }
    }
    closeAll()
    publish()
  }

  /// Waits for a frame or a command.
  private func sleep(underWay: Bool) {
    publish()
    var canWait = true
    for i in 0..<receiverCount where receivers[i].queue._withUnsafeGuaranteedRef({ $0.waitDescriptor }) < 0 { canWait = false }
    guard canWait else { return }
    // Frames that are still under way need a look soon, because their return wakes nobody.
    let underWay = underWay || outgoing.contains { ($0?.lentCount ?? 0) > 0 }
    doorbell.announceSleep()
    if mailbox.commands.isEmpty, incoming.allSatisfy({ $0.over.isEmpty }) {
      counters.add(.sleeps, 1)
      let wait = drain.wait
      let woken = sluice_epoll_wait(epoll, wait > 0 ? wait : underWay ? 1_000_000 : 1_000_000_000)
      if woken != 0 || wait == 0 { drain.noteWork() }
    }
    doorbell.awake()
  }

  private func publish() {
    sluice_store_relaxed_u64(published, UInt64(table.maskCount))
    sluice_store_relaxed_u64(published + 1, UInt64(memory.freeCount))
    sluice_store_relaxed_u64(published + 2, sluice_thread_cpu_nanoseconds())
  }

  /// Notes the links, which stay as they are from the start of the thread on: walking the arrays would count references in each round.
  private func noteLinks() {
    for link in incoming {
      incomingLinks[incomingCount] = Unmanaged.passUnretained(link)
      incomingCount += 1
    }
    for case let link? in outgoing {
      outgoingLinks[outgoingCount] = Unmanaged.passUnretained(link)
      outgoingCount += 1
    }
  }

  /// Frames that other workers have and not yet given back.
  private var lentFrames: Int {
    var count = 0
    for i in 0..<outgoingCount { count &+= outgoingLinks[i]._withUnsafeGuaranteedRef { $0.lentCount } }
    return count
  }

  /// Looks after the frames that queues without a receiving side have under way; false when there are none.
  @inline(never)
  private func progressSenders() -> Bool {
    var kept = 0
    for i in 0..<senderCount {
      let port = Int(senders[i])
      if let queue = ports[port].transmitter, queue._withUnsafeGuaranteedRef({ $0.progress(memory: memory) }) {
        senders[kept] = senders[i]
        kept &+= 1
      } else {
        ports[port].isUnderWay = false
      }
    }
    senderCount = kept
    return kept > 0
  }

  /// Sends frames that other workers handed over, and takes returned ones back.
  private func serveLinks() -> Int {
    var served = 0
    for i in 0..<incomingCount {
      served += incomingLinks[i]._withUnsafeGuaranteedRef { link in
        // A batch from each link in turn, so that no busy neighbour keeps the others waiting.
        var left = Self.batchSize
        while left > 0, let linked = link.over.peek() {
          let frame = linked.pointee
          if Int(frame.length) > memory.chunkSize {
            counters.drop(port: Int(frame.port), .tooBig)
          } else if let chunk = memory.allocate() {
            let room = min(FrameMemory.headroom, memory.chunkSize - Int(frame.length))
            let address = chunk &+ UInt64(room)
            memcpy(memory.bytes(at: address), frame.bytes, Int(frame.length))
            enqueue(FrameDescriptor(address: address, length: frame.length), to: Int(frame.port))
          } else {
            counters.drop(port: Int(frame.port), .noFreeFrame)
          }
          link.giveBack(frame.address)
          link.over.consume()
          left -= 1
        }
        return Self.batchSize - left
      }
    }
    for i in 0..<outgoingCount { outgoingLinks[i]._withUnsafeGuaranteedRef { $0.reclaim(memory) } }
    return served
  }

  // MARK: - Commands

  /// Commands that are carried out before packets get their turn again.
  private static let commandsPerRound = 64

  /// Carries out what waits in the mailbox, up to a limit; false when told to stop.
  private func carryOutCommands() -> Bool {
    var running = true
    var left = Self.commandsPerRound
    while running, left > 0, let command = mailbox.commands.peek() {
      left -= 1
      switch command.pointee.code {
      case .installFlow:
        let began = sluice_cycles()
        let flow = mailbox.description
        if table.insert(command.pointee.slot, flow) { noteMaskChange(Int(flow.pointee.port)) }
        if command.pointee.frame.length > 0 { resume(command.pointee) }
        ports[Int(flow.pointee.port)].missDebt &+= Int64(truncatingIfNeeded: sluice_cycles() &- began)
      case .changeFlows:
        if let changes = command.pointee.changes { carryOut(changes, count: Int(command.pointee.number)) }
      case .attachReceiver: attachReceiver(command.pointee)
      case .attachTransmitter: attachTransmitter(command.pointee)
      case .detachPort: detach(Int(command.pointee.port))
      case .attachUpcalls: attachReceiver(command.pointee, isUpcall: true)
      case .detachUpcalls: closeReceivers(of: Self.upcallPort)
      case .setDrainStamp:
        drain.place = command.pointee.queue.map { UnsafeMutableRawPointer(mutating: $0).assumingMemoryBound(to: UInt64.self) }
      // A command is work, and after work a stamp is due.
      case .attend: break
      case .setMaxFrame: ports[Int(command.pointee.port)].maxFrame = command.pointee.slot
      case .resume: resume(command.pointee)
      case .releaseFrame:
        ports[Int(command.pointee.port)].pendingUpcalls -= 1
        memory.release(command.pointee.frame.address)
      case .stop: running = false
      }
      mailbox.commands.consume()
    }
    planStaleHashes()
    flushTransmits()
    return running
  }

  /// Carries out a list of changes of flows. No packet is handled between the first and the last.
  private func carryOut(_ changes: UnsafePointer<FlowChange>, count: Int) {
    for i in 0..<count {
      if i + 8 < count {
        let ahead = UnsafeRawPointer(slab.slots + Int(changes[i + 8].slot))
        sluice_prefetch_write(ahead)
        sluice_prefetch_write(ahead + 64)
      }
      switch changes[i].code {
      case .replace: slab.replace(changes[i])
      case .remove:
        let port = Int(slab.slots[Int(changes[i].slot)].port)
        if table.remove(changes[i].slot) { noteMaskChange(port) }
      }
    }
  }

  /// Remembers that a port has a mask more or less.
  private func noteMaskChange(_ port: Int) {
    guard !ports[port].hasStaleHash else { return }
    ports[port].hasStaleHash = true
    staleHashes[staleHashCount] = UInt16(truncatingIfNeeded: port)
    staleHashCount += 1
  }

  /// Plans the hashes of the ports whose masks have changed. The union only decides what the exact cache hashes; flows are
  /// verified under their own mask, so it may lag until here.
  private func planStaleHashes() {
    for i in 0..<staleHashCount {
      let port = Int(staleHashes[i])
      ports[port].hasStaleHash = false
      unionHashes[port].plan(for: table.unionOfMasks(port: port))
    }
    staleHashCount = 0
  }

  private func attachTransmitter(_ command: WorkerCommand) {
    guard let opaque = command.queue else { return }
    let queue = Unmanaged<PortQueue>.fromOpaque(opaque)
    let entry = ports + Int(command.port)
    entry.pointee.transmitter = queue
    entry.pointee.isLink = queue._withUnsafeGuaranteedRef { $0 is LinkQueue }
    entry.pointee.isSender = !entry.pointee.isLink && queue._withUnsafeGuaranteedRef { !$0.receives }
    entry.pointee.maxFrame = command.slot
    entry.pointee.numberBigEndian = command.number.bigEndian
  }

  private func attachReceiver(_ command: WorkerCommand, isUpcall: Bool = false) {
    guard let opaque = command.queue else { return }
    precondition(receiverCount < Self.receiverCapacity, "a worker receives from \(Self.receiverCapacity) queues at most")
    let queue = Unmanaged<PortQueue>.fromOpaque(opaque)
    if !isUpcall { ports[Int(command.port)].numberBigEndian = command.number.bigEndian }
    receivers[receiverCount] = Receiver(queue: queue, port: isUpcall ? Self.upcallPort : Int(command.port), isUpcall: isUpcall)
    receiverCount += 1
    let descriptor = queue._withUnsafeGuaranteedRef { $0.waitDescriptor }
    if descriptor >= 0 { _ = sluice_epoll_add(epoll, descriptor) }
  }

  private func detach(_ port: Int) {
    flushTransmits()
    closeSender(of: port)
    ports[port].transmitter = nil
    ports[port].maxFrame = 0
    closeReceivers(of: port)
  }

  /// Closes the queue of a port that only sends.
  private func closeSender(of port: Int) {
    guard ports[port].isSender, let queue = ports[port].transmitter else { return }
    var kept = 0
    for i in 0..<senderCount where Int(senders[i]) != port {
      senders[kept] = senders[i]
      kept += 1
    }
    senderCount = kept
    ports[port].isUnderWay = false
    ports[port].isSender = false
    queue._withUnsafeGuaranteedRef { $0.close(memory: memory) }
  }

  private func closeReceivers(of port: Int) {
    var kept = 0
    for i in 0..<receiverCount {
      if receivers[i].port == port { close(receivers[i].queue) } else { receivers[kept] = receivers[i]; kept += 1 }
    }
    receiverCount = kept
  }

  private func close(_ queue: Unmanaged<PortQueue>) {
    queue._withUnsafeGuaranteedRef {
      let descriptor = $0.waitDescriptor
      if descriptor >= 0 { _ = sluice_epoll_remove(epoll, descriptor) }
      $0.close(memory: memory)
    }
  }

  private func closeAll() {
    for i in 0..<receiverCount { close(receivers[i].queue) }
    receiverCount = 0
    for port in 0..<WorkerCounters.portCapacity { closeSender(of: port) }
  }

  /// Carries out the pipeline's answer to a miss.
  private func resume(_ command: WorkerCommand) {
    let port = Int(command.port)
    let frame = command.frame
    ports[port].pendingUpcalls -= 1
    pendingMisses -= 1
    let layout = parse(
      memory.bytes(at: frame.address), length: Int(frame.length), inPortBigEndian: ports[port].numberBigEndian,
      into: batch.keys)
    if command.recircID != 0 { batch.keys[0][.recircID] = UInt128(command.recircID) }
    let now = sluice_cycles()
    if command.slot != 0 {
      execute(command.slot, frame, layout, batch.keys, port: port, now: now, depth: command.depth)
    } else if let program = command.program {
      run(program, frame, layout, FrameOrigin(key: batch.keys, lines: layout.lines, depth: command.depth, port: port, now: now))
    } else {
      drop(frame, port: port, .pipelineDrops)
    }
    if recirculatedBegin != recirculatedEnd { serveRecirculated(now: now) }
  }
}
