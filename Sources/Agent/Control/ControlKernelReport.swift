// ControlKernelReport.swift
//
// What of the switch is in the kernel: programs, maps, and the flows that are held there. For `kernel show`.
// Threads: the control thread (see Control.swift).
// Cost: a few system calls for each program and map; waits for the pipeline thread once.

import AgentAPI
import KernelTier
import Pipeline

extension Control {
  func kernelReport() throws -> Sluice_V1_GetKernelReply {
    var reply = Sluice_V1_GetKernelReply()
    reply.drained = isKernelDrained
    var used: [String: Int] = [:]
    if let kernel {
      reply.inUse = true
      reply.directory = kernel.directory.current
      let box = kernel.tier
      let (tier, fences, places, waiting) = try onPlane { core in
        (core.tierSummaries.first, box.tier.fences, box.tier.used, box.tier.waitingCount)
      }
      reply.flows = UInt64(tier?.flows ?? 0)
      reply.waiting = UInt64(waiting)
      reply.capacity = UInt64(tier?.capacity ?? 0)
      reply.placed = tier?.placed ?? 0
      reply.withdrawn = tier?.withdrawn ?? 0
      reply.refused = (tier?.refused ?? [:]).sorted { $0.key < $1.key }.map { .with($0.key, $0.value) }
      reply.fences = fences.count
      reply.fenceNanoseconds = fences.nanoseconds
      used = places
    }
    let loaded = loadedPrograms()
    let facts = try KernelFacts.read(maps: kernel?.maps, programIDs: loaded.map(\.id), used: used)
    reply.programs = loaded.compactMap { place in
      // One that somebody took away meanwhile is not shown.
      facts.programs.first { $0.id == place.id }.map { place.with($0) }
    }
    reply.maps = facts.maps.map(Sluice_V1_KernelMap.init)
    return reply
  }

  /// Where each of our programs is, in the order of ports.
  private func loadedPrograms() -> [Sluice_V1_KernelProgram] {
    var programs: [Sluice_V1_KernelProgram] = []
    func add(_ id: UInt32, _ port: String, _ interface: String, _ hook: Sluice_V1_PortHook, _ mode: XDPAttachMode? = nil) {
      var program = Sluice_V1_KernelProgram()
      (program.id, program.port, program.interface, program.hook) = (id, port, interface, hook)
      switch mode {
      case .native?: program.xdpMode = .native
      case .generic?: program.xdpMode = .generic
      case nil: break
      }
      programs.append(program)
    }
    for port in portsInOrder {
      guard let attachment = port.attachment else { continue }
      if let xdp = attachment.xdp { add(xdp.programID, port.name, xdp.interfaceName, .xdp, xdp.attachMode) }
      if let tc = attachment.tc { add(tc.programID, port.name, tc.interfaceName, .tc) }
    }
    if let up = kernel?.up?.program { add(up.programID, "", up.interfaceName, .xdp, up.attachMode) }
    return programs
  }
}

extension Sluice_V1_KernelProgram {
  /// This place with what the kernel says about the program.
  fileprivate func with(_ facts: KernelProgramFacts) -> Sluice_V1_KernelProgram {
    var program = self
    program.name = facts.name
    program.tag = facts.tag
    program.instructions = UInt64(facts.instructions)
    program.verifiedInstructions = UInt64(facts.verifiedInstructions)
    program.jitedBytes = UInt64(facts.machineCodeBytes)
    program.runs = facts.runs
    program.runNanoseconds = facts.runNanoseconds
    return program
  }
}

extension Sluice_V1_KernelMap {
  fileprivate init(_ facts: KernelMapFacts) {
    self.init()
    id = facts.id
    name = facts.name
    entries = UInt64(facts.entries)
    if let used = facts.used { self.used = UInt64(used) }
    memoryBytes = UInt64(facts.bytes)
  }
}
