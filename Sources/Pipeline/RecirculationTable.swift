// RecirculationTable.swift
//
// What: where packets go on that a worker has to parse again before the pipeline can say more: when an MPLS label or a PBB header has been
//       popped, what was below it had never been parsed. The pipeline freezes what it knows under a number, the worker
//       parses the frame as it now is and looks it up under that number, and the translator goes on from there.
// Invariants: equal states have one number. A number is not given again while a flow's plan holds it, nor before two sweeps after that.
//             0 means "not recirculated".
// Threads: confined to the pipeline thread.
// Cost: a dictionary probe per translation that recirculates.

import Dataplane

/// Where the pipeline stopped, and what it knew then.
struct FrozenState: Hashable {
  /// What is done when `actions` are done.
  enum Continuation: Hashable {
    /// Nothing: the packet is a copy for a bucket, or its action set is being executed.
    case end
    /// A table is searched.
    case table(UInt8)
    /// The instructions of a rule behind its apply-actions.
    case rest(RuleInstructions)
  }

  /// The table whose rule was being carried out, or that was to be searched.
  var table: UInt8
  /// Actions still to be applied.
  var actions: [RuleAction]
  var continuation: Continuation
  /// The cookie of the rule.
  var cookie: UInt64
  /// Metadata, tunnel id and registers.
  var pipelineFields: FlowLine
  var actionSet: ActionSet
}

/// The states that packets come back to.
public final class RecirculationTable {
  private struct Entry {
    let state: FrozenState
    var holders = 0
    /// Sweeps since the last holder let go, or since it was last asked for.
    var sweeps = 0
  }

  private var entries: [UInt16: Entry] = [:]
  private var idOf: [FrozenState: UInt16] = [:]
  private var unheld: Set<UInt16> = []
  private var last: UInt16 = 0

  public init() {}

  /// States that have a number now.
  public var count: Int { entries.count }

  /// The number of a state, made if it has none; nil when all numbers are taken. Hold it before the next but one `sweep`.
  func id(for state: FrozenState) -> UInt16? {
    if let id = idOf[state] {
      entries[id]?.sweeps = 0
      return id
    }
    guard entries.count < Int(UInt16.max) else { return nil }
    // Numbers are given in turn, so that one comes back as late as can be.
    repeat { last = last == .max ? 1 : last + 1 } while entries[last] != nil
    entries[last] = Entry(state: state)
    idOf[state] = last
    unheld.insert(last)
    return last
  }

  /// The state of a number; nil when it has been swept.
  func state(_ id: UInt16) -> FrozenState? { entries[id]?.state }

  /// Keeps a number for one more holder.
  public func hold(_ id: UInt16) {
    entries[id]?.holders += 1
    unheld.remove(id)
  }

  /// Lets go of a number.
  public func release(_ id: UInt16) {
    guard var entry = entries[id] else { return }
    entry.holders -= 1
    entry.sweeps = 0
    entries[id] = entry
    if entry.holders == 0 { unheld.insert(id) }
  }

  /// Gives up the numbers that nobody has held for two sweeps. Call it from time to time, with the workers fenced in between: a packet may
  /// be on its way back for so long.
  public func sweep() {
    for id in unheld {
      guard var entry = entries[id] else { continue }
      entry.sweeps += 1
      entries[id] = entry
      guard entry.sweeps > 1 else { continue }
      entries[id] = nil
      idOf[entry.state] = nil
      unheld.remove(id)
    }
  }
}
