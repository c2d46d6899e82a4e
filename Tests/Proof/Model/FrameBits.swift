// FrameBits.swift
//
// What: which bits of a frame can be flipped, each alone, without leaving the mask of a flow: those that are no part of what the mask covers. What
//       part of the key a bit is, is found by flipping it and parsing the frame, once for all frames whose headers are in the same places.
// Invariant: a guess. Frames of one structure may differ in what a flipped bit makes of them (another next header, say), so whoever flips bits looks
//            at the result.
// Threads: a value.
// Cost: 30 us for the first frame of a structure, then a comparison for each bit.

import Dataplane

struct FrameBits {
  /// Where the headers of a frame are.
  private struct Structure: Hashable {
    var tags: Int, etherType: UInt16, typeOffset: Int, proto: UInt8, l4: Int?
    var isFragment: Bool, isLaterFragment: Bool, hasOtherRoute: Bool, target: Int?, linkAddress: Int?, extensionBits: UInt16
    /// The first byte that the parser does not look at.
    var end: Int

    init(_ headers: ReferenceHeaders, end: Int) {
      (tags, etherType, typeOffset, proto, l4) = (headers.tags, headers.etherType, headers.typeOffset, headers.proto, headers.l4)
      (isFragment, isLaterFragment, hasOtherRoute) = (headers.isFragment, headers.isLaterFragment, headers.hasOtherRoute)
      (target, linkAddress, extensionBits) = (headers.target, headers.linkAddress, headers.extensionBits)
      self.end = end
    }
  }

  /// The part of a key that changes with a bit of the frame.
  private struct Part {
    var bit: Int
    var line0: FlowLine
    var line1: FlowLine
  }

  private var parts: [Structure: [Part]] = [:]
  /// Structures that are remembered; each takes some 60 kB.
  private static let limit = 1024

  /// The bits of a frame, the highest of its first byte being 0, which are not covered by a mask.
  mutating func free(of frame: (bytes: [UInt8], inPort: UInt32), in mask: FlowMask) -> [Int] {
    let headers = ReferenceHeaders(frame.bytes)
    var end = frame.bytes.count - ReferenceNumber.tailCount
    // What is below a label or an I-TAG has checksums that nobody would put right.
    if headers.network == .mpls || headers.network == .pbb { end = min(end, headers.l3 + 4) }
    let lookedAt = min(end, Self.lookedAt(frame.bytes, headers))
    let structure = Structure(headers, end: lookedAt)
    if parts[structure] == nil {
      if parts.count == Self.limit { parts = [:] }
      parts[structure] = Self.parts(of: frame, lookedAt)
    }
    var free: [Int] = []
    free.reserveCapacity(max(0, end) * 8)
    for part in parts[structure] ?? [] where (part.line0 & mask.bits.line0 | part.line1 & mask.bits.line1).isZero { free.append(part.bit) }
    free += max(0, lookedAt) * 8..<max(0, end) * 8
    return free
  }

  /// The end of what the switch's parser may look at.
  private static func lookedAt(_ bytes: [UInt8], _ headers: ReferenceHeaders) -> Int {
    switch headers.network {
    case .arp: headers.l3 + 28
    case .other: headers.l3
    default: headers.l4 == nil ? bytes.count : MaskedFrames.headersEnd(bytes)
    }
  }

  private static func parts(of frame: (bytes: [UInt8], inPort: UInt32), _ end: Int) -> [Part] {
    var bytes = frame.bytes
    let key = parseFrame(bytes, inPort: frame.inPort).key
    var parts: [Part] = []
    for bit in 0..<max(0, end) * 8 {
      bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      let (other, layout) = parseFrame(bytes, inPort: frame.inPort)
      bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      guard layout.problem == 0 else { continue }
      parts.append(Part(bit: bit, line0: key.line0 ^ other.line0, line1: key.line1 ^ other.line1))
    }
    return parts
  }
}
