// SwitchLearningTests.swift
//
// What: `normal` is a learning switch: it floods what it does not know, sends what it knows to one port, and follows a station that moves with
//       the very next packet.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct SwitchLearningTests {
  @Test func anUnknownDestinationIsFloodedAndALearnedOneIsNot() throws {
    let bench = try SwitchBench(ports: 4)
    bench[1].inject(frame(1, to: 2))
    for port: UInt32 in 2...4 { #expect(bench[port].waitForOutput(1) == [frame(1, to: 2)]) }
    bench[2].inject(frame(2, to: 1))
    #expect(bench[1].waitForOutput(1) == [frame(2, to: 1)])
    bench[1].inject(frame(1, to: 2))
    #expect(bench[2].waitForOutput(1) == [frame(1, to: 2)])
    try bench.settle()
    #expect(bench[3].takeOutput() == [])
    #expect(bench[4].takeOutput() == [])
    #expect(bench[1].takeOutput() == [])
    try bench.expectNoLeak()
  }

  @Test func aBroadcastGoesEverywhereButBack() throws {
    let bench = try SwitchBench(ports: 3)
    for _ in 0..<3 { bench[2].inject(frame(2, to: 255)) }
    #expect(bench[1].waitForOutput(3).count == 3)
    #expect(bench[3].waitForOutput(3).count == 3)
    #expect(bench[2].takeOutput() == [])
    try bench.expectNoLeak()
  }

  @Test func aStationThatMovesIsFollowedByTheNextPacket() throws {
    let bench = try SwitchBench(ports: 4)
    bench[1].inject(frame(1, to: 255))
    bench[4].inject(frame(4, to: 1))
    #expect(bench[1].waitForOutput(1) == [frame(4, to: 1)])
    for round in 0..<100 {
      let port: UInt32 = 1 + UInt32(round % 3)
      // A packet from the station at its new place, and as soon as that has been answered, one to it.
      bench[port].inject(frame(1, to: 4))
      #expect(bench[4].waitForOutput(round == 0 ? 2 : 1).last == frame(1, to: 4))
      for other: UInt32 in 1...3 { _ = bench[other].takeOutput() }
      bench[4].inject(frame(4, to: 1))
      #expect(bench[port].waitForOutput(1) == [frame(4, to: 1)], "round \(round)")
      for other: UInt32 in 1...3 where other != port { #expect(bench[other].takeOutput() == [], "round \(round)") }
    }
    try bench.expectNoLeak()
  }

  @Test func vlansKeepStationsApart() throws {
    let bench = try SwitchBench(ports: 3)
    bench[1].inject(frame(1, to: 255, vlan: 10))
    #expect(bench[3].waitForOutput(1).count == 1)
    _ = bench[2].waitForOutput(1)
    // In another VLAN the station is unknown.
    bench[3].inject(frame(3, to: 1, vlan: 20))
    #expect(bench[1].waitForOutput(1).count == 1)
    #expect(bench[2].waitForOutput(1).count == 1)
    bench[3].inject(frame(3, to: 1, vlan: 10))
    #expect(bench[1].waitForOutput(1).count == 1)
    try bench.settle()
    #expect(bench[2].takeOutput() == [])
    try bench.expectNoLeak()
  }

  @Test func aStationThatLostItsPlaceIsFloodedTo() throws {
    let bench = try SwitchBench(ports: 3, macCapacity: 1)
    bench[1].inject(frame(1, to: 255))
    _ = (bench[2].waitForOutput(1), bench[3].waitForOutput(1))
    // The sender takes the only place, which was the destination's: the answer has to say so, and the flow that is kept as well.
    for _ in 0..<3 {
      bench[2].inject(frame(2, to: 1))
      #expect(bench[1].waitForOutput(1).count == 1)
      #expect(bench[3].waitForOutput(1).count == 1)
    }
    try bench.expectNoLeak()
  }

  @Test func anIdleStationIsForgottenAndABusyOneIsNot() throws {
    let bench = try SwitchBench(ports: 3, macAgingSeconds: 1.2)
    bench[1].inject(frame(1, to: 255))
    bench[2].inject(frame(2, to: 1))
    #expect(bench[1].waitForOutput(1).count == 1)
    let stations = { try bench.sluice.performAndWait { core in core.macs.entries.map(\.station.mac) } }
    // Station 2 goes on talking, in a flow that the pipeline sees nothing of.
    var seen: [UInt64] = []
    let isForgotten = eventually(seconds: 10) {
      bench[2].inject(frame(2, to: 1))
      pause(milliseconds: 20)
      seen = (try? stations()) ?? []
      return seen.count == 1
    }
    #expect(isForgotten)
    #expect(seen == [0x0200_0000_0002])
    bench[2].inject(frame(2, to: 1))
    _ = bench[3].takeOutput()
    // What was sent to one port is flooded now.
    bench[2].inject(frame(2, to: 1))
    #expect(bench[3].waitForOutput(1).count >= 1)
    try bench.expectNoLeak()
  }

  @Test func flushingForgetsStationsAndTheirFlows() throws {
    let bench = try SwitchBench(ports: 3)
    bench[1].inject(frame(1, to: 255))
    _ = (bench[2].waitForOutput(1), bench[3].waitForOutput(1))
    bench[2].inject(frame(2, to: 1))
    #expect(bench[1].waitForOutput(1).count == 1)
    #expect(try bench.sluice.performAndWait { core in core.flushStations(port: 1) } == 1)
    bench[2].inject(frame(2, to: 1))
    #expect(bench[3].waitForOutput(1).count == 1)
    try bench.expectNoLeak()
  }

  @Test func stationsOfTwoWorkersTalk() throws {
    let bench = try SwitchBench(ports: 4, workers: 2)
    for port: UInt32 in 1...4 { bench[port].inject(frame(UInt8(port), to: 255)) }
    try bench.settle()
    for port: UInt32 in 1...4 { #expect(bench[port].waitForOutput(3).count == 3) }
    for from: UInt32 in 1...4 {
      for to: UInt32 in 1...4 where to != from {
        bench[from].inject(contentsOf: .init(repeating: frame(UInt8(from), to: UInt8(to)), count: 50))
        #expect(bench[to].waitForOutput(50).count == 50, "\(from) to \(to)")
      }
    }
    try bench.settle()
    for port: UInt32 in 1...4 {
      #expect(bench[port].takeOutput() == [])
      #expect(try bench.counters(port).sentPackets == 153)
    }
    try bench.expectNoLeak()
  }
}
