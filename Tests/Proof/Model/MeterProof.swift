// MeterProof.swift
//
// What: the proof of meters in real time: three ports offer three times what their meters let pass, and over some seconds what leaves is compared with
//       the rate: packets per second, kilobits per second with frames of all sizes, and what a band that remarks leaves unmarked.
// Invariant: the bursts, a second's worth, are gone before the measurement begins; so a machine that looks away for less than a second does not
//            change what is measured.
// Threads: the caller's, the worker's, the pipeline's: wants two CPUs.

import CSluice
import Dataplane
import Glibc
import Pipeline
import Synchronization
import TestSupport

/// What a meter let pass.
public struct MeterReport: Sendable, CustomStringConvertible {
  public var name: String
  /// In the meter's unit per second.
  public var rate: Double
  public var passed: Double

  public var error: Double { passed / rate - 1 }
  public var description: String {
    "\(name): \(Int(passed)) of \(Int(rate)) a second (\(error < 0 ? "-" : "+")\(Double(Int(abs(error) * 1e5)) / 1e3) %)"
  }
}

public enum MeterProof {
  private static let packetRate = 20_000.0
  private static let kilobitRate = 80_000.0
  private static let unmarkedRate = 10_000.0

  public static func run(seconds: Double) throws -> [MeterReport] {
    let short = FramePacket().ipv4("10.0.0.1", "10.0.0.2", tos: 10 << 2).udp(1, 2, payload: .init(repeating: 0, count: 18), withChecksum: false).bytes
    let long = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2, payload: .init(repeating: 0, count: 1400), withChecksum: false).bytes
    var random = SeededGenerator(seed: 1)
    let averageBits = Double(long.count + 60) / 2 * 8
    let inputs = [
      PacedQueue(rate: packetRate * 3) { _, bytes in
        bytes.update(from: short, count: short.count)
        return short.count
      },
      PacedQueue(rate: kilobitRate * 3 * 1000 / averageBits) { _, bytes in
        let length = 60 + Int(random.next() % UInt64(long.count - 59))
        bytes.update(from: long, count: length)
        // The IP packet fills the frame.
        (bytes[16], bytes[17]) = (UInt8((length - 14) >> 8), UInt8((length - 14) & 255))
        return length
      },
      PacedQueue(rate: unmarkedRate * 3) { _, bytes in
        bytes.update(from: short, count: short.count)
        return short.count
      },
    ]
    let outputs = (0..<3).map { _ in CountingQueue() }
    let sluice = try Switch(configuration: SwitchConfiguration(workers: [WorkerConfiguration(chunkSize: 2048, chunkCount: 16384)]))
    defer { sluice.stop() }
    let meters = [
      "meter=1 pktps burst bands=type=drop rate=\(Int(packetRate)) burst_size=\(Int(packetRate))",
      "meter=2 kbps burst bands=type=drop rate=\(Int(kilobitRate)) burst_size=\(Int(kilobitRate))",
      "meter=3 pktps burst bands=type=dscp_remark prec_level=1 rate=\(Int(unmarkedRate)) burst_size=\(Int(unmarkedRate))",
    ]
    let requests: [RuleChangeRequest] =
      try meters.map { .addMeter(try MeterSpec(text: $0)) } + (1...3).map { .add(try Rule(text: "in_port=\($0),actions=meter:\($0),output:\($0 + 3)")) }
    try sluice.performAndWait { core in
      for (place, queue) in (inputs as [PortQueue] + outputs).enumerated() {
        _ = try core.addPort(name: "p\(place + 1)", number: UInt32(place + 1), queues: [WorkerQueue(worker: 0, queue: queue)], maxFrame: 1514)
      }
      _ = try core.apply(requests)
    }
    for input in inputs { input.open(true) }
    // What is offered beyond the rate is twice the rate, so the bursts last half a second.
    usleep(1_500_000)
    let (begin, start) = read(outputs)
    usleep(UInt32(seconds * 1e6))
    let (end, stop) = read(outputs)
    let elapsed = Double(stop - start) / 1e9
    for input in inputs { input.open(false) }
    func passed(_ output: Int, _ count: (CountingQueue.Counts) -> UInt64) -> Double { Double(count(end[output]) - count(begin[output])) / elapsed }
    return [
      MeterReport(name: "packets", rate: packetRate, passed: passed(0) { $0.packets }),
      MeterReport(name: "kilobits", rate: kilobitRate, passed: passed(1) { $0.bytes } * 8 / 1000),
      MeterReport(name: "unmarked packets", rate: unmarkedRate, passed: passed(2) { $0.packets - $0.marked }),
    ]
  }

  /// What has left, and when; read again when this thread was interrupted in between.
  private static func read(_ outputs: [CountingQueue]) -> (counts: [CountingQueue.Counts], nanoseconds: UInt64) {
    while true {
      let before = sluice_monotonic_nanoseconds()
      let counts = outputs.map(\.counts)
      let after = sluice_monotonic_nanoseconds()
      if after - before < 500_000 { return (counts, before) }
    }
  }
}

/// Counts what leaves.
final class CountingQueue: PortQueue, @unchecked Sendable {
  struct Counts {
    var packets: UInt64 = 0
    var bytes: UInt64 = 0
    /// Packets of the assured forwarding class AF12.
    var marked: UInt64 = 0
  }

  // Sendable: behind the lock.
  private let total = Locked(Counts())

  var counts: Counts { total.withLock { $0 } }

  override func transmit(_ frames: UnsafePointer<FrameDescriptor>, count sent: Int, memory: FrameMemory) -> Int {
    total.withLock { total in
      for i in 0..<sent {
        total.packets += 1
        total.bytes += UInt64(frames[i].length)
        if memory.bytes(at: frames[i].address)[15] >> 2 == 12 { total.marked += 1 }
        memory.release(frames[i].address)
      }
    }
    return sent
  }
}
