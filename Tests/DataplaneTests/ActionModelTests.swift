// ActionModelTests.swift
//
// What: random sequences of actions on random frames, against a model that keeps a packet as a list of layers and builds the frame anew after each
//       action, checksums included. It knows no offsets and updates nothing in place.

import Testing
import TestSupport

@testable import Dataplane

/// What stands in front of the IP packet, outermost first.
private enum Layer: Equatable {
  case vlan(tpid: UInt16, control: UInt16)
  case mpls(type: UInt16, entry: UInt32)
  case pbb(tag: UInt32, customer: [UInt8])
}

private func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
private func big(_ value: UInt32) -> [UInt8] { big(UInt16(value >> 16)) + big(UInt16(value & 0xffff)) }

/// A packet as a list of layers.
private struct ModelFrame {
  var addresses: [UInt8]
  var layers: [Layer] = []
  // The IP packet.
  var isIPv6: Bool
  var source: UInt8
  var destination: UInt8
  var ttl: UInt8
  var tos: UInt8
  var sourcePort: UInt16
  var destinationPort: UInt16
  var proto: UInt8
  var payload: [UInt8]

  static func random(_ g: inout SeededGenerator) -> ModelFrame {
    func byte() -> UInt8 { UInt8(truncatingIfNeeded: g.next()) }
    func port() -> UInt16 { UInt16(truncatingIfNeeded: g.next()) }
    return ModelFrame(
      addresses: g.bytes(12), isIPv6: g.next() & 1 == 0, source: byte(), destination: byte(), ttl: byte() & 3, tos: byte(),
      sourcePort: port(), destinationPort: port(), proto: [6, 17, 132][Int(g.next() % 3)], payload: g.bytes(Int(g.next() % 20)))
  }

  private var innerType: UInt16 { isIPv6 ? 0x86dd : 0x0800 }

  private var inner: [UInt8] {
    var packet = FramePacket()
    packet =
      isIPv6
      ? packet.ipv6("fd00::\(String(source, radix: 16))", "fd00::\(String(destination, radix: 16))", hopLimit: ttl, trafficClass: tos)
      : packet.ipv4("10.0.0.\(source)", "10.0.0.\(destination)", ttl: ttl, tos: tos)
    switch proto {
    case 6: packet = packet.tcp(sourcePort, destinationPort, payload: payload)
    case 17: packet = packet.udp(sourcePort, destinationPort, payload: payload)
    default: packet = packet.sctp(sourcePort, destinationPort, payload: payload)
    }
    return Array(packet.bytes.dropFirst(14))
  }

  /// The layers from one on, without the EtherType in front of them where an MPLS entry has taken its place.
  private func bytes(from first: Int, showsType: Bool) -> [UInt8] {
    var result: [UInt8] = []
    var showsType = showsType
    for layer in layers[first...] {
      switch layer {
      case .vlan(let tpid, let control): result += (showsType ? big(tpid) : []) + big(control)
      case .mpls(let type, let entry): result += (showsType ? big(type) : []) + big(entry)
      case .pbb(let tag, let customer): result += (showsType ? big(0x88e7 as UInt16) : []) + big(tag) + customer
      }
      if case .mpls = layer { showsType = false } else { showsType = true }
    }
    return result + (showsType ? big(innerType) : []) + inner
  }

  var bytes: [UInt8] { addresses + bytes(from: 0, showsType: true) }

  // MARK: What can be seen

  var tags: Int {
    var count = 0
    for case .vlan in layers.prefix(while: { if case .vlan = $0 { true } else { false } }) { count += 1 }
    return min(2, count)
  }

  /// The layer behind the tags.
  var network: Layer? { tags < layers.count ? layers[tags] : nil }
  var showsIP: Bool { tags == layers.count }

  var entry: UInt32? {
    if case .mpls(_, let entry)? = network { entry } else { nil }
  }

  private mutating func setEntry(at index: Int, _ change: (UInt32) -> UInt32) {
    let layer = layers[index]
    if case .mpls(let type, let entry) = layer { layers[index] = .mpls(type: type, entry: change(entry)) }
  }

