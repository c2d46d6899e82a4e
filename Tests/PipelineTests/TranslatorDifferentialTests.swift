// TranslatorDifferentialTests.swift
//
// What: random rules and packets, translated and executed, against a deliberately naive reference that knows no masks, no stages
//       and no flows: it scans the rules by priority and applies the actions to the packet. And the promise of a flow: every packet
//       that agrees in the bits of the mask has the same translation.

import Dataplane
import Pipeline
import TestSupport
import Testing

/// A packet on its way through actions: its fields, and its VLAN tags apart.
private struct ModelPacket: Equatable {
  var key: FlowKey
  /// Outermost first.
  var tags: [UInt16]
  var isDead = false

  init(_ key: FlowKey) {
    self.key = key
    tags = []
    let outer = UInt16(key[.vlanTCI])
    let inner = UInt16(key[.innerVLANTCI])
    if outer & 0x1000 != 0 { tags.append(outer) }
    if outer & 0x1000 != 0, inner & 0x1000 != 0 { tags.append(inner) }
    self.key[.vlanTCI] = 0
    self.key[.innerVLANTCI] = 0
    if key[.ethType] != 0x86dd { self.key.line1 = FlowLine() }
  }

  mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128) {
    switch field {
    case .vlanVID: tags[0] = tags[0] & ~UInt16(mask & 0xfff) | UInt16(value & mask & 0xfff)
    case .vlanPCP: tags[0] = tags[0] & ~UInt16(mask << 13) | UInt16(value & mask) << 13
    default: key[field] = key[field] & ~mask | value & mask
    }
  }

  mutating func decrementTTL() {
    if key[.ipTTL] <= 1 { isDead = true } else { key[.ipTTL] -= 1 }
  }
}

/// A packet that left: where, and how it looked.
private enum Departure: Equatable {
  case port(PortIndex, ModelPacket)
  case controller(UInt16, ModelPacket)
}

/// Executes the actions of a flow.
private func execute(_ actions: [FlowAction], _ key: FlowKey) -> [Departure] {
  var packet = ModelPacket(key)
  var departures: [Departure] = []
  for action in actions where !packet.isDead {
    switch action {
    case .output(let index): departures.append(.port(index, packet))
    case .controller(let length, _): departures.append(.controller(length, packet))
    case .setField(let field, let value, let mask): packet.set(field, value, mask)
    case .pushVLAN: packet.tags.insert((packet.tags.first ?? 0) | 0x1000, at: 0)
    case .popVLAN: packet.tags.removeFirst()
    case .decrementTTL: packet.decrementTTL()
    default: fatalError("\(action) is no action of these rules")
    }
  }
  return departures
}

/// The reference: what the rules say, read naively.
private struct Reference {
  static let layer4: Set<FlowField> = [
    .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code,
  ]
  let rules: [Rule]
  let ports: PortSet
  let macs: MACTable

  func rule(for key: FlowKey) -> Rule? {
    var best: Rule?
    for rule in rules where key & rule.match.mask == rule.match.key {
      if best == nil || rule.priority > best!.priority { best = rule }
    }
    return best
  }

