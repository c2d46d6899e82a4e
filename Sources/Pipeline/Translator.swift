// Translator.swift
//
// What: the oracle: computes from the rules, groups, meters, ports and the MAC table what happens to a packet, and which bits of the packet
//       that depends on. All tiers execute what this says. This file walks the tables; the actions are in TranslatorActions.swift,
//       the groups in TranslatorGroups.swift.
// Invariants: changes nothing: learning is returned, so `trace` and a real miss run the same code. A bit that decides anything is
//             in the mask before it decides, except a bit that an earlier action wrote. Modifications that no output follows
//             are left out. Where a decision needs bits below a header that the parser did not look behind, nothing is guessed: the
//             packet is parsed again by the worker and comes back (`recirculate`).
// Threads: runs on the pipeline thread.
// Cost: one search per table, then a few stores per action; a flood costs a step per port.
// Source: OpenFlow Switch Specification 1.3.5, sections 5.1 to 5.12.

import Dataplane

/// What the meaning of a packet depends on.
public struct TranslationContext {
  public var ports: PortSet
  public let rules: RuleTables
  public let macs: MACTable
  public let groups: GroupTable
  public let meters: MeterTable
  public let recirculation: RecirculationTable

  public init(
    ports: PortSet, rules: RuleTables, macs: MACTable = MACTable(), groups: GroupTable = GroupTable(),
    meters: MeterTable = MeterTable(), recirculation: RecirculationTable = RecirculationTable()
  ) {
    self.ports = ports
    self.rules = rules
    self.macs = macs
    self.groups = groups
    self.meters = meters
    self.recirculation = recirculation
  }
}

/// Translates packets into flows.
public enum Translator {
  /// Actions that one packet may cause, those of groups' buckets included.
  public static let actionLimit = 4096

  /// Computes what happens to the packets that look like one.
  ///
  /// - Parameters:
  ///   - packet: the key of a packet that the parser found nothing wrong with.
  ///   - explains: fill in `steps` and `looks`.
  public static func translate(key packet: FlowKey, context: TranslationContext, explains: Bool = false) -> Translation {
    var run = TranslationRun(packet: packet, context: context, explains: explains)
    run.start()
    return run.result
  }

  /// Where every flow looks.
  static let always: FlowMask = {
    var mask = FlowMask()
    mask.include(.inPort)
    mask.include(.ethType)
    mask.include(.recircID)
    return mask
  }()
}

/// One translation under way.
struct TranslationRun {
  let context: TranslationContext
  let explains: Bool
  let ingress: UInt32
  var result = Translation()
  /// The packet as the actions have left it.
  var state: PacketState
  var actionSet = ActionSet()
  /// The list that actions are written to: the flow's, or that of a bucket.
  var actions: [FlowAction] = []
  /// Actions up to the last one that somebody sees: modifications behind it are left out.
  var keptCount = 0
  /// The first reason for which an output was left out.
  var firstSuppression: TranslationDrop?
  /// Something is sent, or will be when the packet comes back.
  var sendsSomething = false
  /// A question was asked that only parsing the packet again can answer.
  var needsParsing = false
  /// The table whose rule is being carried out, and the rule's cookie.
  var table: UInt8 = 0
  var cookie: UInt64 = 0
  var groupDepth = 0
  /// A bucket is run that a worker chooses, so not every packet meets what it does.
  var isChosen = false
  /// Actions applied so far.
  var work = 0

  init(packet: FlowKey, context: TranslationContext, explains: Bool) {
    var key = packet
    // The parser does not write line 1 for other packets; whatever is in it is not theirs. Line 2 is nobody's but the pipeline's.
    if UInt16(truncatingIfNeeded: key.line0.w1 >> 32).byteSwapped != EtherType.ipv6 { key.line1 = FlowLine() }
    key.line2 = FlowLine()
    state = PacketState(key)
    self.context = context
    self.explains = explains
    ingress = UInt32(truncatingIfNeeded: packet[.inPort])
  }

  mutating func start() {
    look(Translator.always, .always)
    let id = UInt16(truncatingIfNeeded: state.key[.recircID])
    if id == 0 { walk(from: 0) } else { resume(id) }
    finish()
  }

  /// Goes on where a packet left the pipeline to be parsed again.
  private mutating func resume(_ id: UInt16) {
    result.recirculations.append(id)
    guard let frozen = context.recirculation.state(id) else { return suppress(.recirculationGone, ReservedPort.none) }
    state.key.line2 = frozen.pipelineFields
    actionSet = frozen.actionSet
    (table, cookie) = (frozen.table, frozen.cookie)
    note(.resumed(id: id, table: frozen.table))
    guard apply(frozen.actions, then: frozen.continuation) else { return }
    switch frozen.continuation {
    case .end: break
    case .table(let next): walk(from: next)
    case .rest(let instructions): if let next = carryOutRest(of: instructions) { walk(from: next) }
    }
  }

  /// Searches tables until a rule does not lead to another.
  private mutating func walk(from first: UInt8) {
    var next: UInt8? = first
    while let current = next { next = visit(current) }
  }

  /// Searches a table and carries out the rule. Returns the table to go to.
  private mutating func visit(_ number: UInt8) -> UInt8? {
    table = number
    let entry: RuleEntry?
    if state.isRewritten || explains {
      var looked = FlowMask()
      let found = context.rules.lookup(table: number, state.key, looked: &looked)
      look(looked, .rules(table: number))
      guard !needsParsing else {
        freeze([], then: .table(number))
        return nil
      }
      entry = found
    } else {
      entry = context.rules.lookup(table: number, state.key, looked: &result.mask)
    }
    result.visits.append(TableVisit(table: number, rule: entry, isIngressKey: !state.isRewritten))
    note(.matched(table: number, entry))
    guard let entry else {
      result.missTable = number
      suppress(.noRule, ReservedPort.none, isNoted: false)
      return nil
    }
    cookie = entry.cookie
    return carryOut(entry.instructions)
  }

