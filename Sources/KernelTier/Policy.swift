// Policy.swift
//
// The early drop policy of all ports: what the programs on uplinks do with a packet before anything else looks at it. One policy serves all
// ports. The most specific denied prefix that holds a packet's source drops and counts it; then denied five-tuples; then the most specific
// limited prefix lets it pass or drops it.
// Invariants: this object is the only writer of keys. A change that does not fit changes nothing. Adding what is there keeps its counters,
//       and removing what is not there is nothing. The maps live as long as this object, a pin, or a program that uses them.
// Threads: any; calls are serialised by a lock. A packet that is processed during a change sees each entry as before or as after it. A packet
//       that an entry drops at the very moment of its removal may count for the next entry that takes the slot.
// Cost: no system calls: entries are written into the mapped table, some 100 ns each; a list reads 16 MB. Single removals are cheap, because
//       hints are made exact again only when an eighth of the entries is gone.

import CSluice
import Synchronization

/// The early drop policy of all ports. Make it before the first port.
public final class Policy: Sendable {
  /// Most entries of all kinds together.
  public static let capacity = Int(SLUICE_POLICY_CAPACITY)
  /// Most limits among them.
  public static let limitCapacity = Int(SLUICE_LIMITS)
  /// Where this version's policy is pinned.
  public static var directory: String { "\(FlowTableMaps.root)/policy-v\(SLUICE_POLICY_ABI)" }

  let maps: PolicyMaps
  private let table: PolicyTableBox
  private let books: Mutex<Books>

  /// How many entries there are.
  public struct Counts: Sendable, Hashable {
    public var prefixes = 0
    public var tuples = 0
    public var limits = 0
    public var total: Int { prefixes + tuples + limits }

    public init(prefixes: Int = 0, tuples: Int = 0, limits: Int = 0) {
      self.prefixes = prefixes
      self.tuples = tuples
      self.limits = limits
    }
  }

  private struct Books {
    var counts = Counts()
    var freeLimits: [UInt32] = []
    /// Since the hints were exact.
    var removed = 0
  }

  // MARK: Life

  /// Makes an empty policy that is not pinned.
  /// - Throws: `.system` when the kernel makes no such maps, mostly for lack of rights.
  public convenience init() throws(KernelTierError) { self.init(try PolicyMaps.create()) }

  /// Opens what is pinned, or makes and pins a policy. Programs of an agent before this one use the same entries and counters.
  public static func openOrCreate(directory: String = Policy.directory) throws(KernelTierError) -> Policy {
    var discarded: String?
    do throws(KernelTierError) {
      if let maps = try PolicyMaps.open(directory: directory) { return Policy(maps) }
    } catch {
      guard case .pinned = error else { throw error }
      discarded = "\(error)"
      try unpin(directory: directory)
    }
    let maps = try PolicyMaps.create(discarded: discarded)
    try maps.pin(directory: directory)
    return Policy(maps)
  }

  /// Removes the pins; the policy lives on as long as a program or an agent uses it.
  /// - Returns: false when nothing was pinned.
  @discardableResult
  public static func unpin(directory: String = Policy.directory) throws(KernelTierError) -> Bool {
    try BPFSystem.removePins(directory)
  }

  private init(_ maps: PolicyMaps) {
    self.maps = maps
    table = PolicyTableBox(PolicyTable(maps))
    var books = Books()
    var usedLimits: Set<UInt32> = []
    // What is new is not looked through, so its pages are not mapped.
    for index in 0..<(maps.isNew ? 0 : PolicyTable.slotCount) {
      guard let words = table.table.words(at: index) else { continue }
      // A limit whose bucket another entry has, too, or words that are no key as we write it, whose hints could lie anywhere: it goes, and
      // the agent adds it again.
      guard let key = words.key, PolicyWords(key) == words, !Self.isLimit(key) || Self.claim(table.table[index].limit, &usedLimits) else {
        table.table.remove(at: index)
        continue
      }
      Self.count(key, 1, &books.counts)
    }
    books.freeLimits = (0..<UInt32(SLUICE_LIMITS)).reversed().filter { !usedLimits.contains($0) }
    if !maps.isNew { table.table.rebuild() }
    self.books = Mutex(books)
  }

