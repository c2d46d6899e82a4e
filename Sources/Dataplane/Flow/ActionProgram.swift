// ActionProgram.swift
//
// What: a flow's actions in the form that workers run: a fixed-size record per action, in memory that does not move. Lists within
//       lists (clones, buckets) are programs of their own.
// Invariants: never changed after `compile`; freed only when no worker can still reach it (after a fence). A program does not keep the
//             select tables and meters of its actions alive: who holds the program holds the list too.
// Threads: made and freed by the pipeline thread, read by one worker.
// Cost: 48 bytes per action; an action that does nothing here takes no place.

/// What one ActionOp does.
enum ActionCode: UInt8 {
  case output, setField, pushVLAN, popVLAN, pushMPLS, popMPLS, pushPBB, popPBB
  case decrementTTL, decrementMPLSTTL, copyTTLIn, copyTTLOut
  case meter, select, clone, recirculate, controller

  /// True when the action hands the frame or a copy on.
  var sends: Bool {
    switch self {
    case .output, .select, .clone, .recirculate, .controller: true
    default: false
    }
  }
}

/// One action, compiled.
struct ActionOp: BitwiseCopyable {
  /// The new bits of a field, right-aligned; the cookie of `controller`.
  var value: UInt128 = 0
  /// Which bits of the field are replaced.
  var mask: UInt128 = 0
  /// A MeterPlan, a SelectPlan or the ActionProgram of a clone.
  var pointer: UnsafeRawPointer?
  /// The port of `output`, the TPID or EtherType of a push or pop, the id of `recirculate`, the length of `controller`.
  var argument: UInt16 = 0
  var code: ActionCode
  var field: UInt8 = 0
}

/// The buckets of a selection.
struct SelectPlan {
  let view: UnsafePointer<SelectView>
  let buckets: UnsafeMutablePointer<UnsafePointer<ActionProgram>>
  let bucketCount: Int
  /// Of the table's hash, for as many selections as this one is within.
  let multiplier: UInt64
}

/// A compiled action list.
public struct ActionProgram {
  let count: Int
  /// No action hands the frame, or a copy, to anybody: whoever comes to the end has been dropped.
  let sendsNothing: Bool
  let ops: UnsafeMutablePointer<ActionOp>

  /// Compiles a list. Free the result with `destroy`; keep the list until then, for the tables and meters that it holds.
  public static func compile(_ actions: [FlowAction]) -> UnsafePointer<ActionProgram> { compile(actions, level: 0) }

  private static func compile(_ actions: [FlowAction], level: Int) -> UnsafePointer<ActionProgram> {
    let ops = UnsafeMutablePointer<ActionOp>.allocate(capacity: max(actions.count, 1))
    var count = 0
    for action in actions {
      guard let op = compile(action, level: level) else { continue }
      (ops + count).initialize(to: op)
      count += 1
    }
    let program = UnsafeMutablePointer<ActionProgram>.allocate(capacity: 1)
    let sends = (0..<count).contains { ops[$0].code.sends }
    program.initialize(to: ActionProgram(count: count, sendsNothing: !sends, ops: ops))
    return UnsafePointer(program)
  }

  /// One action; nil when there is nothing for a worker to do.
  private static func compile(_ action: FlowAction, level: Int) -> ActionOp? {
    switch action {
    case .output(let port): ActionOp(argument: port, code: .output)
    case .setField(let field, let value, let mask): ActionOp(value: value & mask, mask: mask, code: .setField, field: field.rawValue)
    case .pushVLAN(let tpid): ActionOp(argument: tpid, code: .pushVLAN)
    case .popVLAN: ActionOp(code: .popVLAN)
    case .pushMPLS(let etherType): ActionOp(argument: etherType, code: .pushMPLS)
    case .popMPLS(let etherType): ActionOp(argument: etherType, code: .popMPLS)
    case .pushPBB: ActionOp(code: .pushPBB)
    case .popPBB: ActionOp(code: .popPBB)
    case .decrementTTL: ActionOp(code: .decrementTTL)
    case .decrementMPLSTTL: ActionOp(code: .decrementMPLSTTL)
    case .copyTTLIn: ActionOp(code: .copyTTLIn)
    case .copyTTLOut: ActionOp(code: .copyTTLOut)
    case .setQueue: nil
    case .meter(let meter): ActionOp(pointer: UnsafeRawPointer(meter.plan), code: .meter)
    case .select(let table, let buckets): ActionOp(pointer: UnsafeRawPointer(select(table, buckets, level: level)), code: .select)
    case .clone(let actions): ActionOp(pointer: UnsafeRawPointer(compile(actions, level: level)), code: .clone)
    case .recirculate(let id): ActionOp(argument: id, code: .recirculate)
    case .controller(let maxLength, let cookie): ActionOp(value: UInt128(cookie), argument: maxLength, code: .controller)
    }
  }

  private static func select(_ table: SelectTable, _ buckets: [[FlowAction]], level: Int) -> UnsafeMutablePointer<SelectPlan> {
    precondition(buckets.count == table.weights.count, "a selection has one action list per bucket of its table")
    let programs = UnsafeMutablePointer<UnsafePointer<ActionProgram>>.allocate(capacity: max(buckets.count, 1))
    for (i, actions) in buckets.enumerated() { (programs + i).initialize(to: compile(actions, level: level + 1)) }
    let plan = UnsafeMutablePointer<SelectPlan>.allocate(capacity: 1)
    plan.initialize(
      to: SelectPlan(
        view: UnsafePointer(table.view), buckets: programs, bucketCount: buckets.count, multiplier: table.multiplier(level: level)))
    return plan
  }

  /// Frees a program that nobody can reach any more.
  public static func destroy(_ program: UnsafePointer<ActionProgram>) {
    for i in 0..<program.pointee.count {
      guard let pointer = program.pointee.ops[i].pointer else { continue }
      switch program.pointee.ops[i].code {
      case .clone: destroy(pointer.assumingMemoryBound(to: ActionProgram.self))
      case .select: destroy(pointer.assumingMemoryBound(to: SelectPlan.self))
      default: break
      }
    }
    program.pointee.ops.deallocate()
    UnsafeMutablePointer(mutating: program).deallocate()
  }

  private static func destroy(_ plan: UnsafePointer<SelectPlan>) {
    for i in 0..<plan.pointee.bucketCount { destroy(plan.pointee.buckets[i]) }
    plan.pointee.buckets.deallocate()
    UnsafeMutablePointer(mutating: plan).deallocate()
  }
}
