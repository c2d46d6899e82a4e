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
  /// A refused rule and why, for the reader.
  public var refusal: String?

  /// Adds what another run has compared.
  mutating func add(_ other: SamenessReport) {
    worlds += other.worlds
    rules += other.rules
    refusedRules += other.refusedRules
    packets += other.packets
    cached += other.cached
    forwarded += other.forwarded
    departures += other.departures
    flows += other.flows
    insideMasks += other.insideMasks
    learning += other.learning
    undefined += other.undefined
    refusal = refusal ?? other.refusal
  }

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
  /// Frames of a round.
  private static let batch = 96
  /// Frames under way together.
  private static let together = 256
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
  public func run(seed: UInt64, packets: Int) throws { try run(seed: seed, stride: 1) { $0.packets < packets } }

  /// Proves every `stride`th world until somebody has had enough, who is asked after each.
  func run(seed: UInt64, stride: UInt64, goesOn: (SamenessReport) -> Bool) throws {
    var world = seed
    repeat {
      try prove(World(seed: world))
      world &+= stride
    } while goesOn(report)
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
    var ledger = ReferenceLedger()
    let (packets, misses) = (report.packets, real.misses)
    let shapes = (0..<Self.batch).map { _ in world.shape() }
    let frames = shapes.map { (bytes: $0.shape.bytes(number: 0, isSummed: false), inPort: $0.inPort) }
    try compare(&world, frames, &ledger)
    // The same again: now they are cached.
    try compare(&world, frames, &ledger)
    // Packets that differ a little: most are in a flow's mask, by which bits nobody looked at.
    for _ in 0..<2 {
      try compare(&world, shapes.map { ($0.shape.twin(&random).bytes(number: 0, isSummed: false), $0.inPort) }, &ledger)
    }
    try proveMasks(&world, &random, &ledger)
    report.cached += max(0, report.packets - packets - Int(real.misses - misses))
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

  /// A frame to be sent.
  private struct Sample {
    /// Before it was numbered.
    var original: [UInt8]
    var bytes: [UInt8]
    var inPort: UInt32
    var number: UInt32
    var answers: [ReferenceAnswer]
  }

  /// Sends frames, many at a time, and compares.
  private func compare(_ world: inout World, _ frames: [(bytes: [UInt8], inPort: UInt32)], _ ledger: inout ReferenceLedger) throws {
    var samples: [Sample] = []
    for frame in frames {
      let number = real.number()
      let bytes = ReferenceNumber.numbered(frame.bytes, number)
      let answers = world.model.answers(bytes, inPort: frame.inPort)
      samples.append(Sample(original: frame.bytes, bytes: bytes, inPort: frame.inPort, number: number, answers: answers))
      guard let last = samples.last, goesAlone(last, world.model) else {
        if samples.count == Self.together { try compare(&world, sending: &samples, &ledger) }
        continue
      }
      samples.removeLast()
      try compare(&world, sending: &samples, &ledger)
      samples = [last]
      try compare(&world, sending: &samples, &ledger)
    }
    try compare(&world, sending: &samples, &ledger)
  }

  /// True for a frame that may leave without its number, because an action takes the payload for a header, and for one on which the answers to
  /// those behind it may depend.
  private func goesAlone(_ sample: Sample, _ model: ReferenceSwitch) -> Bool {
    sample.answers.contains { answer in
      answer.undefined != nil || answer.departures.contains { ReferenceNumber.distance($0.bytes, from: sample.number) != 0 }
        || model.learns && (answer.expired || model.isTaught(by: answer, inPort: sample.inPort))
    }
  }

  /// Sends frames together, and compares.
  private func compare(_ world: inout World, sending samples: inout [Sample], _ ledger: inout ReferenceLedger) throws {
    guard let first = samples.first else { return }
    defer { samples = [] }
    let frames = samples.map { (bytes: $0.bytes, inPort: $0.inPort) }
    let outcome: RealSwitch.Departures
    do { outcome = try real.exchange(frames, first: first.number) } catch let stray as StrayFrame {
      throw Difference(seed: world.seed, what: "\(stray)", model: world.model, frames: frames)
    }
    report.packets += frames.count
    for (i, sample) in samples.enumerated() {
      report.departures += outcome[i].count
      if !outcome[i].isEmpty { report.forwarded += 1 }
      let isUndefined = sample.answers.contains { $0.undefined != nil }
      let met = isUndefined ? sample.answers : sample.answers.filter { $0.departures == outcome[i] }
      guard !met.isEmpty else {
        throw try Shrinking(real: real, world: world).shrink(masked.sent + samples[...i].map { (bytes: $0.original, inPort: $0.inPort) })
      }
      ledger.add(met)
      if isUndefined { report.undefined += 1 }
      guard world.model.learns else { continue }
      report.learning += 1
      if met.contains(where: { $0.undefined != nil || $0.expired }) {
        // Whether its sender was learned is open, too.
        world.model.forgetStations()
        try real.forgetStations()
      } else if let answer = met.first {
        world.model.learn(answer, inPort: sample.inPort)
      }
    }
    // With their checksums: below a label whose bottom bit is flipped nobody will find the packet to put them in.
    masked.note(frames)
  }
}
