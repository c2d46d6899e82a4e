// KernelSameness.swift
//
// What: the proof of sameness for the kernel tier: the flows that random worlds make in the switch are placed in the kernel, and every frame is
//       shown to both BPF programs, which say what they would send. What they answer must be what the reference says, byte for byte; what they
//       leave to the worker is the other proof's.
// Invariants: everything follows from the seed: world N of a run has the seed `seed + N`. Packets reach the worker only to make flows; it never
//             sees those that the programs are compared by, but for the first round.
// Threads: one thread of the caller's; the tier belongs to the pipeline thread of the switch.
// Cost: about 10 us a packet and program, and the reference's 5 us a packet.

import CSluice
import Dataplane
import KernelTier
import Pipeline
import TestSupport

/// What has been compared.
public struct KernelReport: Sendable, CustomStringConvertible {
  public var worlds = 0
  /// Packets run through a program: each frame meets two.
  public var packets = 0
  public var answeredByXDP = 0
  public var answeredByTC = 0
  /// Answers that change the frame or send it out more than once.
  public var rewritten = 0
  /// Packets for which nothing is promised.
  public var undefined = 0
  /// Flows that the kernel took, and those that it did not, by cause.
  public var placed: UInt64 = 0
  public var refused: [String: UInt64] = [:]

  /// Whether the programs answered enough themselves for their silence about the rest to mean something.
  public var isTelling: Bool { answeredByXDP * 20 > packets && answeredByTC * 20 > packets && rewritten * 200 > packets }

  public var description: String {
    let causes = refused.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    return "\(packets) packets in \(worlds) worlds, \(placed) flows in the kernel (refused: \(causes.isEmpty ? "none" : causes)): "
      + "\(answeredByXDP) answered by XDP, \(answeredByTC) by tc, \(rewritten) of them rewritten or sent more than once, \(undefined) undefined"
  }
}

/// A run of the proof.
public final class KernelSameness {
  private let real: RealSwitch
  private let maps: FlowTableMaps
  /// By hook and ingress port.
  private var programs: [(hook: KernelDryRun.Hook, inPort: UInt32, program: KernelDryRun)] = []
  public private(set) var report = KernelReport()
  /// Frames under way together.
  private static let batch = 96

  /// - Throws: `KernelTierError` where BPF programs cannot be loaded.
  public init() throws {
    let model = World(seed: 0).model.ports
    let maps = try FlowTableMaps.create(flows: 8192)
    self.maps = maps
    let ports = KernelPorts(maps: maps)
    for port in model {
      // Nothing is sent, so any interface will do: the loopback is everywhere.
      try ports.set(
        KernelPort(
          index: PortIndex(port.number), interfaceIndex: 1, number: port.number, hooks: [.xdp, .tc], maxFrame: RealSwitch.maxFrame, worker: 0,
          isUp: port.isUp))
      for hook in [KernelDryRun.Hook.xdp, .tc] {
        let flows = FlowHookSpec(maps: maps, port: PortIndex(port.number), upInterfaceIndex: 1)
        programs.append((hook, port.number, try KernelDryRun(hook, flows: flows)))
      }
    }
    // The worker never says that it has something under way, so flows are active as they are placed.
    sluice_store_release_u64(maps.drainStamp(worker: 0), .max / 2)
    real = try RealSwitch(ports: model, placement: .eager)
    try real.sluice.performAndWait { core in core.setKernel(try KernelFlowTier(maps: maps)) }
  }

  public func stop() { real.stop() }

  /// Proves worlds until `packets` packets have been run through the programs.
  /// - Throws: the first `Difference`, made small; whatever else goes wrong.
  public func run(seed: UInt64, packets: Int) throws {
    var world = seed
    while report.packets < packets {
      try prove(World(seed: world))
      world &+= 1
    }
    let tiers = try real.sluice.performAndWait { core in core.flowSummary().tiers }
    for tier in tiers {
      report.placed = tier.placed
      report.refused = tier.refused
    }
  }

