// ProgramPool.swift
//
// What: the compiled action lists of all flows, one of each kind: thousands of flows share a few lists.
// Invariants: a program lives while a flow holds it and until no worker can be running it: `release` only marks it, `sweep` frees what
//             is marked and must be called after a fence.
// Threads: confined to the pipeline thread.
// Cost: a dictionary look-up per flow set-up.

import Dataplane

final class ProgramPool {
  private struct Entry {
    let program: UnsafePointer<ActionProgram>
    var holders: Int
  }

  private var entries: [[FlowAction]: Entry] = [:]
  private var unheld: Set<[FlowAction]> = []

  /// The program of a list, for one more holder.
  func hold(_ actions: [FlowAction]) -> UnsafePointer<ActionProgram> {
    if var entry = entries[actions] {
      if entry.holders == 0 { unheld.remove(actions) }
      entry.holders += 1
      entries[actions] = entry
      return entry.program
    }
    let program = ActionProgram.compile(actions)
    entries[actions] = Entry(program: program, holders: 1)
    return program
  }

  /// Lets go of a list.
  func release(_ actions: [FlowAction]) {
    guard var entry = entries[actions] else { return }
    entry.holders -= 1
    entries[actions] = entry
    if entry.holders == 0 { unheld.insert(actions) }
  }

  /// Frees programs that nobody holds. Call after a fence of all workers.
  func sweep() {
    for actions in unheld {
      if let entry = entries.removeValue(forKey: actions) { ActionProgram.destroy(entry.program) }
    }
    unheld = []
  }

  deinit {
    for entry in entries.values { ActionProgram.destroy(entry.program) }
  }
}
