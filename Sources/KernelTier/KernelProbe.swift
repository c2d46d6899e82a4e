// KernelProbe.swift
//
// What this kernel can do, found out by trying it rather than by its version: distributions backport and leave out.
// Invariants: nothing that a probe makes outlives it.
// Threads: any. Foreign programs are looked for in the network namespace of the calling thread.
// Cost: a system call or a few for each probe. Needs CAP_BPF and CAP_NET_ADMIN.

import CLibbpf
import CSluice
import Glibc

/// Something that the kernel tier or the ports need of the kernel.
public enum KernelProbe: String, CaseIterable, Sendable {
  case xdp = "XDP programs"
  case afxdp = "AF_XDP sockets"
  case tc = "tc programs"
  case mappedArrays = "mapped BPF arrays"
  case ringBuffer = "BPF ring buffers"
  case redirectPeer = "bpf_redirect_peer"

  /// Whether forwarding goes on without it, if slower.
  public var isOptional: Bool { self == .redirectPeer }

  /// Since which Linux it is there, when it is compiled in.
  public var version: String {
    switch self {
    case .xdp, .tc: "4.8"
    case .afxdp: "5.4"
    case .mappedArrays: "5.5"
    case .ringBuffer: "5.8"
    case .redirectPeer: "5.10"
    }
  }

  /// What has to be compiled in.
  public var option: String {
    switch self {
    case .afxdp: "CONFIG_XDP_SOCKETS"
    case .tc, .redirectPeer: "CONFIG_NET_CLS_BPF"
    case .xdp, .mappedArrays, .ringBuffer: "CONFIG_BPF_SYSCALL"
    }
  }

  /// Tries it.
  /// - Throws: what the kernel said, when it said no.
  public func run() throws(KernelTierError) {
    switch self {
    case .xdp: try Self.ask("load an XDP program") { libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, nil) }
    case .tc: try Self.ask("load a tc program") { libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nil) }
    case .ringBuffer: try Self.ask("make a BPF ring buffer") { libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, nil) }
    case .redirectPeer:
      try Self.ask("use bpf_redirect_peer") { libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_peer, nil) }
    case .mappedArrays:
      _ = try BPFSystem.createMap(
        type: BPF_MAP_TYPE_ARRAY, name: "sluice_probe", keySize: 4, valueSize: 8, entries: 1, flags: UInt32(BPF_F_MMAPABLE))
    case .afxdp:
      let socket = socket(AF_XDP, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard socket >= 0 else { throw .system(operation: "open an AF_XDP socket", code: errno, detail: "") }
      close(socket)
    }
  }

  private static func ask(_ operation: String, _ body: () -> Int32) throws(KernelTierError) {
    let answer = try BPFSystem.call(operation, body)
    guard answer > 0 else { throw .system(operation: operation, code: EOPNOTSUPP, detail: "") }
  }
}

/// Programs of others where ours would have to be.
public struct ForeignPrograms: Sendable, Equatable {
  /// On the XDP hook.
  public var xdp: XDPProgramIdentity?
  /// The tc filter whose place is ours, in words.
  public var tc: String?

  public init(xdp: XDPProgramIdentity? = nil, tc: String? = nil) {
    self.xdp = xdp
    self.tc = tc
  }

  /// Looks at an interface.
  public static func look(interfaceIndex: UInt32, interfaceName: String) throws(KernelTierError) -> ForeignPrograms {
    var found = ForeignPrograms()
    found.xdp = try XDPHook(index: interfaceIndex, name: interfaceName).occupants().first { !$0.isOurs }?.identity
    if case .foreign(let identity) = try TCHook(index: interfaceIndex, name: interfaceName).occupant() {
      found.tc = identity.map { "the tc program \($0)" } ?? "a tc filter"
    }
    return found
  }
}
