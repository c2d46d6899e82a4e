// XDPProgramSpec.swift
//
// What an instance of the XDP program is to be, before anything is loaded: a value that can be compared and printed.
// Invariant: nothing here talks to the kernel; `XDPProgram.load` makes a loaded program of it.
// Threads: values only.

/// Who gets the frames of a port.
public enum XDPPortMode: String, Sendable, Hashable, CaseIterable {
  /// The switch gets every frame; frames are dropped while the agent is away.
  case dedicated
  /// The host keeps what belongs to it, and all frames while the agent is away.
  case shared
}

/// The configuration of one instance of the XDP program.
public struct XDPProgramSpec: Sendable, Hashable {
  public var mode: XDPPortMode
  /// Receive queues of the interface; each can have an AF_XDP socket.
  public var queues: Int
  /// Whether the early drop policy applies. The code is left out when not.
  public var usesPolicy: Bool
  /// Whether the program looks flows up.
  public var usesFlows: Bool

  public init(mode: XDPPortMode, queues: Int, usesPolicy: Bool, usesFlows: Bool = false) {
    self.mode = mode
    self.queues = queues
    self.usesPolicy = usesPolicy
    self.usesFlows = usesFlows
  }
}
