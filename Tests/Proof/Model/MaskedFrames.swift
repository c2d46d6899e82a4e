// MaskedFrames.swift
//
// What: random packets out of the mask of every cached flow. They are made from a packet that met the flow: bits are flipped of which each alone
//       leaves the packet in the mask, a random half of them at once; when that makes another kind of packet of it, fewer.
// Invariants: what comes out is in the flow's mask as the switch's own parser sees it, so nothing else may answer it than what the reference says
//             for it. Only bits of headers that can be read are flipped: not those below a label or an I-TAG, whose checksums nobody would put right.
// Threads: a value.
// Cost: a parse for each bit of a packet that is the first of its flow, and a few for each packet that comes out.

import Dataplane
import TestSupport

struct MaskedFrames {
  typealias Frame = (bytes: [UInt8], inPort: UInt32)

  /// A packet that met a flow.
  private struct Example {
    var frame: Frame
    /// Bits that can be flipped one by one; the highest bit of the first byte is 0.
    var free: [Int]
  }

  private var examples: [FlowMatch: Example] = [:]
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
      if examples[flow] == nil, let place = keys.firstIndex(where: flow.matches) {
        examples[flow] = Example(frame: sent[place], free: Self.freeBits(of: sent[place], in: flow))
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
  private static func headersEnd(_ bytes: [UInt8]) -> Int {
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

  private static func freeBits(of frame: Frame, in flow: FlowMatch) -> [Int] {
    let headers = ReferenceHeaders(frame.bytes)
    var end = frame.bytes.count - ReferenceNumber.tailCount
    switch headers.network {
    case .mpls: end = min(end, headers.l3 + 4)
    case .pbb: end = min(end, headers.l3 + 4)
    default: break
    }
    return (0..<max(0, end) * 8).filter { isInside(flow, flipped(frame, [$0])) }
  }

  private static func packet(like example: Example, in flow: FlowMatch, _ random: inout SeededGenerator) -> Frame {
    for oneIn in [2, 2, 8, 32] as [UInt64] {
      let frame = flipped(example.frame, example.free.filter { _ in random.chance(oneIn) })
      if isInside(flow, frame) { return frame }
    }
    return flipped(example.frame, example.free.isEmpty ? [] : [random.pick(example.free)])
  }

  private static func flipped(_ frame: Frame, _ bits: [Int]) -> Frame {
    var frame = frame
    for bit in bits { frame.bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8) }
    return frame
  }
}
