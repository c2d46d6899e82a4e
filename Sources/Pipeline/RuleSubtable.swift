// RuleSubtable.swift
//
// What: the rules that share one mask, in a hash table; and, for each stage but the last, which partial hashes lead to any rule.
// Invariants: `slots` has the chains of entries by the hash of their words. `partial[i]` counts, per hash over the stages up to i, the
//             entries that have it.
// Threads: confined to its RuleTable.
// Cost: a search is one probe per stage in use until a stage has no match, and before that at most a look at what the tries said;
//       adding or removing a rule is one probe per stage in use. No allocation but for growing.

import Dataplane

/// The rules with one mask.
final class RuleSubtable {
  let shape: RuleShape
  /// Subtables whose highest priorities are equal keep the order in which they were made.
  let sequence: UInt64
  private(set) var count = 0
  private(set) var priorities = RulePriorities()
  /// The prefixes that the rules match, in the order of the stages.
  let checks: UnsafeMutableBufferPointer<PrefixCheck>
  private let stages: UnsafeMutableBufferPointer<Stage>
  private let words: UnsafeMutableBufferPointer<MaskedWord>
  /// For each stage but the last.
  private let partial: UnsafeMutablePointer<HashCounts>
  private var slots = RuleSlots()
  private let secret = StageHash.secret

  /// Which of `words` and of `checks` belong to a stage.
  private struct Stage {
    let words: Range<Int>
    let checks: Range<Int>
  }

  init(mask: FlowMask, sequence: UInt64) {
    self.sequence = sequence
    shape = RuleShape(mask)
    var stages: [Stage] = []
    var words: [MaskedWord] = []
    var checks: [PrefixCheck] = []
    for stage in LookupStage.allCases {
      let (firstWord, firstCheck) = (words.count, checks.count)
      words += MaskedWord.words(of: mask.intersection(LookupStage.allBits[stage.rawValue]))
      guard words.count > firstWord else { continue }
      for field in PrefixField.allCases where field.stage == stage {
        let length = field.length(in: mask)
        if length > 0 { checks.append(PrefixCheck(field: field, length: UInt8(length))) }
      }
      stages.append(Stage(words: firstWord..<words.count, checks: firstCheck..<checks.count))
    }
    self.stages = .allocate(capacity: stages.count)
    _ = self.stages.initialize(from: stages)
    self.words = .allocate(capacity: words.count)
    _ = self.words.initialize(from: words)
    self.checks = .allocate(capacity: checks.count)
    _ = self.checks.initialize(from: checks)
    partial = .allocate(capacity: max(0, stages.count - 1))
    for place in 0..<max(0, stages.count - 1) { (partial + place).initialize(to: HashCounts()) }
  }

  deinit {
    partial.deinitialize(count: max(0, stages.count - 1))
    partial.deallocate()
    stages.deallocate()
    words.deallocate()
    checks.deallocate()
  }

  var mask: FlowMask { shape.mask }

  /// The highest priority of its rules.
  var highestPriority: UInt16 { priorities.highest ?? 0 }

  /// True when a rule has this priority.
  func has(priority: UInt16) -> Bool { priorities.contains(priority) }

  /// Every entry, in no order.
  func forEach(_ body: (RuleEntry) -> Void) { slots.forEach(body) }

  /// Finds the rule of highest priority that a packet meets here, and notes in `looked` the bits that the answer depends on.
  @inline(__always)
  func lookup(
    _ key: UnsafeRawPointer, looked: UnsafeMutableRawPointer, _ search: inout PrefixSearch, _ tries: borrowing PrefixTries
  ) -> Unmanaged<RuleEntry>? {
    var hash: UInt64 = 0
    for number in 0..<stages.count {
      let stage = stages[number]
      for place in stage.checks where search.excludes(checks[place], key, looked, tries) { return nil }
      for place in stage.words {
        let word = words[place]
        let offset = word.index &* 8
        let seen = looked.load(fromByteOffset: offset, as: UInt64.self)
        looked.storeBytes(of: seen | word.mask, toByteOffset: offset, as: UInt64.self)
        hash = StageHash.mix(hash, key.load(fromByteOffset: offset, as: UInt64.self) & word.mask, secret)
      }
      if number < stages.count - 1, !partial[number].contains(hash) { return nil }
    }
    return slots.find(hash, key, shape)
  }

  /// The entry with exactly this key and priority.
  func find(_ key: FlowKey, priority: UInt16) -> RuleEntry? {
    withUnsafeBytes(of: key) { bytes in
      guard let key = bytes.baseAddress else { return nil }
      var hash: UInt64 = 0
      for word in words { hash = StageHash.mix(hash, key.load(fromByteOffset: word.index * 8, as: UInt64.self) & word.mask, secret) }
      var entry = slots.find(hash, key, shape)?.takeUnretainedValue()
      while let current = entry {
        if current.priority == priority { return current }
        entry = current.next
      }
      return nil
    }
  }

  /// Adds an entry. The caller has made sure that there is none with its words and priority.
  func insert(_ entry: RuleEntry, _ key: UnsafeRawPointer) {
    var hash: UInt64 = 0
    for number in 0..<stages.count {
      hash = extend(hash, key, stages[number])
      if number < stages.count - 1 { partial[number].insert(hash) }
    }
    slots.insert(entry, hash)
    priorities.insert(entry.priority)
    count += 1
  }

  /// Removes an entry that is here.
  func remove(_ entry: RuleEntry, _ key: UnsafeRawPointer) {
    var hash: UInt64 = 0
    for number in 0..<stages.count {
      hash = extend(hash, key, stages[number])
      if number < stages.count - 1 { partial[number].remove(hash) }
    }
    slots.remove(entry, hash)
    priorities.remove(entry.priority)
    count -= 1
  }

  @inline(__always)
  private func extend(_ hash: UInt64, _ key: UnsafeRawPointer, _ stage: Stage) -> UInt64 {
    var hash = hash
    for place in stage.words {
      let word = words[place]
      hash = StageHash.mix(hash, key.load(fromByteOffset: word.index &* 8, as: UInt64.self) & word.mask, secret)
    }
    return hash
  }
}
