// AdoptionTests.swift
//
// What an agent finds that comes after another: pinned maps, flows, ports; also when the other was killed at the worst moment. Each test pins in
// a directory of its own.

import CLibbpf
import CSluice
import Dataplane
import Glibc
import Testing

@testable import KernelTier

/// A directory of pins that is gone after the test.
private func withPins(_ body: (String) throws -> Void) throws {
  let root = "/sys/fs/bpf/sluice-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
  defer {
    let own = FlowTableMaps.directory(in: root)
    for name in [own, own + "-unfinished", root + "/v7"] { _ = try? BPFSystem.removePins(name) }
    rmdir(root)
  }
  try body(FlowTableMaps.directory(in: root))
}

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct AdoptionTests {
  @Test func nothingIsPinnedAtFirst() throws {
    try withPins { directory in
      #expect(try FlowTableMaps.open(directory: directory) == nil)
      #expect(try FlowTableMaps.unpin(directory: directory) == false)
      let first = try FlowTableMaps.openOrCreate(directory: directory, flows: 2048)
      #expect(first.isNew)
      #expect(first.maps.slots == 4096)
      let second = try FlowTableMaps.openOrCreate(directory: directory, flows: 4096)
      #expect(!second.isNew)
      #expect(second.maps.slots == 4096)
      #expect(second.maps.discarded == nil)
      #expect(try FlowTableMaps.unpin(directory: directory))
      #expect(try FlowTableMaps.open(directory: directory) == nil)
    }
  }

  @Test func flowsAndPortsOutliveTheirAgent() throws {
    try withPins { directory in
      let frame = numbered(1)
      let actions: [FlowAction] = [.setField(.ipDSCP, value: 8, mask: 0x3f), .decrementTTL, .output(2)]
      do {
        let (maps, _) = try FlowTableMaps.openOrCreate(directory: directory, flows: 1024)
        let ports = KernelPorts(maps: maps)
        for index in 1...4 { try ports.set(Table.port(UInt16(index))) }
        let table = try Table(maps: maps)
        table.settle()
        _ = try table.tier.offer(Table.flow(frame, [.ethType, .ipv4Src], actions, id: 5))
        _ = try table.tier.offer(Table.flow(numbered(2), [.ethType, .ipv4Dst], [.output(3)], id: 6))
        _ = try table.dry(.tc).run(frame)
      }
      let (maps, isNew) = try FlowTableMaps.openOrCreate(directory: directory, flows: 1024)
      #expect(!isNew)
      let table = try Table(maps: maps)
      #expect(table.ports.ports().map(\.index) == [1, 2, 3, 4])
      let found = table.tier.existingFlows().sorted { $0.id < $1.id }
      #expect(found.map(\.id) == [5, 6])
      #expect(found[0].counts.packets == 1)
      #expect(found[0].actions == [.setField(.ipTOS, value: 32, mask: 0xfc), .decrementTTL, .output(2)])
      let same = Table.flow(frame, [.ethType, .ipv4Src], actions, id: 105)
      #expect(found[0].key == same.key)
      #expect(found[0].mask == same.mask)
      // Another answer, another mask: not the same flow.
      #expect(!table.tier.adopt(found[0].handle, as: Table.flow(frame, [.ethType, .ipv4Src], [.output(2)])))
      #expect(!table.tier.adopt(found[0].handle, as: Table.flow(frame, [.ethType, .ipv4Dst], actions)))
      #expect(table.tier.adopt(found[0].handle, as: same))
      #expect(table.tier.existingFlows().map(\.id) == [6])
      // Its counts go on, and so does forwarding.
      _ = try table.dry(.tc).run(frame)
      #expect(table.tier.counts(of: found[0].handle).packets == 2)
      table.tier.withdraw(found[1].handle)
      table.tier.fence()
      table.tier.release(found[1].handle)
      #expect(table.tier.count == 1)
      // Numbers of masks and programs that are in use are not given away again.
      _ = try table.tier.offer(Table.flow(numbered(3), [.ethType, .ipv4Src, .ipTTL], [.decrementTTL, .output(4)], id: 7))
      #expect(try table.dry(.tc).run(frame) != .up)
    }
  }

  @Test func aTableOfAnotherVersionIsLeftAloneAndNamed() throws {
    try withPins { directory in
      let root = String(directory.dropLast(3))
      _ = try FlowTableMaps.openOrCreate(directory: root + "/v7", flows: 1024)
      _ = try FlowTableMaps.openOrCreate(directory: directory, flows: 1024)
      #expect(try FlowTableMaps.otherVersions(root: root) == [root + "/v7"])
      #expect(try FlowTableMaps.unpin(directory: root + "/v7"))
      #expect(try FlowTableMaps.otherVersions(root: root) == [])
      #expect(try FlowTableMaps.otherVersions(root: root + "/nowhere") == [])
    }
  }

  @Test func whatIsHalfPinnedIsMadeAnew() throws {
    try withPins { directory in
      _ = try FlowTableMaps.openOrCreate(directory: directory, flows: 1024)
      #expect(unlink(directory + "/sluice_buckets") == 0)
      #expect(throws: KernelTierError.pinned(path: directory, reason: "sluice_buckets is missing")) {
        _ = try FlowTableMaps.open(directory: directory)
      }
      let again = try FlowTableMaps.openOrCreate(directory: directory, flows: 1024)
      #expect(again.isNew)
      #expect(again.maps.discarded?.contains("sluice_buckets is missing") == true)
      #expect(try !FlowTableMaps.openOrCreate(directory: directory, flows: 1024).isNew)
    }
  }

  @Test func anUnfinishedPinningIsInNobodysWay() throws {
    try withPins { directory in
      let unfinished = directory + "-unfinished"
      try BPFSystem.makePinDirectory(unfinished)
      let map = try SharedMap.makeInner()
      try BPFSystem.pin(map.descriptor, path: unfinished + "/sluice_flows")
      #expect(try FlowTableMaps.open(directory: directory) == nil)
      #expect(try FlowTableMaps.openOrCreate(directory: directory, flows: 1024).isNew)
      #expect(try BPFSystem.entries(of: unfinished) == nil)
    }
  }

  @Test func whereNothingCanBePinnedIsSaid() throws {
    #expect { _ = try FlowTableMaps.openOrCreate(directory: "/tmp/sluice-no-bpffs-\(getpid())/v1", flows: 1024) } throws: {
      rmdir("/tmp/sluice-no-bpffs-\(getpid())")
      return "\($0)".contains("mount -t bpf")
    }
  }

  /// The agent is killed after each of its steps: whatever it had written so far, the next one mends.
  @Test func aCrashAtAnyStepIsMended() throws {
    let whole = try Table()
    whole.settle()
    let kept = try whole.tier.offer(Table.flow(numbered(1)))
    let hurt = try whole.tier.offer(Table.flow(numbered(2), [.ethType, .ipv4Src], [.decrementTTL, .output(3)]))
    let maps = whole.maps
    let slot = Int(hurt.rawValue)
    let tags = UnsafeMutableRawPointer(maps.buckets.base).assumingMemoryBound(to: UInt8.self)
    let saved = (maps.flows.base[slot].flow, tags[slot], maps.ports.base[1])
    // A slot of another bucket than those two where the flow may be.
    let far = try #require([4, 8].map { (slot + $0 * Int(SLUICE_BUCKET_SLOTS)) % maps.slots }.first { $0 != Int(kept.rawValue) })

    func restart(_ what: String, holds count: Int, _ damage: () -> Void) throws {
      maps.flows.base[slot].flow = saved.0
      for i in 0..<maps.slots where i != Int(kept.rawValue) { tags[i] = 0 }
      tags[slot] = saved.1
      maps.ports.base[1] = saved.2
      damage()
      let next = try Table(maps: maps)
      #expect(next.tier.count == count, "\(what)")
      #expect(try next.dry(.tc).run(numbered(1)) == .outputs([.init(port: 2, bytes: numbered(1))]), "\(what)")
      let found = next.tier.existingFlows()
      #expect(found.count == count, "\(what)")
      // Nothing of the damaged flow is in the way of another.
      if count == 1 {
        #expect(try next.dry(.tc).run(numbered(2)) == .up, "\(what)")
        let again = try next.tier.offer(Table.flow(numbered(2)))
        #expect(try next.dry(.tc).run(numbered(2)) == .outputs([.init(port: 2, bytes: numbered(2))]), "\(what)")
        next.tier.withdraw(again)
        next.tier.fence()
        next.tier.release(again)
      }
    }

    try restart("nothing happened", holds: 2) {}
    try restart("the slot is written, its tag is not", holds: 1) { tags[slot] = 0 }
    try restart("the slot is half written", holds: 1) { maps.flows.base[slot].flow.key.2 = 0 }
    try restart("the mask is unknown", holds: 1) { maps.flows.base[slot].flow.mask = 200 }
    try restart("the program is unknown", holds: 1) { maps.flows.base[slot].flow.program = 4000 }
    try restart("the answer is unknown", holds: 1) { maps.flows.base[slot].flow.answer = 99 }
    try restart("the tag is another", holds: 1) { tags[slot] ^= 2 }
    try restart("a tag is where nothing is", holds: 2) { tags[far] = saved.1 }
    try restart("the flow is in a wrong bucket", holds: 1) {
      tags[slot] = 0
      (maps.flows.base[far].flow, tags[far]) = (saved.0, saved.1)
    }
    try restart("the port's list lost its masks", holds: 2) { maps.ports.base[1].mask_count = 0 }
    try restart("a ranking was under way", holds: 2) {
      maps.ports.base[1].masks.1 = maps.ports.base[1].masks.0
      maps.ports.base[1].mask_count = 2
    }
  }
}
