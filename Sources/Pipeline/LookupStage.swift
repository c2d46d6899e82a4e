// LookupStage.swift
//
// What: the order in which the rule table looks at a packet: port, metadata and registers, then link layer, network layer, transport
//       layer; and the hash over the words of a stage.
//       Looking stage by stage pays twice. A subtable that can hold no match is left early; and the flow that results needs
//       to look only at the bits that were looked at: a rule on TCP ports whose addresses do not fit does not split
//       the flow by port.
// Invariant: every bit of a key belongs to exactly one stage. The EtherType is in the link stage, so a packet other than IPv6
//            never gets as far as the words of line 1.
// Threads: constants and values.
// Cost: one multiplication per masked word.

import Dataplane

/// A part of the key that is looked at in one step.
enum LookupStage: Int, CaseIterable {
  case ingress, link, network, transport

  /// The bits of the key that belong to the stage.
  var bits: FlowMask {
    var mask = FlowMask()
    switch self {
    case .ingress:
      mask.include(.inPort)
      mask.include(.recircID)
      // The pipeline's own fields: metadata, tunnel ID, registers.
      mask.bits.line2 = ~FlowLine()
    case .link:
      mask.include(.ethDst)
      mask.include(.ethSrc)
      mask.include(.ethType)
      mask.include(.vlanTCI)
      mask.include(.innerVLANTCI)
    case .network:
      mask.include(.ipv4Src)
      mask.include(.ipv4Dst)
      mask.include(.ipTTL)
      mask.include(.ipProto)
      mask.include(.ipTOS)
      mask[.ipFrag] = 3
      mask.include(.arpSHA)
      mask.include(.arpTHA)
      mask.include(.ipv6Src)
      mask.include(.ipv6Dst)
      mask.include(.ipv6Label)
      mask.include(.ipv6ExtHdr)
      mask.include(.mplsLabel)
      mask.include(.mplsTC)
      mask.include(.mplsBOS)
      mask.include(.mplsTTL)
      mask.include(.pbbISID)
    case .transport:
      // All that the other stages leave, so that no bit can be forgotten.
      let others = LookupStage.ingress.bits | LookupStage.link.bits | LookupStage.network.bits
      mask.bits.line0 = ~others.bits.line0
      mask.bits.line1 = ~others.bits.line1
      mask.bits.line2 = ~others.bits.line2
    }
    return mask
  }

  /// The bits of all stages, in their order; made once.
  static let allBits: [FlowMask] = LookupStage.allCases.map(\.bits)
}

/// The hash over the masked words of a key.
enum StageHash {
  /// Drawn once per process, so that nobody outside can make rules or packets collide.
  static let secret = UInt64.random(in: .min ... .max) | 1

  /// Mixes a masked word into the hash of the words before.
  @inline(__always)
  static func mix(_ hash: UInt64, _ word: UInt64, _ secret: UInt64) -> UInt64 {
    let product = ((hash &+ 0x9e37_79b9_7f4a_7c15) ^ word).multipliedFullWidth(by: secret)
    return product.high ^ product.low
  }

  /// The hash of a whole mask.
  static func hash(of mask: FlowMask) -> UInt64 {
    let secret = secret
    return withUnsafeBytes(of: mask) { bytes in
      var hash: UInt64 = 0
      for offset in stride(from: 0, to: bytes.count, by: 8) { hash = mix(hash, bytes.load(fromByteOffset: offset, as: UInt64.self), secret) }
      return hash
    }
  }
}