  func departures(_ key: FlowKey) -> [Departure] {
    guard let rule = rule(for: key) else { return [] }
    let ingress = UInt32(key[.inPort])
    var packet = ModelPacket(key)
    var departures: [Departure] = []
    func send(_ number: UInt32) {
      if let port = ports[number], port.isUp { departures.append(.port(port.index, packet)) }
    }
    func flood(_ wanted: (SwitchPort) -> Bool) {
      for port in ports.ports where port.number != ingress && wanted(port) { send(port.number) }
    }
    for action in rule.instructions.apply where !packet.isDead {
      switch action {
      case .output(let number): if number != ingress { send(number) }
      case .inPort: send(ingress)
      case .flood: flood { !$0.noFlood }
      case .all: flood { _ in true }
      case .controller(let length): departures.append(.controller(length, packet))
      case .group, .setQueue, .pushMPLS, .popMPLS, .pushPBB, .popPBB, .decrementMPLSTTL, .copyTTLIn, .copyTTLOut: break
      case .normal:
        let vlan = (packet.tags.first ?? 0) & 0xfff
        let destination = UInt64(packet.key[.ethDst])
        if destination >> 4 == 0x0180_c200_000 { continue }
        let station = Station(vlan: vlan, mac: destination)
        let isOwn = ports[ingress] != nil && UInt64(packet.key[.ethSrc]) == destination
        if station.isMulticast { flood { !$0.noFlood } } else if isOwn { continue } else if let port = macs.port(of: station) {
          if port != ingress { send(port) }
        } else { flood { !$0.noFlood } }
      case .setField(let field, let value, let mask):
        // A later fragment has no header of layer 4.
        if Self.layer4.contains(field), packet.key[.ipFrag] & 2 != 0 { continue }
        if field == .vlanVID || field == .vlanPCP, packet.tags.isEmpty { continue }
        packet.set(field, value, mask)
      case .setVLAN, .setVLANPriority, .pushVLAN:
        if case .pushVLAN = action {} else if !packet.tags.isEmpty {
          write(action, &packet)
          continue
        }
        if packet.tags.count == 2 { return departures }
        packet.tags.insert((packet.tags.first ?? 0) | 0x1000, at: 0)
        write(action, &packet)
      case .popVLAN: if !packet.tags.isEmpty { packet.tags.removeFirst() }
      case .decrementTTL: packet.decrementTTL()
      }
    }
    return departures
  }

  private func write(_ action: RuleAction, _ packet: inout ModelPacket) {
    switch action {
    case .setVLAN(let vlan): packet.set(.vlanVID, UInt128(vlan), 0xfff)
    case .setVLANPriority(let priority): packet.set(.vlanPCP, UInt128(priority), 7)
    default: break
    }
  }
}

/// Random rules, packets and tables out of small pools, so that they meet.
private struct World {
  var random: SeededGenerator

