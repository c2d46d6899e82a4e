// XDPProgramIdentity.swift
//
// How one BPF program is told from another: the kernel's id, the name and the tag (a hash of its instructions).
// Invariant: a program is ours when it bears our name; the tag changes with every version, and the id with every load.
// Threads: values only.

import CSluice

/// A loaded BPF program, as `bpftool prog show` names it.
public struct XDPProgramIdentity: Sendable, Hashable, CustomStringConvertible {
  public var id: UInt32
  /// At most 15 characters; empty when its loader gave none.
  public var name: String
  /// 16 hexadecimal digits.
  public var tag: String

  public init(id: UInt32, name: String, tag: String) {
    self.id = id
    self.name = name
    self.tag = tag
  }

  /// Whether Sluice loaded it: this agent, or one before it.
  public var isOurs: Bool {
    name == SLUICE_XDP_PROGRAM || name == SLUICE_TC_PROGRAM || name == SLUICE_UP_PROGRAM
  }

  public var description: String { "\(name.isEmpty ? "without a name" : name) (id \(id), tag \(tag))" }
}
