// FlowField.swift
//
// What: the fields of a FlowKey: where each lies, how wide it is, what it is called in ovs-ofctl's syntax and which other
//       field must be matched before it means something. Text syntax, rule matching, set_field and explanations all read this
//       one table, so a field is added in one place.
// Invariants: two fields overlap only where one is a part or an alias of the other (vlanTCI / vlanVID / vlanPCP,
//             tcpSrc / udpSrc / ..., ipv4Src / arpSPA, ipTOS / ipDSCP / ipECN). Eight bytes can be read from where any field begins.
// Threads: constants.
// Cost: reading or writing a field of a key is a table look-up and one or two 8-byte loads; the hot path reads words, never fields.
// Source: OpenFlow Switch Specification 1.3.5, section 7.2.3.7 (match fields); names as in ovs-fields(7).

/// One matchable field of a packet.
public enum FlowField: UInt8, CaseIterable, Sendable, Hashable {
  case inPort
  case ethDst, ethSrc, ethType
  case vlanTCI, vlanVID, vlanPCP
  case innerVLANTCI, innerVLANVID, innerVLANPCP
  case ipProto, ipTTL, ipTOS, ipDSCP, ipECN, ipFrag
  case ipv4Src, ipv4Dst
  case ipv6Src, ipv6Dst, ipv6Label
  case tcpSrc, tcpDst, tcpFlags
  case udpSrc, udpDst
  case sctpSrc, sctpDst
  case icmpType, icmpCode
  case icmpv6Type, icmpv6Code
  case ndTarget, ndSLL, ndTLL
  case arpOp, arpSPA, arpTPA, arpSHA, arpTHA
  case metadata
  case mplsLabel, mplsTC, mplsBOS, mplsTTL
  case pbbISID
  case ipv6ExtHdr
  case tunnelID
  case reg0, reg1, reg2, reg3, reg4, reg5, reg6, reg7
  /// Where in the pipeline a packet goes on that was parsed a second time; no rule can name it.
  case recircID

  /// How values of a field are written and read.
  public enum Format: Sendable {
    case decimal, hexadecimal, mac, ipv4, ipv6, port, frag, tcpFlags, extensionHeaders
  }

  /// Where a field lies: `width` bits, `shift` bits above the end of `byteCount` big-endian bytes at `byteOffset` of the key.
  public struct Place: Sendable {
    public let byteOffset: Int
    public let byteCount: Int
    public let shift: Int
    public let width: Int

    @inlinable
    @inline(__always)
    init(byteOffset: Int, byteCount: Int, shift: Int, width: Int) {
      self.byteOffset = byteOffset
      self.byteCount = byteCount
      self.shift = shift
      self.width = width
    }
  }

  /// Where the field lies. A constant where the field is one.
  @inlinable
  @inline(__always)
  public var place: Place {
    let packed = packedPlace
    return Place(
      byteOffset: Int(packed & 0xff), byteCount: Int(packed >> 8 & 0xff), shift: Int(packed >> 16 & 0xff), width: Int(packed >> 24))
  }

  /// The four numbers of a place in one word, so that the switch compiles to one table.
  @inlinable
  @inline(__always)
  var packedPlace: UInt32 {
    switch self {
    case .ethDst: return at(0, 6)
    case .ethSrc: return at(6, 6)
    case .ethType: return at(12, 2)
    case .vlanTCI: return at(14, 2)
    case .vlanVID: return at(14, 2, width: 13)
    case .vlanPCP: return at(14, 2, 13, width: 3)
    case .ipv4Src, .arpSPA: return at(16, 4)
    case .ipv4Dst, .arpTPA: return at(20, 4)
    case .tcpSrc, .udpSrc, .sctpSrc: return at(24, 2)
    case .tcpDst, .udpDst, .sctpDst: return at(26, 2)
    case .icmpType, .icmpv6Type: return at(25, 1)
    case .icmpCode, .icmpv6Code: return at(27, 1)
    case .tcpFlags: return at(28, 2, width: 12)
    case .innerVLANTCI: return at(30, 2)
    case .innerVLANVID: return at(30, 2, width: 13)
    case .innerVLANPCP: return at(30, 2, 13, width: 3)
    case .ipTTL: return at(32, 1)
    case .ipProto, .arpOp: return at(33, 1)
    case .ipTOS: return at(34, 1)
    case .ipDSCP: return at(34, 1, 2, width: 6)
    case .ipECN: return at(34, 1, width: 2)
    case .ipFrag: return at(35, 1, width: 2)
    case .recircID: return at(36, 2)
    case .inPort: return at(38, 2)
    case .arpSHA: return at(40, 6)
    case .arpTHA: return at(48, 6)
    case .mplsLabel: return at(56, 4, 12, width: 20)
    case .mplsTC: return at(56, 4, 9, width: 3)
    case .mplsBOS: return at(56, 4, 8, width: 1)
    case .mplsTTL: return at(59, 1)
    case .pbbISID: return at(61, 3)
    case .ipv6Src: return at(64, 16)
    case .ipv6Dst: return at(80, 16)
    case .ndTarget: return at(96, 16)
    case .ipv6Label: return at(112, 4, width: 20)
    case .ipv6ExtHdr: return at(112, 4, 20, width: 9)
    case .ndSLL: return at(116, 6)
    case .ndTLL: return at(122, 6)
    case .tunnelID: return at(128, 8)
    case .metadata: return at(136, 8)
    case .reg0: return at(144, 4)
    case .reg1: return at(148, 4)
    case .reg2: return at(152, 4)
    case .reg3: return at(156, 4)
    case .reg4: return at(160, 4)
    case .reg5: return at(164, 4)
    case .reg6: return at(168, 4)
    case .reg7: return at(172, 4)
    }
  }

