// GroupTable.swift
//
// What: the groups of the switch: which there are, which of their buckets are alive, what they have counted.
// Invariants: a group refers only to groups that are there, and never, through others, to itself. Nested groups are at most
//             `depthLimit` deep. A bucket that keeps its id through a modification keeps its counters and, in a select group, its
//             place in the slots, so that a connection moves only if its bucket went. A packet counts for the group and bucket that it
//             went through, also when these are changed before its flow is: flows hold the counters themselves.
// Threads: confined to the pipeline thread.
// Cost: a change walks the groups that its buckets refer to; deleting one group walks all groups.

import Dataplane

/// Why a change of groups is refused.
public enum GroupError: Error, Hashable, Sendable, CustomStringConvertible {
  case badID(UInt32)
  case exists(UInt32)
  case unknown(UInt32)
  /// A bucket sends to or watches a group that is not there.
  case unknownReference(UInt32, from: UInt32)
  /// The group would reach itself.
  case loop(UInt32)
  case tooDeep(UInt32)
  /// Another group sends to it or watches it.
  case inUse(UInt32, by: UInt32)
  case notOneBucket(UInt32, count: Int)
  case nothingToWatch(UInt32, bucket: UInt32)
  case duplicateBucket(UInt32, bucket: UInt32)
  case tooManyBuckets(UInt32, count: Int)

  public var description: String {
    switch self {
    case .badID(let id): "group \(id): the largest number of a group is \(Group.largestID)"
    case .exists(let id): "group \(id) is there already; modify it, or choose another number"
    case .unknown(let id): "there is no group \(id); add it first"
    case .unknownReference(let id, let from): "group \(from) refers to group \(id), which is not there; add that one first"
    case .loop(let id): "group \(id) would send to itself through its buckets; break the circle"
    case .tooDeep(let id): "group \(id) would nest groups more than \(GroupTable.depthLimit) deep"
    case .inUse(let id, let by): "group \(id) is used by group \(by); delete or change that one first"
    case .notOneBucket(let id, let count): "group \(id) is indirect and has \(count) buckets; it takes exactly one"
    case .nothingToWatch(let id, let bucket):
      "group \(id) is fast_failover and its bucket \(bucket) watches nothing; give it watch_port or watch_group"
    case .duplicateBucket(let id, let bucket): "group \(id) has two buckets with the id \(bucket)"
    case .tooManyBuckets(let id, let count): "group \(id) has \(count) buckets; at most \(GroupTable.bucketLimit) are supported"
    }
  }
}

/// What a group or a bucket has counted.
public struct GroupCount: Hashable, Sendable {
  public var packets: UInt64 = 0
  public var bytes: UInt64 = 0

  public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
    self.packets = packets
    self.bytes = bytes
  }
}

/// A group in the table.
public final class GroupEntry {
  public let group: Group
  /// When the group was added: nanoseconds of the monotonic clock. Modifying keeps it.
  public let createdNanoseconds: UInt64
  /// The buckets' actions in the order of execution.
  let executed: [[RuleAction]]
  /// The choice among the live buckets as it was last asked for, the weights it was made for, and, when the group has been modified since, where
  /// each bucket was in it. It is kept while the group is of another kind: it has counted.
  private var table: SelectTable?
  private var weights: [UInt32] = []
  private var previousPositions: [Int?]?
  private let selectSeed: UInt64

  /// Counts the packets of the group.
  let counter: GroupCounter
  /// By the bucket's position; what the workers count for a select group is not in it.
  let bucketCounters: [GroupCounter]

  fileprivate init(_ group: Group, after old: GroupEntry?, selectSeed: UInt64, now: UInt64) {
    self.group = group
    self.selectSeed = selectSeed
    createdNanoseconds = old?.createdNanoseconds ?? now
    executed = group.buckets.map { ActionSet($0.actions).ordered }
    counter = old?.counter ?? GroupCounter()
    let oldBuckets = old?.group.buckets ?? []
    let oldPositions = Dictionary(uniqueKeysWithValues: oldBuckets.enumerated().map { ($1.id, $0) })
    let positions = group.buckets.map { oldPositions[$0.id] }
    bucketCounters = positions.map { position in position.flatMap { old?.bucketCounters[$0] } ?? GroupCounter() }
    if let old, let oldTable = old.table {
      table = oldTable
      // Nobody may have asked for a choice since the modification before this one.
      previousPositions = positions.map { position in position.flatMap { old.position(inTable: $0) } }
    }
  }

  /// Counted by flows of this group.
  public var count: GroupCount { counter.count }

  /// Where a bucket is in the choice that was last asked for; nil when it is newer.
  private func position(inTable position: Int) -> Int? { previousPositions.map { $0[position] } ?? position }

  /// The choice among the buckets that are alive; the same object as before while nothing has changed.
  ///
  /// - Parameter isLive: by position.
  func selectTable(isLive: [Bool]) -> SelectTable {
    let wanted = zip(group.buckets, isLive).map { bucket, isLive in isLive ? UInt32(bucket.weight) : 0 }
    if let table, previousPositions == nil, wanted == weights { return table }
    let made = SelectTable(weights: wanted, previous: table, previousIndices: previousPositions, seed: selectSeed)
    table = made
    weights = wanted
    previousPositions = nil
    return made
  }

  /// What a bucket has counted so far, in whatever kind of group.
  public func count(ofBucket position: Int) -> GroupCount {
    let credited = bucketCounters[position].count
    // Of a select group the workers choose, so they count.
    guard let table, let place = self.position(inTable: position) else { return credited }
    let counted = table.counts(ofBucket: place)
    return GroupCount(packets: credited.packets + counted.packets, bytes: credited.bytes + counted.bytes)
  }
}

