// KernelFlowTier.swift
//
// What: the kernel as a tier in front of the workers: takes flows, gives them back, counts them, and takes over those of an agent before.
// Idea: everything that a flow is lies in mapped memory which the programs read, so placing a flow is a few stores. What a flow refers to is
//       written before it, and used again after it: mask and program, slot, tag; then tag, fence, slot, mask and program.
// Invariants: a slot is free, held, or withdrawn and not yet released; `count` flows are held. A crash between any two steps leaves a table that
//       `init` mends: what has no tag is free.
// Threads: the pipeline thread only.
// Cost: `offer` about a microsecond, no system call. `fence` after a withdrawal waits for a grace period, some milliseconds.

import CSluice
import Dataplane
import Glibc

public final class KernelFlowTier: FlowTier {
  public let name = "kernel"
  private let maps: FlowTableMaps
  private let table: FlowTable
  private var masks: MaskTable
  private var programs: ProgramTable
  private var places: [Place]
  /// Whether a flow was withdrawn, or a place emptied, that a program may still be using.
  private var needsFence = false
  /// Flows of the agent before this one that nobody has asked for yet.
  private var found: Set<UInt32> = []
  /// Packets of each slot's flow when they were last read.
  private var lastPackets: [UInt64]
  private var readsUntilRanking = 0
  private var nextRanking: UInt64 = 0
  /// Offers that were not taken, by cause.
  public private(set) var refusals: [String: UInt64] = [:]
  /// Waits for programs so far, and the time they took.
  public private(set) var fences: (count: UInt64, nanoseconds: UInt64) = (0, 0)

  /// What a slot is used for.
  private enum Place: UInt8 { case free, held, withdrawn }

  /// Time after which a flow is active whatever its worker does: longer than the worker's queues last at their fullest.
  private static let patienceNanoseconds: UInt64 = 100_000_000
  private static let rankingNanoseconds: UInt64 = 5_000_000_000

  /// Takes in what is in the table.
  public init(maps: FlowTableMaps) throws(KernelTierError) {
    self.maps = maps
    table = FlowTable(maps: maps)
    masks = MaskTable(maps: maps)
    programs = ProgramTable(maps: maps)
    places = [Place](repeating: .free, count: maps.slots)
    lastPackets = [UInt64](repeating: 0, count: maps.slots)
    takeIn()
  }

  // MARK: FlowTier

  public var capacity: Int { table.capacity }
  public var count: Int { table.count }

  public func offer(_ flow: TierFlow) throws(TierRefusal) -> TierHandle {
    do throws(TierRefusal) {
      return TierHandle(rawValue: try place(flow))
    } catch {
      refusals[error.cause, default: 0] += 1
      throw error
    }
  }

  public func adopt(_ handle: TierHandle, as flow: TierFlow) -> Bool {
    let slot = handle.rawValue
    guard isHeld(slot), let answer = try? ActionEncoder.encode(flow.actions, key: flow.key, mask: flow.mask) else { return false }
    let place = table.flow(slot)
    let key = flow.key & flow.mask
    guard place.pointee.in_port == flow.port, masks.mask(place.pointee.mask) == flow.mask.withoutPipelineLine,
      FlowLine(words: place.pointee.key) == key.line0, place.pointee.lines == 1 || FlowLine(table.line1(slot)) == key.line1,
      self.answer(of: place.pointee) == answer
    else { return false }
    place.pointee.worker = UInt16(clamping: flow.worker)
    place.pointee.id = flow.id
    found.remove(slot)
    return true
  }

  public func withdraw(_ handle: TierHandle) {
    let slot = handle.rawValue
    guard isHeld(slot) else { return }
    table.withdraw(slot)
    places[Int(slot)] = .withdrawn
    found.remove(slot)
    needsFence = true
  }

  public func fence() {
    guard needsFence else { return }
    waitForPrograms()
    needsFence = false
  }

  public func counts(of handle: TierHandle) -> TierCounts {
    let slot = handle.rawValue
    guard Int(slot) < places.count, places[Int(slot)] != .free else { return TierCounts() }
    let counts = table.counts(slot)
    let flow = table.flow(slot)
    masks.hit(flow.pointee.mask, port: flow.pointee.in_port, packets: counts.packets &- lastPackets[Int(slot)])
    lastPackets[Int(slot)] = counts.packets
    rankNowAndThen()
    return counts
  }

