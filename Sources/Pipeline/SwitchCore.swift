// SwitchCore.swift
//
// What: the state behind a Switch: rules, ports, stations, and the book of the flows that each worker holds. Misses are translated
//       and installed here.
// Invariants: confined to the pipeline thread, so a translation always sees one consistent set of rules, ports and stations. Every
//             flow in a worker has a record in that worker's directory, and every record's answer is what the translator would say now, or
//             the flow is being removed. `settle` ends each change: it fences the workers that lost flows.
// Threads: the pipeline thread only.
// Cost: a miss costs a translation, an installation and two mailbox commands. A rule change looks once at every flow.

import CSluice
import Dataplane

/// A flow: the worker that holds it and its slot there.
struct FlowHandle: Hashable {
  let worker: Int
  let slot: UInt32
}

/// The pipeline thread's state. Reached through `Switch.perform`.
public final class SwitchCore {
  let configuration: SwitchConfiguration
  let workers: [Worker]
  let directories: [FlowDirectory]
  let programs = ProgramPool()
  let events: SwitchEvents
  public let rules = RuleTables()
  public let macs: MACTable
  public internal(set) var ports = PortSet()
  /// By port index.
  var portRecords: [PortRecord?] = []
  /// Flows that have to be looked at when a station moves or is forgotten.
  var dependents: [Station: Set<FlowHandle>] = [:]
  /// Flows that workers have been told to remove.
  var ending: [EndingFlow] = []
  private var nextFlowID: UInt64 = 1
  let clock = CycleClock()
  /// Drops already reported to watchers, by port index.
  var reportedDrops: [PortIndex: [DropReason: UInt64]] = [:]

  /// A flow that is on its way out.
  struct EndingFlow {
    let handle: FlowHandle
    let record: FlowRecord
    let match: FlowMatch
    let end: SwitchEvent.FlowEnd
  }

  init(configuration: SwitchConfiguration, workers: [Worker], secrets: HashSecrets, events: SwitchEvents) {
    self.configuration = configuration
    self.workers = workers
    self.events = events
    directories = workers.map { FlowDirectory(worker: $0, secrets: secrets) }
    macs = MACTable(capacity: configuration.macCapacity)
  }

  // MARK: - Misses

  var hasUpcalls: Bool { workers.contains { !$0.upcalls.isEmpty } }

  /// Answers the upcalls that wait now, and none that come meanwhile: under a flood that would have no end.
  func serveWaitingUpcalls() {
    for (index, worker) in workers.enumerated() {
      let goal = worker.upcalls.producedCount
      while worker.upcalls.consumedCount < goal, let upcall = worker.upcalls.peek() {
        serve(upcall, worker: index)
        worker.upcalls.consume()
      }
    }
  }

  /// Answers up to `limit` upcalls of each worker and returns how many there were.
  func serveUpcalls(limit: Int) -> Int {
    var served = 0
    for (index, worker) in workers.enumerated() {
      var left = limit
      while left > 0, let upcall = worker.upcalls.peek() {
        serve(upcall, worker: index)
        worker.upcalls.consume()
        left -= 1
        served += 1
      }
    }
    if !ending.isEmpty { settle() }
    return served
  }

  private func serve(_ pointer: UnsafePointer<Upcall>, worker index: Int) {
    let worker = workers[index]
    let upcall = pointer.pointee
    switch upcall.kind {
    case .controller:
      publishPacketIn(upcall, worker: worker)
      worker.releaseFrame(upcall)
    case .miss:
      guard record(at: upcall.port) != nil else { return worker.resume(upcall, program: nil) }
      // An earlier packet of the same flow may have been answered in the meantime.
      if let slot = directories[index].find(upcall.key) { return worker.resume(upcall, slot: slot) }
      var translation = Translator.translate(key: upcall.key, ports: ports, rules: rules, macs: macs)
      if learn(translation) {
        // What was learned can change the answer itself: the destination may have lost its place in a full table.
        translation = Translator.translate(key: upcall.key, ports: ports, rules: rules, macs: macs)
      }
      if let slot = install(key: upcall.key, translation, worker: index) {
        worker.resume(upcall, slot: slot)
      } else {
        resumeUncached(upcall, translation, worker: worker)
      }
    }
  }

  /// Answers a packet whose flow finds no room.
  private func resumeUncached(_ upcall: Upcall, _ translation: Translation, worker: Worker) {
    if let rule = translation.rule {
      rule.packets += 1
      rule.bytes += UInt64(upcall.frame.length)
      rule.usedNanoseconds = sluice_monotonic_nanoseconds()
    }
    guard !translation.actions.isEmpty else { return worker.resume(upcall, program: nil) }
    worker.resume(upcall, program: programs.hold(translation.actions))
    programs.release(translation.actions)
    worker.fence()
    programs.sweep()
  }

