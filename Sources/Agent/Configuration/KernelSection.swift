// KernelSection.swift
//
// Section `kernel` of the configuration: which flows are executed in the kernel, how many it may hold, and where what outlives the
// agent is pinned.
// Invariant: the directory is an absolute path below a BPF file system; that there is one is found out when it is needed.
// Threads: values.

/// Whether the flows that come in on a port are executed in the kernel.
public enum PortPlacement: String, Sendable, CaseIterable {
  /// Never: the workers forward every packet.
  case off
  /// Those that have packets enough.
  case auto
  /// Every one, from its first packet on.
  case eager
}

/// Where a port's frames meet the switch's program in the kernel.
public enum PortHook: String, Sendable, CaseIterable {
  /// tc for a veth whose flows may go to the kernel, else XDP.
  case auto
  /// In the driver, before the kernel makes a socket buffer.
  case xdp
  /// Behind the driver, where packets keep their segmentation and checksum offload.
  case tc
}

/// Section `kernel`.
public struct KernelSection: Sendable, Equatable {
  /// Of ports that do not say.
  public var placement = PortPlacement.auto
  /// Slots for flows in the kernel's table: a power of two.
  public var flows = 131_072
  /// Where programs' maps are pinned, so that the next agent finds them.
  public var directory = "/sys/fs/bpf/sluice"

  public init() {}

  static let keys = ["placement", "flows", "directory"]
  static let flowRange = 1024...1_048_576

  init(_ node: ConfigurationNode) {
    guard let values = node.mapping(keys: Self.keys) else { return }
    if let value = values["placement"], let placement = value.choice(PortPlacement.self) { self.placement = placement }
    if let value = values["flows"], let flows = value.integer(in: Self.flowRange) {
      if flows & (flows - 1) != 0 { value.problem("expected a power of two, found the number \(flows)") }
      self.flows = flows
    }
    if let value = values["directory"], let path = value.absolutePath() { directory = path }
  }
}
