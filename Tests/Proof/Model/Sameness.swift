// Sameness.swift
//
// What: the proof of sameness: random worlds, random frames, and three answers to each: the reference's, the pipeline's (the first packet of a
//       flow, which the pipeline thread answers) and the cached flow's (the packets after it). All must be the same frames out of the same ports,
//       byte for byte, and each rule, group and bucket must have counted exactly the packets that met it. At last every cached flow is met by
//       random packets out of its mask.
// Invariants: everything follows from the seed: world N of a run has the seed `seed + N`.
// Threads: one thread of the caller's.

import TestSupport

/// What has been compared.
public struct SamenessReport: Sendable, CustomStringConvertible {
  public var worlds = 0
  public var rules = 0
  public var refusedRules = 0
  public var packets = 0
  /// Packets that were answered by a flow that was cached.
  public var cached = 0
  /// Packets that left at least once.
  public var forwarded = 0
  /// Frames that left.
  public var departures = 0
  /// Cached flows that were met by random packets out of their masks, and those packets.
  public var flows = 0
  public var insideMasks = 0
  /// Packets whose answer depended on those before, by `normal`.
  public var learning = 0
  /// Packets for which nothing is promised: an action made the frame malformed, or the like.
  public var undefined = 0
  public var seconds = 0.0
  /// A refused rule and why, for the reader.
  public var refusal: String?

  public var description: String {
    "\(packets) packets in \(worlds) worlds of \(rules) rules (\(refusedRules) refused): \(cached) by cached flows, "
      + "\(forwarded) left, as \(departures) frames, \(undefined) undefined; \(learning) by rules that learn; \(insideMasks) packets inside the masks of \(flows) flows"
  }
}

/// A packet that was not treated as the reference says, with all that is needed to see it again.
public struct Difference: Error, CustomStringConvertible {
  public var seed: UInt64
  public var what: String
  public var model: ReferenceSwitch
  /// The frames that lead to it; the last one is treated wrongly.
  public var frames: [(bytes: [UInt8], inPort: UInt32)]
  public var isShrunk = false

  public var description: String {
    var lines = ["seed \(seed): \(what)" + (isShrunk ? "" : " (not seen again when sent one by one)")]
    for port in model.ports where !port.isUp || port.noFlood { lines.append("  port \(port.number): \(port.isUp ? "no-flood" : "down")") }
    for group in model.groups { lines.append("  group " + group.text) }
    for i in model.rules.indices { lines.append("  " + model.text(.rule(i))) }
    for frame in frames { lines.append("  frame in_port=\(frame.inPort) \(hexadecimal(frame.bytes))") }
    return lines.joined(separator: "\n")
  }
}

extension ReferenceSwitch {
  /// What counts packets, in words.
  func text(_ counter: ReferenceCounter) -> String {
    switch counter {
    case .rule(let position): "rule " + (rules.indices.contains(position) ? rules[position].text(cookie: position) : "at \(position)")
    case .group(let id): "group \(id)"
    case .bucket(let id, let position): "bucket \(position) of group \(id)"
    }
  }
}

/// A run of the proof.
public final class Sameness {
  private let real: RealSwitch
  public private(set) var report = SamenessReport()
  private var masked = MaskedFrames()
  /// Frames under way together.
  private static let batch = 96
  /// Random packets for each cached flow.
  private static let packetsPerFlow = 2

  /// Worlds after which the cached flows are forgotten. With more than one, the flows of a world are made into those of the next, which
  /// proves revalidation; a difference is then seen again only when the worlds before it are run again.
  private let worldsPerPurge: Int

  public init(worldsPerPurge: Int = 1, workers: Int = 1) throws {
    self.worldsPerPurge = max(1, worldsPerPurge)
    real = try RealSwitch(ports: World(seed: 0).model.ports, workers: workers)
  }

  public func stop() { real.stop() }

  /// Proves worlds until `packets` packets have been sent.
  /// - Throws: the first `Difference`, made small; whatever else goes wrong with the switch.
  public func run(seed: UInt64, packets: Int, progress: (SamenessReport) -> Void = { _ in }) throws {
    var world = seed
    while report.packets < packets {
      try prove(World(seed: world))
      world &+= 1
      progress(report)
    }
  }