  private static func claim(_ limit: UInt32, _ used: inout Set<UInt32>) -> Bool {
    limit < UInt32(SLUICE_LIMITS) && used.insert(limit).inserted
  }

  /// Why the policy that was pinned before could not be taken, when that was so.
  public var discarded: String? { maps.discarded }

  // MARK: Entries

  public var counts: Counts { books.withLock { $0.counts } }

  /// Adds rules: all, or none when they do not fit. One that is there keeps its counters; a limit takes the new rate.
  /// - Returns: how many were not there before.
  /// - Throws: `.policyFull`.
  @discardableResult
  public func add(_ rules: [PolicyRule]) throws(KernelTierError) -> Int {
    try books.withLock { books throws(KernelTierError) in try add(rules, &books) }
  }

  /// Removes entries, exactly these; those that are not there are passed over.
  /// - Returns: how many were there.
  @discardableResult
  public func remove(_ keys: [PolicyKey]) -> Int {
    books.withLock { books in
      var removed = 0
      for key in keys where remove(key, &books) { removed += 1 }
      if removed > 0 { tidy(&books) }
      return removed
    }
  }

  /// Makes the policy consist of exactly these rules; what is there already keeps its counters.
  /// - Throws: `.policyFull`; nothing was changed then but that entries which were not wanted are gone.
  public func replace(with rules: [PolicyRule]) throws(KernelTierError) {
    let wanted = Set(rules.map(\.key))
    try books.withLock { books throws(KernelTierError) in
      for index in 0..<PolicyTable.slotCount {
        guard let key = table.table.words(at: index)?.key, !wanted.contains(key) else { continue }
        _ = remove(key, &books)
      }
      tidy(&books)
      _ = try add(rules, &books)
    }
  }

  /// Whether exactly this entry is there.
  public func contains(_ key: PolicyKey) -> Bool {
    books.withLock { _ in table.table.find(PolicyWords(key)) != nil }
  }

  /// Everything with its counters, sorted: prefixes, five-tuples, limits.
  public func entries() -> [PolicyEntry] {
    let found = books.withLock { _ in (0..<PolicyTable.slotCount).compactMap { entry(at: $0) } }
    return found.sorted { $0.rule.key < $1.rule.key }
  }

  // MARK: Under the lock

  private func add(_ rules: [PolicyRule], _ books: inout Books) throws(KernelTierError) -> Int {
    try requireRoom(rules, books)
    var added: [PolicyKey] = []
    for rule in rules {
      let words = PolicyWords(rule.key)
      if let index = table.table.find(words) {
        if let rate = rule.rate { setRate(rate, of: table.table[index].limit, slot: index, isNew: false) }
        continue
      }
      var limit: UInt32 = 0
      if rule.rate != nil {
        guard let free = books.freeLimits.popLast() else { throw undo(added, &books, adding: rules.count) }
        limit = free
      }
      // The bucket is ready before the entry is there.
      if let rate = rule.rate { setRate(rate, of: limit, slot: 0, isNew: true) }
      guard let index = table.table.insert(words, limit: limit) else {
        if rule.rate != nil { books.freeLimits.append(limit) }
        throw undo(added, &books, adding: rules.count)
      }
      if rule.rate != nil { maps.limits.base[Int(limit)].slot = UInt32(index) }
      table.table.addHints(words)
      Self.count(rule.key, 1, &books.counts)
      added.append(rule.key)
    }
    return added.count
  }

