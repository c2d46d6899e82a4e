// ExactCache.swift
//
// What: the first look-up of every packet: from the hash of "the bits that any flow of this worker looks at" to a flow index.
//       An entry is 8 bytes, a 32-bit signature and a 32-bit index; a bucket is four entries, half a cache line. A full bucket overflows
//       into the other half of its line: that costs no further cache miss, and at two places per connection one in a hundred
//       look-ups fails instead of one in sixteen.
// Why not the whole key: two packets that agree on all bits that any mask uses belong to the same flow, so the hash covers the union of the
//       masks and nothing else. With one prefix rule all packets share a handful of entries; with five-tuple rules each
//       connection has its own. An entry is only a hint: the flow is verified under its own mask before it is used.
// Invariants: entries may be stale or wrong; never trusted. Index 0 is the slot that matches nothing.
// Threads: confined to one worker.
// Cost: one half cache line per look-up, prefetched a stage ahead; 8 bytes per entry.

import CSluice

struct ExactCache: ~Copyable {
  private let entries: UnsafeMutablePointer<UInt64>
  private let bucketMask: UInt64
  private let byteCount: Int
  private var victim: UInt32 = 0

  static let ways = 4

  /// - Parameter entryCount: entries in all; a power of two.
  init?(entryCount: Int) {
    precondition(entryCount >= 64 && entryCount & (entryCount - 1) == 0, "entries come in powers of two")
    byteCount = entryCount * MemoryLayout<UInt64>.stride
    guard let memory = sluice_map_memory(byteCount, 1) else { return nil }
    entries = memory.assumingMemoryBound(to: UInt64.self)
    bucketMask = UInt64(entryCount / Self.ways - 1)
  }

  deinit { sluice_unmap_memory(entries, byteCount) }

  /// What a batch needs to read the cache, in registers.
  struct Reader {
    let entries: UnsafeMutablePointer<UInt64>
    let bucketMask: UInt64

    @inline(__always)
    func bucket(of hash: UInt64) -> UnsafeMutablePointer<UInt64> {
      entries + Int(truncatingIfNeeded: (hash & bucketMask) &* UInt64(ExactCache.ways))
    }

    @inline(__always)
    func prefetch(_ hash: UInt64) { sluice_prefetch(bucket(of: hash)) }

    /// The flow index remembered for a hash, or 0.
    @inline(__always)
    func find(_ hash: UInt64) -> UInt32 {
      let signature = hash >> 32
      let found = ExactCache.find(in: bucket(of: hash), signature)
      return found != 0 ? found : ExactCache.find(in: bucket(of: hash ^ 1), signature)
    }
  }

  @inline(__always)
  var reader: Reader { Reader(entries: entries, bucketMask: bucketMask) }

  @inline(__always)
  private static func find(in b: UnsafeMutablePointer<UInt64>, _ signature: UInt64) -> UInt32 {
    let e0 = b[0]
    if e0 >> 32 == signature { return UInt32(truncatingIfNeeded: e0) }
    let e1 = b[1]
    let e2 = b[2]
    let e3 = b[3]
    var found: UInt64 = 0
    found = e1 >> 32 == signature ? e1 : found
    found = e2 >> 32 == signature ? e2 : found
    found = e3 >> 32 == signature ? e3 : found
    return UInt32(truncatingIfNeeded: found)
  }

  /// Remembers a flow index for a hash: over the entry with the same signature, else over an empty one of its bucket, else of the other
  /// half of the line, else over one of the bucket's four in turn.
  @inline(__always)
  mutating func insert(_ hash: UInt64, _ index: UInt32) {
    let reader = reader
    let signature = hash >> 32
    let entry = signature << 32 | UInt64(index)
    let halves = (reader.bucket(of: hash), reader.bucket(of: hash ^ 1))
    if Self.replace(halves.0, signature, entry) || Self.replace(halves.1, signature, entry) { return }
    if Self.fill(halves.0, entry) || Self.fill(halves.1, entry) { return }
    victim = victim &* 1_664_525 &+ 1_013_904_223
    halves.0[Int(victim >> 30)] = entry
  }

  /// Writes an entry over the one with its signature; false when there is none.
  @inline(__always)
  private static func replace(_ b: UnsafeMutablePointer<UInt64>, _ signature: UInt64, _ entry: UInt64) -> Bool {
    for way in 0..<ways where b[way] != 0 && b[way] >> 32 == signature {
      b[way] = entry
      return true
    }
    return false
  }

  /// Writes an entry into an empty place; false when there is none.
  @inline(__always)
  private static func fill(_ b: UnsafeMutablePointer<UInt64>, _ entry: UInt64) -> Bool {
    for way in 0..<ways where b[way] == 0 {
      b[way] = entry
      return true
    }
    return false
  }
}
