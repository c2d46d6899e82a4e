// Group.swift
//
// What: a group is what somebody asked for under a number: a kind and a list of buckets, each an action set and perhaps something
//       that says whether it is alive. GroupText.swift writes and reads them, GroupTable.swift holds them.
// Invariants: none of its own; GroupTable refuses what makes no sense.
// Threads: values.
// Source: OpenFlow Switch Specification 1.3.5, section 5.6.

import Dataplane

/// How a group chooses among its buckets.
public enum GroupKind: UInt8, CaseIterable, Hashable, Sendable {
  /// Every bucket gets a copy.
  case all
  /// One live bucket, chosen by a hash over the packet and by the buckets' weights.
  case select
  /// The one bucket there is.
  case indirect
  /// The first live bucket.
  case fastFailover

  /// The kind's name in text.
  public var name: String {
    switch self {
    case .all: "all"
    case .select: "select"
    case .indirect: "indirect"
    case .fastFailover: "fast_failover"
    }
  }
}

/// One of the choices of a group.
public struct GroupBucket: Hashable, Sendable {
  /// Identifies the bucket when its group is modified: its counters and its share of a select group's slots stay.
  public var id: UInt32
  /// The share of a select group's packets, relative to the other buckets' weights; 0 takes none.
  public var weight: UInt16
  /// The bucket is alive while this port is up.
  public var watchPort: UInt32?
  /// The bucket is alive while this group has a live bucket.
  public var watchGroup: UInt32?
  /// An action set, in the order in which somebody wrote it; executed in the order of OpenFlow's section 5.10.
  public var actions: [RuleAction]

  public init(
    id: UInt32, weight: UInt16 = 1, watchPort: UInt32? = nil, watchGroup: UInt32? = nil, actions: [RuleAction]
  ) {
    self.id = id
    self.weight = weight
    self.watchPort = watchPort
    self.watchGroup = watchGroup
    self.actions = actions
  }
}

/// A group as somebody asked for it.
public struct Group: Hashable, Sendable {
  /// The largest number that a group can have (OFPG_MAX).
  public static let largestID: UInt32 = 0xffff_ff00

  public var id: UInt32
  public var kind: GroupKind
  public var buckets: [GroupBucket]

  public init(id: UInt32, kind: GroupKind, buckets: [GroupBucket]) {
    self.id = id
    self.kind = kind
    self.buckets = buckets
  }

  /// The groups that its buckets send to or watch.
  public var references: Set<UInt32> {
    var found: Set<UInt32> = []
    for bucket in buckets {
      if let watched = bucket.watchGroup { found.insert(watched) }
      for case .group(let id) in bucket.actions { found.insert(id) }
    }
    return found
  }
}

/// What a group or a bucket has counted: an object, so that what a flow counts goes where it belongs even when the group has been changed
/// or deleted, or another one has its number by the time the flow is looked at. Confined to the pipeline thread.
public final class GroupCounter {
  private var added = GroupCount()
  private var chosen: SelectTable?

  public init() {}

  /// Adds what a flow has counted.
  public func add(packets: UInt64, bytes: UInt64) {
    added.packets += packets
    added.bytes += bytes
  }

  /// A choice among one, by which workers count what only they know: packets that a select group sent here.
  var tally: SelectTable {
    if let chosen { return chosen }
    let made = SelectTable(weights: [1], previous: nil)
    chosen = made
    return made
  }

  public var count: GroupCount {
    guard let counted = chosen?.counts(ofBucket: 0) else { return added }
    return GroupCount(packets: added.packets + counted.packets, bytes: added.bytes + counted.bytes)
  }
}

/// A group that an answer of the translator depends on, and the bucket when the pipeline knows which.
public struct GroupUse: Hashable {
  public let group: UInt32
  /// The bucket's id; nil for the group as a whole, and for select groups, whose buckets the workers choose and
  /// count.
  public let bucket: UInt32?
  /// Counts the packets. nil when they do not go through the group, because a bucket of another one watches whether it is alive, and when the
  /// workers count them, because a select group sends them there.
  public let counter: GroupCounter?

  public init(group: UInt32, bucket: UInt32? = nil, counter: GroupCounter?) {
    self.group = group
    self.bucket = bucket
    self.counter = counter
  }

  /// The same group and bucket with another counter is another use: the group has been deleted and made again in between.
  public static func == (a: GroupUse, b: GroupUse) -> Bool {
    a.group == b.group && a.bucket == b.bucket && a.counter === b.counter
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(group)
    hasher.combine(bucket)
    hasher.combine(counter.map(ObjectIdentifier.init))
  }
}
