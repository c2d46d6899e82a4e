// SamenessTests.swift
//
// What: a small piece of the proofs of sluice-proof, so that every run of the tests, and the sanitizers, see random rules, groups and packets in
//       a whole switch. The long run is `sluice-proof` itself.

import ProofModel
import TestSupport
import Testing

@Suite(.serialized) struct SamenessTests {
  @Test func theSwitchDoesWhatTheReferenceDoes() throws {
    let seed = SeededGenerator.fresh().seed
    let sameness = try Sameness()
    defer { sameness.stop() }
    do { try sameness.run(seed: seed, packets: 4_000) } catch { Issue.record("\(error)") }
    #expect(sameness.report.forwarded > sameness.report.packets / 20, "most worlds should send something, seed \(seed)")
  }

  @Test func lanesShareTheWorldsOfOneRun() {
    let seed = SeededGenerator.fresh().seed
    let (report, failure) = SamenessLanes.run(lanes: 2, seed: seed, packets: 2_000)
    #expect(failure == nil, "\(failure.map { "\($0)" } ?? "")")
    #expect(report.packets >= 2_000 && report.worlds >= 2)
  }

  @Test func theCRCOfASCTPPacketBelowAFlippedBottomBitIsNobodysPromise() throws {
    let sameness = try Sameness()
    defer { sameness.stop() }
    // A packet inside a mask lost the bottom bit of its label, and a select group pops that and sets the DSCP of what is below.
    do { try sameness.prove(World(seed: 3_624_211_663)) } catch { Issue.record("\(error)") }
  }

  @Test func aFrameWhoseNumberIsOverwrittenIsKnownAgain() throws {
    let sameness = try Sameness()
    defer { sameness.stop() }
    // What is below the label is taken for a label: the number at the end of a short frame.
    var rule = ReferenceRule(table: 0, priority: 1, match: [FieldBits(.ethType, 0x8847)])
    rule.apply = [.popMPLS(0x8847), .copyTTLIn, .output(2)]
    do {
      for seed in 1...40 as ClosedRange<UInt64> {
        var world = World(seed: seed)
        (world.model.groups, world.model.rules) = ([], [rule])
        try sameness.prove(world)
      }
    } catch { Issue.record("\(error)") }
  }

  @Test func thePacketAfterAnAcknowledgedChangeFollowsIt() throws {
    let proof = try BarrierProof(seed: SeededGenerator.fresh().seed)
    defer { proof.stop() }
    do { try proof.run(changes: 500) } catch { Issue.record("\(error)") }
  }

  @Test func twoWorkersDoTogetherWhatTheReferenceDoes() throws {
    let sameness = try Sameness(workers: 2)
    defer { sameness.stop() }
    do { try sameness.run(seed: SeededGenerator.fresh().seed, packets: 2_000) } catch { Issue.record("\(error)") }
  }

  @Test func aGroupBelowASelectGroupCountsOnlyThePacketsThatCameThere() throws {
    let sameness = try Sameness()
    defer { sameness.stop() }
    var world = World(seed: 1)
    let output = ReferenceBucket(actions: [.output(3)])
    world.model.groups = [
      ReferenceGroup(id: 3, kind: .all, buckets: [output, ReferenceBucket(actions: [.pushVLAN(0x8100), .output(6)])]),
      ReferenceGroup(id: 2, kind: .select, buckets: [output, ReferenceBucket(actions: [.group(3)])]),
      ReferenceGroup(id: 1, kind: .select, buckets: [ReferenceBucket(actions: [.output(2)]), ReferenceBucket(actions: [.group(2)])]),
    ]
    var rule = ReferenceRule(table: 0, priority: 1, match: [])
    rule.apply = [.group(1)]
    world.model.rules = [rule]
    do { try sameness.prove(world) } catch { Issue.record("\(error)") }
  }

  @Test func noPacketSeesHalfOfABundle() throws {
    let proof = try BundleProof(seed: SeededGenerator.fresh().seed)
    defer { proof.stop() }
    do { try proof.run(bundles: 20) } catch { Issue.record("\(error)") }
    #expect(proof.packets > 0 && proof.relooked > 0)
  }
}