  @inlinable
  @inline(__always)
  func at(_ byteOffset: UInt32, _ byteCount: UInt32, _ shift: UInt32 = 0, width: UInt32 = 0) -> UInt32 {
    byteOffset | byteCount << 8 | shift << 16 | (width == 0 ? byteCount &* 8 : width) << 24
  }

  /// The most a value of this field can be: `width` ones.
  @inlinable
  public var allOnes: UInt128 { place.width == 128 ? .max : (UInt128(1) << UInt128(place.width)) - 1 }
}

extension FlowField {
  /// True for the fields that `set_field` can change: those that OpenFlow 1.3 lets a switch set, the TTL, and the registers.
  ///
  /// Not the bottom-of-stack bit, which pushing and popping keep true, nor what says which headers follow (EtherType, protocol).
  public var isSettable: Bool {
    switch self {
    case .ethSrc, .ethDst, .vlanVID, .vlanPCP, .ipTTL, .ipTOS, .ipDSCP, .ipECN, .ipv4Src, .ipv4Dst, .ipv6Src, .ipv6Dst, .ipv6Label,
      .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code, .ndTarget, .ndSLL,
      .ndTLL, .arpOp, .arpSPA, .arpTPA, .arpSHA, .arpTHA, .mplsLabel, .mplsTC, .mplsTTL, .pbbISID:
      true
    case .inPort, .ethType, .vlanTCI, .innerVLANTCI, .innerVLANVID, .innerVLANPCP, .ipProto, .ipFrag, .tcpFlags, .mplsBOS, .ipv6ExtHdr,
      .recircID:
      false
    case .metadata, .tunnelID, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7: true
    }
  }

  /// True for the fields of line 2, which no packet carries: only the pipeline reads and writes them.
  public var isPipelineField: Bool { place.byteOffset >= 128 }
}

extension FlowKey {
  /// Reads or writes a field as a number, right-aligned.
  ///
  /// Where the field is a constant, reading it is inlined: a load and a shift.
  public subscript(field: FlowField) -> UInt128 {
    @inlinable
    @inline(__always)
    get { value(of: field) }
    set {
      let place = field.place
      withUnsafeMutableBytes(of: &self) { bytes in
        guard place.byteCount > 8 else {
          let up = UInt64(64 - 8 * place.byteCount + place.shift)
          let ones = (UInt64.max >> UInt64(64 - place.width)) << up
          let old = bytes.loadUnaligned(fromByteOffset: place.byteOffset, as: UInt64.self).bigEndian
          let new = old & ~ones | UInt64(truncatingIfNeeded: newValue) << up & ones
          return bytes.storeBytes(of: new.bigEndian, toByteOffset: place.byteOffset, as: UInt64.self)
        }
        bytes.storeBytes(
          of: UInt64(truncatingIfNeeded: newValue >> 64).bigEndian, toByteOffset: place.byteOffset, as: UInt64.self)
        bytes.storeBytes(of: UInt64(truncatingIfNeeded: newValue).bigEndian, toByteOffset: place.byteOffset + 8, as: UInt64.self)
      }
    }
  }

  /// The value of a field. It is put together from words, because a key that is only read has no address without being copied.
  @inlinable
  @inline(__always)
  func value(of field: FlowField) -> UInt128 {
    let place = field.place
    let skipped = place.byteOffset & 7
    let first = word(place.byteOffset / 8).bigEndian
    if place.byteCount > 8 { return UInt128(first) << 64 | UInt128(word(place.byteOffset / 8 + 1).bigEndian) }
    var bits = first << UInt64(8 * skipped)
    if skipped + place.byteCount > 8 { bits |= word(place.byteOffset / 8 + 1).bigEndian >> UInt64(64 - 8 * skipped) }
    return UInt128(bits >> UInt64(64 - 8 * place.byteCount + place.shift) & UInt64.max >> UInt64(64 - place.width))
  }

  /// One of the 24 words of the key, as it lies in memory.
  @inlinable
  @inline(__always)
  func word(_ index: Int) -> UInt64 {
    switch index {
    case 0: line0.w0
    case 1: line0.w1
    case 2: line0.w2
    case 3: line0.w3
    case 4: line0.w4
    case 5: line0.w5
    case 6: line0.w6
    case 7: line0.w7
    case 8: line1.w0
    case 9: line1.w1
    case 10: line1.w2
    case 11: line1.w3
    case 12: line1.w4
    case 13: line1.w5
    case 14: line1.w6
    case 15: line1.w7
    case 16: line2.w0
    case 17: line2.w1
    case 18: line2.w2
    case 19: line2.w3
    case 20: line2.w4
    case 21: line2.w5
    case 22: line2.w6
    default: line2.w7
    }
  }
}

extension FlowMask {
  /// Reads or writes the mask of one field, right-aligned.
  public subscript(field: FlowField) -> UInt128 {
    @inlinable
    @inline(__always)
    get { bits.value(of: field) }
    set { bits[field] = newValue }
  }

  /// Looks at every bit of a field from now on.
  public mutating func include(_ field: FlowField) { bits[field] = field.allOnes }
}
