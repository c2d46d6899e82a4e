// FlowLimitTests.swift
//
// What: what keeps floods and attacks in bounds: shares of the flow table, idle times near the limit, masks per port; and the
//       structures of the book of flows against simple models.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct FlowLimitTests {
  @Test func aFloodedPortLeavesRoomForTheOthers() throws {
    // The masks are no prefixes, so each pair of addresses is a flow of its own.
    let bench = try SwitchBench(
      ports: 3, rules: ["priority=9,udp,nw_src=192.0.2.1/255.127.255.255,actions=drop", "priority=1,actions=output:3"], flowLimit: 900,
      upcallBudget: 1000)
    bench[3].forgetOutput()
    func frames(_ net: Int, _ count: Int) -> [[UInt8]] {
      (0..<count).map { FramePacket().ipv4("10.\(net).\($0 / 250).\($0 % 250)", "10.0.0.2").udp(1, 2).bytes }
    }
    var sent = 0
    for part in stride(from: 0, to: 1500, by: 100) {
      bench[1].inject(contentsOf: Array(frames(1, 1500)[part..<part + 100]))
      sent += 100
      #expect(eventually { bench[3].sentCount == sent })
    }
    for frame in frames(2, 50) { bench[2].inject(frame) }
    #expect(eventually { bench[3].sentCount == sent + 50 })
    let summary = try bench.sluice.performAndWait { core in core.flowSummary() }
    #expect(summary.byPort.first { $0.number == 1 }?.flows == 800)
    #expect(summary.byPort.first { $0.number == 2 }?.flows == 50)
    #expect(summary.uncached == 700)
    #expect(try bench.counters(1).dropped == 0)
    // Packets without a flow were counted, too.
    #expect(try bench.rules().reduce(0) { $0 + $1.packets } == 1550)
    try bench.expectNoLeak()
  }

  @Test func nearTheLimitIdleFlowsGoSooner() {
    var governor = FlowGovernor(capacity: 1000)
    #expect(governor.idleTime(configured: 3200, count: 700) == 3200)
    #expect(governor.idleTime(configured: 3200, count: 875) < 1800)
    #expect(governor.idleTime(configured: 3200, count: 1000) == 100)
    governor.noteRevalidation(nanoseconds: 4_000_000_000, flows: 1_000)
    #expect(governor.limit == 1000)
    var large = FlowGovernor(capacity: 1_000_000)
    large.noteRevalidation(nanoseconds: 4_000_000_000, flows: 1_000_000)
    #expect(large.limit == 500_000)
    for _ in 0..<20 { large.tick() }
    #expect(large.limit == 1_000_000)
  }

  @Test func whoAsksForAMaskPerPacketGetsAFew() throws {
    var generator = SeededGenerator.fresh()
    let slab = try FlowSlab.make(capacity: 16)
    let masks = FlowMasks(slab: slab, secrets: HashSecrets(), masksPerPort: 32)
    var taken: [UInt16] = []
    for round in 0..<5000 {
      var mask = FlowMask()
      mask.include(.inPort)
      mask.include(.ethType)
      mask[.ipv4Src] = UInt128(generator.next() & 0xffff_ffff)
      mask[.ipv4Dst] = UInt128(generator.next() & 0xffff_ffff)
      mask[.tcpDst] = UInt128(generator.next() & 0xffff)
      let place = try #require(masks.take(mask, port: 3, isIPv6: false))
      #expect(slab.mask(place).contains(mask), "round \(round), seed \(generator.seed)")
      taken.append(place)
    }
    #expect(masks.count(ofPort: 3) <= 32 + 9)
    // Another port is not concerned.
    var plain = FlowMask()
    plain.include(.inPort)
    let place = try #require(masks.take(plain, port: 4, isIPv6: false))
    #expect(slab.mask(place) == plain)
    masks.release(place, port: 4)
    for place in taken { masks.release(place, port: 3) }
    #expect(masks.inUse.isEmpty && masks.count(ofPort: 3) == 0)
  }

  @Test func theIndexUsesAllItsPlaces() {
    let homes = Set((0..<3000).map { FlowIndex.home(UInt32($0) * (UInt32.max / 2999), of: 300) })
    #expect(homes == Set(0..<300))
  }

  @Test func theIndexAgreesWithADictionary() throws {
    var generator = SeededGenerator.fresh()
    guard var index = FlowIndex(capacity: 64) else { throw WorkerError.noMemory(what: "a test index") }
    // Few different tags, so that runs of entries form and close, also around the end.
    let step = UInt32.max / 39
    var model: [UInt32: UInt32] = [:]
    for round in 0..<3000 {
      let slot = UInt32(1 + generator.next() % 64)
      if let tag = model.removeValue(forKey: slot) {
        index.remove(tag, slot)
      } else {
        let tag = UInt32(truncatingIfNeeded: generator.next() % 40) * step
        index.insert(tag, slot)
        model[slot] = tag
      }
      for (slot, tag) in model {
        let found = index.first(tag) { $0 == slot }
        #expect(found == slot, "round \(round), seed \(generator.seed)")
      }
      let free = UInt32(1 + generator.next() % 64)
      guard model[free] == nil else { continue }
      for tag in 0..<UInt32(40) {
        let found = index.first(tag * step) { $0 == free }
        #expect(found == nil)
      }
    }
  }

  @Test func linksBetweenFlowsAndStationsAgreeWithSets() throws {
    var generator = SeededGenerator.fresh()
    let links = try #require(StationLinks(flows: 40))
    let stations = (1...6).map { Station(vlan: 0, mac: $0) }
    var model: [UInt32: (first: UInt32, stations: [Station], source: Station?)] = [:]
    for _ in 0..<5000 {
      let slot = UInt32(1 + generator.next() % 40)
      let flow = FlowHandle(worker: 0, slot: slot)
      if let old = model.removeValue(forKey: slot) {
        #expect(links.isLinked(old.first, to: old.stations) && links.source(old.first) == old.source)
        links.unlink(old.first)
      } else {
        let mine = Array(stations.shuffled(using: &generator).prefix(Int(generator.next() % 3)))
        let source = generator.next() & 1 == 0 ? mine.first : nil
        model[slot] = (links.link(flow, to: mine, taught: source), mine, source)
      }
      for station in stations {
        let wanted = Set(model.filter { $0.value.stations.contains(station) }.map { FlowHandle(worker: 0, slot: $0.key) })
        #expect(Set(links.flows(of: station)) == wanted, "seed \(generator.seed)")
      }
    }
    for flow in model.values { links.unlink(flow.first) }
    #expect(links.count == 0)
  }

  @Test func aFlowCostsLessThanFourHundredBytes() throws {
    let bench = try SwitchBench(
      ports: 2, rules: ["priority=9,udp,nw_src=192.0.2.1/255.127.255.255,actions=drop", "priority=1,actions=output:2"], flowLimit: 20_000,
      upcallBudget: 1000)
    bench[2].forgetOutput()
    let wanted = 15_000
    bench[1].injectForever(
      (0..<wanted).map { FramePacket().ipv4("10.1.\($0 / 250).\($0 % 250)", "10.0.0.2").udp(1, 2).bytes })
    let isThere = eventually(seconds: 60) { (try? bench.flowCount()) == wanted }
    #expect(isThere)
    bench[1].injectForever([])
    let summary = try bench.sluice.performAndWait { core in core.flowSummary() }
    #expect(summary.memoryBytes / summary.flows <= 400)
    #expect(MemoryLayout<FlowRecord>.stride <= 64)
    try bench.expectNoLeak()
  }
}
