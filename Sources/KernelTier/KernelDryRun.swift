// KernelDryRun.swift
//
// What: shows what the programs would do with a frame, without an interface and without sending anything.
// Invariants: the program is the one that runs on ports, loaded with the constant that makes outputs go to a ring buffer.
// Threads: one at a time.
// Cost: two system calls per frame.

import CSluice
import Dataplane

/// A program of the kernel tier that answers questions.
public final class KernelDryRun {
  public enum Hook: Sendable, Hashable { case xdp, tc }

  /// What becomes of a frame.
  public enum Outcome: Sendable, Hashable {
    /// To the worker.
    case up
    /// XDP leaves it to tc, or tc to the host.
    case pass
    case drop
    /// Out of these ports, in this order.
    case outputs([Output])
  }

  public struct Output: Sendable, Hashable {
    public var port: PortIndex
    public var bytes: [UInt8]

    public init(port: PortIndex, bytes: [UInt8]) {
      self.port = port
      self.bytes = bytes
    }
  }

  public let hook: Hook
  private let program: BPFDescriptor
  private let ring: BPFRing

  /// Loads the program of a hook as on a dedicated port.
  public init(_ hook: Hook, flows: FlowHookSpec) throws(KernelTierError) {
    let object: BPFObject
    switch hook {
    case .xdp: object = try XDPProgram.object(mode: .dedicated, queues: 1, policy: nil, flows: flows, isDry: true)
    case .tc:
      object = try BPFObject(bytes: EmbeddedBPF.containerObject, name: SLUICE_TC_PROGRAM)
      try object.prepare(policy: nil, flows: flows, isDry: true)
      try object.load()
    }
    self.hook = hook
    program = try object.program(hook == .xdp ? SLUICE_XDP_PROGRAM : SLUICE_TC_PROGRAM)
    ring = try BPFRing(try object.descriptor(ofMap: "sluice_dry"))
  }

  /// Shows what becomes of a frame; it is counted as any other.
  /// - Parameter frame: at least 14 bytes.
  public func run(_ frame: [UInt8]) throws(KernelTierError) -> Outcome {
    let verdict = try BPFSystem.testRun(program, packet: frame, repetitions: 1).value
    let outputs = try ring.drain().compactMap(Self.output)
    switch verdict {
    case SLUICE_DRY_UP.rawValue: return .up
    case SLUICE_DRY_PASS.rawValue: return .pass
    case SLUICE_DRY_DONE.rawValue: return outputs.isEmpty ? .drop : .outputs(outputs)
    default: throw .invalid(what: "a verdict of", value: "\(verdict)", expected: "one of a dry run, 64 to 66")
    }
  }

  private static func output(_ record: [UInt8]) -> Output? {
    guard record.count >= 8 else { return nil }
    let (port, length) = record.withUnsafeBytes { ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) }
    return Output(port: PortIndex(truncatingIfNeeded: port), bytes: Array(record.dropFirst(8).prefix(Int(length))))
  }
}
