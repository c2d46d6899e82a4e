// PolicyTable.swift
//
// The table of the early drop policy in the memory that the programs read (BPF/policy_abi.h), and the hints that lead to it.
// Idea: open addressing with linear probing; each slot counts the entries that passed over it, so a removal needs no tombstone and moves
//       nothing. Denied IPv4 hosts stand beside the counters, too, which is all that most drops read. Hints are only added to one by one;
//       a rebuild out of the table makes them exact again.
// Invariants: a key's first word is written last and cleared first. An entry is complete before its host or a hint leads to it, and the host
//       is cleared before the entry.
// Threads: one writer at a time (Policy's lock); programs read at any time.
// Cost: an insertion or removal touches a cache line or two; a rebuild reads all slots, some ten milliseconds.

import CSluice

/// The five words of a key.
struct PolicyWords: Hashable {
  var word0: UInt64
  var word1: UInt64 = 0
  var word2: UInt64 = 0
  var word3: UInt64 = 0
  var word4: UInt64 = 0

  var kind: sluice_policy_kind { sluice_policy_kind(UInt32(word0 & 0xff)) }
  /// Length of a prefix, or fields of a tuple.
  var detail: Int { Int(word0 >> 8 & 0xff) }
  /// The address of an IPv4 host that is denied; 0 for all other entries, and so for 0.0.0.0.
  fileprivate var deniedHost: UInt32 {
    kind == SLUICE_KIND_DENY_V4 && detail == 32 ? UInt32(truncatingIfNeeded: word1) : 0
  }
  fileprivate var place: Int { Int(sluice_policy_place(word0, word1, word2, word3, word4)) }
}

struct PolicyTable {
  private let slots: UnsafeMutablePointer<sluice_policy_slot>
  /// Those of denials, then those of limits.
  private let hints: UnsafeMutableRawPointer
  private let drops: UnsafeMutablePointer<sluice_policy_drops>
  private let shards: Int
  private let state: UnsafeMutablePointer<sluice_policy>

  static let slotCount = Int(SLUICE_POLICY_SLOTS)
  private static let hintsSize = Int(SLUICE_HINTS_SIZE)

  /// The maps are mapped for as long as this value is used.
  init(_ maps: PolicyMaps) {
    slots = maps.slots.base
    hints = UnsafeMutableRawPointer(maps.hints.base)
    drops = maps.drops.base
    shards = maps.drops.count / Self.slotCount
    state = maps.state.base
  }

  subscript(index: Int) -> sluice_policy_slot { slots[index] }

  func words(at index: Int) -> PolicyWords? {
    let key = slots[index].key
    return key.0 == 0 ? nil : PolicyWords(word0: key.0, word1: key.1, word2: key.2, word3: key.3, word4: key.4)
  }

  /// What the entry of a slot dropped.
  ///
  /// A program that takes packets over the end of a counter does so in two steps; who reads between them sees 2^32 too few, and reads again.
  func dropped(at index: Int) -> XDPCounter {
    var last = sum(at: index)
    while true {
      let sum = sum(at: index)
      if sum.packets &- last.packets < 1 << 31 { return sum }
      last = sum
    }
  }

  private func sum(at index: Int) -> XDPCounter {
    var sum = XDPCounter(packets: slots[index].wrapped, bytes: 0)
    for shard in 0..<shards {
      let drops = drops[shard * Self.slotCount + index]
      sum = sum + XDPCounter(packets: UInt64(drops.packets), bytes: drops.bytes)
    }
    return sum
  }

  /// Lets programs find the entry of a slot by the address of the host that it denies; 0: by that no more.
  private func setHost(_ host: UInt32, at index: Int) {
    for shard in 0..<shards {
      let place = drops + shard * Self.slotCount + index
      if place.pointee.host != host { sluice_store_release_u32(&place.pointee.host, host) }
    }
  }

  /// The slot of a key, as the programs search it.
  func find(_ words: PolicyWords) -> Int? {
    var index = words.place
    for _ in 0..<Int(SLUICE_POLICY_REACH) {
      if self.words(at: index) == words { return index }
      if slots[index].beyond == 0 { return nil }
      index = Self.next(index)
    }
    return nil
  }

  private static func next(_ index: Int) -> Int { Int(sluice_policy_next(UInt32(index))) }

  /// Calls `body` with each slot that a search passes over on its way to an entry's; with none when no search would come there, as when
  /// what was pinned is not ours.
  private static func passed(_ words: PolicyWords, to index: Int, _ body: (Int) -> Void) {
    let place = words.place
    let distance = (index - place) & (slotCount - 1)
    guard distance % Int(SLUICE_POLICY_STEP) == 0, distance / Int(SLUICE_POLICY_STEP) < Int(SLUICE_POLICY_REACH) else { return }
    var at = place
    while at != index {
      body(at)
      at = next(at)
    }
  }

  /// Puts an entry in that is not there. Nothing leads to it until `addHints`, if it is a prefix.
  /// - Returns: its slot; nil when none is free within reach.
  func insert(_ words: PolicyWords, limit: UInt32) -> Int? {
    var index = words.place
    var distance = 0
    while slots[index].key.0 != 0 {
      distance += 1
      if distance == Int(SLUICE_POLICY_REACH) { return nil }
      index = Self.next(index)
    }
    Self.passed(words, to: index) { slots[$0].beyond &+= 1 }
    for shard in 0..<shards { drops[shard * Self.slotCount + index] = sluice_policy_drops() }
    let slot = slots + index
    slot.pointee.key.1 = words.word1
    slot.pointee.key.2 = words.word2
    slot.pointee.key.3 = words.word3
    slot.pointee.key.4 = words.word4
    slot.pointee.wrapped = 0
    slot.pointee.limit = limit
    sluice_store_release_u64(&slot.pointee.key.0, words.word0)
    setHost(words.deniedHost, at: index)
    return index
  }

