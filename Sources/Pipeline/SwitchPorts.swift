// SwitchPorts.swift
//
// What: adding, removing and changing ports, and their counters.
// Invariants: a port's queues are attached to workers before it can be sent to, and detached, fenced and drained before its index is
//             used again. Queue objects live until after that fence.

import CSluice
import Dataplane

/// A queue and the worker that polls it.
public struct WorkerQueue: Sendable {
  public var worker: Int
  public var queue: PortQueue

  public init(worker: Int, queue: PortQueue) {
    self.worker = worker
    self.queue = queue
  }
}

/// What the pipeline thread keeps of a port.
struct PortRecord {
  var port: SwitchPort
  var queues: [WorkerQueue]
  /// Queues by which the other workers send here.
  var links: [PortQueue]
  var maxFrame: UInt32
}

/// Why a port cannot be added.
public enum SwitchPortError: Error, Equatable, CustomStringConvertible {
  case set(PortSetError)
  case noNumberFree
  case tooManyPorts(limit: Int)
  case noQueues(String)
  case noSuchWorker(Int, workers: Int)
  case tooManyQueues(worker: Int, limit: Int)
  case noSuchPort(UInt32)
  case indexTaken(PortIndex, by: String)
  case noSuchIndex(PortIndex, limit: Int)

  public var description: String {
    switch self {
    case .set(let error): "\(error)"
    case .noNumberFree: "every port number from 1 to \(ReservedPort.largestOrdinary) is taken"
    case .tooManyPorts(let limit): "there are \(limit) ports already, which is the limit"
    case .noQueues(let name): "port \(name) has no queue"
    case .noSuchWorker(let worker, let workers): "worker \(worker): there are workers 0 to \(workers - 1)"
    case .tooManyQueues(let worker, let limit):
      "worker \(worker) would receive from more than \(limit) queues; give the port fewer queues, or other workers"
    case .noSuchPort(let number): "there is no port \(number)"
    case .indexTaken(let index, let owner): "place \(index) in the workers' tables belongs to port \(owner); remove that port first"
    case .noSuchIndex(let index, let limit): "place \(index) in the workers' tables: there are places 0 to \(limit - 1)"
    }
  }
}

extension SwitchCore {
  func record(at index: PortIndex) -> PortRecord? {
    Int(index) < portRecords.count ? portRecords[Int(index)] : nil
  }

  /// Adds a port and starts to receive from it.
  ///
  /// - Parameters:
  ///   - number: the OpenFlow number, or nil for the lowest free one.
  ///   - index: the place in the workers' tables, which a tier knows the port by; nil for the lowest free one.
  ///   - queues: at least one; a worker that has several sends by the first. One that only sends is the worker's only one.
  ///   - placement: which of its flows are offered to the tier in front of the workers.
  ///   - maxFrame: the longest frame that may leave by the port, in bytes without FCS.
  /// - Throws: `SwitchPortError`; nothing has changed then.
  public func addPort(
    name: String, number wanted: UInt32? = nil, index wantedIndex: PortIndex? = nil, queues: [WorkerQueue], maxFrame: UInt32,
    isUp: Bool = true, noFlood: Bool = false, placement: FlowPlacement = .off
  ) throws(SwitchPortError) -> SwitchPort {
    try check(queues, name: name)
    guard let number = wanted ?? ports.lowestFreeNumber else { throw .noNumberFree }
    let free = try place(wantedIndex)
    let port = SwitchPort(number: number, index: PortIndex(free), name: name, isUp: isUp, noFlood: noFlood)
    do { try ports.insert(port) } catch { throw .set(error) }
    while free >= portRecords.count { portRecords.append(nil) }
    placements[free] = placement
    for worker in workers { worker.counters.clear(port: port.index) }
    reportedDrops[port.index] = [:]
    portRecords[free] = attach(port, queues: queues, maxFrame: maxFrame)
    portChanged(port.index)
    events.publish(.portAdded(port))
    return port
  }

  /// Removes a port: flows that use it go first, then its queues are closed.
  public func removePort(_ number: UInt32) throws(SwitchPortError) {
    guard let port = ports.remove(number), let record = record(at: port.index) else { throw .noSuchPort(number) }
    placements[Int(port.index)] = .off
    removeFlows(from: port.index)
    portChanged(port.index)
    for station in macs.flush(port: number) { stationChanged(station) }
    settle()
    portRecords[Int(port.index)] = nil
    detach(record)
    events.publish(.portRemoved(port))
  }

  /// Says whether a port can be sent to. A port that went down forgets its stations.
  public func setPort(_ number: UInt32, isUp: Bool) throws(SwitchPortError) {
    guard let port = ports[number] else { throw .noSuchPort(number) }
    guard port.isUp != isUp else { return }
    ports.setUp(number, isUp)
    portRecords[Int(port.index)]?.port.isUp = isUp
    portChanged(port.index)
    if !isUp {
      for station in macs.flush(port: number) { stationChanged(station) }
      settle()
    }
    if let changed = ports[number] { events.publish(.portChanged(changed)) }
  }

