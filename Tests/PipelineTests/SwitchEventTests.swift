// SwitchEventTests.swift
//
// What: watchers hear of flows, ports, rules, drops and packets for the controller; who does not keep up is told how much was missed.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct SwitchEventTests {
  @Test func aControllerActionDeliversTheBytesItAskedFor() async throws {
    let bench = try SwitchBench(ports: 2, rules: ["cookie=0x2a,in_port=1,actions=controller:20,output:2"])
    let log = EventLog(bench.sluice)
    bench[1].inject(frame(1, to: 2))
    let found = await log.first { event -> (String?, UInt64, Int, [UInt8])? in
      if case .packetIn(let port, let cookie, let length, let bytes) = event { return (port?.name, cookie, length, bytes) }
      return nil
    }
    let (port, cookie, length, bytes) = try #require(found)
    #expect(port == "eth1")
    #expect(cookie == 0x2a)
    #expect(length == frame(1, to: 2).count)
    #expect(bytes == Array(frame(1, to: 2).prefix(20)))
    #expect(bench[2].waitForOutput(1) == [frame(1, to: 2)])
    try bench.expectNoLeak()
  }

  @Test func flowsAreAnnouncedAtBirthAndDeathWithTheirLastCounts() async throws {
    let bench = try SwitchBench(ports: 2, rules: ["actions=output:2"])
    let log = EventLog(bench.sluice)
    bench[1].inject(contentsOf: .init(repeating: frame(1, to: 2), count: 5))
    #expect(bench[2].waitForOutput(5).count == 5)
    let added = try #require(await log.first { event -> FlowSnapshot? in if case .flowAdded(let flow) = event { flow } else { nil } })
    #expect(added.packets == 0)
    #expect(added.match.exactValue(of: .inPort) == 1)
    try bench.delete()
    let ended = try #require(
      await log.first { event -> (FlowSnapshot, SwitchEvent.FlowEnd)? in
        if case .flowRemoved(let flow, let end) = event { return (flow, end) }
        return nil
      })
    #expect(ended.0.id == added.id)
    #expect(ended.0.packets == 5)
    #expect(ended.1 == .changed)
    try bench.expectNoLeak()
  }

  @Test func portsRulesAndDropsAreAnnounced() async throws {
    let bench = try SwitchBench(ports: 1, rules: [])
    let log = EventLog(bench.sluice)
    try bench.addPort(2)
    try bench.sluice.performAndWait { core in try core.setPort(2, isUp: false) }
    try bench.add(rules: ["actions=drop"])
    // The port is younger than the watcher: all its drops are news.
    bench[2].inject(contentsOf: .init(repeating: FramePacket().bytes, count: 3))
    #expect(await log.first { event -> UInt32? in if case .portAdded(let port) = event { port.number } else { nil } } == 2)
    #expect(await log.first { event -> Bool? in if case .portChanged(let port) = event { port.isUp } else { nil } } == false)
    #expect(await log.first { event -> Int? in if case .rulesChanged(let added, _) = event { added } else { nil } } == 1)
    let drop = await log.first { event -> (String, String, UInt64)? in
      if case .dropped(let port, let reason, let packets) = event { return (port.name, reason, packets) }
      return nil
    }
    let (port, reason, _) = try #require(drop)
    #expect(port == "eth2")
    #expect(["flow-drops", "pipeline-drops"].contains(reason))
    try bench.settle()
    try bench.removePort(2)
    #expect(await log.first { event -> UInt32? in if case .portRemoved(let port) = event { port.number } else { nil } } == 2)
    try bench.expectNoLeak()
  }

  @Test func aWatcherThatDoesNotKeepUpIsToldHowMuchItMissed() async throws {
    let bench = try SwitchBench(ports: 1, rules: [])
    let stream = bench.sluice.watch()
    let rule = try Rule(text: "actions=drop")
    let changes = 5000
    try bench.sluice.performAndWait { core in
      for _ in 0..<changes { _ = try core.addRules([rule]) }
    }
    var iterator = stream.makeAsyncIterator()
    var received: UInt64 = 0
    while received < 4096, let event = await iterator.next() {
      #expect(event.lostBefore == 0)
      received += 1
    }
    try bench.add(rules: ["actions=normal"])
    let next = try #require(await iterator.next())
    #expect(next.lostBefore == UInt64(changes) - received)
    try bench.add(rules: ["actions=normal"])
    #expect(await iterator.next()?.lostBefore == 0)
    bench.stop()
    #expect(await iterator.next() == nil)
  }

  @Test func afterTheLastWatcherHasGoneNothingIsBuilt() async throws {
    let bench = try SwitchBench(ports: 1, rules: [])
    func watchOnce() async throws {
      let stream = bench.sluice.watch()
      var iterator = stream.makeAsyncIterator()
      try bench.add(rules: ["actions=drop"])
      _ = await iterator.next()
    }
    for _ in 0..<10 { try await watchOnce() }
    let isWatched = try bench.sluice.performAndWait { core in core.events.isWatched }
    #expect(!isWatched)
    bench.stop()
  }
}
