// UnionHash.swift
//
// What: the hash for the exact cache: over the words of line 0 that the union of all masks uses, and no others. A plan says which words
//       those are; the batch runs one of four loops, for one to four pairs of words.
// Why: the union rarely uses more than half of the line; a load, a mask and half a multiplication per unused word would be a third of
//      the cost of the look-up. Word by word with computed offsets also keeps the compiler from gathering the words in vector registers only to take
//      them out again for the multiplications.
// Invariants: a plan is made anew whenever the union changes. Packets that have line 1 get it mixed in when the union uses it.
// Threads: confined to one worker.
// Cost: per pair two masked loads and one multiplication.

import CSluice

struct UnionHash {
  /// Pairs of words to hash: 1 to 4.
  private(set) var pairs = 1
  /// True when the union uses line 1.
  private(set) var usesLine1 = false
  // Word numbers and masks, the words in use first; unused places have mask 0 and so add a constant.
  private var place: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
  private var mask: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
  private var line1Mask = FlowLine()
  private let secrets: HashSecrets

  init(secrets: HashSecrets) { self.secrets = secrets }

  /// Plans for another union of masks.
  mutating func plan(for union: FlowMask) {
    var places = [Int](repeating: 0, count: 8)
    var masks = [UInt64](repeating: 0, count: 8)
    var used = 0
    withUnsafeBytes(of: union.bits.line0) { bytes in
      for word in 0..<8 {
        let bits = bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
        guard bits != 0 else { continue }
        places[used] = word
        masks[used] = bits
        used += 1
      }
    }
    pairs = max(1, (used + 1) / 2)
    place = (places[0], places[1], places[2], places[3], places[4], places[5], places[6], places[7])
    mask = (masks[0], masks[1], masks[2], masks[3], masks[4], masks[5], masks[6], masks[7])
    line1Mask = union.bits.line1
    usesLine1 = !line1Mask.isZero
  }

  /// Hashes a batch and prefetches the buckets.
  @inline(__always)
  func run(
    _ keys: UnsafePointer<FlowKey>, _ layouts: UnsafePointer<FrameLayout>, _ hashes: UnsafeMutablePointer<UInt64>, count: Int,
    cache: ExactCache.Reader
  ) {
    switch pairs {
    case 1: loop(1, keys, hashes, count, cache)
    case 2: loop(2, keys, hashes, count, cache)
    case 3: loop(3, keys, hashes, count, cache)
    default: loop(4, keys, hashes, count, cache)
    }
    if usesLine1 { addLine1(keys, layouts, hashes, count, cache) }
  }

  @inline(__always)
  private func loop(
    _ pairs: Int, _ keys: UnsafePointer<FlowKey>, _ hashes: UnsafeMutablePointer<UInt64>, _ count: Int, _ cache: ExactCache.Reader
  ) {
    let (p0, p1, p2, p3, p4, p5, p6, p7) = place
    let (m0, m1, m2, m3, m4, m5, m6, m7) = mask
    let s = secrets
    for i in 0..<count {
      let words = UnsafeRawPointer(keys + i).assumingMemoryBound(to: UInt64.self)
      var hash = sluice_fold_multiply(words[p0] & m0 ^ s.s0, words[p1] & m1 ^ s.s1)
      if pairs > 1 { hash = hash ^ sluice_fold_multiply(words[p2] & m2 ^ s.s2, words[p3] & m3 ^ s.s3) }
      if pairs > 2 { hash = hash &+ sluice_fold_multiply(words[p4] & m4 ^ s.s4, words[p5] & m5 ^ s.s5) }
      if pairs > 3 { hash = hash ^ sluice_fold_multiply(words[p6] & m6 ^ s.s6, words[p7] & m7 ^ s.s7) }
      hashes[i] = hash
      cache.prefetch(hash)
    }
  }

  /// Mixes line 1 into the hashes of the packets that have one.
  @inline(never)
  private func addLine1(
    _ keys: UnsafePointer<FlowKey>, _ layouts: UnsafePointer<FrameLayout>, _ hashes: UnsafeMutablePointer<UInt64>, _ count: Int,
    _ cache: ExactCache.Reader
  ) {
    for i in 0..<count where layouts[i].lines & 2 != 0 {
      hashes[i] ^= secrets.hash(keys[i].line1, line1Mask) &* secrets.finish
      cache.prefetch(hashes[i])
    }
  }
}
