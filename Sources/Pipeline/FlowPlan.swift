// FlowPlan.swift
//
// What: one answer of the translator, shared by all flows that have it: actions, the compiled program, the tables searched, the rules,
//       groups and meters met. A million flows of a thousand rules are a thousand plans. What a change of rules, groups, meters or ports concerns is found through plans, not by
//       looking at flows.
// Invariants: two plans in the book differ. A plan is registered with each of its rules, groups and meters from its making to its end, holds
//             the numbers of its recirculations, and ends only when no flow has it and every worker has carried out all commands that could name its program. It keeps its action list, and with it
//             the tables and meters of the program, alive.
// Threads: confined to the pipeline thread.
// Cost: finding a plan that is there: a hash over the answer and one comparison.

import CSluice
import Dataplane

/// An answer and the flows that have it.
final class FlowPlan {
  let index: UInt32
  let hash: UInt64
  let actions: [FlowAction]
  let kind: FlowKind
  let output: PortIndex
  let program: UnsafePointer<ActionProgram>?
  /// The searches of tables, in order.
  let visits: [TableVisit]
  /// The rules met, in order, each once per meeting.
  let rules: [RuleEntry]
  let groups: [GroupUse]
  let meters: [UInt32]
  let recirculations: [UInt16]
  /// Why nothing is sent; nil when something is.
  let drop: TranslationDrop?
  /// The answer depends on ports beyond those that it sends to.
  let floods: Bool

  /// The first of its flows; the others follow by their records.
  var firstFlow = FlowHandle.none
  var flowCount = 0
  /// The next plan with the same hash.
  fileprivate var nextSame: UInt32?
  /// True while it waits for its end.
  fileprivate var isRetiring = false
  /// How many commands each worker had been given when the last one that may name the program was among them.
  fileprivate var lastCommands: [UInt64] = []
  /// The program of an answer that needs none in a flow.
  private var plainProgram: UnsafePointer<ActionProgram>?

  fileprivate init(index: UInt32, hash: UInt64, _ translation: Translation) {
    self.index = index
    self.hash = hash
    actions = translation.actions
    (kind, output) = Self.execution(of: translation.actions)
    program = kind == .program ? ActionProgram.compile(translation.actions) : nil
    visits = Array(translation.visits)
    rules = translation.rules
    groups = translation.groups
    meters = translation.meters
    recirculations = translation.recirculations
    drop = translation.drop
    floods = translation.floods
  }

  deinit {
    if let program { ActionProgram.destroy(program) }
    if let plainProgram { ActionProgram.destroy(plainProgram) }
  }

  /// What a packet without a flow has to run; nil drops it.
  var programForOnePacket: UnsafePointer<ActionProgram>? {
    if program == nil, plainProgram == nil, kind != .drop { plainProgram = ActionProgram.compile(actions) }
    return program ?? plainProgram
  }

  /// How a worker executes a list: the drop and the single output have paths of their own, everything else is a program.
  static func execution(of actions: [FlowAction]) -> (kind: FlowKind, output: PortIndex) {
    if actions.isEmpty { return (.drop, 0) }
    if actions.count == 1, case .output(let port) = actions[0] { return (.output, port) }
    return (.program, 0)
  }

  /// True when the plan says what a translation says.
  fileprivate func says(_ translation: Translation) -> Bool {
    guard drop == translation.drop, floods == translation.floods, visits.count == translation.visits.count else { return false }
    for place in visits.indices {
      let (mine, other) = (visits[place], translation.visits[place])
      guard mine.table == other.table, mine.rule === other.rule, mine.isIngressKey == other.isIngressKey else { return false }
    }
    return groups == translation.groups && meters == translation.meters && recirculations == translation.recirculations
      && actions == translation.actions
  }

  /// True when a change of a port can concern the plan.
  func depends(onPort port: PortIndex) -> Bool { floods || actions.contains { $0.names(port) } }

  /// Adds to the rules and groups what a flow of the plan has counted. Meters, and the buckets of select groups, count for themselves.
  func credit(packets: UInt64, bytes: UInt64, usedNanoseconds: UInt64) {
    for use in groups { use.counter?.add(packets: packets, bytes: bytes) }
    for rule in rules {
      rule.packets += packets
      rule.bytes += bytes
      rule.usedNanoseconds = max(rule.usedNanoseconds, usedNanoseconds)
    }
  }
}

/// All plans.
final class PlanBook {
  private var plans: [FlowPlan?] = []
  private var freeIndices: [UInt32] = []
  private var byHash: [UInt64: UInt32] = [:]
  /// Plans without flows, which end when every worker has carried out what may name their programs.
  private var retiring: [FlowPlan] = []
  private let workers: [Worker]
  private let recirculation: RecirculationTable
  private var byGroup: [UInt32: Set<UInt32>] = [:]
  private var byMeter: [UInt32: Set<UInt32>] = [:]
  /// Plans now.
  private(set) var count = 0

