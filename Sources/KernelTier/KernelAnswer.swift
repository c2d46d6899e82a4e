// KernelAnswer.swift
//
// What: what a flow in the kernel does, as a value: the form between the flow engine's actions and the bytes of shared.h.
// Invariants: equal answers have equal bytes, so programs are shared by comparing them. Bits of a value outside its mask are zero.
// Threads: values only.

import CSluice
import Dataplane

/// What the programs do with a packet of a flow.
public enum KernelAnswer: Hashable, Sendable {
  case drop
  /// Unchanged, out of one port.
  case output(PortIndex)
  case program(KernelProgram)

  /// The ports that it sends to.
  public var outputs: [PortIndex] {
    switch self {
    case .drop: []
    case .output(let port): [port]
    case .program(let program): program.ops.filter { $0.code == .output }.map(\.port)
    }
  }

  /// The same in words of the flow engine.
  public var actions: [FlowAction] {
    switch self {
    case .drop: []
    case .output(let port): [.output(port)]
    case .program(let program): program.ops.map(\.action)
    }
  }
}

/// A list of steps.
public struct KernelProgram: Hashable, Sendable {
  public var ops: [KernelOp]
  /// XDP leaves packets of such a flow to tc.
  public var isTCOnly: Bool

  public init(ops: [KernelOp], isTCOnly: Bool) {
    self.ops = ops
    self.isTCOnly = isTCOnly
  }

  init(_ program: sluice_program) {
    isTCOnly = UInt32(program.flags) & SLUICE_PROGRAM_TC_ONLY.rawValue != 0
    ops = withUnsafeBytes(of: program.ops) { bytes in
      bytes.bindMemory(to: sluice_op.self).prefix(Int(program.count)).compactMap(KernelOp.init)
    }
  }

  /// As the programs read it.
  var encoded: sluice_program {
    var program = sluice_program()
    program.count = UInt32(ops.count)
    program.flags = isTCOnly ? UInt16(SLUICE_PROGRAM_TC_ONLY.rawValue) : 0
    let decrements = ops.count { $0.code == .decTTL }
    program.ttl = decrements == 0 ? 0 : UInt8(decrements + 1)
    withUnsafeMutableBytes(of: &program.ops) { bytes in
      let places = bytes.bindMemory(to: sluice_op.self)
      for (place, op) in ops.prefix(places.count).enumerated() { places[place] = op.encoded }
    }
    return program
  }
}

/// One step.
public struct KernelOp: Hashable, Sendable {
  /// Its number in shared.h.
  public enum Code: UInt8, Sendable {
    case output = 1, ethDst, ethSrc, vlanTCI, ipv4Src, ipv4Dst, ipv6Src, ipv6Dst, ipTOS, ipTTL, decTTL, tpSrc, tpDst, pushVLAN, popVLAN

    /// Bytes of value and mask.
    var width: Int {
      switch self {
      case .output, .decTTL, .popVLAN: 0
      case .ipTOS, .ipTTL: 1
      case .vlanTCI, .tpSrc, .tpDst, .pushVLAN: 2
      case .ipv4Src, .ipv4Dst: 4
      case .ethDst, .ethSrc: 6
      case .ipv6Src, .ipv6Dst: 16
      }
    }
  }

  public var code: Code
  public var port: PortIndex
  /// Right-aligned, of the code's width.
  public var value: UInt128
  public var mask: UInt128

  init(_ code: Code, port: PortIndex = 0, value: UInt128 = 0, mask: UInt128 = 0) {
    self.code = code
    self.port = port
    self.value = value & mask
    self.mask = mask
  }

  /// Nil for a step that this version does not know.
  init?(_ op: sluice_op) {
    guard let code = Code(rawValue: op.code) else { return nil }
    func number(_ bytes: UnsafeRawBufferPointer) -> UInt128 {
      bytes.prefix(code.width).reduce(0) { $0 << 8 | UInt128($1) }
    }
    self.init(
      code, port: op.port, value: withUnsafeBytes(of: op.value) { number($0) }, mask: withUnsafeBytes(of: op.mask) { number($0) })
  }

  /// As the programs read it: value and mask in network order from their first byte on.
  var encoded: sluice_op {
    var op = sluice_op()
    op.code = code.rawValue
    op.port = port
    func write(_ number: UInt128, _ bytes: UnsafeMutableRawBufferPointer) {
      for i in 0..<code.width { bytes[i] = UInt8(truncatingIfNeeded: number >> UInt128(8 * (code.width - 1 - i))) }
    }
    withUnsafeMutableBytes(of: &op.value) { write(value, $0) }
    withUnsafeMutableBytes(of: &op.mask) { write(mask, $0) }
    return op
  }

  /// The same in words of the flow engine. TCP stands for UDP, too: what is meant follows from the flow's key.
  var action: FlowAction {
    func set(_ field: FlowField) -> FlowAction { .setField(field, value: value, mask: mask) }
    switch code {
    case .output: return .output(port)
    case .ethDst: return set(.ethDst)
    case .ethSrc: return set(.ethSrc)
    case .vlanTCI: return set(.vlanTCI)
    case .ipv4Src: return set(.ipv4Src)
    case .ipv4Dst: return set(.ipv4Dst)
    case .ipv6Src: return set(.ipv6Src)
    case .ipv6Dst: return set(.ipv6Dst)
    case .ipTOS: return set(.ipTOS)
    case .ipTTL: return set(.ipTTL)
    case .decTTL: return .decrementTTL
    case .tpSrc: return set(.tcpSrc)
    case .tpDst: return set(.tcpDst)
    case .pushVLAN: return .pushVLAN(tpid: UInt16(truncatingIfNeeded: value))
    case .popVLAN: return .popVLAN
    }
  }
}
