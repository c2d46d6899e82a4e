// PrefixFields.swift
//
// What: the fields whose values rules match by prefix (addresses, ports), a trie for each, and what one search has found in them so far.
// Why the bits are rounded: looking at exactly as many bits as tell a packet apart gives the widest flows and up to 33 masks per
//       address. Looking at a few more is as right, and keeps masks few: addresses count in eighths of a word, ports in quarters.
// Threads: confined to the rule table.
// Cost: a trie is walked at most once per search, when a subtable first needs it.

import Dataplane

/// A field that rules match by prefix.
enum PrefixField: Int, CaseIterable {
  case ipv4Dst, ipv4Src, ipv6Dst, ipv6Src, portDst, portSrc

  var field: FlowField {
    switch self {
    case .ipv4Dst: .ipv4Dst
    case .ipv4Src: .ipv4Src
    case .ipv6Dst: .ipv6Dst
    case .ipv6Src: .ipv6Src
    case .portDst: .tcpDst
    case .portSrc: .tcpSrc
    }
  }

  var stage: LookupStage {
    switch self {
    case .ipv4Dst, .ipv4Src, .ipv6Dst, .ipv6Src: .network
    case .portDst, .portSrc: .transport
    }
  }

  /// The length of the prefix that a mask looks at; 0 when it looks at none, or at other bits.
  func length(in mask: FlowMask) -> Int {
    let width = field.place.width
    let bits = mask[field] << UInt128(128 - width)
    let length = (~bits).leadingZeroBitCount
    return length == 0 || bits << UInt128(length) != 0 ? 0 : min(length, width)
  }
}

/// A prefix that the rules of a subtable match.
struct PrefixCheck: BitwiseCopyable {
  let field: PrefixField
  let length: UInt8
}

/// A trie whose new prefixes wait until somebody searches, and are put in in the order of their values then: the way to one is
/// almost the way to the next, and still in the CPU's cache.
private struct GatheredTrie<Bits: FixedWidthInteger & UnsignedInteger> {
  private var trie = PrefixTrie<Bits>()
  private var waiting: [(value: Bits, length: UInt8)] = []

  /// Adds a prefix, or removes one that was added.
  mutating func change(_ value: Bits, length: Int, isThere: Bool) {
    guard !isThere else { return waiting.append((value, UInt8(length))) }
    settle()
    trie.remove(value, length: length)
  }

  mutating func settle() {
    guard !waiting.isEmpty else { return }
    waiting.sort { $0.value < $1.value }
    for prefix in waiting { trie.insert(prefix.value, length: Int(prefix.length)) }
    waiting = []
  }

  /// Looks for the prefixes of a value; none waits.
  func find(_ value: Bits) -> PrefixTrie<Bits>.Finding { trie.find(value) }
}

/// The prefixes of a table's rules.
struct PrefixTries {
  private var ipv4Dst = GatheredTrie<UInt32>()
  private var ipv4Src = GatheredTrie<UInt32>()
  private var ipv6Dst = GatheredTrie<UInt128>()
  private var ipv6Src = GatheredTrie<UInt128>()
  private var portDst = GatheredTrie<UInt16>()
  private var portSrc = GatheredTrie<UInt16>()

  private static let ipv4DstOffset = FlowField.ipv4Dst.place.byteOffset
  private static let ipv4SrcOffset = FlowField.ipv4Src.place.byteOffset
  private static let ipv6DstOffset = FlowField.ipv6Dst.place.byteOffset
  private static let ipv6SrcOffset = FlowField.ipv6Src.place.byteOffset
  private static let portDstOffset = FlowField.tcpDst.place.byteOffset
  private static let portSrcOffset = FlowField.tcpSrc.place.byteOffset

  /// False while prefixes wait for `settle`, which has to come before a search.
  private(set) var isSettled = true

  /// Puts the prefixes that wait into their tries.
  mutating func settle() {
    ipv4Dst.settle()
    ipv4Src.settle()
    ipv6Dst.settle()
    ipv6Src.settle()
    portDst.settle()
    portSrc.settle()
    isSettled = true
  }

  /// Notes the prefixes of a rule.
  mutating func insert(_ key: UnsafeRawPointer, _ checks: UnsafeMutableBufferPointer<PrefixCheck>) {
    isSettled = false
    change(key, checks, isThere: true)
  }

  /// Forgets the prefixes of a rule.
  mutating func remove(_ key: UnsafeRawPointer, _ checks: UnsafeMutableBufferPointer<PrefixCheck>) {
    change(key, checks, isThere: false)
  }

