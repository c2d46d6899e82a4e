// SwitchCore.swift
//
// What: the state behind a Switch: rules, ports, stations, and the book of the flows that each worker holds. Misses are translated
//       and installed here.
// Invariants: confined to the pipeline thread, so a translation always sees one consistent set of rules, ports and stations. Every
//             flow in a worker has a record in that worker's book, and every record's plan is what the translator would say now, or
//             a change of it is staged. `settle` ends each change: it commits what is staged and waits for the workers.
// Threads: the pipeline thread only.
// Cost: a miss costs a translation, an installation and one mailbox command. A change looks at the flows that depend on it.
// Fairness: a port has as many misses under way as its budget allows, and misses are answered in the order in which they came; so a flooded port
//           gets no more of this thread than any other that asks, and a miss waits for a budget's worth of each flooded port at
//           most. What floods may cost workers is limited in ReceiveShares, what they may hold in FlowGovernor and FlowMasks.

import CSluice
import Dataplane

/// The pipeline thread's state. Reached through `Switch.perform`.
public final class SwitchCore {
  let configuration: SwitchConfiguration
  let workers: [Worker]
  let books: [FlowBook]
  let plans: PlanBook
  /// Flows that have to be looked at when a station moves or is forgotten.
  let links: StationLinks
  /// One per worker.
  var governors: [FlowGovernor]
  let events: SwitchEvents
  public let rules = RuleTables()
  public let macs: MACTable
  public let groups: GroupTable
  public let meters = MeterTable()
  let recirculation = RecirculationTable()
  public internal(set) var ports = PortSet()
  /// What the tier in front of the workers holds; nil when there is none.
  var tierBook: TierBook?
  /// What tiers have counted for live flows, by their present answer, in stays that are over.
  var pastStays: [FlowHandle: FlowCounts] = [:]
  /// By port index.
  var placements = [FlowPlacement](repeating: .off, count: WorkerCounters.portCapacity)
  /// Where frames come up that the kernel's programs send up.
  var upcallQueue: WorkerQueue?
  /// By port index.
  var portRecords: [PortRecord?] = []
  /// What is to become of flows at the next `settle`.
  var staged: [StagedChange] = []
  /// Lists that workers have been given and not yet been seen to have carried out.
  var commits: [FlowCommit] = []
  /// Where the clock hand is; nil between two rounds.
  var sweep: (worker: Int, slot: UInt32)?
  /// Translations, flows made, and packets answered without a flow, since the switch began.
  var translationCount: UInt64 = 0
  public internal(set) var setUpCount: UInt64 = 0
  public internal(set) var uncachedCount: UInt64 = 0
  /// By worker: misses with lower numbers came up before the last change of rules was complete.
  private var missesBeforeChange: [UInt64]
  var nextFlowID: UInt64 = 1
  let clock = CycleClock()
  private let startNanoseconds = sluice_monotonic_nanoseconds()
  /// Drops already reported to watchers, by port index.
  var reportedDrops: [PortIndex: [DropReason: UInt64]] = [:]

  /// Rules that have timed out and that nobody has asked for yet.
  var endedRules: [RuleSnapshot] = []

  init(
    configuration: SwitchConfiguration, workers: [Worker], secrets: HashSecrets, events: SwitchEvents
  ) throws(WorkerError) {
    precondition(workers.count < FlowHandle.workerLimit, "a switch has fewer than \(FlowHandle.workerLimit) workers")
    self.configuration = configuration
    groups = GroupTable(selectSeed: configuration.selectSeed)
    self.workers = workers
    self.events = events
    var books: [FlowBook] = []
    for (number, worker) in workers.enumerated() {
      books.append(
        try FlowBook.make(worker: worker, number: number, secrets: secrets, masksPerPort: configuration.masksPerPort))
    }
    self.books = books
    missesBeforeChange = .init(repeating: 0, count: workers.count)
    governors = books.map { FlowGovernor(capacity: $0.capacity) }
    guard let links = StationLinks(flows: books.reduce(0) { $0 + $1.capacity }) else {
      throw .noMemory(what: "the links between flows and stations")
    }
    self.links = links
    plans = PlanBook(workers: workers, recirculation: recirculation)
    macs = MACTable(capacity: configuration.macCapacity)
  }

