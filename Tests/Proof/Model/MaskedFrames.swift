// MaskedFrames.swift
//
// What: random packets out of the mask of every cached flow. They are made from a packet that met the flow: bits are flipped of which each alone
//       leaves the packet in the mask, a random half of them at once; when that makes another kind of packet of it, fewer.
// Invariants: what comes out is in the flow's mask as the switch's own parser sees it, so nothing else may answer it than what the reference says
//             for it. Only bits of headers that can be read are flipped.
// Threads: a value.
// Cost: some 20 us for a flow, and one or a few parses for each packet that comes out.

import Dataplane
import TestSupport

struct MaskedFrames {
  typealias Frame = (bytes: [UInt8], inPort: UInt32)

  /// A packet that met a flow.
  private struct Example {
    var frame: Frame
    /// Bits that can be flipped one by one.
    var free: [Int]
  }

  private var examples: [FlowMatch: Example] = [:]
  private var bits = FrameBits()
  /// The frames that were sent in this world.
  private(set) var sent: [Frame] = []

  /// The cached flows have been forgotten.
  mutating func forget() { examples = [:] }

  /// Notes frames that were sent.
  mutating func note(_ frames: [Frame]) { sent += frames }

  mutating func endWorld() { sent = [] }

  /// Random packets out of the masks of flows, and how many flows there are packets of. The others are met only by packets that were parsed a
  /// second time, which cannot be sent from outside.
  mutating func frames(of flows: [FlowMatch], perFlow: Int, _ random: inout SeededGenerator) -> (frames: [Frame], flows: Int) {
    var frames: [Frame] = []
    var flowCount = 0
    let keys = sent.map { parseFrame($0.bytes, inPort: $0.inPort).key }
    for flow in flows {
      if examples[flow] == nil,
        // Line 0 decides nearly always.
        let place = keys.firstIndex(where: { $0.line0 & flow.mask.bits.line0 == flow.key.line0 && flow.matches($0) })
      {
        examples[flow] = Example(frame: sent[place], free: bits.free(of: sent[place], in: flow.mask))
      }
      guard let example = examples[flow] else { continue }
      flowCount += 1
      for _ in 0..<perFlow { frames.append(Self.packet(like: example, in: flow, &random)) }
    }
    return (frames, flowCount)
  }

  private static func isInside(_ flow: FlowMatch, _ frame: Frame) -> Bool {
    let (key, layout) = parseFrame(frame.bytes, inPort: frame.inPort)
    return layout.problem == 0 && flow.matches(key) && headersEnd(frame.bytes) + ReferenceNumber.tailCount <= frame.bytes.count
  }

  /// The end of what actions may write to. The number comes behind it, or it would be overwritten.
  static func headersEnd(_ bytes: [UInt8]) -> Int {
    let headers = ReferenceHeaders(bytes)
    // Nobody can say which checksum is right then.
    if headers.hasOtherRoute { return bytes.count }
    guard headers.isIP, let l4 = headers.l4 else { return headers.l3 }
    switch headers.proto {
    case 6: return l4 + 20
    case 132: return l4 + 12
    case 58 where headers.linkAddress != nil: return l4 + 32
    case 58 where headers.target != nil: return l4 + 24
    default: return l4 + 8
    }
  }

  private static func packet(like example: Example, in flow: FlowMatch, _ random: inout SeededGenerator) -> Frame {
    // One in two, one in eight, one in 32.
    for halvings in [1, 1, 3, 5] {
      var frame = example.frame
      var draws: UInt64 = 0
      for (i, bit) in example.free.enumerated() {
        if i % 64 == 0 { draws = (0..<halvings).reduce(.max) { draws, _ in draws & random.next() } }
        if draws >> UInt64(i % 64) & 1 == 1 { flip(bit, &frame.bytes) }
      }
      if isInside(flow, frame) { return frame }
    }
    guard !example.free.isEmpty else { return example.frame }
    var frame = example.frame
    flip(random.pick(example.free), &frame.bytes)
    return isInside(flow, frame) ? frame : example.frame
  }

  private static func flip(_ bit: Int, _ bytes: inout [UInt8]) { bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8) }
}
