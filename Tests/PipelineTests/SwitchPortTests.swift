// SwitchPortTests.swift
//
// What: ports come, go, go down and change under traffic; nothing is sent where it must not go, nothing leaks, every drop has a name.

import Dataplane
import TestSupport
import Testing

@testable import Pipeline

@Suite(.serialized) struct SwitchPortTests {
  @Test(arguments: [1, 2])
  func portsComeAndGoUnderTraffic(_ workers: Int) throws {
    let bench = try SwitchBench(ports: 3, workers: workers, rules: ["actions=flood"])
    let load = (0..<32).map { frame(1, to: 255, payload: [UInt8($0)]) }
    for port: UInt32 in 2...3 { bench[port].forgetOutput() }
    bench[1].injectForever(load)
    bench[2].injectForever(load)
    for round in 0..<60 {
      let queue = try bench.addPort(4)
      queue.forgetOutput()
      if round % 2 == 0 { queue.injectForever(load) }
      #expect(eventually { queue.sentCount > 20 }, "round \(round)")
      try bench.removePort(4)
      // After the call returns the queue is nobody's.
      let sent = queue.sentCount
      pause(milliseconds: 2)
      #expect(queue.sentCount == sent)
    }
    for port: UInt32 in 1...2 { bench[port].injectForever([]) }
    #expect(eventually { bench[1].isDrained && bench[2].isDrained })
    try bench.expectNoLeak()
  }

  @Test func aPortThatIsDownGetsNothingAndOneThatIsUpAgainDoes() throws {
    let bench = try SwitchBench(ports: 3, rules: ["in_port=1,actions=output:2"])
    for _ in 0..<50 {
      try bench.sluice.performAndWait { core in try core.setPort(2, isUp: false) }
      bench[1].inject(frame(1, to: 2))
      try bench.settle()
      #expect(bench[2].takeOutput() == [])
      try bench.sluice.performAndWait { core in try core.setPort(2, isUp: true) }
      bench[1].inject(frame(1, to: 2))
      #expect(bench[2].waitForOutput(1).count == 1)
    }
    try bench.expectNoLeak()
  }

  @Test func aPortThatGoesDownForgetsItsStations() throws {
    let bench = try SwitchBench(ports: 3)
    bench[2].inject(frame(2, to: 255))
    _ = (bench[1].waitForOutput(1), bench[3].waitForOutput(1))
    try bench.sluice.performAndWait { core in try core.setPort(2, isUp: false) }
    bench[1].inject(frame(1, to: 2))
    #expect(bench[3].waitForOutput(1).count == 1)
    #expect(bench[2].takeOutput() == [])
    try bench.expectNoLeak()
  }

  @Test func aFrameTooLongForAPortIsDroppedByNameFromTheNextPacketOn() throws {
    let bench = try SwitchBench(ports: 2, rules: ["in_port=1,actions=output:2"])
    let long = frame(1, to: 2, payload: .init(repeating: 0, count: 500))
    for _ in 0..<20 {
      try bench.sluice.performAndWait { core in try core.setPort(2, maxFrame: 300) }
      bench[1].inject(long)
      try bench.settle()
      #expect(bench[2].takeOutput() == [])
      try bench.sluice.performAndWait { core in try core.setPort(2, maxFrame: 1514) }
      bench[1].inject(long)
      #expect(bench[2].waitForOutput(1) == [long])
    }
    #expect(try bench.counters(2).drops == [.tooBig: 20])
    try bench.expectNoLeak()
  }

  @Test func aNewPortWithAnOldIndexBeginsItsCountersAtZero() throws {
    let bench = try SwitchBench(ports: 2, rules: ["actions=output:2"])
    bench[1].inject(frame(1, to: 2))
    #expect(bench[2].waitForOutput(1).count == 1)
    try bench.removePort(2)
    try bench.addPort(2)
    #expect(try bench.counters(2) == PortCounters())
    bench[1].inject(frame(1, to: 2))
    #expect(bench[2].waitForOutput(1).count == 1)
    try bench.expectNoLeak()
  }

  @Test func whatCannotBeAddedChangesNothing() throws {
    let bench = try SwitchBench(ports: 2)
    let refused: [(name: String, number: UInt32?, queues: [WorkerQueue])] = [
      ("eth1", nil, [WorkerQueue(worker: 0, queue: RingQueue())]),
      ("new", 1, [WorkerQueue(worker: 0, queue: RingQueue())]),
      ("new", 0, [WorkerQueue(worker: 0, queue: RingQueue())]),
      ("new", nil, []), ("new", nil, [WorkerQueue(worker: 1, queue: RingQueue())]),
    ]
    for (name, number, queues) in refused {
      #expect(throws: SwitchPortError.self, "\(name) \(String(describing: number))") {
        try bench.sluice.performAndWait { core in
          _ = try core.addPort(name: name, number: number, queues: queues, maxFrame: 1514)
        }
      }
    }
    #expect(throws: SwitchPortError.noSuchPort(9)) { try bench.removePort(9) }
    #expect(throws: SwitchPortError.noQueues("new")) {
      try bench.sluice.performAndWait { core in _ = try core.addPort(name: "new", queues: [], maxFrame: 1514) }
    }
    #expect(try bench.sluice.performAndWait { core in core.ports.ports.map(\.number) } == [1, 2])
    try bench.expectNoLeak()
  }

  @Test func aStoppedSwitchRefusesInsteadOfWaiting() async throws {
    let bench = try SwitchBench(ports: 1)
    let sluice = bench.sluice
    bench.stop()
    await #expect(throws: SwitchStopped.self) { try await sluice.perform { core in core.flowCount } }
    #expect(throws: SwitchStopped.self) { try sluice.performAndWait { core in core.flowCount } }
  }

  @Test func aSwitchStopsUnderAFlood() throws {
    let bench = try SwitchBench(ports: 2, rules: ["udp,tp_src=1,actions=drop", "actions=output:2"])
    bench[1].injectForever(
      (0..<3000).map { FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(UInt16($0), 53).bytes })
    pause(milliseconds: 20)
    bench.stop()
  }
}
