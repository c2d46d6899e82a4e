// BPFSystem+TC.swift
//
// The tc hook: the clsact qdisc and our filter on its ingress, which is the first filter there (handle 1, priority 1).
// Invariants: as in BPFSystem.swift. The filter is replaced in one step; a packet meets the old program or the new one.
// Threads: any, in the network namespace of the interface.
// Cost: a netlink request each.

import CLibbpf
import CSluice
import Glibc

extension BPFSystem {
  private static func hook(_ interface: UInt32, _ points: UInt32) -> bpf_tc_hook {
    var hook = bpf_tc_hook()
    hook.sz = libbpfSize(through: \bpf_tc_hook.parent)
    hook.ifindex = Int32(interface)
    hook.attach_point = bpf_tc_attach_point(points)
    return hook
  }

  private static func filterOptions() -> bpf_tc_opts {
    var options = bpf_tc_opts()
    options.sz = libbpfSize(through: \bpf_tc_opts.priority)
    options.handle = 1
    options.priority = 1
    return options
  }

  /// Makes the clsact qdisc.
  ///
  /// `// tc qdisc add dev X clsact`
  /// - Returns: false when it was there.
  static func makeTCHook(interface: UInt32) throws(KernelTierError) -> Bool {
    var hook = hook(interface, BPF_TC_INGRESS.rawValue)
    do {
      try call("make the clsact qdisc of interface \(interface)") { bpf_tc_hook_create(&hook) }
      return true
    } catch {
      if error.code == EEXIST { return false }
      throw error
    }
  }

  /// Removes the clsact qdisc with everything on it.
  ///
  /// `// tc qdisc del dev X clsact`
  static func removeTCHook(interface: UInt32) throws(KernelTierError) {
    var hook = hook(interface, BPF_TC_INGRESS.rawValue | BPF_TC_EGRESS.rawValue)
    try call("remove the clsact qdisc of interface \(interface)") { bpf_tc_hook_destroy(&hook) }
  }

  /// Whether any filter is on the clsact qdisc, ingress or egress.
  ///
  /// `// tc filter show dev X ingress; tc filter show dev X egress`
  static func hasTCFilters(interface: UInt32) throws(KernelTierError) -> Bool {
    for parent in [UInt32(0xffff_fff2), 0xffff_fff3] {
      let answer = sluice_tc_has_filters(Int32(interface), parent)
      guard answer >= 0 else { throw .system(operation: "list the tc filters of interface \(interface)", code: -answer, detail: "") }
      if answer > 0 { return true }
    }
    return false
  }

  /// The id of the BPF program that is the first filter; nil when there is none, 0 when it is no BPF program.
  static func tcProgramID(interface: UInt32) throws(KernelTierError) -> UInt32? {
    var hook = hook(interface, BPF_TC_INGRESS.rawValue)
    var options = filterOptions()
    do {
      try call("ask which tc program interface \(interface) runs") { bpf_tc_query(&hook, &options) }
      return options.prog_id
    } catch {
      // ENOENT: no such filter; EINVAL: no clsact qdisc.
      if error.code == ENOENT || error.code == EINVAL { return nil }
      throw error
    }
  }

  /// Makes a program the first filter.
  ///
  /// `// tc filter replace dev X ingress prio 1 handle 1 bpf direct-action ...`
  /// - Parameter replaces: take the place of what is there; else there must be nothing.
  static func attachTC(interface: UInt32, program: Int32, replaces: Bool) throws(KernelTierError) {
    var hook = hook(interface, BPF_TC_INGRESS.rawValue)
    var options = filterOptions()
    options.prog_fd = program
    options.flags = replaces ? BPF_TC_F_REPLACE.rawValue : 0
    try call("attach the tc program") { bpf_tc_attach(&hook, &options) }
  }

  /// Removes the first filter.
  ///
  /// `// tc filter del dev X ingress prio 1 handle 1 bpf`
  static func detachTC(interface: UInt32) throws(KernelTierError) {
    var hook = hook(interface, BPF_TC_INGRESS.rawValue)
    var options = filterOptions()
    try call("detach the tc program") { bpf_tc_detach(&hook, &options) }
  }
}
