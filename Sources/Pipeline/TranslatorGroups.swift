// TranslatorGroups.swift
//
// What: what a group does to a packet in translation. Each bucket works on a copy: what it changes is not seen behind the group.
// Invariants: a bucket that changes nothing needs no copy of the frame, and neither does the last one when nothing follows. Whether buckets
//             are alive decides here and now: the flow is translated again when a port or a group changes. What a packet meets on every way is
//             counted by the flow; what it meets only when a select group chooses so is counted by the worker: there a group or a bucket is a
//             choice among one.
// Threads: part of a translation.
// Cost: a list per bucket.
// Source: OpenFlow Switch Specification 1.3.5, section 5.6.1.

import Dataplane

extension TranslationRun {
  /// Sends the packet through a group.
  mutating func group(_ id: UInt32) {
    guard let entry = context.groups[id] else { return suppress(.noSuchGroup, ReservedPort.none) }
    guard groupDepth < GroupTable.depthLimit else { return suppress(.groupsTooDeep, ReservedPort.none) }
    groupDepth += 1
    if isChosen {
      result.groups.append(GroupUse(group: id, counter: nil))
      let list = aside { $0.runBuckets(entry) }
      actions.append(.select(entry.counter.tally, [list]))
      keep()
    } else {
      result.groups.append(GroupUse(group: id, counter: entry.counter))
      runBuckets(entry)
    }
    groupDepth -= 1
  }

  private mutating func runBuckets(_ entry: GroupEntry) {
    switch entry.group.kind {
    case .all, .indirect:
      for position in entry.group.buckets.indices { runAlone(entry, position) }
    case .fastFailover: runFirstLive(entry)
    case .select: select(entry)
    }
  }

  private mutating func runFirstLive(_ entry: GroupEntry) {
    for (position, bucket) in entry.group.buckets.enumerated() {
      if isLive(bucket) { return runAlone(entry, position) }
      note(.deadBucket(bucket))
    }
    suppress(.noLiveBucket, ReservedPort.none)
  }

  private mutating func select(_ entry: GroupEntry) {
    let buckets = entry.group.buckets
    var isTaking: [Bool] = []
    for bucket in buckets {
      let isLive = isLive(bucket)
      if !isLive { note(.deadBucket(bucket)) }
      isTaking.append(isLive && bucket.weight > 0)
    }
    guard isTaking.contains(true) else { return suppress(.noLiveBucket, ReservedPort.none) }
    let table = entry.selectTable(isLive: isTaking)
    let wasChosen = isChosen
    isChosen = true
    let lists = buckets.indices.map { isTaking[$0] ? run(entry, $0) : [] }
    isChosen = wasChosen
    actions.append(.select(table, lists))
    // Even where no bucket sends anything: the workers count which one it would have been.
    keep()
  }

  private mutating func isLive(_ bucket: GroupBucket) -> Bool {
    if bucket.watchPort != nil || bucket.watchGroup != nil { result.floods = true }
    if let watched = bucket.watchGroup { result.groups.append(GroupUse(group: watched, counter: nil)) }
    return context.groups.isLive(bucket, ports: context.ports)
  }

  /// Runs a bucket that every packet of the flow meets.
  private mutating func runAlone(_ entry: GroupEntry, _ position: Int) {
    guard !isChosen else {
      actions.append(.select(entry.bucketCounters[position].tally, [run(entry, position)]))
      return keep()
    }
    result.groups.append(
      GroupUse(group: entry.group.id, bucket: entry.group.buckets[position].id, counter: entry.bucketCounters[position]))
    let list = run(entry, position)
    guard !list.isEmpty else { return }
    if list.allSatisfy(\.leavesFrameAlone) {
      actions.append(contentsOf: list)
    } else {
      actions.append(.clone(list))
    }
    keep()
  }

  /// Runs a bucket on a copy of the packet and returns what came of it.
  private mutating func run(_ entry: GroupEntry, _ position: Int) -> [FlowAction] {
    note(.bucket(entry.group.buckets[position], of: entry.group))
    let list = aside { run in _ = run.apply(entry.executed[position], then: .end) }
    note(.bucketEnds)
    return list
  }

  /// Does something with a copy of the packet and returns what came of it.
  private mutating func aside(_ body: (inout Self) -> Void) -> [FlowAction] {
    let outer = (actions, keptCount, state)
    actions = []
    keptCount = 0
    body(&self)
    let list = takeList()
    (actions, keptCount, state) = outer
    return list
  }
}

extension FlowAction {
  /// True when the frame is the same behind the action as in front of it.
  fileprivate var leavesFrameAlone: Bool {
    switch self {
    case .output, .controller, .clone: true
    default: false
    }
  }
}