  init(workers: [Worker], recirculation: RecirculationTable) {
    self.workers = workers
    self.recirculation = recirculation
  }

  /// The plans that depend on any of these groups.
  func plans(ofGroups ids: Set<UInt32>) -> Set<UInt32> { ids.reduce(into: []) { $0.formUnion(byGroup[$1] ?? []) } }

  /// The plans that any of these meters measures.
  func plans(ofMeters ids: Set<UInt32>) -> Set<UInt32> { ids.reduce(into: []) { $0.formUnion(byMeter[$1] ?? []) } }

  subscript(index: UInt32) -> FlowPlan? { Int(index) < plans.count ? plans[Int(index)] : nil }

  /// The plan that says what a translation says, made if need be. One that gets no flow has to be given to `retireIfUnused`.
  func plan(for translation: Translation) -> FlowPlan {
    let hash = Self.hash(translation)
    let first = byHash[hash]
    var next = first
    while let index = next, let plan = plans[Int(index)] {
      if plan.says(translation) { return plan }
      next = plan.nextSame
    }
    let index: UInt32
    if let free = freeIndices.popLast() {
      index = free
    } else {
      index = UInt32(plans.count)
      plans.append(nil)
    }
    let plan = FlowPlan(index: index, hash: hash, translation)
    plan.nextSame = first
    byHash[hash] = index
    plans[Int(index)] = plan
    count += 1
    register(plan)
    return plan
  }

  /// Every plan.
  func forEach(_ body: (FlowPlan) -> Void) {
    for case let plan? in plans { body(plan) }
  }

  /// Lets a plan end when it has no flow. Commands given up to now may still name its program.
  func retireIfUnused(_ plan: FlowPlan) {
    guard plan.flowCount == 0 else { return }
    plan.lastCommands.removeAll(keepingCapacity: true)
    for worker in workers { plan.lastCommands.append(worker.commandCount) }
    guard !plan.isRetiring else { return }
    plan.isRetiring = true
    retiring.append(plan)
  }

  /// Ends the plans that no worker can reach any more. A plan that has got flows again stays.
  func sweep() {
    guard !retiring.isEmpty else { return }
    retiring.removeAll { plan in
      if plan.flowCount == 0 {
        for (worker, count) in zip(workers, plan.lastCommands) where !worker.hasCarriedOut(count) { return false }
        end(plan)
      }
      plan.isRetiring = false
      return true
    }
  }

  private func register(_ plan: FlowPlan) {
    for rule in plan.rules { rule.plans.insert(plan.index) }
    for use in plan.groups { byGroup[use.group, default: []].insert(plan.index) }
    for meter in plan.meters { byMeter[meter, default: []].insert(plan.index) }
    for id in plan.recirculations { recirculation.hold(id) }
  }

  private func unregister(_ plan: FlowPlan) {
    for rule in plan.rules { rule.plans.remove(plan.index) }
    for use in plan.groups { Self.forget(plan.index, of: use.group, in: &byGroup) }
    for meter in plan.meters { Self.forget(plan.index, of: meter, in: &byMeter) }
    for id in plan.recirculations { recirculation.release(id) }
  }

  private static func forget(_ plan: UInt32, of id: UInt32, in plans: inout [UInt32: Set<UInt32>]) {
    plans[id]?.remove(plan)
    if plans[id]?.isEmpty == true { plans[id] = nil }
  }

  private func end(_ plan: FlowPlan) {
    unregister(plan)
    if byHash[plan.hash] == plan.index {
      byHash[plan.hash] = plan.nextSame
    } else {
      var before = byHash[plan.hash].flatMap { plans[Int($0)] }
      while let current = before, current.nextSame != plan.index { before = current.nextSame.flatMap { plans[Int($0)] } }
      before?.nextSame = plan.nextSame
    }
    plans[Int(plan.index)] = nil
    freeIndices.append(plan.index)
    count -= 1
  }

  private static func hash(_ translation: Translation) -> UInt64 {
    var hash: UInt64 = UInt64(translation.drop?.rawValue ?? 0) &+ 0x9e37_79b9_7f4a_7c15
    func mix(_ value: UInt64) { hash = sluice_fold_multiply(hash ^ value, 0xd6e8_feb8_6659_fd93) ^ value }
    for place in translation.visits.indices { mix(translation.visits[place].rule?.id ?? 0) }
    for action in translation.actions {
      if case .output(let port) = action { mix(UInt64(port)) } else { mix(UInt64(bitPattern: Int64(action.hashValue))) }
    }
    return hash
  }
}

extension FlowAction {
  /// True when the action sends to a port, on whatever path.
  func names(_ port: PortIndex) -> Bool {
    switch self {
    case .output(let output): output == port
    case .clone(let actions): actions.contains { $0.names(port) }
    case .select(_, let buckets): buckets.contains { $0.contains { $0.names(port) } }
    default: false
    }
  }
}
