// FlowCommit.swift
//
// What: carries out staged changes of flows: one command per worker with the whole list, and when the worker has carried it out, the last
//       counts, the new answers and the free slots.
// Invariants: a worker carries out a list between two batches, so no packet sees a part of it. A flow is staged once at most. What a
//             flow counted before the change is its old rules', what it counts after it its new ones': the worker marks the counters as it
//             changes the answer. Answers change in commits that are waited for only; removals may be completed later. A tier in front of the
//             workers lets go of a flow before its worker hears of the change, and is given the new answer after that.
// Threads: the pipeline thread only.
// Cost: 16 bytes and about 100 ns of the worker's time per changed flow.

import CSluice
import Dataplane

/// What is to become of a flow.
struct StagedChange {
  let handle: FlowHandle
  /// The new answer; nil removes the flow.
  var plan: FlowPlan?
  /// Why, for watchers.
  var end: SwitchEvent.FlowEnd
  /// Where the counts of the present answer begin.
  var begin: FlowCounts = (0, 0)
  /// A tier held the flow.
  var wasHeld = false
}

/// Packets and bytes of a slot.
typealias FlowCounts = (packets: UInt64, bytes: UInt64)

/// A list of changes that a worker has been given.
struct FlowCommit {
  let worker: Int
  /// Commands that the worker had been given with this one.
  let command: UInt64
  let list: UnsafeMutableBufferPointer<FlowChange>
  let changes: [StagedChange]
  /// Withdrawals from the tier that have to be fenced before the last counts are known; 0 for none.
  let withdrawals: UInt64
}

extension SwitchCore {
  func stage(_ change: StagedChange) {
    staged.append(change)
    books[change.handle.worker].record(change.handle.slot).pointee.staged = UInt32(staged.count)
  }

  /// Stages the removal of a flow. `settle` completes it.
  func remove(_ handle: FlowHandle, _ end: SwitchEvent.FlowEnd) {
    let record = books[handle.worker].record(handle.slot)
    guard record.pointee.state == .live else { return }
    guard record.pointee.staged != 0 else { return stage(StagedChange(handle: handle, plan: nil, end: end)) }
    restage(Int(record.pointee.staged) - 1, nil)
    staged[Int(record.pointee.staged) - 1].end = end
  }

  /// Changes what has been staged for a flow.
  func restage(_ place: Int, _ plan: FlowPlan?) {
    let before = staged[place].plan
    staged[place].plan = plan
    if let before { plans.retireIfUnused(before) }
  }

  /// True when the flow's removal has been staged.
  func isEnding(_ record: UnsafePointer<FlowRecord>) -> Bool {
    record.pointee.staged != 0 && staged[Int(record.pointee.staged) - 1].plan == nil
  }

  /// Carries out what has been staged and returns when no worker and no tier can see what was before, flows on their way out included.
  public func settle() {
    sendStaged(fencing: true)
    completeCommits(waiting: true)
  }

  /// As `settle`, where nothing but what has been staged matters.
  func settleStaged() {
    if staged.isEmpty { plans.sweep() } else { settle() }
  }

  /// Carries out staged removals without waiting for the workers.
  func settleLater() {
    assert(staged.allSatisfy { $0.plan == nil }, "an answer that changes is waited for")
    guard !staged.isEmpty else { return }
    sendStaged(fencing: false)
  }

  /// Gives each worker its part of what has been staged, after the tier has been told to let go of it.
  private func sendStaged(fencing: Bool) {
    var parts = [[StagedChange]](repeating: [], count: books.count)
    for change in staged {
      let record = books[change.handle.worker].record(change.handle.slot)
      record.pointee.staged = 0
      // The flow may have been staged for an answer and then for the one that it has.
      if change.plan?.index == record.pointee.plan { continue }
      var change = change
      // The worker is going to overwrite the marks.
      change.begin = workers[change.handle.worker].slab.marks(of: change.handle.slot)
      if record.pointee.placement == .held {
        change.wasHeld = true
        withdraw(change.handle)
      }
      parts[change.handle.worker].append(change)
    }
    staged.removeAll(keepingCapacity: true)
    if fencing { fenceTiers() }
    for (index, part) in parts.enumerated() where !part.isEmpty {
      let book = books[index]
      let list = UnsafeMutableBufferPointer<FlowChange>.allocate(capacity: part.count)
      for (place, change) in part.enumerated() {
        let slot = change.handle.slot
        if let plan = change.plan {
          list.initializeElement(at: place, to: .replace(slot, kind: plan.kind, output: plan.output, program: plan.program))
        } else {
          list.initializeElement(at: place, to: .remove(slot))
          book.markLeaving(slot)
        }
      }
      book.worker.change(UnsafeBufferPointer(list))
      let withdrawals = part.contains(where: \.wasHeld) ? tierBook?.withdrawalCount ?? 0 : 0
      commits.append(
        FlowCommit(worker: index, command: book.worker.commandCount, list: list, changes: part, withdrawals: withdrawals))
    }
  }

