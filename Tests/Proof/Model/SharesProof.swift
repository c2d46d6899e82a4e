// SharesProof.swift
//
// What: the proof of select groups: of very many connections each bucket gets its weight's share; each bucket counts the packets that left
//       by it; when a bucket's port goes down only its connections move, to the others by weight, and they return with it. Half of the
//       connections are told apart by ports and IP addresses, half by MAC addresses only.
// Threads: the caller's.
// Cost: about 5 us a packet.

import Pipeline
import TestSupport

/// What a select group did wrong.
public struct WrongShare: Error, CustomStringConvertible {
  public var description: String
}

public final class SharesProof {
  private let real: RealSwitch
  private let connections: Int
  /// By bucket; the bucket's port is its position and 2.
  private let weights: [Double] = [1, 2, 3, 10, 50]
  private var frames: [[UInt8]] = []
  /// Each bucket's share in a round, for the reader.
  public private(set) var shares: [[Double]] = []
  /// A share may be off by a slot of the table, and by what chance does to random connections: five times its deviation.
  private static let slot = 1.0 / 4096
  /// Packets under way together: fewer than may wait for the pipeline, which has not yet seen the first one.
  private static let batch = 500

  public init(seed: UInt64, connections: Int) throws {
    self.connections = connections
    real = try RealSwitch(ports: (1...UInt32(weights.count + 1)).map { ReferencePort(number: $0) })
    let buckets = weights.enumerated().map { "bucket=weight:\(Int($1)),watch_port:\($0 + 2),actions=output:\($0 + 2)" }
    let group = try Group(text: "group_id=1,type=select," + buckets.joined(separator: ","))
    let rule = try Rule(text: "in_port=1,actions=group:1")
    try real.sluice.performAndWait { core in _ = try core.apply([.addGroup(group), .add(rule)]) }
    var random = SeededGenerator(seed: seed)
    let udp = FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2, payload: .init(repeating: 0, count: 8), withChecksum: false).bytes
    let other = FramePacket().etherType(0x88b5, payload: .init(repeating: 0, count: 32)).bytes
    for i in 0..<connections {
      var bytes = i % 2 == 0 ? udp : other
      if i % 2 == 0 { store(UInt128(random.next()) << 32 | UInt128(random.next() & 0xffff_ffff), &bytes, 26, 12) } else {
        store(UInt128(random.next() & 0xfeff_ffff_ffff), &bytes, 0, 6)
        store(UInt128(random.next() & 0xfeff_ffff_ffff), &bytes, 6, 6)
      }
      frames.append(bytes)
    }
  }

  public func stop() { real.stop() }

  /// - Throws: `WrongShare`.
  public func run() throws {
    let first = try round(down: nil)
    for bucket in weights.indices {
      try real.setPort(UInt32(bucket + 2), isUp: false)
      let without = try round(down: bucket)
      if let moved = frames.indices.first(where: { first[$0] != bucket && without[$0] != first[$0] }) {
        throw WrongShare(
          description: "bucket \(bucket) went down, and connection \(moved) moved from bucket \(first[moved]) to bucket \(without[moved])")
      }
      try real.setPort(UInt32(bucket + 2), isUp: true)
      let again = try round(down: nil)
      if let moved = frames.indices.first(where: { again[$0] != first[$0] }) {
        throw WrongShare(description: "bucket \(bucket) came back, and connection \(moved) stays with bucket \(again[moved]), not \(first[moved])")
      }
    }
  }

  /// Sends one packet of each connection. Returns the bucket of each.
  private func round(down: Int?) throws -> [Int] {
    let before = try real.counts()
    var buckets: [Int] = []
    for start in stride(from: 0, to: connections, by: Self.batch) {
      var batch: [(bytes: [UInt8], inPort: UInt32)] = []
      let first = real.number()
      for place in start..<min(start + Self.batch, connections) {
        let number = place == start ? first : real.number()
        var bytes = frames[place]
        store(UInt128(number), &bytes, bytes.count - 4, 4)
        batch.append((bytes, 1))
      }
      for departures in try real.exchange(batch, first: first) {
        guard departures.count == 1 else { throw WrongShare(description: "a packet left \(departures.count) times, not once") }
        buckets.append(Int(departures[0].port) - 2)
      }
    }
    let after = try real.counts()
    let total = weights.indices.reduce(0.0) { $0 + ($1 == down ? 0 : weights[$1]) }
    var shares: [Double] = []
    for (bucket, weight) in weights.enumerated() {
      let count = buckets.reduce(0) { $0 + ($1 == bucket ? 1 : 0) }
      let wanted = bucket == down ? 0 : weight / total
      let share = Double(count) / Double(connections)
      let chance = 5 * (wanted * (1 - wanted) / Double(connections)).squareRoot()
      guard abs(share - wanted) <= chance + (bucket == down ? 0 : Self.slot) else {
        throw WrongShare(description: "bucket \(bucket) of weight \(Int(weight)) got \(share) of the connections, not \(wanted)")
      }
      let counted = Int((after[.bucket(1, bucket)] ?? 0) - (before[.bucket(1, bucket)] ?? 0))
      guard counted == count else { throw WrongShare(description: "bucket \(bucket) counted \(counted) packets, not \(count)") }
      shares.append(share)
    }
    self.shares.append(shares)
    return buckets
  }
}