  /// Takes an entry out; hints to it stay until the next rebuild. Counts that an agent which was killed left wrong wrap until then.
  func remove(at index: Int) {
    guard let words = words(at: index) else { return }
    setHost(0, at: index)
    sluice_store_release_u64(&slots[index].key.0, 0)
    Self.passed(words, to: index) { slots[$0].beyond &-= 1 }
  }

  // MARK: Hints

  /// Lets the programs look for an entry that is in the table.
  func addHints(_ words: PolicyWords) {
    let use = Self.mark(words, in: hints)
    if words.kind == SLUICE_KIND_TUPLE_V4 { state.pointee.shapes_v4 |= 1 << UInt32(words.detail) }
    if words.kind == SLUICE_KIND_TUPLE_V6 { state.pointee.shapes_v6 |= 1 << UInt32(words.detail) }
    sluice_store_release_u32(&state.pointee.use, state.pointee.use | use)
  }

  /// Makes the hints, the hosts, what is in use, and the counts of passed-over entries exactly what the entries need.
  ///
  /// What an agent that was killed left half done is repaired so, too.
  func rebuild() {
    let size = Int(SLUICE_HINTS.rawValue) * Self.hintsSize
    let wanted = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    defer { wanted.deallocate() }
    wanted.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    var beyond = [UInt32](repeating: 0, count: Self.slotCount)
    var use: UInt32 = 0
    var shapes: (v4: UInt32, v6: UInt32) = (0, 0)
    for index in 0..<Self.slotCount {
      guard let words = words(at: index) else { continue }
      use |= Self.mark(words, in: wanted)
      if words.kind == SLUICE_KIND_TUPLE_V4 { shapes.v4 |= 1 << UInt32(words.detail) }
      if words.kind == SLUICE_KIND_TUPLE_V6 { shapes.v6 |= 1 << UInt32(words.detail) }
      Self.passed(words, to: index) { beyond[$0] += 1 }
    }
    for index in 0..<Self.slotCount {
      if slots[index].beyond != beyond[index] { slots[index].beyond = beyond[index] }
      setHost(words(at: index)?.deniedHost ?? 0, at: index)
    }
    for offset in stride(from: 0, to: size, by: 8) {
      let word = wanted.load(fromByteOffset: offset, as: UInt64.self)
      let place = (hints + offset).assumingMemoryBound(to: UInt64.self)
      if place.pointee != word { sluice_store_relaxed_u64(place, word) }
    }
    state.pointee.shapes_v4 = shapes.v4
    state.pointee.shapes_v6 = shapes.v6
    sluice_store_release_u32(&state.pointee.use, use)
  }

  /// Sets the bits of a prefix; those of a short one are in many places.
  /// - Returns: what is in use because of the entry (enum sluice_policy_use).
  private static func mark(_ words: PolicyWords, in hints: UnsafeMutableRawPointer) -> UInt32 {
    let length = words.detail
    switch words.kind {
    case SLUICE_KIND_DENY_V4: return markV4(words.word1, length, hints) << 0
    case SLUICE_KIND_DENY_V6: return markV6(words.word1, length, hints) << 2
    case SLUICE_KIND_LIMIT_V4: return markV4(words.word1, length, hints + hintsSize) << 4
    case SLUICE_KIND_LIMIT_V6: return markV6(words.word1, length, hints + hintsSize) << 6
    case SLUICE_KIND_TUPLE_V4: return SLUICE_USE_TUPLE_V4.rawValue
    default: return SLUICE_USE_TUPLE_V6.rawValue
    }
  }

  /// 1: wide hints are in use; 2: narrow ones.
  private static func markV4(_ address: UInt64, _ length: Int, _ hints: UnsafeMutableRawPointer) -> UInt32 {
    if length >= Int(SLUICE_HINT_V4_SPLIT) {
      let offset = Int(SLUICE_HINT_V4_NARROW_AT) + 2 * Int(sluice_hint_v4(UInt32(address)))
      set(UInt16(1) << UInt16(32 - length), hints + offset)
      return 2
    }
    markWide(first: Int(address >> 16), length: length, bit: Int(SLUICE_HINT_V4_SPLIT) - 1 - length, hints)
    return 1
  }

  private static func markV6(_ high: UInt64, _ length: Int, _ hints: UnsafeMutableRawPointer) -> UInt32 {
    if length >= Int(SLUICE_HINT_V6_SPLIT) {
      let pair = hints + Int(SLUICE_HINT_V6_NARROW_AT) + 16 * Int(sluice_hint_v6(UInt32(high >> 32)))
      if length > 64 { set(UInt64(1) << UInt64(128 - length), pair) } else { set(UInt64(1) << UInt64(64 - length), pair + 8) }
      return 2
    }
    markWide(first: Int(high >> 48), length: length, bit: Int(SLUICE_HINT_V6_SPLIT) - 1 - length, hints + Int(SLUICE_HINT_V6_WIDE_AT))
    return 1
  }

  private static func markWide(first: Int, length: Int, bit: Int, _ table: UnsafeMutableRawPointer) {
    for index in first..<first + (1 << max(0, 16 - length)) { set(UInt32(1) << UInt32(bit), table + 4 * index) }
  }

  private static func set<Bits: FixedWidthInteger>(_ bits: Bits, _ place: UnsafeMutableRawPointer) {
    let place = place.assumingMemoryBound(to: Bits.self)
    if place.pointee & bits == 0 { place.pointee |= bits }
  }
}