  /// Proves one world.
  public func prove(_ start: World) throws {
    var world = start
    if report.worlds % worldsPerPurge == 0 {
      try real.purge()
      masked.forget()
    }
    try load(&world)
    if world.model.learns { try real.forgetStations() }
    var random = SeededGenerator(seed: world.seed ^ 0x5eed)
    var sent: [(shape: FrameShape, inPort: UInt32)] = []
    var ledger = ReferenceLedger()
    for round in 0..<4 {
      var shapes: [(shape: FrameShape, inPort: UInt32)] = []
      for i in 0..<Self.batch {
        switch round {
        case 0: shapes.append(world.shape())
        // The same again: now they are cached.
        case 1: shapes.append(sent[i])
        // Packets that differ a little: most are in a flow's mask, by which bits nobody looked at.
        default: shapes.append((sent[i].shape.twin(&random), sent[i].inPort))
        }
      }
      if round == 0 { sent = shapes }
      try compare(&world, shapes.map { ($0.shape.bytes(number: 0), $0.inPort) }, &ledger)
    }
    try proveMasks(&world, &random, &ledger)
    let counts = try real.counts()
    for (counter, count) in counts where !ledger.expected(counter).contains(count) {
      throw Difference(
        seed: world.seed, what: "\(world.model.text(counter)) counted \(count) packets, not \(ledger.expected(counter))", model: world.model,
        frames: [])
    }
    report.worlds += 1
    report.rules += world.model.rules.count
  }

  /// Sends random packets out of the mask of every cached flow.
  private func proveMasks(_ world: inout World, _ random: inout SeededGenerator, _ ledger: inout ReferenceLedger) throws {
    let (frames, flows) = masked.frames(of: try real.flows(), perFlow: Self.packetsPerFlow, &random)
    report.flows += flows
    report.insideMasks += frames.count
    try compare(&world, frames, &ledger)
    masked.endWorld()
  }

  /// Gives the switch a world, and takes out of the world what the switch refuses.
  private func load(_ world: inout World) throws {
    let refusals = try real.load(world.model)
    guard !refusals.isEmpty else { return }
    report.refusedRules += refusals.count
    var gone: Set<Int> = []
    for refusal in refusals {
      switch refusal.what {
      case .rule(let position):
        gone.insert(position)
        if report.refusal == nil { report.refusal = "\(world.model.rules[position].text(cookie: position)): \(refusal.reason)" }
      case .group(let position):
        throw Difference(
          seed: world.seed, what: "a group was refused: \(world.model.groups[position].text): \(refusal.reason)", model: world.model, frames: [])
      }
    }
    world.model.rules = world.model.rules.enumerated().filter { !gone.contains($0.offset) }.map(\.element)
    let again = try real.load(world.model)
    if let refusal = again.first {
      throw Difference(seed: world.seed, what: "refused although others like it were taken: \(refusal.reason)", model: world.model, frames: [])
    }
  }

  /// Sends frames and compares. Where an answer depends on the packets before, one is sent at a time.
  private func compare(_ world: inout World, _ frames: [(bytes: [UInt8], inPort: UInt32)], _ ledger: inout ReferenceLedger) throws {
    let step = world.model.learns ? 1 : Self.batch
    for start in stride(from: 0, to: frames.count, by: step) {
      try compareBatch(&world, Array(frames[start..<min(start + step, frames.count)]), &ledger)
    }
  }

  private func compareBatch(_ world: inout World, _ unnumbered: [(bytes: [UInt8], inPort: UInt32)], _ ledger: inout ReferenceLedger) throws {
    let first = real.number()
    for _ in 1..<unnumbered.count { _ = real.number() }
    let frames = unnumbered.enumerated().map { (ReferenceNumber.numbered($0.element.bytes, first + UInt32($0.offset)), $0.element.inPort) }
    let misses = real.misses
    let outcome = try real.exchange(frames, first: first)
    report.packets += frames.count
    report.cached += max(0, frames.count - Int(real.misses - misses))
    for (i, frame) in frames.enumerated() {
      let answers = world.model.answers(frame.0, inPort: frame.1)
      report.departures += outcome[i].count
      if !outcome[i].isEmpty { report.forwarded += 1 }
      let isUndefined = answers.contains { $0.undefined != nil }
      let met = isUndefined ? answers : answers.filter { $0.departures == outcome[i] }
      guard !met.isEmpty else { throw try Shrinking(real: real, world: world).shrink(masked.sent + unnumbered[...i]) }
      ledger.add(met)
      if isUndefined { report.undefined += 1 }
      guard world.model.learns else { continue }
      report.learning += 1
      if met.contains(where: { $0.undefined != nil || $0.expired }) {
        // Whether its sender was learned is open, too.
        world.model.forgetStations()
        try real.forgetStations()
      } else if let answer = met.first {
        world.model.learn(answer, inPort: frame.1)
      }
    }
    masked.note(unnumbered)
  }
}
