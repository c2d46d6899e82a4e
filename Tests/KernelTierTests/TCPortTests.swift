// TCPortTests.swift
//
// The tc hook on real interfaces, each test in a network namespace of its own.

import CLibbpf
import CSluice
import Dataplane
import Glibc
import Testing

@testable import KernelTier

/// A tc program that is not ours: it passes everything.
private func loadForeignFilter() throws -> BPFDescriptor {
  // r0 = TC_ACT_OK; exit
  let instructions = [
    bpf_insn(code: UInt8(BPF_ALU64 | BPF_MOV | BPF_K), dst_reg: 0, src_reg: 0, off: 0, imm: 0),
    bpf_insn(code: UInt8(BPF_JMP | BPF_EXIT), dst_reg: 0, src_reg: 0, off: 0, imm: 0),
  ]
  let number = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign_tc", "GPL", instructions, instructions.count, nil)
  guard number >= 0 else { throw CommandFailure(command: "load a foreign filter", status: errno) }
  return BPFDescriptor(owning: number)
}

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct TCPortTests {
  private static func attach(_ index: UInt32, madeQdisc: Bool = false) throws -> TCPort {
    try TCPort.attach(
      interfaceIndex: index, interfaceName: "uplink0", flows: FlowHookSpec(maps: try FlowTableMaps.create(flows: 1024), port: 1),
      madeQdisc: madeQdisc)
  }

  @Test func theQdiscComesAndGoesWithTheProgram() throws {
    try inNamespace {
      let index = try makeVeth()
      let port = try Self.attach(index)
      #expect(port.madeQdisc)
      #expect(try TCHook(index: index, name: "uplink0").occupant() == .ours(port.identity))
      #expect(try BPFSystem.hasTCFilters(interface: index))
      #expect(try port.detach())
      #expect(try !port.detach())
      #expect(try TCHook(index: index, name: "uplink0").occupant() == .nobody)
      // It is gone: it can be made.
      #expect(try BPFSystem.makeTCHook(interface: index))
    }
  }

  @Test func aQdiscThatWasThereStays() throws {
    try inNamespace {
      let index = try makeVeth()
      #expect(try BPFSystem.makeTCHook(interface: index))
      let port = try Self.attach(index)
      #expect(!port.madeQdisc)
      #expect(try port.detach())
      #expect(try !BPFSystem.makeTCHook(interface: index))
    }
  }

  @Test func aForeignFilterInOurPlaceIsNeverReplaced() throws {
    try inNamespace {
      let index = try makeVeth()
      let foreign = try loadForeignFilter()
      _ = try BPFSystem.makeTCHook(interface: index)
      try BPFSystem.attachTC(interface: index, program: foreign.number, replaces: false)
      let identity = try BPFSystem.identity(of: foreign)
      #expect(throws: KernelTierError.foreignFilter(interface: "uplink0", program: identity)) { _ = try Self.attach(index) }
      #expect(try removeTCLeftovers(interfaceIndices: [index], madeQdisc: { _ in true }).isEmpty)
      #expect(try TCHook(index: index, name: "uplink0").occupant() == .foreign(identity))
    }
  }

  @Test func theQdiscStaysForTheFiltersOfOthers() throws {
    try inNamespace {
      let index = try makeVeth()
      let port = try Self.attach(index)
      let foreign = try loadForeignFilter()
      var hook = bpf_tc_hook()
      hook.sz = MemoryLayout<bpf_tc_hook>.size
      hook.ifindex = Int32(index)
      hook.attach_point = BPF_TC_EGRESS
      var options = bpf_tc_opts()
      options.sz = MemoryLayout<bpf_tc_opts>.offset(of: \bpf_tc_opts.priority)! + 4
      options.prog_fd = foreign.number
      options.priority = 5
      #expect(bpf_tc_attach(&hook, &options) == 0)
      #expect(try port.detach())
      #expect(try BPFSystem.hasTCFilters(interface: index))
      #expect(try !BPFSystem.makeTCHook(interface: index))
    }
  }

  @Test func theLeftoverOfACrashIsReplaced() throws {
    try inNamespace {
      let index = try makeVeth()
      let first = try Self.attach(index).programID
      let port = try Self.attach(index, madeQdisc: true)
      #expect(port.programID != first)
      #expect(port.madeQdisc)
      #expect(try TCHook(index: index, name: "uplink0").occupant() == .ours(port.identity))
      #expect(try port.detach())
      #expect(try BPFSystem.makeTCHook(interface: index))
    }
  }

  @Test func detachLeavesAloneWhatReplacedUs() throws {
    try inNamespace {
      let index = try makeVeth()
      let first = try Self.attach(index)
      let second = try Self.attach(index, madeQdisc: true)
      #expect(try !first.detach())
      #expect(try TCHook(index: index, name: "uplink0").occupant() == .ours(second.identity))
    }
  }

  @Test func leftoversAreRemoved() throws {
    try inNamespace {
      let index = try makeVeth()
      let id = try Self.attach(index).programID
      let removed = try removeTCLeftovers(interfaceIndices: [1, index, 999_999], madeQdisc: { $0 == index })
      #expect(removed.map(\.program.id) == [id])
      #expect(removed.map(\.interfaceIndex) == [index])
      #expect(try BPFSystem.makeTCHook(interface: index))
    }
  }

  @Test func anInterfaceThatIsGoneIsNamed() throws {
    try inNamespace {
      #expect(throws: KernelTierError.noInterface(name: "uplink0", index: 777)) { _ = try Self.attach(777) }
      let index = try makeVeth()
      let port = try Self.attach(index)
      try run("ip link del uplink0")
      #expect(try !port.detach())
    }
  }

  @Test func theFarEndOfTheWayUpIsAttached() throws {
    try inNamespace {
      let index = try makeVeth()
      let up = try UpPort.attach(interfaceIndex: index, interfaceName: "uplink0", queues: 2)
      #expect(up.identity.name == "sluice_up")
      let socket = try TestSocket()
      try up.setSocket(queue: 1, descriptor: socket.descriptor)
      try up.clearSocket(queue: 1)
      #expect(throws: KernelTierError.noQueue(queue: 2, queues: 2)) { try up.clearSocket(queue: 2) }
      // The next agent's takes its place.
      let next = try UpPort.attach(interfaceIndex: index, interfaceName: "uplink0", queues: 1)
      #expect(try !up.detach())
      #expect(try next.detach())
    }
  }
}
