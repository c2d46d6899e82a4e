// FlowProgramTests.swift
//
// What: the programs that look flows up against the worker's own code: the key that they make of a frame against FrameParser's, the bytes that they
//       send against FrameRewriter's. They run in the kernel by BPF_PROG_TEST_RUN, dry.
// How a key is compared: a flow that matches on every bit of FrameParser's key is placed; the frame is answered by it exactly when the program has
//       made the same key.

import CSluice
import TestSupport
import Testing

@testable import Dataplane
@testable import KernelTier

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct FlowProgramTests {
  /// A table, a port 1 where frames come in, and port 2 where they go out; a program on port 1.
  private final class Bench {
    let maps: FlowTableMaps
    let tier: KernelFlowTier
    let ports: KernelPorts
    let program: KernelDryRun
    /// Withdrawn; nothing runs beside the test, so a fence is needed only before they are used again.
    private var withdrawn: [TierHandle] = []
    static let inPort: UInt32 = 0x1234

    init(_ hook: KernelDryRun.Hook) throws {
      maps = try FlowTableMaps.create(flows: 1024)
      tier = try KernelFlowTier(maps: maps)
      ports = KernelPorts(maps: maps)
      for index in [1, 2] as [PortIndex] {
        try ports.set(
          KernelPort(
            index: index, interfaceIndex: 1, number: index == 1 ? Self.inPort : 2, hooks: [.xdp, .tc], maxFrame: 1514, worker: 0, isUp: true))
      }
      program = try KernelDryRun(hook, flows: FlowHookSpec(maps: maps, port: 1, upInterfaceIndex: 1))
      // The worker has nothing under way, now and later.
      maps.drainStamp(worker: 0).pointee = .max
    }

    /// What becomes of a frame while the table has one flow.
    func outcome(_ frame: [UInt8], key: FlowKey, mask: FlowMask, _ actions: [FlowAction]) throws -> KernelDryRun.Outcome {
      // The places that a flow can have are all taken when it was withdrawn too often.
      if withdrawn.count == 16 { release() }
      let handle = try tier.offer(TierFlow(key: key & mask, mask: mask, actions: actions, port: 1, worker: 0, id: 1))
      defer { withdraw(handle) }
      return try program.run(frame)
    }

    private func withdraw(_ handle: TierHandle) {
      tier.withdraw(handle)
      withdrawn.append(handle)
    }

    private func release() {
      tier.fence()
      for handle in withdrawn { tier.release(handle) }
      withdrawn = []
    }
  }

  /// Every bit of the lines that a packet has.
  private static func everyBit(_ layout: FrameLayout) -> FlowMask {
    var mask = FlowMask()
    mask.bits.line0 = ~FlowLine()
    if layout.lines == 3 { mask.bits.line1 = ~FlowLine() }
    return mask
  }

  /// Looks at the ingress port only.
  private static var anyPacket: FlowMask {
    var mask = FlowMask()
    mask.bits.line0.w4 = 0xffff_ffff_0000_0000
    return mask
  }

  /// Whether a sound frame is one that the programs leave to the worker.
  private static func isForWorker(_ key: FlowKey) -> Bool {
    [0x0806, 0x8035, 0x8847, 0x8848, 0x88e7].contains(key[.ethType]) || key[.ipv6ExtHdr] != 0
      || key[.ethType] == 0x86dd && [0, 43, 44, 50, 51, 59, 60, 135].contains(key[.ipProto])
      || key[.ethType] == 0x86dd && key[.ipProto] == 58 && (135...136).contains(key[.icmpv6Type])
  }

  private static let frames: [NamedFrame] = {
    var generator = SeededGenerator(seed: 4)
    let random = (0..<2000).map { NamedFrame("random frame \($0)", FrameCatalog.random(using: &generator)) }
    return (FrameCatalog.wellFormed + FrameCatalog.malformed.map { NamedFrame($0.reason, $0.bytes) } + random).filter { frame in
      // The kernel's test run takes no shorter ones, and for tc none without a whole IP header.
      let type = frame.bytes.count < 14 ? 0 : UInt16(frame.bytes[12]) << 8 | UInt16(frame.bytes[13])
      return frame.bytes.count >= (type == 0x0800 ? 34 : type == 0x86dd ? 54 : 15)
    }
  }()

  @Test(arguments: [KernelDryRun.Hook.xdp, .tc])
  func theKeyIsTheParsersOrThereIsNone(hook: KernelDryRun.Hook) throws {
    let bench = try Bench(hook)
    var read = 0
    for frame in Self.frames {
      let (key, layout) = parseFrame(frame.bytes, inPort: Bench.inPort)
      if layout.problem == 0, !Self.isForWorker(key) {
        let outcome = try bench.outcome(frame.bytes, key: key, mask: Self.everyBit(layout), [.output(2)])
        #expect(outcome == .outputs([.init(port: 2, bytes: frame.bytes)]), "\(frame): \(frame.bytes)")
        read += 1
      } else {
        let outcome = try bench.outcome(frame.bytes, key: key, mask: Self.anyPacket, [])
        #expect(outcome == .up, "\(frame): \(frame.bytes)")
      }
    }
    #expect(read > 600)
  }

  @Test(arguments: [KernelDryRun.Hook.xdp, .tc])
  func oneOtherBitIsAnotherFlow(hook: KernelDryRun.Hook) throws {
    let bench = try Bench(hook)
    var tried = 0
    let frames = [
      FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).bytes, FramePacket().vlan(5).vlan(6).ipv6("fd00::1", "fd00::2").tcp(1, 2).bytes,
    ]
    for frame in frames {
      let (key, layout) = parseFrame(frame, inPort: Bench.inPort)
      for bit in 0..<(layout.lines == 3 ? 1024 : 512) {
        var other = key
        withUnsafeMutableBytes(of: &other) { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
        do {
          #expect(try bench.outcome(frame, key: other, mask: Self.everyBit(layout), [.output(2)]) == .up, "bit \(bit)")
          tried += 1
        } catch is TierRefusal {
          // Of some bits the tier knows itself that no packet in the kernel has them.
        }
      }
    }
    #expect(tried > 700)
  }

  // MARK: Rewriting

  /// What the worker sends, by one port.
  private static func rewritten(_ frame: [UInt8], _ layout: FrameLayout, _ actions: [FlowAction]) -> [UInt8]? {
    let room = 64
    var memory = [UInt8](repeating: 0, count: room) + frame
    return memory.withUnsafeMutableBufferPointer { buffer -> [UInt8]? in
      var active = ActiveFrame(bytes: buffer.baseAddress! + room, length: frame.count, layout: layout, room: room)
      for action in actions {
        let outcome: ActiveFrame.Outcome
        switch action {
        case .setField(let field, let value, let mask): outcome = active.set(field, value: value & mask, mask: mask)
        case .pushVLAN(let tpid): outcome = active.pushVLAN(tpid: tpid)
        case .popVLAN: outcome = active.popVLAN()
        case .decrementTTL: outcome = active.decrementTTL()
        default: return Array(UnsafeBufferPointer(start: active.bytes, count: active.length))
        }
        guard outcome == .done else { return nil }
      }
      return nil
    }
  }

  private static func randomAction(_ generator: inout SeededGenerator) -> FlowAction {
    let value = UInt128(generator.next()) << 64 | UInt128(generator.next())
    // Half of them set the whole field.
    let mask = generator.next() & 1 == 0 ? UInt128.max : UInt128(generator.next()) << 64 | UInt128(generator.next())
    let fields: [FlowField] = [
      .ethDst, .ethSrc, .vlanTCI, .vlanVID, .vlanPCP, .ipv4Src, .ipv4Dst, .ipv6Src, .ipv6Dst, .ipTOS, .ipDSCP, .ipECN, .ipTTL, .tcpSrc, .tcpDst,
      .udpSrc, .udpDst,
    ]
    switch generator.next() % 8 {
    case 0: return .pushVLAN(tpid: generator.next() & 1 == 0 ? 0x8100 : 0x88a8)
    case 1: return .popVLAN
    case 2: return .decrementTTL
    default:
      let field = fields[Int(generator.next() % UInt64(fields.count))]
      // An empty mask changes nothing, and the encoder leaves it out whatever the worker makes of it.
      let bits = mask & field.allOnes == 0 ? field.allOnes : mask & field.allOnes
      return .setField(field, value: value & bits, mask: bits)
    }
  }

  @Test(arguments: [KernelDryRun.Hook.xdp, .tc])
  func theBytesAreTheRewriters(hook: KernelDryRun.Hook) throws {
    let bench = try Bench(hook)
    var generator = SeededGenerator(seed: 7)
    var compared = 0
    for _ in 0..<4000 {
      let frame = Self.frames[Int(generator.next() % UInt64(Self.frames.count))].bytes
      let (key, layout) = parseFrame(frame, inPort: Bench.inPort)
      guard layout.problem == 0, !Self.isForWorker(key) else { continue }
      let actions = (0...Int(generator.next() % 4)).map { _ in Self.randomAction(&generator) } + [.output(2)]
      let outcome: KernelDryRun.Outcome
      do {
        outcome = try bench.outcome(frame, key: key, mask: Self.everyBit(layout), actions)
      } catch is TierRefusal {
        // Most random lists ask for headers that are not there.
        continue
      }
      if let expected = Self.rewritten(frame, layout, actions) {
        #expect(outcome == .outputs([.init(port: 2, bytes: expected)]), "\(actions) on \(frame)")
        compared += 1
      } else {
        #expect(outcome == .up, "\(actions) on \(frame)")
      }
    }
    #expect(compared > 300)
  }

  // MARK: What goes up

  private let frame = FramePacket().ipv4("10.0.0.1", "10.0.0.2", ttl: 2).udp(1, 2, payload: .init(repeating: 7, count: 100)).bytes

  @Test(arguments: [KernelDryRun.Hook.xdp, .tc])
  func whatAPortDoesNotTakeGoesUp(hook: KernelDryRun.Hook) throws {
    let bench = try Bench(hook)
    let (key, layout) = parseFrame(frame, inPort: Bench.inPort)
    let mask = Self.everyBit(layout)
    func outcome(_ actions: [FlowAction]) throws -> KernelDryRun.Outcome { try bench.outcome(frame, key: key, mask: mask, actions) }
    #expect(try outcome([.output(2)]) == .outputs([.init(port: 2, bytes: frame)]))
    #expect(try outcome([]) == .drop)
    #expect(try outcome([.decrementTTL, .output(2)]) != .up)
    let last = frame.changed(at: 22, to: 1)
    #expect(try bench.outcome(last, key: parseFrame(last, inPort: Bench.inPort).key, mask: mask, [.decrementTTL, .output(2)]) == .up)
    bench.ports.setUp(2, false)
    #expect(try outcome([.output(2)]) == .up)
    bench.ports.setUp(2, true)
    try bench.ports.set(
      KernelPort(index: 2, interfaceIndex: 1, number: 2, hooks: [.xdp, .tc], maxFrame: frame.count, worker: 0, isUp: true))
    #expect(try outcome([.output(2)]) != .up)
    #expect(try outcome([.pushVLAN(tpid: 0x8100), .output(2)]) == .up)
    #expect(try outcome([.pushVLAN(tpid: 0x8100), .popVLAN, .output(2)]) != .up)
  }

  @Test func severalOutputsAreForTC() throws {
    let (key, layout) = parseFrame(frame, inPort: Bench.inPort)
    var changed = frame
    changed[0] |= 1
    let actions: [FlowAction] = [.output(2), .setField(.ethDst, value: 1 << 40, mask: 1 << 40), .output(1)]
    let tc = try Bench(.tc).outcome(frame, key: key, mask: Self.everyBit(layout), actions)
    #expect(tc == .outputs([.init(port: 2, bytes: frame), .init(port: 1, bytes: changed)]))
    #expect(try Bench(.xdp).outcome(frame, key: key, mask: Self.everyBit(layout), actions) == .up)
  }
}