  private func prove(_ start: World) throws {
    var world = start
    // What a station taught would have to be taught to the model packet by packet; the worker's proof does that.
    guard !world.model.learns else { return }
    try real.purge()
    try load(&world)
    var random = SeededGenerator(seed: world.seed ^ 0x5eed)
    var sent: [(shape: FrameShape, inPort: UInt32)] = []
    for round in 0..<4 {
      var shapes: [(shape: FrameShape, inPort: UInt32)] = []
      for i in 0..<Self.batch {
        // Packets that differ a little tell whether a flow answers only what it is for.
        shapes.append(round == 0 ? world.shape() : round == 1 ? sent[i] : (sent[i].shape.twin(&random), sent[i].inPort))
      }
      let first = real.number()
      for _ in 1..<shapes.count { _ = real.number() }
      let frames = shapes.enumerated().map { (bytes: $0.element.shape.bytes(number: first + UInt32($0.offset)), inPort: $0.element.inPort) }
      if round == 0 {
        sent = shapes
        try real.send(frames)
      }
      for (i, frame) in frames.enumerated() {
        guard try difference(frame.bytes, frame.inPort, world.model, counts: true) != nil else { continue }
        let before = (sent + shapes[..<i]).map { (bytes: $0.shape.bytes(number: 0), inPort: $0.inPort) }
        throw try shrink(world, before + [(shapes[i].shape.bytes(number: 0), frame.inPort)])
      }
    }
    report.worlds += 1
  }

  /// Gives the switch a world, and takes out of the world what the switch refuses.
  private func load(_ world: inout World) throws {
    var gone: Set<Int> = []
    for refusal in try real.load(world.model) { if case .rule(let position) = refusal.what { gone.insert(position) } }
    guard !gone.isEmpty else { return }
    world.model.rules = world.model.rules.enumerated().filter { !gone.contains($0.offset) }.map(\.element)
    _ = try real.load(world.model)
  }

  /// What a program would do otherwise than the reference with a frame; nil when nothing.
  private func difference(_ bytes: [UInt8], _ inPort: UInt32, _ model: ReferenceSwitch, counts: Bool) throws -> String? {
    let answers = model.answers(bytes, inPort: inPort)
    let isUndefined = answers.contains { $0.undefined != nil }
    for (hook, port, program) in programs where port == inPort {
      let outcome: [Departure]
      switch try program.run(bytes) {
      case .up, .pass:
        if counts { report.packets += 1 }
        continue
      case .drop: outcome = []
      case .outputs(let outputs): outcome = outputs.map { Departure(port: UInt32($0.port), bytes: $0.bytes) }.sorted()
      }
      if counts { count(hook, outcome, bytes, isUndefined) }
      if isUndefined || answers.contains(where: { $0.departures == outcome }) { continue }
      return Shrinking.text(hook == .xdp ? "the XDP program" : "the tc program", bytes, inPort, is: outcome, wants: answers)
    }
    return nil
  }

  private func count(_ hook: KernelDryRun.Hook, _ outcome: [Departure], _ bytes: [UInt8], _ isUndefined: Bool) {
    report.packets += 1
    if hook == .xdp { report.answeredByXDP += 1 } else { report.answeredByTC += 1 }
    if outcome.count > 1 || outcome.contains(where: { $0.bytes != bytes }) { report.rewritten += 1 }
    if isUndefined { report.undefined += 1 }
  }

  private func shrink(_ world: World, _ frames: [(bytes: [UInt8], inPort: UInt32)]) throws -> Difference {
    // The programs are asked when the worker has made a flow for the frame, or an earlier frame's flow answers it.
    try Shrinking(real: real, world: world) { bytes, inPort, number, model in
      if let what = try self.difference(bytes, inPort, model, counts: false) { return what }
      try self.real.send([(bytes, inPort)])
      return try self.difference(bytes, inPort, model, counts: false)
    }.shrink(frames)
  }
}
