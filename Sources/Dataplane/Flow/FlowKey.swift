// FlowKey.swift
//
// What: all that a rule can match of one packet, laid out in 64-byte cache lines, every field in network byte order.
//       Line 0 holds what an untagged or tagged IPv4 or ARP packet can match, line 1 the IPv6 and neighbour discovery fields.
// Invariant: a bit that no header of the packet set is zero in every line that the packet uses; a line that the packet does
//            not use is not even written (`FrameLayout.lines` says which lines are meaningful).
// Threads: a value; shared freely.
// Cost: writing line 0 of a plain IPv4 packet is eight 8-byte stores, most of them copied from the frame as they are:
//       the layout follows the frame's own (bytes 0-13 of the key are bytes 0-13 of the frame).
//
//   byte  0      6      12    14    16      20      24    26    28     30     32  33   34  35   36      40      46    48      54    56
//   line 0 ethDst ethSrc type  tci0  ipSrc   ipDst   tpSrc tpDst tcpFl  tci1   ttl prot tos frag inPort  arpSha  -     arpTha  -     metadata
//   byte  64      80       96        112     116    122
//   line 1 ipv6Src ipv6Dst  ndTarget  flabel  ndSLL  ndTLL
//
// ARP uses ipSrc/ipDst for SPA/TPA and ipProto for the opcode; ICMP uses tpSrc/tpDst for type and code.
// A VLAN tag control word has bit 12 (0x1000) set when the tag is there, as OpenFlow's OFPVID_PRESENT has; the DEI bit is not kept.

/// One 64-byte cache line of a key or a mask.
@frozen
public struct FlowLine: BitwiseCopyable, Hashable, Sendable {
  public var w0: UInt64 = 0
  public var w1: UInt64 = 0
  public var w2: UInt64 = 0
  public var w3: UInt64 = 0
  public var w4: UInt64 = 0
  public var w5: UInt64 = 0
  public var w6: UInt64 = 0
  public var w7: UInt64 = 0

  public init() {}

  /// True when no bit is set.
  @inline(__always)
  public var isZero: Bool { (w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7) == 0 }

  @inline(__always)
  public static func & (a: FlowLine, b: FlowLine) -> FlowLine {
    var r = FlowLine()
    r.w0 = a.w0 & b.w0; r.w1 = a.w1 & b.w1; r.w2 = a.w2 & b.w2; r.w3 = a.w3 & b.w3
    r.w4 = a.w4 & b.w4; r.w5 = a.w5 & b.w5; r.w6 = a.w6 & b.w6; r.w7 = a.w7 & b.w7
    return r
  }

  @inline(__always)
  public static func | (a: FlowLine, b: FlowLine) -> FlowLine {
    var r = FlowLine()
    r.w0 = a.w0 | b.w0; r.w1 = a.w1 | b.w1; r.w2 = a.w2 | b.w2; r.w3 = a.w3 | b.w3
    r.w4 = a.w4 | b.w4; r.w5 = a.w5 | b.w5; r.w6 = a.w6 | b.w6; r.w7 = a.w7 | b.w7
    return r
  }

  @inline(__always)
  public static func ^ (a: FlowLine, b: FlowLine) -> FlowLine {
    var r = FlowLine()
    r.w0 = a.w0 ^ b.w0; r.w1 = a.w1 ^ b.w1; r.w2 = a.w2 ^ b.w2; r.w3 = a.w3 ^ b.w3
    r.w4 = a.w4 ^ b.w4; r.w5 = a.w5 ^ b.w5; r.w6 = a.w6 ^ b.w6; r.w7 = a.w7 ^ b.w7
    return r
  }

  @inline(__always)
  public static prefix func ~ (a: FlowLine) -> FlowLine {
    var r = FlowLine()
    r.w0 = ~a.w0; r.w1 = ~a.w1; r.w2 = ~a.w2; r.w3 = ~a.w3
    r.w4 = ~a.w4; r.w5 = ~a.w5; r.w6 = ~a.w6; r.w7 = ~a.w7
    return r
  }
}

/// Everything that rules can match of one packet.
@frozen
public struct FlowKey: BitwiseCopyable, Hashable, Sendable {
  public var line0 = FlowLine()
  public var line1 = FlowLine()

  public init() {}

  /// Bytes in a key.
  public static let byteCount = 128

  @inline(__always)
  public static func & (a: FlowKey, b: FlowMask) -> FlowKey {
    var r = FlowKey()
    r.line0 = a.line0 & b.bits.line0
    r.line1 = a.line1 & b.bits.line1
    return r
  }
}

/// Which bits of a key a flow looks at: a key-shaped set of bits.
///
/// Invariant: a mask that uses line 1 also pins `ethType` (IPv6), because every field of line 1 has that prerequisite. So a
/// packet that did not write line 1 can never be mistaken for one that matches such a mask: line 0 differs first.
@frozen
public struct FlowMask: BitwiseCopyable, Hashable, Sendable {
  public var bits = FlowKey()

  public init() {}

  /// The lines in use: bit 0 for line 0 (always set), bit 1 for line 1.
  @inline(__always)
  public var lines: UInt8 { bits.line1.isZero ? 1 : 3 }

  @inline(__always)
  public static func | (a: FlowMask, b: FlowMask) -> FlowMask {
    var r = FlowMask()
    r.bits.line0 = a.bits.line0 | b.bits.line0
    r.bits.line1 = a.bits.line1 | b.bits.line1
    return r
  }

  /// True when every bit of `other` is in this mask too.
  public func contains(_ other: FlowMask) -> Bool { (self | other) == self }

  /// True when two masked keys can both match one packet: they agree on the bits that both look at.
  public static func overlap(_ keyA: FlowKey, _ maskA: FlowMask, _ keyB: FlowKey, _ maskB: FlowMask) -> Bool {
    let difference0 = (keyA.line0 ^ keyB.line0) & (maskA.bits.line0 & maskB.bits.line0)
    let difference1 = (keyA.line1 ^ keyB.line1) & (maskA.bits.line1 & maskB.bits.line1)
    return difference0.isZero && difference1.isZero
  }
}