  /// Carries out the instructions of a rule. Returns the table to go to.
  private mutating func carryOut(_ instructions: RuleInstructions) -> UInt8? {
    if let meter = instructions.meter { measure(meter) }
    if !instructions.apply.isEmpty, !apply(instructions.apply, then: .rest(instructions)) { return nil }
    return carryOutRest(of: instructions)
  }

  /// Carries out the instructions behind apply-actions.
  private mutating func carryOutRest(of instructions: RuleInstructions) -> UInt8? {
    if instructions.clearsActions {
      actionSet.clear()
      note(.cleared)
    }
    if !instructions.write.isEmpty {
      actionSet.write(instructions.write)
      note(.wrote(instructions.write))
    }
    if let metadata = instructions.metadata {
      state.write(.metadata, UInt128(metadata.value), UInt128(metadata.mask))
      note(.metadata(metadata))
    }
    if let next = instructions.goto {
      note(.wentTo(next))
      return next
    }
    if !actionSet.isEmpty {
      let ordered = actionSet.ordered
      note(.actionSet(ordered))
      _ = apply(ordered, then: .end)
    }
    return nil
  }

  private mutating func measure(_ id: UInt32) {
    let meter = context.meters.entry(id)
    note(.metered(id, exists: meter != nil))
    guard let meter else { return }
    result.meters.append(id)
    actions.append(.meter(meter.meter))
    keep()
    // How it leaves the meter depends on the packets before it.
    if meter.spec.remarks, state.isIP { state.forget([.ipDSCP]) }
  }

  /// Applies actions in their order.
  ///
  /// - Parameter continuation: what follows them, for a packet that has to be parsed again in between.
  /// - Returns: false when nothing more is done with the packet here.
  mutating func apply(_ list: [RuleAction], then continuation: FrozenState.Continuation) -> Bool {
    for (position, action) in list.enumerated() {
      work += 1
      guard work <= Translator.actionLimit else {
        suppress(.tooManyActions, ReservedPort.none)
        return false
      }
      note(.action(action))
      guard state.hasUnknown else {
        guard apply(action) else { return false }
        continue
      }
      let before = self
      let goesOn = apply(action)
      if needsParsing {
        self = before
        freeze(Array(list[position...]), then: continuation)
        return false
      }
      guard goesOn else { return false }
    }
    return true
  }

  /// Lets the worker parse the packet again and come back to what is left to do.
  private mutating func freeze(_ left: [RuleAction], then continuation: FrozenState.Continuation) {
    needsParsing = false
    let frozen = FrozenState(
      table: table, actions: left, continuation: continuation, cookie: cookie, pipelineFields: state.key.line2,
      actionSet: continuation == .end ? ActionSet() : actionSet)
    guard let id = context.recirculation.id(for: frozen) else { return suppress(.recirculationLimit, ReservedPort.none) }
    result.recirculations.append(id)
    actions.append(.recirculate(id))
    keep()
    sendsSomething = true
    note(.recirculated(id: id))
  }

  private mutating func finish() {
    if work > Translator.actionLimit {
      // Half of what the rules say would be neither one thing nor the other.
      actions = []
      keptCount = 0
      sendsSomething = false
      firstSuppression = .tooManyActions
    }
    result.actions = takeList()
    result.mask.bits.line2 = FlowLine()
    guard !sendsSomething else { return }
    let reason = firstSuppression ?? .ruleDrops
    result.drop = reason
    note(.ended(reason))
  }

  /// The list as it is executed: without what nobody sees, and with the last copy's actions in place of the copy.
  mutating func takeList() -> [FlowAction] {
    if actions.count > keptCount { actions.removeSubrange(keptCount...) }
    while case .clone(let inner)? = actions.last {
      actions.removeLast()
      actions.append(contentsOf: inner)
    }
    defer {
      actions = []
      keptCount = 0
    }
    return actions
  }

  /// Says that the actions so far are needed.
  mutating func keep() { keptCount = actions.count }

  // MARK: Looking

  /// Adds the bits of the packet as it came in that decide some bits of it as it is now.
  mutating func look(_ asked: FlowMask, _ reason: LookReason) {
    guard let bits = state.origin(of: asked) else {
      needsParsing = true
      return
    }
    if explains {
      var gained = bits.subtracting(result.mask)
      gained.bits.line2 = FlowLine()
      if !gained.isEmpty { result.looks.append((gained, reason)) }
    }
    result.mask = result.mask | bits
  }

  /// Looks at bits of one field.
  mutating func look(_ field: FlowField, _ bits: UInt128, _ reason: LookReason) {
    var mask = FlowMask()
    mask[field] = bits
    look(mask, reason)
  }

  /// Reads a whole field as the actions so far have left it.
  mutating func read(_ field: FlowField, _ reason: LookReason) -> UInt128 {
    look(field, field.allOnes, reason)
    return state.key[field]
  }

  mutating func note(_ step: @autoclosure () -> TranslationStep) {
    if explains { result.steps.append(step()) }
  }

  mutating func suppress(_ reason: TranslationDrop, _ number: UInt32, isNoted: Bool = true) {
    if firstSuppression == nil { firstSuppression = reason }
    if isNoted { note(.suppressed(reason, port: number)) }
  }
}