  private mutating func pick<T>(_ values: some RandomAccessCollection<T>) -> T {
    values.randomElement(using: &random) ?? values[values.startIndex]
  }
  private mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }
  private mutating func mac() -> UInt128 { pick([0x0200_0000_000a, 0x0200_0000_000b, 0x0200_0000_000c, 0x0100_5e00_0001, 0x0180_c200_0003, 0xffff_ffff_ffff]) }
  private mutating func ipv4() -> UInt128 { 0x0a00_0000 | UInt128(random.next() & 0x0303) }
  private mutating func ipv6() -> UInt128 { UInt128(0x2001_0db8) << 96 | UInt128(random.next() & 3) }
  private mutating func port() -> UInt128 { pick([80, 81, 443, 0x1000]) }

  mutating func packet() -> FlowKey {
    var key = FlowKey()
    key[.inPort] = UInt128(Int.random(in: 1...6, using: &random))
    key[.ethSrc] = mac()
    key[.ethDst] = mac()
    if chance(3) {
      key[.vlanTCI] = 0x1000 | UInt128(pick([0, 1, 2])) | UInt128(pick([0, 3])) << 13
      if chance(2) { key[.innerVLANTCI] = 0x1000 | UInt128(pick([1, 2])) }
    }
    switch Int.random(in: 0..<8, using: &random) {
    case 0: key[.ethType] = 0x1234
    case 1:
      key[.ethType] = 0x806
      key[.arpOp] = UInt128(pick([1, 2]))
      key[.arpSPA] = ipv4()
      key[.arpTPA] = ipv4()
      key[.arpSHA] = mac()
    case 2, 3:
      key[.ethType] = 0x86dd
      key[.ipv6Src] = ipv6()
      key[.ipv6Dst] = ipv6()
      network(&key, icmp: 58)
    default:
      key[.ethType] = 0x800
      key[.ipv4Src] = ipv4()
      key[.ipv4Dst] = ipv4()
      network(&key, icmp: 1)
    }
    return key
  }

  private mutating func network(_ key: inout FlowKey, icmp: UInt128) {
    key[.ipTTL] = pick([0, 1, 2, 64])
    key[.ipTOS] = pick([0, 0xb8, 1])
    key[.ipProto] = pick([6, 17, 132, icmp, 47])
    if chance(6) { key[.ipFrag] = pick([1, 3]) }
    guard key[.ipFrag] != 3 else { return }
    switch key[.ipProto] {
    case 6, 17, 132:
      key[.tcpSrc] = port()
      key[.tcpDst] = port()
      if key[.ipProto] == 6 { key[.tcpFlags] = pick([2, 0x10, 0x12]) }
    case icmp:
      key[.icmpType] = pick([8, 0, 135])
      if icmp == 58, key[.icmpType] == 135 { key[.ndTarget] = ipv6() }
    default: break
    }
  }

  /// A rule that looks at some fields of a random packet, so that it matches something.
  mutating func rule(priority: UInt16) -> Rule {
    let sample = packet()
    var mask = FlowMask()
    func take(_ field: FlowField, _ bits: UInt128? = nil) { mask[field] = bits ?? field.allOnes }
    if chance(3) { take(.inPort) }
    if chance(4) { take(.ethDst, pick([FlowField.ethDst.allOnes, 0x0100_0000_0000])) }
    if chance(6) { take(.ethSrc) }
    if chance(5) { take(.vlanVID, pick([0x1fff, 0x1000])) }
    if chance(8) { take(.vlanPCP) }
    if !chance(4) {
      take(.ethType)
      switch sample[.ethType] {
      case 0x800:
        if chance(2) { take(.ipv4Dst, pick([0xffff_ffff, 0xffff_ff00, 0xffff_0000, 0x3])) }
        if chance(3) { take(.ipv4Src, pick([0xffff_ffff, 0xffff_ff00])) }
        transport(sample, &mask)
      case 0x86dd:
        if chance(2) { take(.ipv6Dst, pick([.max, .max << 64])) }
        transport(sample, &mask)
        if mask[.ipProto] != 0, sample[.ipProto] == 58, chance(3) { take(.ndTarget) }
      case 0x806: if chance(2) { take(.arpTPA) }
      default: break
      }
    }
    let match = FlowMatch(sample, mask)
    return Rule(priority: priority, cookie: UInt64(priority), match: match, actions: actions(match))
  }

  private mutating func transport(_ sample: FlowKey, _ mask: inout FlowMask) {
    if chance(5) { mask[.ipFrag] = pick([1, 2, 3]) }
    if chance(6) { mask.include(.ipDSCP) }
    guard chance(2) else { return }
    mask.include(.ipProto)
    switch sample[.ipProto] {
    case 6, 17, 132:
      if chance(2) { mask[.tcpDst] = pick([0xffff, 0xff00]) }
      if chance(4) { mask.include(.tcpSrc) }
      if sample[.ipProto] == 6, chance(4) { mask[.tcpFlags] = 0x12 }
    case 1, 58: if chance(2) { mask.include(.icmpType) }
    default: break
    }
  }

  private mutating func actions(_ match: FlowMatch) -> [RuleAction] {
    if chance(8) { return [] }
    var actions: [RuleAction] = []
    for _ in 0..<Int.random(in: 1...5, using: &random) {
      switch Int.random(in: 0..<16, using: &random) {
      case 0, 1: actions.append(.output(UInt32.random(in: 1...7, using: &random)))
      case 2, 3: actions.append(.normal)
      case 4: actions.append(.flood)
      case 5: actions.append(.all)
      case 6: actions.append(.inPort)
      case 7: actions.append(.controller(maxLength: 100))
      case 8: actions.append(.setVLAN(pick([1, 2])))
      case 9: actions.append(.setVLANPriority(5))
      case 10: actions.append(.pushVLAN(tpid: 0x88a8))
      case 11: actions.append(.popVLAN)
      case 12: if FieldRequirement(.ipTTL).isMet(by: match) { actions.append(.decrementTTL) }
      default:
        // What only the pipeline sees, and what a neighbour discovery packet may lack, is compared elsewhere.
        let settable = FlowField.allCases.filter {
          $0.isSettable && !$0.isPipelineField && ![.ndTarget, .ndSLL, .ndTLL].contains($0) && FieldRequirement($0).isMet(by: match)
        }
        // The last ones are ports where the match allows them: they need the most care.
        let field = chance(2) ? pick(settable) : pick(settable.suffix(2))
        let mask = chance(2) ? field.allOnes : UInt128(random.next()) & field.allOnes
        guard mask != 0 else { continue }
        let value = field == .ethDst || field == .ethSrc ? mac() : UInt128(random.next())
        actions.append(.setField(field, value: value & mask, mask: mask))
      }
    }
    if chance(2) { actions.append(.output(2)) }
    return actions
  }

  mutating func macs() -> MACTable {
    let table = MACTable()
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      _ = table.learn(
        Station(vlan: UInt16(pick([0, 1, 2])), mac: UInt64(mac())), port: UInt32.random(in: 1...7, using: &random), nowNanoseconds: 1)
    }
    return table
  }
}