  /// Completes the commits that workers have carried out; with `waiting`, all of them.
  func completeCommits(waiting: Bool = false) {
    if !commits.isEmpty {
      if waiting, !commits.allSatisfy(isFenced) { fenceTiers() }
      let use = useClock()
      commits.removeAll { commit in
        let worker = workers[commit.worker]
        if waiting { worker.fence() }
        guard worker.hasCarriedOut(commit.command), isFenced(commit) else { return false }
        for change in commit.changes { complete(change, use) }
        commit.list.deallocate()
        return true
      }
      wakeForOffers()
    }
    plans.sweep()
  }

  /// True when the tier executes none of a list's flows any more.
  func isFenced(_ commit: FlowCommit) -> Bool { commit.withdrawals <= tierBook?.fencedCount ?? .max }

  private func complete(_ change: StagedChange, _ use: UseClock) {
    let handle = change.handle
    let book = books[handle.worker]
    let record = book.record(handle.slot)
    guard let old = plans[record.pointee.plan] else { return }
    let counted = book.worker.slab.counters(of: handle.slot)
    // A removed slot counts no more; one with a new answer has marked where the old one ended.
    let marks: FlowCounts = change.plan == nil ? (counted.packets, counted.bytes) : book.worker.slab.marks(of: handle.slot)
    let packets = marks.packets - record.pointee.creditedPackets
    if packets > 0 {
      old.credit(
        packets: packets, bytes: marks.bytes - record.pointee.creditedBytes, usedNanoseconds: use.nanoseconds(of: counted.lastUsed))
    }
    events.publish(.flowRemoved(snapshot(handle, counts: (change.begin, marks)), change.end))
    leavePlan(handle, old)
    forgetPlacement(handle)
    guard let plan = change.plan else {
      links.unlink(record.pointee.firstLink)
      book.recycle(handle.slot)
      return
    }
    (record.pointee.creditedPackets, record.pointee.creditedBytes) = (marks.packets, marks.bytes)
    record.pointee.id = takeFlowID()
    record.pointee.createdMilliseconds = millisecondsNow()
    record.pointee.recentPackets = 0
    joinPlan(handle, plan)
    if tierBook != nil { offerAgain(handle, wasHeld: change.wasHeld) }
    events.publish(.flowAdded(snapshot(handle)))
  }

  // MARK: - Flows of a plan

  func joinPlan(_ handle: FlowHandle, _ plan: FlowPlan) {
    let record = books[handle.worker].record(handle.slot)
    record.pointee.plan = plan.index
    record.pointee.nextOfPlan = plan.firstFlow
    record.pointee.previousOfPlan = .none
    if !plan.firstFlow.isNone { books[plan.firstFlow.worker].record(plan.firstFlow.slot).pointee.previousOfPlan = handle }
    plan.firstFlow = handle
    plan.flowCount += 1
  }

  private func leavePlan(_ handle: FlowHandle, _ plan: FlowPlan) {
    let record = books[handle.worker].record(handle.slot)
    let (next, previous) = (record.pointee.nextOfPlan, record.pointee.previousOfPlan)
    if previous.isNone {
      plan.firstFlow = next
    } else {
      books[previous.worker].record(previous.slot).pointee.nextOfPlan = next
    }
    if !next.isNone { books[next.worker].record(next.slot).pointee.previousOfPlan = previous }
    plan.flowCount -= 1
    plans.retireIfUnused(plan)
  }
}
