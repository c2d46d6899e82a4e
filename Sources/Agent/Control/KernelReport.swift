// KernelReport.swift
//
// What the kernel tier is made of at a moment: directory, programs, maps, ports.
// Threads: made on the control thread (see Control.swift); a value then.
// Cost: some system calls for each program and map.

import Dataplane
import KernelTier

/// What the kernel tier is made of at a moment.
struct KernelReport: Sendable {
  /// Where the maps are pinned.
  var directory: String
  var isDrained: Bool
  var facts: KernelFacts
  /// The programs of each port, by its name: "xdp" or "tc" and the program's id.
  var programs: [(port: String, hook: String, id: UInt32)]
  /// As the programs know the ports.
  var ports: [KernelPort]
}

extension Control {
  /// Programs, maps and ports of the kernel tier; nil while there is none.
  func kernelReport() throws -> KernelReport? {
    guard let kernel else { return nil }
    var programs: [(port: String, hook: String, id: UInt32)] = []
    for port in portsInOrder {
      if let xdp = port.attachment?.xdp { programs.append((port.name, "xdp", xdp.programID)) }
      if let tc = port.attachment?.tc { programs.append((port.name, "tc", tc.programID)) }
    }
    if let up = kernel.up { programs.append((UpcallPair.exitName, "up", up.program.programID)) }
    let box = kernel.tier
    let used = try onPlane { _ in box.tier.used }
    return KernelReport(
      directory: kernel.directory.current, isDrained: isKernelDrained,
      facts: try KernelFacts.read(maps: kernel.maps, programIDs: programs.map(\.id), used: used), programs: programs,
      ports: kernel.ports.ports())
  }
}