  public func release(_ handle: TierHandle) {
    let slot = handle.rawValue
    guard Int(slot) < places.count, places[Int(slot)] == .withdrawn else { return }
    // Who forgot the fence gets it here, because reusing a slot under a program would give packets a wrong answer.
    fence()
    let flow = table.flow(slot).pointee
    masks.unuse(flow.mask, port: flow.in_port)
    if flow.answer == SLUICE_ANSWER_PROGRAM.rawValue { programs.unuse(flow.program) }
    table.release(slot)
    places[Int(slot)] = .free
    lastPackets[Int(slot)] = 0
  }

  // MARK: Besides

  /// The flows of the agent before this one that were neither adopted nor withdrawn yet.
  public func existingFlows() -> [AdoptedFlow] {
    found.sorted().compactMap { slot in
      let flow = table.flow(slot).pointee
      guard let mask = masks.mask(flow.mask) else { return nil }
      var key = FlowKey()
      key.line0 = FlowLine(words: flow.key)
      if flow.lines == 3 { key.line1 = FlowLine(table.line1(slot)) }
      return AdoptedFlow(
        handle: TierHandle(rawValue: slot), key: key, mask: mask, port: flow.in_port, id: flow.id, actions: answer(of: flow).actions,
        counts: table.counts(slot))
    }
  }

  /// Gives all flows back: forwarding goes on in the workers.
  public func withdrawAll() {
    for slot in places.indices where places[slot] == .held { withdraw(TierHandle(rawValue: UInt32(slot))) }
    fence()
  }

  /// Flows whose packets still go up, so that they keep their order. Looks at every slot.
  public var waitingCount: Int {
    places.indices.count { places[$0] == .held && table.flow(UInt32($0)).pointee.state == SLUICE_FLOW_WAITING.rawValue }
  }

  /// Places in use by the name of the map, for `KernelFacts.read`.
  public var used: [String: Int] {
    ["sluice_flows": count, "sluice_masks": masks.count, "sluice_programs": programs.count]
  }

  // MARK: Placing

  private func place(_ flow: TierFlow) throws(TierRefusal) -> UInt32 {
    let answer = try ActionEncoder.encode(flow.actions, key: flow.key, mask: flow.mask)
    try requirePorts(flow, answer)
    let key = flow.key & flow.mask
    let mask = flow.mask.withoutPipelineLine
    var entry = sluice_flow()
    entry.key = key.line0.kernelWords
    entry.lines = mask.packetLines
    entry.in_port = flow.port
    entry.state = flow.isFirst ? SLUICE_FLOW_ACTIVE.rawValue : SLUICE_FLOW_WAITING.rawValue
    entry.worker = UInt16(clamping: flow.worker)
    entry.id = flow.id
    var use = sluice_flow_use()
    use.last_up = sluice_monotonic_nanoseconds()
    use.forced_at = use.last_up &+ Self.patienceNanoseconds
    switch answer {
    case .drop: entry.answer = UInt8(SLUICE_ANSWER_DROP.rawValue)
    case .output(let port):
      entry.answer = UInt8(SLUICE_ANSWER_OUTPUT.rawValue)
      entry.port = port
    case .program(let program):
      entry.answer = UInt8(SLUICE_ANSWER_PROGRAM.rawValue)
      entry.program = try programs.use(program)
    }
    do throws(TierRefusal) {
      entry.mask = try masks.use(mask, port: flow.port, fence: waitForPrograms)
      do throws(TierRefusal) {
        let slot = try table.insert(entry, line1: sluice_line(key.line1), use: use)
        places[Int(slot)] = .held
        return slot
      } catch {
        masks.unuse(entry.mask, port: flow.port)
        throw error
      }
    } catch {
      if entry.program != 0 { programs.unuse(entry.program) }
      throw error
    }
  }