  /// The EtherType of the layer with an index.
  func type(of index: Int) -> UInt16 {
    guard index < layers.count else { return innerType }
    switch layers[index] {
    case .vlan(let tpid, _): return tpid
    case .mpls(let type, _): return type
    case .pbb: return 0x88e7
    }
  }

  /// Bytes below the last label that are not IP but begin as if they were: nobody can tell.
  var isAmbiguous: Bool {
    guard let entry, entry & 0x100 != 0, tags + 1 < layers.count else { return false }
    let rest = bytes(from: tags + 1, showsType: false)
    return rest[0] >> 4 == 4 && rest[0] & 15 >= 5 || rest[0] >> 4 == 6
  }

  // MARK: Actions

  mutating func apply(_ action: FlowAction) -> ActiveFrame.Outcome {
    switch action {
    case .pushVLAN(let tpid):
      guard tags < 2 else { return .failed }
      var control: UInt16 = 0
      if case .vlan(_, let outer)? = layers.first { control = outer & 0xefff }
      layers.insert(.vlan(tpid: tpid, control: control), at: 0)
    case .popVLAN:
      guard tags > 0 else { return .failed }
      layers.removeFirst()
    case .pushMPLS(let type):
      var new = entry ?? UInt32(showsIP ? ttl : 0)
      if case .mpls? = layers.first { new &= ~0x100 } else { new |= 0x100 }
      layers.insert(.mpls(type: type, entry: new), at: 0)
    case .popMPLS:
      guard entry != nil else { return .failed }
      layers.remove(at: tags)
    case .pushPBB:
      var tag: UInt32 = 0
      if case .pbb(let old, _)? = network { tag = old & 0xff_ffff }
      if case .vlan(_, let control)? = layers.first { tag |= UInt32(control >> 13) << 29 }
      layers.insert(.pbb(tag: tag, customer: addresses), at: 0)
    case .popPBB:
      guard case .pbb(_, let customer)? = layers.first else { return .failed }
      layers.removeFirst()
      addresses = customer
    case .decrementTTL:
      guard showsIP else { return .failed }
      guard ttl > 1 else { return .ttlExpired }
      ttl -= 1
    case .decrementMPLSTTL:
      guard let entry else { return .failed }
      guard entry & 0xff > 1 else { return .ttlExpired }
      setEntry(at: tags) { $0 - 1 }
    case .copyTTLIn:
      guard let entry else { return .failed }
      let below = tags + 1
      if entry & 0x100 == 0 {
        setEntry(at: below) { $0 & ~0xff | entry & 0xff }
      } else if below == layers.count {
        ttl = UInt8(entry & 0xff)
      }
    case .copyTTLOut:
      guard let entry else { return .failed }
      let below = tags + 1
      if entry & 0x100 == 0, case .mpls(_, let lower) = layers[below] {
        setEntry(at: tags) { $0 & ~0xff | lower & 0xff }
      } else if entry & 0x100 != 0, below == layers.count {
        let inner = UInt32(ttl)
        setEntry(at: tags) { $0 & ~0xff | inner }
      }
    case .setField(let field, let value, let mask): return set(field, value, mask)
    default: fatalError("\(action) does not change a frame")
    }
    return .done
  }

