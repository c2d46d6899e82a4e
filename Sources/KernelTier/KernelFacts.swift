// KernelFacts.swift
//
// What the kernel says about our programs and maps: for people who want to see what runs there and how full it is.
// Threads: values; reading is one system call per program and map.

import CSluice

/// A loaded program, as `bpftool prog show` has it.
public struct KernelProgramFacts: Sendable, Hashable {
  public var id: UInt32
  public var name: String
  /// 16 hexadecimal digits that change with the program.
  public var tag: String
  /// "xdp", "tc", or a number of linux/bpf.h.
  public var type: String
  /// Instructions after the verifier's work.
  public var instructions: Int
  /// Instructions that the verifier looked at until it was sure; the kernel stops at a million.
  public var verifiedInstructions: Int
  /// Bytes of machine code; 0 without a JIT.
  public var machineCodeBytes: Int
  /// Seconds after boot when it was loaded.
  public var loadedSeconds: Double
  /// Runs and their time, while kernel.bpf_stats_enabled is 1; else 0.
  public var runs: UInt64
  public var runNanoseconds: UInt64
}

/// A map, as `bpftool map show` has it.
public struct KernelMapFacts: Sendable, Hashable {
  public var id: UInt32
  public var name: String
  /// A number of linux/bpf.h (enum bpf_map_type).
  public var type: UInt32
  public var entries: Int
  public var valueSize: Int
  /// Places in use, where somebody counts them.
  public var used: Int?
  /// Memory of the kernel's, as it charges it; 0 when it does not tell.
  public var bytes: Int
}

/// Everything that `kernel show` shows.
public struct KernelFacts: Sendable {
  public var programs: [KernelProgramFacts]
  public var maps: [KernelMapFacts]

  /// Reads the facts. Programs that are gone are passed over.
  /// - Parameter used: places in use, by the name of the map.
  public static func read(
    maps: FlowTableMaps?, programIDs: [UInt32], used: [String: Int] = [:]
  ) throws(KernelTierError) -> KernelFacts {
    var programs: [KernelProgramFacts] = []
    for id in programIDs {
      do {
        let program = try BPFSystem.openProgram(id: id)
        programs.append(try BPFSystem.facts(ofProgram: program))
      } catch {
        guard error.isNotThere else { throw error }
      }
    }
    var facts: [KernelMapFacts] = []
    for var map in try maps?.facts() ?? [] {
      map.used = used[map.name]
      facts.append(map)
    }
    return KernelFacts(programs: programs, maps: facts)
  }
}