/// A key that agrees with `key` in the bits of `mask` and has the others of `other`.
private func blend(_ key: FlowKey, _ mask: FlowMask, _ other: FlowKey) -> FlowKey {
  var result = FlowKey()
  result.line0 = key.line0 & mask.bits.line0 | other.line0 & ~mask.bits.line0
  result.line1 = key.line1 & mask.bits.line1 | other.line1 & ~mask.bits.line1
  result.line2 = key.line2 & mask.bits.line2 | other.line2 & ~mask.bits.line2
  return result
}

@Suite struct TranslatorDifferentialTests {
  @Test func flowsDoWhatTheRulesSayForEveryPacketOfTheirMask() {
    let seed = UInt64.random(in: 0 ... .max)
    var world = World(random: SeededGenerator(seed: seed))
    let ports = portSet(6, down: [5], noFlood: [4])
    var cases = 0
    var forwarded = 0
    for round in 0..<300 {
      var rules: [Rule] = []
      let table = RuleTables()
      for priority in Array(1...UInt16(1 + round % 30)).shuffled(using: &world.random) {
        let rule = world.rule(priority: priority)
        rules.append(rule)
        table.add(rule)
      }
      // Some go again, so that the table is not only ever grown.
      for rule in rules where rule.priority % 7 == 0 {
        _ = table.remove(RuleFilter(match: rule.match, isStrict: true, priority: rule.priority))
      }
      rules.removeAll { $0.priority % 7 == 0 }
      let macs = world.macs()
      let reference = Reference(rules: rules, ports: ports, macs: macs)
      let context = TranslationContext(ports: ports, rules: table, macs: macs)
      for _ in 0..<25 {
        let key = world.packet()
        let translation = Translator.translate(key: key, context: context)
        let place = "seed \(seed) round \(round): \(FlowMatch(key, translation.mask).text())"
        guard translation.rule?.rule == reference.rule(for: key) else {
          Issue.record("another rule than the reference's: \(place)")
          return
        }
        guard execute(translation.actions, key) == reference.departures(key) else {
          Issue.record("other departures than the reference's: \(place) \(translation.actions)")
          return
        }
        guard translation.actions.isEmpty == (translation.drop != nil) else {
          Issue.record("dropped without a reason, or the other way round: \(place)")
          return
        }
        if !translation.actions.isEmpty { forwarded += 1 }
        for _ in 0..<14 {
          let twin = blend(key, translation.mask, world.packet())
          let other = Translator.translate(key: twin, context: context)
          cases += 1
          guard
            other.actions == translation.actions, other.learns == translation.learns,
            other.dependencies == translation.dependencies, other.drop == translation.drop, other.floods == translation.floods,
            other.rule === translation.rule
          else {
            Issue.record("a packet inside the mask is translated differently: \(place) twin \(FlowMatch(twin, translation.mask).text())")
            return
          }
        }
      }
    }
    #expect(cases >= 100_000)
    #expect(forwarded > 2_000, "most rules of this test should send something")
  }
}
