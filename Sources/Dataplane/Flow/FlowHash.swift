// FlowHash.swift
//
// What: the hash of the masked lines of a key: pairs of words, each mixed with its own secret, multiplied to 128 bits, folded.
// Invariants: depends on nothing but the masked bits and the secrets; the secrets are drawn once per process, so that nobody outside can
//             construct keys that collide (CRC32c, cheaper by a hair, is linear: its collisions hold for every seed).
// Threads: the secrets are a value copied into each worker.
// Cost: four independent multiplications for line 0, four more for line 1. Line 2 is the pipeline's own and never hashed here.

import CSluice

/// The secrets of this process.
public struct HashSecrets: BitwiseCopyable, Sendable {
  var s0: UInt64
  var s1: UInt64
  var s2: UInt64
  var s3: UInt64
  var s4: UInt64
  var s5: UInt64
  var s6: UInt64
  var s7: UInt64
  var finish: UInt64

  public init() {
    var generator = SystemRandomNumberGenerator()
    s0 = generator.next(); s1 = generator.next(); s2 = generator.next(); s3 = generator.next()
    s4 = generator.next(); s5 = generator.next(); s6 = generator.next(); s7 = generator.next()
    finish = generator.next() | 1
  }

  /// Hashes the bits of one line that are set in the mask.
  @inline(__always)
  func hash(_ key: borrowing FlowLine, _ mask: borrowing FlowLine) -> UInt64 {
    let a = sluice_fold_multiply((key.w0 & mask.w0) ^ s0, (key.w1 & mask.w1) ^ s1)
    let b = sluice_fold_multiply((key.w2 & mask.w2) ^ s2, (key.w3 & mask.w3) ^ s3)
    let c = sluice_fold_multiply((key.w4 & mask.w4) ^ s4, (key.w5 & mask.w5) ^ s5)
    let d = sluice_fold_multiply((key.w6 & mask.w6) ^ s6, (key.w7 & mask.w7) ^ s7)
    return (a ^ b) &+ (c ^ d)
  }

  /// The hash under which workers file a flow: of the masked bits of its key, over the packet's lines that its mask uses.
  public func flowHash(_ key: FlowKey, _ mask: FlowMask) -> UInt64 {
    withUnsafePointer(to: key) { key in withUnsafePointer(to: mask) { hash(key, $0, lines: $0.pointee.packetLines) } }
  }

  /// Hashes the masked bits of a key, over the lines named by `lines`.
  @inline(__always)
  func hash(_ key: UnsafePointer<FlowKey>, _ mask: UnsafePointer<FlowMask>, lines: UInt8) -> UInt64 {
    var h = hash(key.pointee.line0, mask.pointee.bits.line0)
    if lines & 2 != 0 { h = h ^ sluice_fold_multiply(hash(key.pointee.line1, mask.pointee.bits.line1), finish) }
    return sluice_fold_multiply(h, finish)
  }
}
