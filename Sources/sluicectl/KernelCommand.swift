// KernelCommand.swift: `sluicectl kernel`, what of the switch runs in the kernel.

import AgentAPI
import ArgumentParser

struct KernelCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "kernel", abstract: "Shows the programs and maps in the kernel, and how full they are.", subcommands: [Show.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Shows programs, maps, and what became of the flows that were to go into the kernel.",
      discussion: """
        How often programs run is counted only while sysctl kernel.bpf_stats_enabled is 1, which costs some nanoseconds a packet.

        EXAMPLES:
          sluicectl kernel show
          sluicectl kernel show -o json | jq .flows
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let kernel = try await global.withAgent { try await $0.kernel() }
      try global.show(kernel.document) { kernel.text(bold: Terminal.takesColour) }
    }
  }
}

extension Sluice_V1_GetKernelReply: Document {
  var document: JSON {
    [
      "inUse": .bool(inUse), "directory": .string(directory), "drained": .bool(drained), "flows": .unsigned(flows),
      "waiting": .unsigned(waiting), "capacity": .unsigned(capacity), "placed": .unsigned(placed),
      "withdrawn": .unsigned(withdrawn), "refused": refused.counts, "fences": .unsigned(fences),
      "fenceNanoseconds": .unsigned(fenceNanoseconds), "programs": .array(programs.map(\.document)),
      "maps": .array(maps.map(\.document)),
    ]
  }

  func text(bold: Bool) -> String {
    var lines: [String]
    if inUse {
      let mean = fences == 0 ? "" : ", \(Human.decimal(Double(fenceNanoseconds) / Double(fences) / 1e6, places: 1)) ms each"
      lines = [
        "Flows:    \(flows) of \(capacity) held" + (waiting == 0 ? "" : ", \(waiting) still wait for their worker's last packet")
          + (drained ? "; drained, let flows be placed again with: sluicectl agent resume" : ""),
        "Placed:   \(placed) since the agent started, \(withdrawn) withdrawn, \(Human.count(fences, "fence"))\(mean)",
        "Refused:  " + (refused.isEmpty ? "none" : refused.words),
        "Pinned:   \(directory)",
      ]
    } else {
      lines = [
        "Flows:    none: no port uses the kernel's table yet; one that does is made with: sluicectl port add NAME --kernel auto"
          + (drained ? "; drained, let flows be placed again with: sluicectl agent resume" : "")
      ]
    }
    if !programs.isEmpty {
      var table = Table(["port", "interface", "program", ">id", "tag", "hook", "mode", ">insns", ">verified", ">jited", ">runs", ">ns/run"])
      for program in programs {
        table.add([
          program.port.isEmpty ? "(way up)" : program.port, program.interface, program.name, "\(program.id)", program.tag,
          program.hook.word, program.xdpMode == .unspecified ? "" : program.xdpMode.word, "\(program.instructions)",
          "\(program.verifiedInstructions)", Human.bytes(program.jitedBytes), program.runs == 0 ? "" : "\(program.runs)",
          program.runs == 0 ? "" : "\(program.runNanoseconds / program.runs)",
        ])
      }
      lines += ["", table.text(bold: bold)]
    }
    if !maps.isEmpty {
      var table = Table(["map", ">id", ">entries", ">used", ">fill", ">memory"])
      for map in maps {
        let fill = map.hasUsed && map.entries > 0 ? Human.percent(Double(map.used) / Double(map.entries)) : ""
        table.add([
          map.name, "\(map.id)", "\(map.entries)", map.hasUsed ? "\(map.used)" : "", fill,
          map.memoryBytes == 0 ? "" : Human.bytes(map.memoryBytes),
        ])
      }
      lines += ["", table.text(bold: bold)]
    }
    return lines.joined(separator: "\n")
  }
}

extension Sluice_V1_KernelProgram: Document {
  var document: JSON {
    [
      "id": .of(id), "name": .string(name), "tag": .string(tag), "port": port.isEmpty ? nil : .string(port),
      "interface": .string(interface), "hook": .string(hook.word), "xdpMode": xdpMode == .unspecified ? nil : .string(xdpMode.word),
      "instructions": .unsigned(instructions), "verifiedInstructions": .unsigned(verifiedInstructions),
      "jitedBytes": .unsigned(jitedBytes), "runs": .unsigned(runs), "runNanoseconds": .unsigned(runNanoseconds),
    ]
  }
}

extension Sluice_V1_KernelMap: Document {
  var document: JSON {
    [
      "id": .of(id), "name": .string(name), "entries": .unsigned(entries), "used": hasUsed ? .unsigned(used) : nil,
      "memoryBytes": .unsigned(memoryBytes),
    ]
  }
}