  /// What happens to a packet now. Changes nothing.
  func translate(_ key: FlowKey) -> Translation {
    translationCount += 1
    return Translator.translate(key: key, context: context)
  }

  func takeFlowID() -> UInt64 {
    defer { nextFlowID += 1 }
    return nextFlowID
  }

  /// Milliseconds since the switch began.
  func millisecondsNow() -> UInt32 {
    UInt32(truncatingIfNeeded: (sluice_monotonic_nanoseconds() - startNanoseconds) / 1_000_000)
  }

  // MARK: - Misses

  var hasUpcalls: Bool { workers.contains { !$0.upcalls.isEmpty } }

  /// Answers the upcalls that wait now, and none that come meanwhile: under a flood that would have no end.
  func serveWaitingUpcalls() {
    for (index, worker) in workers.enumerated() {
      _ = serveUpcalls(of: index, limit: Int(worker.upcalls.producedCount - worker.upcalls.consumedCount))
    }
  }

  /// Answers that a worker gets before it is woken for them.
  private static let answersPerWake = 32

  /// Answers up to `limit` upcalls of each worker and returns how many there were.
  func serveUpcalls(limit: Int) -> Int {
    var served = 0
    for index in workers.indices { served += serveUpcalls(of: index, limit: limit) }
    if served > 0 { settleStaged() }
    return served
  }

  private func serveUpcalls(of index: Int, limit: Int) -> Int {
    let worker = workers[index]
    var left = limit
    while left > 0, let upcall = worker.upcalls.peek() {
      serve(upcall, worker: index)
      worker.upcalls.consume()
      left -= 1
      if left % Self.answersPerWake == 0 { worker.wake() }
    }
    if left < limit { worker.wake() }
    return limit - left
  }

  private func serve(_ upcall: UnsafePointer<Upcall>, worker index: Int) {
    let worker = workers[index]
    switch upcall.pointee.kind {
    case .controller:
      publishPacketIn(upcall.pointee, worker: worker)
      worker.releaseFrame(upcall.pointee)
    case .miss:
      guard record(at: upcall.pointee.port) != nil, !isTorn(upcall, worker: index) else {
        return worker.resume(upcall.pointee, program: nil)
      }
      let key = upcall.pointee.key
      // An earlier packet of the same flow may have been answered in the meantime.
      if let slot = books[index].find(key, installedAfter: upcall.pointee.seenCommands) {
        return worker.resume(upcall.pointee, slot: slot)
      }
      var translation = translate(key)
      if learn(translation) {
        // What was learned can change the answer itself: the destination may have lost its place in a full table.
        translation = translate(key)
      }
      let plan = plans.plan(for: translation)
      let port = upcall.pointee.port
      let isIPv6 = upcall.pointee.layout.lines & 2 != 0
      let opening = tierBook != nil && placements[Int(port)] == .eager && Handshake.isToldApart(translation.mask, by: .tcpSrc)
        ? Handshake(key, isIPv6: isIPv6) : nil
      // Before the packet goes on, so that its answer finds a flow.
      if let opening { installAnswer(to: opening, translation) }
      if !install(
        key, translation, plan, port: port, isIPv6: isIPv6, worker: index, isFirst: opening != nil, resuming: upcall)
      {
        resumeUncached(upcall, plan, worker: worker)
      }
    }
  }

  /// True when the first part of a packet's way may have been by rules that are no more: it has been looked up again and came up here while
  /// the rules changed. It goes no further, because no packet sees a half of a change.
  private func isTorn(_ upcall: UnsafePointer<Upcall>, worker index: Int) -> Bool {
    upcall.pointee.recircID != 0 && workers[index].upcalls.consumedCount < missesBeforeChange[index]
  }

  /// Answers what has come up by the rules as they still are, so that few packets are torn by the change that follows.
  func prepareChange() {
    if recirculation.count > 0 { serveWaitingUpcalls() }
  }

  /// No worker can execute a flow of the old rules any more.
  func noteChange() {
    for (index, worker) in workers.enumerated() { missesBeforeChange[index] = worker.upcalls.producedCount }
  }

