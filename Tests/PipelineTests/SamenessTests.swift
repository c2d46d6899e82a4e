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

  @Test func thePacketAfterAnAcknowledgedChangeFollowsIt() throws {
    let proof = try BarrierProof(seed: SeededGenerator.fresh().seed)
    defer { proof.stop() }
    do { try proof.run(changes: 500) } catch { Issue.record("\(error)") }
  }
}