/// The groups of the switch.
public final class GroupTable {
  /// Groups within groups.
  public static let depthLimit = 8
  /// Buckets of one group.
  public static let bucketLimit = 1024

  private var entries: [UInt32: GroupEntry] = [:]
  private let selectSeed: UInt64

  /// - Parameter selectSeed: what makes select groups choose otherwise than those of other switches.
  public init(selectSeed: UInt64 = 0) { self.selectSeed = selectSeed }

  public var count: Int { entries.count }

  /// All groups, in the order of their numbers.
  public var all: [GroupEntry] { entries.values.sorted { $0.group.id < $1.group.id } }

  /// The group with a number.
  public subscript(id: UInt32) -> GroupEntry? { entries[id] }

  /// Adds a group whose number is free.
  /// - Throws: `GroupError`, and nothing is changed.
  public func add(_ group: Group, nowNanoseconds: UInt64 = 0) throws(GroupError) {
    guard entries[group.id] == nil else { throw .exists(group.id) }
    try check(group)
    entries[group.id] = GroupEntry(group, after: nil, selectSeed: selectSeed, now: nowNanoseconds)
  }

  /// Replaces the kind and the buckets of a group that is there; its counters go on.
  /// - Throws: `GroupError`, and nothing is changed.
  public func modify(_ group: Group, nowNanoseconds: UInt64 = 0) throws(GroupError) {
    guard let old = entries[group.id] else { throw .unknown(group.id) }
    try check(group)
    entries[group.id] = GroupEntry(group, after: old, selectSeed: selectSeed, now: nowNanoseconds)
  }

  /// Deletes one group, or all.
  ///
  /// - Returns: the groups that went, in the order of their numbers. Deleting one that is not there is no error, as OpenFlow has it.
  /// - Throws: `GroupError.inUse` when another group refers to it.
  @discardableResult
  public func delete(_ id: UInt32?) throws(GroupError) -> [GroupEntry] {
    guard let id else {
      defer { entries = [:] }
      return all
    }
    guard let entry = entries[id] else { return [] }
    for other in all where other.group.id != id && other.group.references.contains(id) {
      throw .inUse(id, by: other.group.id)
    }
    entries[id] = nil
    return [entry]
  }

  /// A state to go back to when a later part of the same change is refused.
  public struct Checkpoint { fileprivate let entries: [UInt32: GroupEntry] }

  public func checkpoint() -> Checkpoint { Checkpoint(entries: entries) }

  /// Goes back to a state; counters stay as they are.
  public func restore(_ checkpoint: Checkpoint) { entries = checkpoint.entries }

  // MARK: Liveness

  /// True when a bucket can take packets: it watches nothing, or what it watches is up.
  public func isLive(_ bucket: GroupBucket, ports: PortSet) -> Bool { isLive(bucket, ports, depth: 0) }

  private func isLive(_ bucket: GroupBucket, _ ports: PortSet, depth: Int) -> Bool {
    if let port = bucket.watchPort, let found = ports[port], found.isUp { return true }
    if let id = bucket.watchGroup, depth < Self.depthLimit, let watched = entries[id] {
      return watched.group.buckets.contains { isLive($0, ports, depth: depth + 1) }
    }
    return bucket.watchPort == nil && bucket.watchGroup == nil
  }

  // MARK: Checks

  private func check(_ group: Group) throws(GroupError) {
    let id = group.id
    guard id <= Group.largestID else { throw .badID(id) }
    guard group.buckets.count <= Self.bucketLimit else { throw .tooManyBuckets(id, count: group.buckets.count) }
    var ids: Set<UInt32> = []
    for bucket in group.buckets {
      guard ids.insert(bucket.id).inserted else { throw .duplicateBucket(id, bucket: bucket.id) }
      if group.kind == .fastFailover, bucket.watchPort == nil, bucket.watchGroup == nil {
        throw .nothingToWatch(id, bucket: bucket.id)
      }
    }
    if group.kind == .indirect, group.buckets.count != 1 { throw .notOneBucket(id, count: group.buckets.count) }
    let references = group.references
    guard !references.contains(id) else { throw .loop(id) }
    for reference in references where entries[reference] == nil { throw .unknownReference(reference, from: id) }
    let below = try depth(below: references, of: id, limit: Self.depthLimit - 1)
    // Groups that already lead here get deeper by what hangs below this one.
    guard above(id, limit: Self.depthLimit) + 1 + below <= Self.depthLimit else { throw .tooDeep(id) }
  }

  /// How many levels of groups lie below some groups, those included.
  private func depth(below references: Set<UInt32>, of id: UInt32, limit: Int) throws(GroupError) -> Int {
    guard !references.isEmpty else { return 0 }
    guard limit > 0 else { throw .tooDeep(id) }
    var deepest = 0
    for reference in references {
      guard reference != id else { throw .loop(id) }
      deepest = max(deepest, try depth(below: entries[reference]?.group.references ?? [], of: id, limit: limit - 1))
    }
    return deepest + 1
  }

  /// How many levels of groups lie above a group.
  private func above(_ id: UInt32, limit: Int) -> Int {
    guard limit > 0 else { return 0 }
    var highest = 0
    for entry in entries.values where entry.group.id != id && entry.group.references.contains(id) {
      highest = max(highest, 1 + above(entry.group.id, limit: limit - 1))
    }
    return highest
  }
}