  /// Refuses what no program would execute, because the ports do not have the hooks for it: such a flow would only be in the way.
  private func requirePorts(_ flow: TierFlow, _ answer: KernelAnswer) throws(TierRefusal) {
    let ports = maps.ports.base
    guard flow.port < UInt16(SLUICE_PORTS), ports[Int(flow.port)].ifindex != 0 else {
      throw .temporary("port", "the port that its packets come in by is not in the kernel tier")
    }
    let hooks = KernelHooks(rawValue: ports[Int(flow.port)].hooks)
    guard !hooks.isDisjoint(with: [.xdp, .tc]) else {
      throw .temporary("port", "the port that its packets come in by has no program of the kernel tier")
    }
    for output in answer.outputs {
      guard output < UInt16(SLUICE_PORTS), ports[Int(output)].ifindex != 0 else {
        throw .temporary("port", "a port that it sends to is not in the kernel tier")
      }
      if !hooks.contains(.tc), !KernelHooks(rawValue: ports[Int(output)].hooks).contains(.xdp) {
        throw .temporary("hook", "a port that it sends to cannot be reached by XDP, which is all that the port has by which its packets come in")
      }
    }
    if case .program(let program) = answer, program.isTCOnly, !hooks.contains(.tc) {
      throw .temporary("hook", "XDP, which is all that the port has by which its packets come in, sends to one port only")
    }
  }

  private func isHeld(_ slot: UInt32) -> Bool { Int(slot) < places.count && places[Int(slot)] == .held }

  private func answer(of flow: sluice_flow) -> KernelAnswer {
    switch UInt32(flow.answer) {
    case SLUICE_ANSWER_OUTPUT.rawValue: .output(flow.port)
    case SLUICE_ANSWER_PROGRAM.rawValue: .program(programs.program(flow.program))
    default: .drop
    }
  }

  // MARK: Waiting and ranking

  private func waitForPrograms() {
    let start = sluice_monotonic_nanoseconds()
    do {
      try maps.waitForPrograms()
    } catch {
      // The kernel lacks memory for the moment. A program runs for microseconds; in a second all have ended.
      sleep(1)
    }
    fences.count += 1
    fences.nanoseconds += sluice_monotonic_nanoseconds() - start
  }

  private func rankNowAndThen() {
    readsUntilRanking -= 1
    guard readsUntilRanking < 0 else { return }
    readsUntilRanking = 256
    let now = sluice_monotonic_nanoseconds()
    guard now >= nextRanking else { return }
    nextRanking = now + Self.rankingNanoseconds
    rank()
  }

  /// Brings the masks that met the most packets of late to the front of their ports' lists.
  func rank() { masks.rank(fence: waitForPrograms) }

  // MARK: Taking in

  private func takeIn() {
    let hadFlows = (1..<Int(SLUICE_MASKS)).contains { maps.masks.base[$0].lines != 0 }
    let (slots, wasMended) = table.takeIn { [masks, programs, maps] flow in
      guard masks.isSound(flow.pointee.mask), flow.pointee.in_port < UInt16(SLUICE_PORTS) else { return false }
      guard flow.pointee.lines == 1 || flow.pointee.lines == 3, maps.masks.base[Int(flow.pointee.mask)].lines == UInt32(flow.pointee.lines)
      else { return false }
      switch UInt32(flow.pointee.answer) {
      case SLUICE_ANSWER_DROP.rawValue: return true
      case SLUICE_ANSWER_OUTPUT.rawValue: return flow.pointee.port < UInt16(SLUICE_PORTS)
      case SLUICE_ANSWER_PROGRAM.rawValue: return programs.isSound(flow.pointee.program)
      default: return false
      }
    }
    // Where there were flows, one may have been withdrawn just now. A table that never had one has no masks.
    needsFence = hadFlows || wasMended
    for slot in slots { places[Int(slot)] = .held }
    found = Set(slots)
    programs.takeIn(
      slots.compactMap {
        let flow = table.flow($0).pointee
        return UInt32(flow.answer) == SLUICE_ANSWER_PROGRAM.rawValue ? flow.program : nil
      })
    let homeless = masks.takeIn(
      slots.map {
        let flow = table.flow($0).pointee
        return ($0, flow.mask, flow.in_port)
      })
    for slot in slots { lastPackets[Int(slot)] = table.counts(slot).packets }
    for slot in homeless {
      table.withdraw(slot)
      found.remove(slot)
      // Its mask was not counted, so nothing of it but the slot is let go of.
      places[Int(slot)] = .free
      needsFence = true
    }
    // What is free now may still be in a program's hands.
    fence()
    for slot in homeless {
      if UInt32(table.flow(slot).pointee.answer) == SLUICE_ANSWER_PROGRAM.rawValue { programs.unuse(table.flow(slot).pointee.program) }
      table.release(slot)
    }
  }
}

extension FlowMask {
  /// What of a mask the kernel looks at.
  fileprivate var withoutPipelineLine: FlowMask {
    var mask = self
    mask.bits.line2 = FlowLine()
    return mask
  }
}