  /// Gives a worker a flow; nil when it has no room.
  ///
  /// - Parameters:
  ///   - old: the flow whose place it takes; the caller removes that one next.
  ///   - lastUsed: the cycle stamp of the last packet, nil for now.
  @discardableResult
  func install(
    key: FlowKey, _ translation: Translation, worker index: Int, replacing old: UInt32? = nil, lastUsed: UInt64? = nil
  ) -> UInt32? {
    let directory = directories[index]
    let actions = translation.actions
    let (kind, output) = Self.execution(of: actions)
    let program = kind == .program ? programs.hold(actions) : nil
    let now = lastUsed ?? sluice_cycles()
    let id = nextFlowID
    let slot = directory.install(
      replacing: old, key: key, mask: translation.mask, kind: kind, output: output, program: program, now: now
    ) { mask, hash in
      FlowRecord(
        id: id, mask: mask, actions: actions, rule: translation.rule, dependencies: translation.dependencies,
        learns: translation.learns, drop: translation.drop, createdNanoseconds: sluice_monotonic_nanoseconds(), hash: hash,
        refreshedAt: now)
    }
    guard let slot else {
      if program != nil { programs.release(actions) }
      return nil
    }
    nextFlowID += 1
    let handle = FlowHandle(worker: index, slot: slot)
    for station in translation.dependencies { dependents[station, default: []].insert(handle) }
    events.publish(.flowAdded(snapshot(handle, directory[slot])))
    return slot
  }

  private func publishPacketIn(_ upcall: Upcall, worker: Worker) {
    guard events.isWatched else { return }
    let length = Int(upcall.frame.length)
    let shown = min(length, upcall.maxLength == 0 ? length : Int(upcall.maxLength))
    let bytes = Array(UnsafeBufferPointer(start: worker.memory.bytes(at: upcall.frame.address), count: shown))
    events.publish(
      .packetIn(port: record(at: upcall.port)?.port, cookie: upcall.cookie, length: length, bytes: bytes))
  }

  // MARK: - Learning

  /// Notes where the source of a packet is, and looks again at the flows for which that makes a difference. True when it was not known to be there.
  private func learn(_ translation: Translation) -> Bool {
    guard let learning = translation.learns else { return false }
    switch macs.learn(learning.station, port: learning.port, nowNanoseconds: sluice_monotonic_nanoseconds()) {
    case .none: return false
    case .added(let evicted):
      stationChanged(learning.station)
      if let evicted { stationChanged(evicted) }
    case .moved: stationChanged(learning.station)
    }
    settle()
    return true
  }

  /// Looks again at the flows that depend on a station.
  func stationChanged(_ station: Station) {
    guard let handles = dependents[station] else { return }
    let port = macs.port(of: station)
    for handle in handles {
      guard let record = directories[handle.worker][handle.slot] else { continue }
      // While a flow from the station's old place (or of a forgotten station) is cached, its packets teach nothing; the next one has
      // to come up again.
      if let learns = record.learns, learns.station == station, learns.port != port {
        remove(handle, .changed)
      } else {
        revalidate(handle)
      }
    }
  }

  // MARK: - Timers

  /// Forgets what is idle, keeps the stations of busy flows fresh, reports drops.
  func tick(now: UInt64) {
    let cycles = sluice_cycles()
    let idle = clock.cycles(seconds: configuration.flowIdleSeconds)
    for (index, directory) in directories.enumerated() {
      for slot in directory.liveSlots {
        guard var record = directory[slot] else { continue }
        let used = max(directory.worker.slab.counters(of: slot).lastUsed, record.refreshedAt)
        if cycles > used, cycles - used > idle {
          remove(FlowHandle(worker: index, slot: slot), .idle)
        } else if used != record.refreshedAt {
          record.refreshedAt = used
          directory[slot] = record
          if let learns = record.learns {
            _ = macs.learn(learns.station, port: learns.port, nowNanoseconds: now)
          }
        }
      }
    }
    let age = UInt64(configuration.macAgingSeconds * 1e9)
    if now > age {
      for station in macs.removeSeenBefore(now - age) { stationChanged(station) }
    }
    settle()
    if events.isWatched { reportDrops() } else { reportedDrops = [:] }
  }

  func stopWorkers() {
    for worker in workers { worker.stop() }
  }
}

/// Turns seconds into cycles of the time stamp counter, measured against the monotonic clock since the switch was made.
final class CycleClock {
  private let startCycles = sluice_cycles()
  private let startNanoseconds = sluice_monotonic_nanoseconds()

  /// Cycles per second, as measured so far; a guess in the first millisecond.
  var cyclesPerSecond: Double {
    let nanoseconds = sluice_monotonic_nanoseconds() - startNanoseconds
    guard nanoseconds > 1_000_000 else { return 2.5e9 }
    return Double(sluice_cycles() - startCycles) / Double(nanoseconds) * 1e9
  }

  func cycles(seconds: Double) -> UInt64 { UInt64(seconds * cyclesPerSecond) }

  /// Seconds since a stamp; 0 for one in the future (another core's counter may be a little ahead).
  func seconds(since stamp: UInt64) -> Double {
    let now = sluice_cycles()
    return now > stamp ? Double(now - stamp) / cyclesPerSecond : 0
  }
}
