// TagStack.swift
//
// What: the VLAN tags of a packet while actions are applied to it, and which bits of the original packet have been looked at
//       through them. Tags move between the outer and the inner place of the key as tags are pushed and popped, so the
//       translator cannot simply read the key's fields.
// Invariants: a tag that an action pushed, or a bit that an action wrote, never makes the flow look at the original packet.
//             A packet has at most `limit` original tags: the parser refuses others.
// Threads: a value inside one translation.

import Dataplane

/// The tags of a packet in translation, outermost first.
struct TagStack {
  /// Tags that a packet can have: what the parser reads.
  static let limit = 2

  /// Tags that actions pushed, outermost last.
  private var pushed: [UInt16] = []
  /// Original tags that have been popped.
  private var popped = 0
  /// Bits that actions wrote into the outermost original tag that is left, and their values.
  private var written: UInt16 = 0
  private var value: UInt16 = 0

  private static let fields: [FlowField] = [.vlanTCI, .innerVLANTCI]

  /// The tag control word of the original tag number `index` from outside, looking at `bits` of it; 0 when there is none.
  private func original(_ index: Int, _ bits: UInt16, _ key: FlowKey, _ looked: inout FlowMask) -> UInt16 {
    guard index < Self.limit else { return 0 }
    let field = Self.fields[index]
    looked[field] |= UInt128(bits)
    return UInt16(truncatingIfNeeded: key[field])
  }

  /// Reads `bits` of the outermost tag; 0 when there is none.
  func read(_ bits: UInt16, _ key: FlowKey, _ looked: inout FlowMask) -> UInt16 {
    if let top = pushed.last { return top & bits }
    let seen = original(popped, bits & ~written, key, &looked)
    return (seen & ~written | value & written) & bits
  }

  /// True when there is a tag.
  func isTagged(_ key: FlowKey, _ looked: inout FlowMask) -> Bool { read(vlanPresent, key, &looked) != 0 }

  /// Writes `bits` of the outermost tag, which is there.
  mutating func write(_ bits: UInt16, _ new: UInt16) {
    if let top = pushed.popLast() {
      pushed.append(top & ~bits | new & bits)
    } else {
      written |= bits
      value = value & ~bits | new & bits
    }
  }

  /// Pushes an empty tag. Returns false, and does nothing, when there are as many tags as a packet can have.
  mutating func push(_ key: FlowKey, _ looked: inout FlowMask) -> Bool {
    // One more fits when the original tag that would become one too many is not there.
    let room = Self.limit - pushed.count
    guard room > 0 else { return false }
    let decisive = popped + room - 1
    guard original(decisive, vlanPresent, key, &looked) & vlanPresent == 0 else { return false }
    pushed.append(vlanPresent)
    return true
  }

  /// Removes the outermost tag, which is there.
  mutating func pop() {
    if pushed.popLast() == nil {
      popped += 1
      written = 0
      value = 0
    }
  }
}
