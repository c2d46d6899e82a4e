// Checksum.swift
//
// What: Internet checksums of frames: updated in place when a rewrite changes bytes that they cover, and completed where a sender
//       left only the pseudo header's sum.
// Invariants: updates are incremental (RFC 1624, equation 3), so a checksum that was wrong stays wrong and is never
//             "repaired" by accident. A UDP checksum of zero over IPv4 ("none", RFC 768) stays zero; a computed zero is sent as 0xffff.
// Threads: pure.
// Cost: an update is a handful of additions; completing costs one pass over the payload (about 0.1 cycles a byte).

import CSluice

enum Checksum {
  /// A checksum after the bytes it covers changed by `difference` (a sum of new words and complemented old ones).
  @inline(__always)
  static func updated(_ checksum: UInt16, by difference: UInt64) -> UInt16 {
    ~sluice_checksum_fold(UInt64(~checksum) &+ difference)
  }

  /// The difference of replacing one 16-bit word (native order, as loaded from the frame).
  @inline(__always)
  static func difference(old: UInt16, new: UInt16) -> UInt64 { UInt64(~old) &+ UInt64(new) }

  /// The sum of the pseudo header: addresses, protocol and L4 length (RFC 793 section 3.1, RFC 8200 section 8.1), in native order.
  @inline(__always)
  static func pseudoHeader(
    _ frame: UnsafePointer<UInt8>, _ layout: FrameLayout, proto: UInt8, l4Length: Int
  ) -> UInt64 {
    let l3 = Int(layout.l3)
    let addresses =
      layout.ipVersion == 4
      ? sluice_checksum_partial(frame + l3 + 12, 8, 0) : sluice_checksum_partial(frame + l3 + 8, 32, 0)
    return addresses &+ UInt64(UInt16(proto).bigEndian) &+ UInt64(UInt16(truncatingIfNeeded: l4Length).bigEndian)
  }

  /// Completes the TCP or UDP checksum of a frame whose sender left the sum of the pseudo header in its place, as Linux does
  /// for CHECKSUM_PARTIAL. Any other frame is left alone.
  ///
  /// A finished checksum can look like a partial one once in 65,536 packets; completing it again gives the same value, because
  /// the sum is computed from scratch.
  ///
  /// - Returns: true when there was something to complete.
  static func completeIfPartial(
    _ frame: FrameBytes, length: Int, _ layout: FrameLayout, proto: UInt8, isFragment: Bool
  ) -> Bool {
    guard layout.l4 != 0, !isFragment, proto == IPProtocol.tcp || proto == IPProtocol.udp else { return false }
    let l3 = Int(layout.l3)
    let l4 = Int(layout.l4)
    let end = layout.ipVersion == 4 ? l3 + Int(load16(frame, l3 + 2)) : l3 + 40 + Int(load16(frame, l3 + 4))
    let place = l4 + (proto == IPProtocol.tcp ? 16 : 6)
    guard end <= length, place + 2 <= end else { return false }
    let l4Length = end - l4
    let pseudo = pseudoHeader(frame, layout, proto: proto, l4Length: l4Length)
    let current = loadRaw(frame, place, as: UInt16.self)
    guard current == sluice_checksum_fold(pseudo), current != 0 else { return false }
    UnsafeMutableRawPointer(frame).storeBytes(of: 0, toByteOffset: place, as: UInt16.self)
    var sum = ~sluice_checksum_fold(sluice_checksum_partial(frame + l4, l4Length, pseudo))
    if sum == 0, proto == IPProtocol.udp { sum = 0xffff }
    UnsafeMutableRawPointer(frame).storeBytes(of: sum, toByteOffset: place, as: UInt16.self)
    return true
  }
}