  /// Answers a packet whose flow finds no room.
  private func resumeUncached(_ upcall: UnsafePointer<Upcall>, _ plan: FlowPlan, worker: Worker) {
    uncachedCount += 1
    plan.credit(
      packets: 1, bytes: UInt64(upcall.pointee.frame.length), usedNanoseconds: sluice_monotonic_nanoseconds())
    worker.resume(upcall.pointee, program: plan.programForOnePacket)
    plans.retireIfUnused(plan)
  }

  /// Gives a worker a flow, and answers the miss that asks for it; false when there is no room.
  /// - Parameter isFirst: no packet of it went up before this one.
  /// - Parameter upcall: the miss; nil for a flow that is made in advance.
  func install(
    _ key: FlowKey, _ translation: Translation, _ plan: FlowPlan, port: PortIndex, isIPv6: Bool, worker index: Int, isFirst: Bool,
    resuming upcall: UnsafePointer<Upcall>? = nil
  ) -> Bool {
    let book = books[index]
    guard governors[index].admits(count: book.count, ownCount: Int(book.countByPort[Int(port)])),
      links.hasRoom(translation.dependencies.count),
      let mask = book.masks.take(translation.mask, port: port, isIPv6: isIPv6)
    else { return false }
    let now = sluice_cycles()
    guard let filed = book.file(key: key, mask: mask, port: port) else { return false }
    guard filed.isNew else {
      if let upcall { book.worker.resume(upcall.pointee, slot: filed.slot) }
      plans.retireIfUnused(plan)
      return true
    }
    let handle = FlowHandle(worker: index, slot: filed.slot)
    enter(handle, id: takeFlowID(), translation, plan, mask: mask, port: port, now: now)
    // Before the packet goes on, so that what answers it finds the flow in the tier.
    if tierBook != nil, placements[Int(port)] == .eager { offer(handle, isFirst: isFirst) }
    book.send(filed, plan: plan, now: now, resuming: upcall)
    setUpCount += 1
    events.publish(.flowAdded(snapshot(handle)))
    return true
  }

  /// Makes the record of a flow that has got a slot.
  func enter(
    _ handle: FlowHandle, id: UInt64, _ translation: Translation, _ plan: FlowPlan, mask: UInt16, port: PortIndex, now: UInt64
  ) {
    let source = translation.learns?.station
    books[handle.worker].record(handle.slot).initialize(
      to: FlowRecord(
        id: id, creditedPackets: 0, creditedBytes: 0, seenUse: now, createdMilliseconds: millisecondsNow(),
        plan: plan.index, nextOfPlan: .none, previousOfPlan: .none,
        firstLink: translation.dependencies.isEmpty ? 0 : links.link(handle, to: translation.dependencies, taught: source),
        staged: 0, mask: mask, port: port, state: .live))
    joinPlan(handle, plan)
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
  func learn(_ translation: Translation) -> Bool {
    guard let learning = translation.learns else { return false }
    switch macs.learn(learning.station, port: learning.port, nowNanoseconds: sluice_monotonic_nanoseconds()) {
    case .none: return false
    case .added(let evicted):
      stationChanged(learning.station)
      if let evicted { stationChanged(evicted) }
    case .moved: stationChanged(learning.station)
    }
    settleStaged()
    return true
  }

  // MARK: - Timers

  /// Forgets stations, reports drops, begins a round of the clock hand.
  func tick(now: UInt64) {
    beginSweep()
    for index in governors.indices { governors[index].tick() }
    let age = UInt64(configuration.macAgingSeconds * 1e9)
    if now > age {
      for station in macs.removeSeenBefore(now - age) { stationChanged(station) }
    }
    settleStaged()
    fenceTiersInTime(now: now)
    expireRules(now: now)
    if recirculation.count > 0 {
      // A packet may be on its way back to a state that nobody holds; it has come up when the workers have been fenced.
      for worker in workers { worker.fence() }
      recirculation.sweep()
    }
    if events.isWatched { reportDrops() } else { reportedDrops = [:] }
  }

  func stopWorkers() {
    for worker in workers { worker.stop() }
    completeCommits(waiting: true)
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