  /// Throws before anything is changed, if the rules do not fit.
  private func requireRoom(_ rules: [PolicyRule], _ books: Books) throws(KernelTierError) {
    let limits = rules.count { $0.rate != nil }
    // Counting what is new is worth its time only when it may not fit.
    guard books.counts.total + rules.count > Self.capacity || limits > books.freeLimits.count else { return }
    let new = Set(rules.map(\.key)).filter { table.table.find(PolicyWords($0)) == nil }
    let newLimits = new.count(where: Self.isLimit)
    guard newLimits <= books.freeLimits.count else {
      throw .policyFull(what: "limits", capacity: Self.limitCapacity, present: books.counts.limits, adding: newLimits)
    }
    guard books.counts.total + new.count <= Self.capacity else {
      throw .policyFull(what: "entries", capacity: Self.capacity, present: books.counts.total, adding: new.count)
    }
  }

  /// Takes back what was added when the next entry finds no place near enough, which takes keys that were made to collide.
  private func undo(_ added: [PolicyKey], _ books: inout Books, adding: Int) -> KernelTierError {
    let present = books.counts.total - added.count
    for key in added { _ = remove(key, &books) }
    tidy(&books)
    return .policyFull(what: "entries", capacity: Self.capacity, present: present, adding: adding)
  }

  private func remove(_ key: PolicyKey, _ books: inout Books) -> Bool {
    guard let index = table.table.find(PolicyWords(key)) else { return false }
    if Self.isLimit(key) { books.freeLimits.append(table.table[index].limit) }
    table.table.remove(at: index)
    Self.count(key, -1, &books.counts)
    books.removed += 1
    return true
  }

  private func tidy(_ books: inout Books) {
    guard books.removed > books.counts.total / 8 else { return }
    table.table.rebuild()
    books.removed = 0
  }

  private func setRate(_ rate: PacketRate, of limit: UInt32, slot: Int, isNew: Bool) {
    let bucket = maps.limits.base + Int(limit)
    let perSecond = 1_000_000_000 * UInt64(SLUICE_LIMIT_TICKS)
    let interval = (perSecond + rate.packetsPerSecond / 2) / rate.packetsPerSecond
    if isNew {
      bucket.pointee = sluice_limit()
    } else {
      guard bucket.pointee.rate != rate.packetsPerSecond || bucket.pointee.burst != rate.burst else { return }
      // What a slower rate made due in a far future is no debt at the new one.
      sluice_store_release_u64(&bucket.pointee.due, 0)
    }
    bucket.pointee.interval = interval
    bucket.pointee.tolerance = UInt64(rate.burst - 1) * interval
    bucket.pointee.rate = rate.packetsPerSecond
    bucket.pointee.burst = rate.burst
    bucket.pointee.slot = UInt32(slot)
  }

  private func entry(at index: Int) -> PolicyEntry? {
    guard let key = table.table.words(at: index)?.key else { return nil }
    let slot = table.table[index]
    let dropped = table.table.dropped(at: index)
    guard case .limit(let prefix) = key else { return PolicyEntry(rule: PolicyRule(key: key, rate: nil), dropped: dropped) }
    let bucket = maps.limits.base[Int(slot.limit)]
    guard let rate = try? PacketRate(packetsPerSecond: bucket.rate, burst: bucket.burst) else { return nil }
    return PolicyEntry(
      rule: .limit(prefix, to: rate), dropped: dropped, passed: XDPCounter(packets: bucket.packets, bytes: bucket.bytes))
  }

  private static func isLimit(_ key: PolicyKey) -> Bool {
    if case .limit = key { true } else { false }
  }

  private static func count(_ key: PolicyKey, _ change: Int, _ counts: inout Counts) {
    switch key {
    case .prefix: counts.prefixes += change
    case .tuple: counts.tuples += change
    case .limit: counts.limits += change
    }
  }

  // MARK: For programs and tests

  /// What the programs take for the time; 0: the kernel's clock.
  func setTestTime(_ nanoseconds: UInt64) { maps.state.base.pointee.test_time = nanoseconds }
}

/// The table's pointers, which are valid as long as the maps; only the holder of the policy's lock uses them.
private struct PolicyTableBox: @unchecked Sendable {
  let table: PolicyTable
  init(_ table: PolicyTable) { self.table = table }
}
