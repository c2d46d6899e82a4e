// FlowKey.swift
//
// What: all that a rule can match of one packet, laid out in 64-byte cache lines, every field in network byte order.
//       Line 0 holds what an untagged or tagged IPv4, ARP, MPLS or PBB packet can match, line 1 the IPv6 and neighbour discovery
//       fields, line 2 what the pipeline itself keeps beside a packet: tunnel ID, metadata, registers.
// Invariants: a bit that no header of the packet set is zero in every line that the packet uses; a line that the packet does
//             not use is not even written (`FrameLayout.lines` says which lines are meaningful). Line 2 is zero when a packet comes
//             in: workers neither read nor write it, and no cached flow looks at it (`FlowMask.packetLines`).
// Threads: a value; shared freely.
// Cost: writing line 0 of a plain IPv4 packet is eight 8-byte stores, most of them copied from the frame as they are:
//       the layout follows the frame's own (bytes 0-13 of the key are bytes 0-13 of the frame).
//
//   byte  0      6      12    14    16      20      24    26    28     30     32  33   34  35   36     38     40      46  48      54  56    60
//   line 0 ethDst ethSrc type  tci0  ipSrc   ipDst   tpSrc tpDst tcpFl  tci1   ttl prot tos frag recirc inPort arpSha  -   arpTha  -   mpls  isid
//   byte  64      80       96        112           116    122
//   line 1 ipv6Src ipv6Dst  ndTarget  flabel+exthdr ndSLL  ndTLL
//   byte  128       136       144 148 ... 172   176
//   line 2 tunnelID  metadata  reg0 reg1 ... reg7  -
//
// ARP uses ipSrc/ipDst for SPA/TPA and ipProto for the opcode; ICMP uses tpSrc/tpDst for type and code.
// A VLAN tag control word has bit 12 (0x1000) set when the tag is there, as OpenFlow's OFPVID_PRESENT has; the DEI bit is not kept.
// `mpls` is the outermost label stack entry as it is in the frame; `isid` the PBB service ID in the low three bytes. `recirc` is 0 for a packet
// from a port, and otherwise names where in the pipeline a packet goes on that was parsed a second time; it
// shares a word with the ingress port, because every flow looks at both. The parser writes both as one 32-bit port number below 65536.

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
  /// The pipeline's own fields.
  public var line2 = FlowLine()

  public init() {}

  /// The key of a packet, with nothing in the pipeline's own fields.
  @inline(__always)
  public init(line0: FlowLine, line1: FlowLine) {
    self.line0 = line0
    self.line1 = line1
  }

  /// Bytes in a key.
  public static let byteCount = 192

  @inline(__always)
  public static func & (a: FlowKey, b: FlowMask) -> FlowKey {
    var r = FlowKey()
    r.line0 = a.line0 & b.bits.line0
    r.line1 = a.line1 & b.bits.line1
    r.line2 = a.line2 & b.bits.line2
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

  /// The lines in use: bit 0 for line 0 (always set), bit 1 for line 1, bit 2 for line 2.
  @inline(__always)
  public var lines: UInt8 { packetLines | (bits.line2.isZero ? 0 : 4) }

  /// The lines in use of those that come from the packet: 1 or 3. All that a cached flow can look at.
  @inline(__always)
  public var packetLines: UInt8 { bits.line1.isZero ? 1 : 3 }

  @inline(__always)
  public static func | (a: FlowMask, b: FlowMask) -> FlowMask {
    var r = FlowMask()
    r.bits.line0 = a.bits.line0 | b.bits.line0
    r.bits.line1 = a.bits.line1 | b.bits.line1
    r.bits.line2 = a.bits.line2 | b.bits.line2
    return r
  }

  /// The bits of this mask that another does not have.
  @inline(__always)
  public func subtracting(_ other: FlowMask) -> FlowMask {
    var r = FlowMask()
    r.bits.line0 = bits.line0 & ~other.bits.line0
    r.bits.line1 = bits.line1 & ~other.bits.line1
    r.bits.line2 = bits.line2 & ~other.bits.line2
    return r
  }

  /// True when every bit of `other` is in this mask too.
  public func contains(_ other: FlowMask) -> Bool { (self | other) == self }

  /// True when two masked keys can both match one packet: they agree on the bits that both look at.
  public static func overlap(_ keyA: FlowKey, _ maskA: FlowMask, _ keyB: FlowKey, _ maskB: FlowMask) -> Bool {
    let difference0 = (keyA.line0 ^ keyB.line0) & (maskA.bits.line0 & maskB.bits.line0)
    guard difference0.isZero else { return false }
    let difference1 = (keyA.line1 ^ keyB.line1) & (maskA.bits.line1 & maskB.bits.line1)
    let difference2 = (keyA.line2 ^ keyB.line2) & (maskA.bits.line2 & maskB.bits.line2)
    return (difference1 | difference2).isZero
  }
}