  @inline(__always)
  private mutating func change(_ key: UnsafeRawPointer, _ checks: UnsafeMutableBufferPointer<PrefixCheck>, isThere: Bool) {
    for check in checks {
      let length = Int(check.length)
      switch check.field {
      case .ipv4Dst: ipv4Dst.change(Self.word(key, Self.ipv4DstOffset), length: length, isThere: isThere)
      case .ipv4Src: ipv4Src.change(Self.word(key, Self.ipv4SrcOffset), length: length, isThere: isThere)
      case .ipv6Dst: ipv6Dst.change(Self.word(key, Self.ipv6DstOffset), length: length, isThere: isThere)
      case .ipv6Src: ipv6Src.change(Self.word(key, Self.ipv6SrcOffset), length: length, isThere: isThere)
      case .portDst: portDst.change(Self.word(key, Self.portDstOffset), length: length, isThere: isThere)
      case .portSrc: portSrc.change(Self.word(key, Self.portSrcOffset), length: length, isThere: isThere)
      }
    }
  }

  fileprivate func find(_ field: PrefixField, _ key: UnsafeRawPointer) -> PrefixFinding {
    switch field {
    case .ipv4Dst: PrefixFinding(ipv4Dst.find(Self.word(key, Self.ipv4DstOffset)))
    case .ipv4Src: PrefixFinding(ipv4Src.find(Self.word(key, Self.ipv4SrcOffset)))
    case .ipv6Dst: PrefixFinding(ipv6Dst.find(Self.word(key, Self.ipv6DstOffset)))
    case .ipv6Src: PrefixFinding(ipv6Src.find(Self.word(key, Self.ipv6SrcOffset)))
    case .portDst: PrefixFinding(portDst.find(Self.word(key, Self.portDstOffset)))
    case .portSrc: PrefixFinding(portSrc.find(Self.word(key, Self.portSrcOffset)))
    }
  }

  /// A big-endian number of the key.
  @inline(__always)
  private static func word<Bits: FixedWidthInteger & BitwiseCopyable>(_ key: UnsafeRawPointer, _ offset: Int) -> Bits {
    Bits(bigEndian: key.loadUnaligned(fromByteOffset: offset, as: Bits.self))
  }

  /// Adds the first `length` bits of a field to what has been looked at.
  fileprivate static func look(_ field: PrefixField, _ length: Int, _ looked: UnsafeMutableRawPointer) {
    switch field {
    case .ipv4Dst: widen(UInt32.self, looked, ipv4DstOffset, length)
    case .ipv4Src: widen(UInt32.self, looked, ipv4SrcOffset, length)
    case .ipv6Dst: widen(UInt128.self, looked, ipv6DstOffset, length)
    case .ipv6Src: widen(UInt128.self, looked, ipv6SrcOffset, length)
    case .portDst: widen(UInt16.self, looked, portDstOffset, length)
    case .portSrc: widen(UInt16.self, looked, portSrcOffset, length)
    }
  }

  @inline(__always)
  private static func widen<Bits: FixedWidthInteger & BitwiseCopyable>(
    _: Bits.Type, _ looked: UnsafeMutableRawPointer, _ offset: Int, _ length: Int
  ) {
    let before: Bits = word(UnsafeRawPointer(looked), offset)
    looked.storeBytes(of: (before | Bits.max << Bits(Bits.bitWidth - length)).bigEndian, toByteOffset: offset, as: Bits.self)
  }
}

private struct PrefixFinding {
  var lengths: UInt128 = 0
  var depth = 0

  init() {}

  init<Bits>(_ finding: PrefixTrie<Bits>.Finding) {
    lengths = UInt128(finding.lengths)
    depth = finding.depth
  }
}

/// What one search has found in the tries so far.
struct PrefixSearch {
  private var isKnown: UInt8 = 0
  private var findings: InlineArray<6, PrefixFinding> = InlineArray(repeating: PrefixFinding())

  /// True when no rule of the table has a prefix of this length that matches the packet; the bits that tell so are looked at then.
  @inline(__always)
  mutating func excludes(
    _ check: PrefixCheck, _ key: UnsafeRawPointer, _ looked: UnsafeMutableRawPointer, _ tries: borrowing PrefixTries
  ) -> Bool {
    let place = check.field.rawValue
    if isKnown & 1 << UInt8(place) == 0 {
      findings[place] = tries.find(check.field, key)
      isKnown |= 1 << UInt8(place)
    }
    let length = Int(check.length)
    guard findings[place].lengths & (1 << UInt128(length - 1)) == 0 else { return false }
    // The bits up to the depth tell that no longer prefix matches, those up to the length that none of this length does.
    let needed = min(findings[place].depth, length)
    let step = check.field.granularity
    PrefixTries.look(check.field, min((needed + step - 1) / step * step, length), looked)
    return true
  }
}

extension PrefixField {
  /// Bits that are looked at together.
  fileprivate var granularity: Int {
    switch self {
    case .ipv4Dst, .ipv4Src: 8
    case .ipv6Dst, .ipv6Src: 16
    case .portDst, .portSrc: 4
    }
  }
}
