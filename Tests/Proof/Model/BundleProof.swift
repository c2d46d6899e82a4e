// BundleProof.swift
//
// What: the proof that many changes are one: a bundle changes rules of two tables and a group, each of which writes the bundle's number into
//       another place of a packet. Packets that leave must have the same number in all places, and after the acknowledgement the new one, while
//       two workers forward as fast as they can. Some packets carry a label that is popped in between, so that they are looked up twice.
// Threads: the caller's, two workers', the pipeline's.

import CSluice
import Dataplane
import Glibc
import Pipeline
import Synchronization
import TestSupport

/// A packet saw half of a bundle, or an old one.
public struct TornBundle: Error, CustomStringConvertible {
  public var bundle: UInt32
  public var text: String
  public var description: String { "in bundle \(bundle): \(text)" }
}

public final class BundleProof {
  private let sluice: Switch
  private let outputs: [StampedQueue]
  private let acknowledged: Acknowledged
  private var random: SeededGenerator
  private static let services: UInt16 = 48
  private static let workers = 2

  public init(seed: UInt64) throws {
    random = SeededGenerator(seed: seed)
    let worker = WorkerConfiguration(chunkSize: 2048, chunkCount: 4096, flowLimit: 20_000, exactEntries: 4096)
    sluice = try Switch(configuration: SwitchConfiguration(workers: .init(repeating: worker, count: Self.workers)))
    let acknowledged = Acknowledged()
    self.acknowledged = acknowledged
    outputs = (0..<Self.workers).map { _ in StampedQueue(acknowledged) }
    var frames: [[UInt8]] = []
    for i in 0..<512 {
      let service = UInt16(i) % Self.services
      let plain = FramePacket().ipv4("10.0.1.\(i % 250)", "10.0.2.1")
      // Every fourth has a label.
      let packet = i % 4 == 3 ? plain.mpls(label: UInt32(service)) : plain
      frames.append(packet.udp(UInt16(2000 + i), service, payload: .init(repeating: 0, count: 18), withChecksum: false).bytes)
    }
    let trace = Trace(frames: frames)
    let loads = (0..<Self.workers).map { WorkerQueue(worker: $0, queue: ReplayQueue(trace: trace, start: $0 * 100)) }
    let sinks = outputs.enumerated().map { WorkerQueue(worker: $0.offset, queue: $0.element) }
    try apply(bundle(1))
    acknowledged.number.store(1, ordering: .releasing)
    try sluice.performAndWait { core in
      _ = try core.addPort(name: "out", number: 2, queues: sinks, maxFrame: 1514)
      _ = try core.addPort(name: "in", number: 1, queues: loads, maxFrame: 1514)
    }
  }

  public func stop() { sluice.stop() }

  /// Packets that were looked at.
  public var packets: Int { outputs.reduce(0) { $0 + $1.packets } }
  /// Those of them that were looked up twice.
  public var relooked: UInt64 { sluice.workers.reduce(0) { $0 + $1.snapshot().recirculations } }

  /// Makes bundles.
  /// - Throws: `TornBundle`.
  public func run(bundles: Int) throws {
    for number in 2..<UInt32(bundles) + 2 {
      let requests = try bundle(number)
      // A part of the packets has no flow then, and is answered by the pipeline.
      if random.chance(4) { _ = try sluice.performAndWait { core in core.purgeFlows() } }
      try apply(requests)
      acknowledged.number.store(number, ordering: .releasing)
      usleep(UInt32(random.next() % 500))
      for output in outputs {
        if let text = output.complaint.withLock({ $0 }) { throw TornBundle(bundle: number, text: text) }
      }
    }
  }

  private func apply(_ requests: [RuleChangeRequest]) throws {
    try sluice.performAndWait { core in _ = try core.apply(requests) }
  }

  /// The changes that give everything another number, in a random order.
  private func bundle(_ number: UInt32) throws -> [RuleChangeRequest] {
    let hex = String(number, radix: 16)
    let digits = String(repeating: "0", count: 8 - hex.count) + hex
    let address = "02:00:" + stride(from: 0, to: 8, by: 2).map { String(digits.dropFirst($0).prefix(2)) }.joined(separator: ":")
    let dotted = stride(from: 24, through: 0, by: -8).map { String(number >> UInt32($0) & 255) }.joined(separator: ".")
    let group = try Group(text: "group_id=1,type=indirect,bucket=actions=set_field:\(dotted)->nw_src,output:2")
    guard number > 1 else { return try [.addGroup(group)] + rules(address).map { .add($0) } }
    var requests: [RuleChangeRequest] = []
    for rule in try rules(address) {
      if random.chance(3) { requests.append(.delete(RuleFilter(exactly: rule))) }
      if case .delete? = requests.last { requests.append(.add(rule)) } else { requests.append(random.chance(2) ? .add(rule) : .modify(rule, isStrict: true)) }
    }
    requests.insert(.modifyGroup(group), at: Int(random.next() % UInt64(requests.count)))
    return requests
  }

  private func rules(_ address: String) throws -> [Rule] {
    var texts: [String] = []
    for service in 0..<Self.services {
      texts += [
        "priority=10,udp,tp_dst=\(service),actions=set_field:\(address)->eth_dst,goto_table:1",
        "priority=10,mpls,mpls_label=\(service),actions=set_field:\(address)->eth_dst,pop_mpls:0x0800,goto_table:1",
        "table=1,priority=10,udp,tp_dst=\(service),actions=set_field:\(address)->eth_src,group:1",
      ]
    }
    return try texts.map { try Rule(text: $0) }
  }
}

/// The last bundle that was acknowledged.
private final class Acknowledged: Sendable {
  let number = Atomic<UInt32>(0)
}

/// Compares the numbers in packets that leave.
private final class StampedQueue: PortQueue, @unchecked Sendable {
  // Sendable: the first complaint is behind a lock, the rest is atomic.
  private let acknowledged: Acknowledged
  private let count = Atomic<Int>(0)
  let complaint = Locked<String?>(nil)

  init(_ acknowledged: Acknowledged) { self.acknowledged = acknowledged }

  var packets: Int { count.load(ordering: .acquiring) }

  override func transmit(_ frames: UnsafePointer<FrameDescriptor>, count sent: Int, memory: FrameMemory) -> Int {
    let oldest = acknowledged.number.load(ordering: .acquiring)
    for i in 0..<sent {
      let bytes = memory.bytes(at: frames[i].address)
      let numbers = (Self.number(bytes + 2), Self.number(bytes + 8), Self.number(bytes + 26))
      if numbers.0 != numbers.1 || numbers.0 != numbers.2 {
        complaint.withLock { $0 = $0 ?? "a packet has the numbers \(numbers.0) (table 0), \(numbers.1) (table 1), \(numbers.2) (group)" }
      } else if numbers.0 < oldest {
        complaint.withLock { $0 = $0 ?? "a packet has the number \(numbers.0) after \(oldest) was acknowledged" }
      }
      memory.release(frames[i].address)
    }
    count.add(sent, ordering: .releasing)
    return sent
  }

  private static func number(_ bytes: UnsafeMutablePointer<UInt8>) -> UInt32 {
    UInt32(bytes[0]) << 24 | UInt32(bytes[1]) << 16 | UInt32(bytes[2]) << 8 | UInt32(bytes[3])
  }
}
