// ExactCache.swift
//
// What: the first look-up of every packet: from the hash of "the bits that any flow of this worker looks at" to a flow index.
//       An entry is 8 bytes, a 32-bit signature and a 32-bit index; a bucket is four entries, half a cache line.
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
    func find(_ hash: UInt64) -> UInt32 { ExactCache.find(in: bucket(of: hash), hash) }
  }

  @inline(__always)
  var reader: Reader { Reader(entries: entries, bucketMask: bucketMask) }

  @inline(__always)
  private static func find(in b: UnsafeMutablePointer<UInt64>, _ hash: UInt64) -> UInt32 {
    let signature = hash >> 32
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

  /// Remembers a flow index for a hash: over the entry with the same signature, else over an empty one, else over one of the four in turn.
  @inline(__always)
  mutating func insert(_ hash: UInt64, _ index: UInt32) {
    let b = reader.bucket(of: hash)
    let signature = hash >> 32
    var place = -1
    for way in 0..<Self.ways {
      if b[way] >> 32 == signature { place = way; break }
      if place < 0, b[way] == 0 { place = way }
    }
    if place < 0 {
      victim = victim &* 1_664_525 &+ 1_013_904_223
      place = Int(victim >> 30)
    }
    b[place] = signature << 32 | UInt64(index)
  }
}
