// RuleSubtable.swift
//
// What: the rules that share one mask, in a hash table; and, for each stage but the last, which partial hashes lead to any rule.
// Invariants: `slots` maps the hash of a masked key to the chain of entries with that hash, in falling priority.
//             `partial[i]` counts, per hash over the stages up to i, the entries that have it.
// Threads: confined to its RuleTable.
// Cost: a probe is one dictionary look-up per stage in use until a stage has no match. Adding or removing a rule changes
//       one entry per stage in use.

import Dataplane

/// The rules with one mask.
final class RuleSubtable {
  let shape: RuleShape
  /// Subtables whose highest priorities are equal keep the order in which they were made.
  let sequence: UInt64
  private(set) var count = 0
  private(set) var priorities = RulePriorities()
  private let stages: [StageWords]
  private var partial: [[UInt64: Int]]
  private var slots: [UInt64: RuleEntry] = [:]

  init(mask: FlowMask, sequence: UInt64) {
    shape = RuleShape(mask)
    self.sequence = sequence
    var inUse = LookupStage.allBits
      .map { StageWords(FlowMatch(mask.bits, $0).keyAsMask) }
      .filter { !$0.isEmpty }
    // The match-all mask has no stage in use; an empty one stands for it, so that the last stage always exists.
    if inUse.isEmpty { inUse.append(StageWords(FlowMask())) }
    stages = inUse
    partial = Array(repeating: [:], count: inUse.count - 1)
  }

  deinit {
    // Taken apart one by one: releasing the head of a long chain would recurse once per entry.
    forEach { $0.next = nil }
  }

  var mask: FlowMask { shape.mask }

  /// The highest priority of its rules.
  var highestPriority: UInt16 { priorities.highest ?? 0 }

  /// Every entry, in no order.
  func forEach(_ body: (RuleEntry) -> Void) {
    for head in slots.values {
      var entry: RuleEntry? = head
      while let current = entry {
        entry = current.next
        body(current)
      }
    }
  }

  /// Some entry for which `condition` holds.
  func first(where condition: (RuleEntry) -> Bool) -> RuleEntry? {
    for head in slots.values {
      var entry: RuleEntry? = head
      while let current = entry {
        if condition(current) { return current }
        entry = current.next
      }
    }
    return nil
  }

  /// True when a rule has this priority.
  func has(priority: UInt16) -> Bool { priorities.contains(priority) }

  /// Finds the rule of highest priority that a packet meets here, and notes in `looked` the bits that the answer depends on.
  func lookup(_ key: FlowKey, looked: inout FlowMask) -> RuleEntry? {
    let last = stages.count - 1
    let hash: UInt64? = withUnsafeBytes(of: key) { bytes in
      var hash: UInt64 = 0
      for i in 0..<last {
        looked = looked | stages[i].mask
        hash = stages[i].hash(bytes, after: hash)
        if partial[i][hash] == nil { return nil }
      }
      looked = looked | stages[last].mask
      return stages[last].hash(bytes, after: hash)
    }
    guard let hash else { return nil }
    return withUnsafeBytes(of: key) { bytes in
      guard let key = bytes.baseAddress else { return nil }
      var entry = slots[hash]
      while let current = entry {
        if shape.matches(key, current.words) { return current }
        entry = current.next
      }
      return nil
    }
  }

  /// The entry with exactly this key and priority.
  func find(_ key: FlowKey, priority: UInt16) -> RuleEntry? {
    withUnsafeBytes(of: key) { bytes in
      guard let start = bytes.baseAddress else { return nil }
      var entry = slots[hashes(key).full]
      while let current = entry {
        if current.priority == priority, shape.matches(start, current.words) { return current }
        entry = current.next
      }
      return nil
    }
  }

  /// Adds an entry. The caller has made sure that there is none with its key and priority.
  func insert(_ entry: RuleEntry) {
    let (prefixes, full) = hashes(entry.match.key)
    for (i, hash) in prefixes.enumerated() { partial[i][hash, default: 0] += 1 }
    priorities.insert(entry.priority)
    count += 1
    guard let head = slots[full], head.priority >= entry.priority else {
      entry.next = slots[full]
      slots[full] = entry
      return
    }
    var before = head
    while let next = before.next, next.priority >= entry.priority { before = next }
    entry.next = before.next
    before.next = entry
  }

  /// Removes an entry that is here.
  func remove(_ entry: RuleEntry) {
    let (prefixes, full) = hashes(entry.match.key)
    if slots[full] === entry {
      slots[full] = entry.next
    } else {
      var before = slots[full]
      while let current = before, current.next !== entry { before = current.next }
      before?.next = entry.next
    }
    entry.next = nil
    for (i, hash) in prefixes.enumerated() {
      let remaining = (partial[i][hash] ?? 1) - 1
      partial[i][hash] = remaining == 0 ? nil : remaining
    }
    priorities.remove(entry.priority)
    count -= 1
  }

  private func hashes(_ key: FlowKey) -> (prefixes: [UInt64], full: UInt64) {
    withUnsafeBytes(of: key) { bytes in
      var hash: UInt64 = 0
      var prefixes: [UInt64] = []
      prefixes.reserveCapacity(stages.count - 1)
      for stage in stages.dropLast() {
        hash = stage.hash(bytes, after: hash)
        prefixes.append(hash)
      }
      return (prefixes, stages[stages.count - 1].hash(bytes, after: hash))
    }
  }
}

extension FlowMatch {
  /// The key seen as a set of bits: what remains of a mask inside another.
  fileprivate var keyAsMask: FlowMask {
    var result = FlowMask()
    result.bits = key
    return result
  }
}
