// PrefixTrie.swift
//
// What: the prefixes of one field that rules of a table have, in a binary trie with compressed paths. It answers two questions about a
//       packet: which lengths of prefixes match it, and how many of its bits tell that no longer one does.
//       The rule table asks before it searches a subtable: where no prefix of the subtable's length matches, the subtable holds no
//       rule for the packet, and the flow that results needs to look only at the bits that told so.
// Invariants: values are left-aligned. A node's prefix is zero beyond its length. Every node but the root has rules of its own or two
//             children. Node 0 is the root, of length 0; as a child it means "none".
// Threads: confined to its RuleTable.
// Cost: a step per branching on the way, about the logarithm of the number of prefixes; 20 bytes per node for up to 32 bits,
//       48 for 128, and at most two nodes per different prefix.

/// Prefixes of a field of up to `Bits.bitWidth` bits.
struct PrefixTrie<Bits: FixedWidthInteger & UnsignedInteger> {
  private struct Node {
    var prefix: Bits
    var length: UInt8
    /// Rules that have exactly this prefix.
    var count: UInt32
    var zero: UInt32 = 0
    var one: UInt32 = 0
  }

  private var nodes: [Node] = [Node(prefix: 0, length: 0, count: 0)]
  private var free: [UInt32] = []

  /// True when there is no prefix.
  var isEmpty: Bool { nodes[0].zero | nodes[0].one == 0 }

  /// What is known about a value.
  struct Finding {
    /// Bit n - 1 is set when a prefix of length n matches.
    var lengths: Bits = 0
    /// As many leading bits of the value tell that no prefixes but these match.
    var depth = 0
  }

  /// Looks for the prefixes of a value.
  func find(_ value: Bits) -> Finding {
    var finding = Finding()
    nodes.withUnsafeBufferPointer { nodes in
      var node = nodes[0]
      while true {
        if node.count > 0, node.length > 0 { finding.lengths |= 1 &<< Bits(truncatingIfNeeded: node.length - 1) }
        let length = Int(node.length)
        guard length < Bits.bitWidth else {
          finding.depth = length
          return
        }
        let child = Self.bit(length, of: value) ? node.one : node.zero
        guard child != 0 else {
          // Where there is another branch, this bit is what tells that the value does not belong there.
          finding.depth = node.zero | node.one == 0 ? length : length + 1
          return
        }
        let next = nodes[Int(child)]
        let common = (value ^ next.prefix).leadingZeroBitCount
        guard common >= Int(next.length) else {
          finding.depth = common + 1
          return
        }
        node = next
      }
    }
    return finding
  }

  /// Adds a prefix of at least one bit.
  mutating func insert(_ value: Bits, length: Int) {
    let prefix = Self.cut(value, length)
    let (at, child, common) = place(of: prefix, length)
    if Int(nodes[at].length) == length {
      nodes[at].count += 1
      return
    }
    let isOne = Self.bit(Int(nodes[at].length), of: prefix)
    guard child != 0 else { return link(at, isOne, to: make(prefix, length, count: 1)) }
    let middle = make(Self.cut(prefix, common), common, count: common == length ? 1 : 0)
    link(at, isOne, to: middle)
    link(Int(middle), Self.bit(common, of: nodes[child].prefix), to: UInt32(child))
    if common < length { link(Int(middle), Self.bit(common, of: prefix), to: make(prefix, length, count: 1)) }
  }

  /// The last node whose prefix is a beginning of this one; and, when the way goes on to a child that is not, that child and how many
  /// bits they share.
  private func place(of prefix: Bits, _ length: Int) -> (at: Int, child: Int, common: Int) {
    // Read only: neither bounds nor ownership are checked at each of some twenty steps.
    nodes.withUnsafeBufferPointer { nodes in
      var at = 0
      while true {
        let node = nodes[at]
        let child = Int(node.length) == length ? 0 : Int(Self.bit(Int(node.length), of: prefix) ? node.one : node.zero)
        guard child != 0 else { return (at, 0, 0) }
        let next = nodes[child]
        let common = min((prefix ^ next.prefix).leadingZeroBitCount, length, Int(next.length))
        guard common == Int(next.length) else { return (at, child, common) }
        at = child
      }
    }
  }

  /// Removes a prefix that was added.
  mutating func remove(_ value: Bits, length: Int) {
    let prefix = Self.cut(value, length)
    let (grandparent, parent, at) = nodes.withUnsafeBufferPointer { nodes in
      var (grandparent, parent, at) = (0, 0, 0)
      while Int(nodes[at].length) < length {
        let node = nodes[at]
        let child = Int(Self.bit(Int(node.length), of: prefix) ? node.one : node.zero)
        guard child != 0 else { return (0, 0, 0) }
        (grandparent, parent, at) = (parent, at, child)
      }
      return (grandparent, parent, at)
    }
    guard nodes[at].count > 0 else { return }
    nodes[at].count -= 1
    guard nodes[at].count == 0 else { return }
    takeOut(at, below: parent)
    // What is above may have been there only to branch.
    if parent != 0, nodes[parent].count == 0 { takeOut(parent, below: grandparent) }
  }

  /// Takes out a node without rules, unless it has two children.
  private mutating func takeOut(_ at: Int, below parent: Int) {
    let node = nodes[at]
    guard node.zero == 0 || node.one == 0 else { return }
    link(parent, nodes[parent].one == UInt32(at), to: node.zero | node.one)
    free.append(UInt32(at))
  }

  private mutating func make(_ prefix: Bits, _ length: Int, count: UInt32) -> UInt32 {
    let node = Node(prefix: prefix, length: UInt8(length), count: count)
    if let at = free.popLast() {
      nodes[Int(at)] = node
      return at
    }
    nodes.append(node)
    return UInt32(nodes.count - 1)
  }

  private mutating func link(_ at: Int, _ isOne: Bool, to child: UInt32) {
    if isOne { nodes[at].one = child } else { nodes[at].zero = child }
  }

  @inline(__always)
  private static func bit(_ index: Int, of value: Bits) -> Bool {
    value & (1 &<< Bits(truncatingIfNeeded: Bits.bitWidth - 1 - index)) != 0
  }

  @inline(__always)
  private static func cut(_ value: Bits, _ length: Int) -> Bits {
    length == 0 ? 0 : value & (Bits.max &<< Bits(truncatingIfNeeded: Bits.bitWidth - length))
  }
}