  private mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128) -> ActiveFrame.Outcome {
    func mixed<T: FixedWidthInteger>(_ old: T) -> T { old & ~T(truncatingIfNeeded: mask) | T(truncatingIfNeeded: value & mask) }
    func mixed(_ old: UInt32, _ shift: UInt32) -> UInt32 { old & ~(UInt32(mask) << shift) | UInt32(value & mask) << shift }
    switch field {
    case .ethDst, .ethSrc:
      for i in 0..<6 {
        let place = (field == .ethSrc ? 6 : 0) + i
        let m = UInt8(truncatingIfNeeded: mask >> UInt128(40 - 8 * i))
        addresses[place] = addresses[place] & ~m | UInt8(truncatingIfNeeded: value >> UInt128(40 - 8 * i)) & m
      }
    case .vlanVID, .vlanPCP:
      guard tags > 0, case .vlan(let tpid, let control) = layers[0] else { return .failed }
      layers[0] = .vlan(tpid: tpid, control: UInt16(truncatingIfNeeded: mixed(UInt32(control), field == .vlanPCP ? 13 : 0)))
    case .mplsLabel, .mplsTC, .mplsTTL:
      guard entry != nil else { return .failed }
      setEntry(at: tags) { mixed($0, field == .mplsLabel ? 12 : field == .mplsTC ? 9 : 0) }
    case .pbbISID:
      guard case .pbb(let tag, let customer)? = network else { return .failed }
      layers[tags] = .pbb(tag: mixed(tag, 0), customer: customer)
    case .ipTTL:
      guard showsIP else { return .failed }
      ttl = mixed(ttl)
    case .ipDSCP:
      guard showsIP else { return .failed }
      tos = UInt8(truncatingIfNeeded: mixed(UInt32(tos), 2))
    case .ipv4Src, .ipv6Src:
      guard showsIP, isIPv6 == (field == .ipv6Src) else { return .failed }
      source = mixed(source)
    case .ipv4Dst, .ipv6Dst:
      guard showsIP, isIPv6 == (field == .ipv6Dst) else { return .failed }
      destination = mixed(destination)
    case .tcpSrc, .udpSrc, .sctpSrc:
      guard showsIP, proto == [.tcpSrc: 6, .udpSrc: 17, .sctpSrc: 132][field] else { return .failed }
      sourcePort = mixed(sourcePort)
    case .tcpDst, .udpDst, .sctpDst:
      guard showsIP, proto == [.tcpDst: 6, .udpDst: 17, .sctpDst: 132][field] else { return .failed }
      destinationPort = mixed(destinationPort)
    default: fatalError("\(field) is not in the model")
    }
    return .done
  }
}

extension ActiveFrame {
  /// Carries out an action that changes the frame.
  fileprivate mutating func apply(_ action: FlowAction) -> Outcome {
    switch action {
    case .pushVLAN(let tpid): pushVLAN(tpid: tpid)
    case .popVLAN: popVLAN()
    case .pushMPLS(let type): pushMPLS(etherType: type)
    case .popMPLS(let type): popMPLS(etherType: type)
    case .pushPBB: pushPBB()
    case .popPBB: popPBB()
    case .decrementTTL: decrementTTL()
    case .decrementMPLSTTL: decrementMPLSTTL()
    case .copyTTLIn: copyTTLIn()
    case .copyTTLOut: copyTTLOut()
    case .setField(let field, let value, let mask): set(field, value: value, mask: mask)
    default: .failed
    }
  }
}

@Suite struct ActionModelTests {
  /// Frames of any kind, broken ones too, lie in front of memory that nobody may touch: an action that trusts what a header says dies here.
  @Test func noActionReadsOrWritesBesideTheFrame() {
    var generator = SeededGenerator.fresh()
    let settable = FlowField.allCases.filter(\.isSettable)
    for _ in 0..<6000 {
      let bytes = FrameCatalog.random(using: &generator)
      let layout = parseFrame(bytes, inPort: 1).layout
      guard layout.problem == 0 else { continue }
      let room = 64
      let frame = GuardedFrame(bytes, room: room)
      var active = ActiveFrame(bytes: frame.bytes, length: bytes.count, layout: layout, room: room)
      for _ in 0..<10 {
        let action: FlowAction
        switch generator.next() % 3 {
        case 0:
          let field = settable[Int(generator.next() % UInt64(settable.count))]
          action = .setField(field, value: UInt128(generator.next()), mask: field.allOnes)
        case 1: action = .popMPLS(etherType: [0x0800, 0x86dd, 0x8847, 0x8100, 0x88e7, 0x0806][Int(generator.next() % 6)])
        default:
          let kinds: [FlowAction] = [
            .pushVLAN(tpid: 0x8100), .popVLAN, .pushMPLS(etherType: 0x8847), .pushPBB, .popPBB, .decrementTTL, .decrementMPLSTTL,
            .copyTTLIn, .copyTTLOut,
          ]
          action = kinds[Int(generator.next() % UInt64(kinds.count))]
        }
        _ = active.apply(action)
        active.raiseDropPrecedence(by: 1)
        // What is there plus what is free in front never changes.
        guard active.length + active.room == bytes.count + room, active.room >= 0 else {
          Issue.record("\(action) left \(active.length) bytes and room for \(active.room), seed \(generator.seed)")
          return
        }
        let after = parseFrame(Array(UnsafeBufferPointer(start: active.bytes, count: active.length)), inPort: 1).layout
        guard after.problem != 0 || after.word == active.layout.word else {
          Issue.record("after \(action) the layout is \(active.layout), parsed \(after), seed \(generator.seed)")
          return
        }
      }
    }
  }

