// HostIPv6.swift
//
// The kernel's own IPv6 on interfaces that carry only the switch's frames.
// Threads: any, in the network namespace of the interface.

import Glibc

/// The host's own IPv6 on an interface.
enum HostIPv6 {
  /// Keeps it from speaking where nobody is meant to hear it.
  static func disable(on interface: String) {
    let descriptor = open("/proc/sys/net/ipv6/conf/\(interface)/disable_ipv6", O_WRONLY | O_CLOEXEC)
    // A kernel without IPv6 has nothing to be silenced.
    guard descriptor >= 0 else { return }
    _ = write(descriptor, "1", 1)
    close(descriptor)
  }
}
