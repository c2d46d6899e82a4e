// FlowField.swift
//
// What: the fields of a FlowKey: where each lies, how wide it is, what it is called in ovs-ofctl's syntax and which other
//       field must be matched before it means something. Text syntax, rule matching, set_field and explanations all read this
//       one table, so a field is added in one place.
// Invariants: two fields overlap only where one is a part or an alias of the other (vlanTCI / vlanVID / vlanPCP,
//             tcpSrc / udpSrc / ..., ipv4Src / arpSPA, ipTOS / ipDSCP / ipECN).
// Threads: constants.
// Cost: control plane only; the hot path reads words, never fields.
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

  /// How values of a field are written and read.
  public enum Format: Sendable {
    case decimal, hexadecimal, mac, ipv4, ipv6, port, frag, tcpFlags
  }

  /// Where a field lies: `width` bits, `shift` bits above the end of `byteCount` big-endian bytes at `byteOffset` of the key.
  public struct Place: Sendable {
    public let byteOffset: Int
    public let byteCount: Int
    public let shift: Int
    public let width: Int
  }

  public var place: Place {
    func at(_ byteOffset: Int, _ byteCount: Int, _ shift: Int = 0, width: Int? = nil) -> Place {
      Place(byteOffset: byteOffset, byteCount: byteCount, shift: shift, width: width ?? byteCount * 8)
    }
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
    case .inPort: return at(36, 4)
    case .arpSHA: return at(40, 6)
    case .arpTHA: return at(48, 6)
    case .metadata: return at(56, 8)
    case .ipv6Src: return at(64, 16)
    case .ipv6Dst: return at(80, 16)
    case .ndTarget: return at(96, 16)
    case .ipv6Label: return at(112, 4, width: 20)
    case .ndSLL: return at(116, 6)
    case .ndTLL: return at(122, 6)
    }
  }

  /// The most a value of this field can be: `width` ones.
  public var allOnes: UInt128 { place.width == 128 ? .max : (UInt128(1) << UInt128(place.width)) - 1 }
}

extension FlowKey {
  /// Reads or writes a field as a number, right-aligned.
  public subscript(field: FlowField) -> UInt128 {
    get {
      let place = field.place
      return withUnsafeBytes(of: self) { bytes in
        var value: UInt128 = 0
        for i in 0..<place.byteCount { value = value << 8 | UInt128(bytes[place.byteOffset + i]) }
        return value >> UInt128(place.shift) & field.allOnes
      }
    }
    set {
      let place = field.place
      let keep = ~(field.allOnes << UInt128(place.shift))
      withUnsafeMutableBytes(of: &self) { bytes in
        var whole: UInt128 = 0
        for i in 0..<place.byteCount { whole = whole << 8 | UInt128(bytes[place.byteOffset + i]) }
        whole = whole & keep | (newValue & field.allOnes) << UInt128(place.shift)
        for i in (0..<place.byteCount).reversed() {
          bytes[place.byteOffset + i] = UInt8(truncatingIfNeeded: whole)
          whole >>= 8
        }
      }
    }
  }
}

extension FlowMask {
  /// Reads or writes the mask of one field, right-aligned.
  public subscript(field: FlowField) -> UInt128 {
    get { bits[field] }
    set { bits[field] = newValue }
  }

  /// Looks at every bit of a field from now on.
  public mutating func include(_ field: FlowField) { bits[field] = field.allOnes }
}
