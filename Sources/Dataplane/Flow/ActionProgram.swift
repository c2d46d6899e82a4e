// ActionProgram.swift
//
// What: a flow's actions in the form that workers run: a fixed-size record per action, in memory that does not move.
// Invariants: never changed after `compile`; freed only when no worker can still reach it (after a fence).
// Threads: made and freed by the pipeline thread, read by one worker.
// Cost: 48 bytes per action.

/// What one ActionOp does.
enum ActionCode: UInt8 {
  case output, setField, pushVLAN, popVLAN, decrementTTL, controller
}

/// One action, compiled.
struct ActionOp: BitwiseCopyable {
  /// The new bits of a field, right-aligned; the cookie of `controller`.
  var value: UInt128 = 0
  /// Which bits of the field are replaced.
  var mask: UInt128 = 0
  /// The port of `output`, the TPID of `pushVLAN`, the length of `controller`.
  var argument: UInt16 = 0
  var code: ActionCode
  var field: UInt8 = 0
}

/// A compiled action list.
public struct ActionProgram {
  let count: Int
  let ops: UnsafeMutablePointer<ActionOp>

  /// Compiles a list. Free the result with `destroy`.
  public static func compile(_ actions: [FlowAction]) -> UnsafePointer<ActionProgram> {
    let ops = UnsafeMutablePointer<ActionOp>.allocate(capacity: max(actions.count, 1))
    for (i, action) in actions.enumerated() {
      let op: ActionOp
      switch action {
      case .output(let port):
        op = ActionOp(argument: port, code: .output)
      case .setField(let field, let value, let mask):
        op = ActionOp(value: value & mask, mask: mask, code: .setField, field: field.rawValue)
      case .pushVLAN(let tpid):
        op = ActionOp(argument: tpid, code: .pushVLAN)
      case .popVLAN:
        op = ActionOp(code: .popVLAN)
      case .decrementTTL:
        op = ActionOp(code: .decrementTTL)
      case .controller(let maxLength, let cookie):
        op = ActionOp(value: UInt128(cookie), argument: maxLength, code: .controller)
      }
      (ops + i).initialize(to: op)
    }
    let program = UnsafeMutablePointer<ActionProgram>.allocate(capacity: 1)
    program.initialize(to: ActionProgram(count: actions.count, ops: ops))
    return UnsafePointer(program)
  }

  /// Frees a program that nobody can reach any more.
  public static func destroy(_ program: UnsafePointer<ActionProgram>) {
    program.pointee.ops.deallocate()
    UnsafeMutablePointer(mutating: program).deallocate()
  }
}