  /// Changes the longest frame that may leave by a port.
  public func setPort(_ number: UInt32, maxFrame: UInt32) throws(SwitchPortError) {
    guard let port = ports[number] else { throw .noSuchPort(number) }
    portRecords[Int(port.index)]?.maxFrame = maxFrame
    for worker in workers { worker.setMaxFrame(maxFrame, port: port.index) }
    for worker in workers { worker.fence() }
  }

  /// Receives what the kernel's tc programs send up, from a queue whose frames carry `struct sluice_up_header`; nil ends it. The queue that
  /// was there before is closed when this returns.
  public func setUpcallQueue(_ queue: PortQueue?, worker: Int = 0) {
    precondition(workers.indices.contains(worker), "there is no worker \(worker)")
    if let old = upcallQueue {
      workers[old.worker].detachUpcalls()
      workers[old.worker].fence()
    }
    upcallQueue = queue.map { WorkerQueue(worker: worker, queue: $0) }
    if let queue { workers[worker].attachUpcalls(queue) }
  }

  /// A port's counters, summed over workers.
  public func counters(of number: UInt32) -> PortCounters {
    var sum = PortCounters()
    if let port = ports[number] {
      for worker in workers { worker.counters.read(port: port.index, into: &sum) }
    }
    return sum
  }

  /// Forgets stations: of a port, of a VLAN, or all. Returns how many.
  public func flushStations(port: UInt32? = nil, vlan: UInt16? = nil) -> Int {
    let gone = macs.flush(port: port, vlan: vlan)
    for station in gone { stationChanged(station) }
    settle()
    return gone.count
  }

  // MARK: - Pieces

  /// A free place in the workers' tables.
  private func place(_ wanted: PortIndex?) throws(SwitchPortError) -> Int {
    guard let wanted else {
      let free = portRecords.firstIndex { $0 == nil } ?? portRecords.count
      guard free < WorkerCounters.portCapacity else { throw .tooManyPorts(limit: WorkerCounters.portCapacity) }
      return free
    }
    guard wanted < WorkerCounters.portCapacity else { throw .noSuchIndex(wanted, limit: WorkerCounters.portCapacity) }
    if let owner = record(at: wanted) { throw .indexTaken(wanted, by: owner.port.name) }
    return Int(wanted)
  }

  /// Refuses queues that cannot be attached.
  private func check(_ queues: [WorkerQueue], name: String) throws(SwitchPortError) {
    guard !queues.isEmpty else { throw .noQueues(name) }
    for queue in queues {
      guard workers.indices.contains(queue.worker) else { throw .noSuchWorker(queue.worker, workers: workers.count) }
    }
    for worker in workers.indices {
      let others = portRecords.lazy.compactMap { $0 }.flatMap(\.queues)
      let count = others.count { $0.worker == worker } + queues.count { $0.worker == worker }
      guard count <= Worker.receiverCapacity else {
        throw .tooManyQueues(worker: worker, limit: Worker.receiverCapacity)
      }
    }
  }

  private func attach(_ port: SwitchPort, queues: [WorkerQueue], maxFrame: UInt32) -> PortRecord {
    var links: [PortQueue] = []
    for (index, worker) in workers.enumerated() {
      let own = queues.filter { $0.worker == index }
      if let first = own.first {
        worker.attachTransmitter(first.queue, port: port.index, number: port.number, maxFrame: maxFrame)
      } else if let link = worker.linkQueue(to: workers[queues[0].worker], port: port.index) {
        links.append(link)
        worker.attachTransmitter(link, port: port.index, number: port.number, maxFrame: maxFrame)
      }
      for queue in own where queue.queue.receives {
        worker.attachReceiver(queue.queue, port: port.index, number: port.number)
      }
    }
    return PortRecord(port: port, queues: queues, links: links, maxFrame: maxFrame)
  }

  /// Takes a port away from the workers. Its queues may be let go of when this returns.
  private func detach(_ record: PortRecord) {
    for worker in workers { worker.detachPort(record.port.index) }
    for worker in workers { worker.fence() }
    // No worker sends here any more; what one of them has handed to another is still to be dropped there.
    for worker in workers { worker.drainLinks() }
    // Packets of this port that still wait for an answer get one now.
    serveWaitingUpcalls()
    for worker in workers { worker.fence() }
    withExtendedLifetime(record) {}
  }

  private func removeFlows(from port: PortIndex) {
    forEachFlow { handle in
      if books[handle.worker].record(handle.slot).pointee.port == port { remove(handle, .portRemoved) }
    }
  }

  /// What the ports are decides what floods do and whether an output goes anywhere.
  private func portChanged(_ port: PortIndex) {
    revalidate(.ports([port]))
    settle()
    for worker in workers { worker.fence() }
  }

  /// Tells watchers what was dropped since the last time.
  func reportDrops() {
    for record in portRecords {
      guard let port = record?.port else { continue }
      var sum = PortCounters()
      for worker in workers { worker.counters.read(port: port.index, into: &sum) }
      let before = reportedDrops[port.index]
      reportedDrops[port.index] = sum.drops
      // The first look after somebody began to watch only sets the mark.
      guard let before else { continue }
      for (reason, count) in sum.drops where count > before[reason, default: 0] {
        events.publish(.dropped(port: port, reason: reason.name, packets: count - before[reason, default: 0]))
      }
    }
  }
}