  private static let fields: [FlowField] = [
    .ethDst, .ethSrc, .vlanVID, .vlanPCP, .mplsLabel, .mplsTC, .mplsTTL, .pbbISID, .ipTTL, .ipDSCP, .ipv4Src, .ipv4Dst, .ipv6Src,
    .ipv6Dst, .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst,
  ]

  private func randomAction(_ g: inout SeededGenerator, _ model: ModelFrame) -> FlowAction {
    switch g.next() % 16 {
    case 0: return .pushVLAN(tpid: g.next() & 1 == 0 ? 0x8100 : 0x88a8)
    case 1: return .popVLAN
    case 2, 3: return .pushMPLS(etherType: g.next() & 1 == 0 ? 0x8847 : 0x8848)
    case 4, 5: return .popMPLS(etherType: model.type(of: model.tags + 1))
    case 6: return .pushPBB
    case 7: return .popPBB
    case 8: return .decrementTTL
    case 9: return .decrementMPLSTTL
    case 10 where !model.isAmbiguous: return .copyTTLIn
    case 11 where !model.isAmbiguous: return .copyTTLOut
    default:
      let field = Self.fields[Int(g.next() % UInt64(Self.fields.count))]
      let random = UInt128(g.next()) << 64 | UInt128(g.next())
      var mask = g.next() & 1 == 0 ? field.allOnes : random & field.allOnes
      // The model's addresses differ in their last byte; the present bit of a tag is not in the frame.
      if [.ipv4Src, .ipv4Dst, .ipv6Src, .ipv6Dst].contains(field) { mask &= 0xff }
      if field == .vlanVID { mask &= 0xfff }
      return .setField(field, value: UInt128(g.next()) << 64 | UInt128(g.next()), mask: mask)
    }
  }

  @Test func anySequenceOfActionsLeavesTheFrameThatTheModelBuilds() {
    var generator = SeededGenerator.fresh()
    for _ in 0..<4000 {
      var model = ModelFrame.random(&generator)
      let start = model.bytes
      let frame = GuardedFrame(start, room: 512)
      var active = ActiveFrame(
        bytes: frame.bytes, length: start.count, layout: parseFrame(start, inPort: 1).layout, room: 512)
      var done: [FlowAction] = []
      for _ in 0..<14 {
        let action = randomAction(&generator, model)
        done.append(action)
        let expected = model.apply(action)
        let outcome = active.apply(action)
        let bytes = Array(UnsafeBufferPointer(start: active.bytes, count: active.length))
        guard outcome == expected, bytes == model.bytes else {
          Issue.record("\(done) on \(start): \(outcome), \(bytes); expected \(expected), \(model.bytes); seed \(generator.seed)")
          return
        }
        let parsed = parseFrame(bytes, inPort: 1).layout
        guard parsed.problem != 0 || parsed.word == active.layout.word else {
          Issue.record("\(done) on \(start): the layout is \(active.layout), parsed \(parsed); seed \(generator.seed)")
          return
        }
      }
    }
  }
}
