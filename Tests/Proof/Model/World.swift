// World.swift
//
// What: a random switch: ports, rules in several tables, groups, and frames that are likely to meet the rules.
// Invariants: everything follows from the seed. Priorities differ within a table, because the specification leaves open which of two equal rules
//             is met. A rule sets only fields that its match makes sure of; a bucket sets any.
// Threads: a value.

import TestSupport

public struct World: Sendable {
  public let seed: UInt64
  public var model: ReferenceSwitch
  /// What frames are made from.
  public private(set) var shapes: [FrameShape] = []
  private var random: SeededGenerator
  private let tableCount: Int
  /// Rules may say `normal`.
  private let learns: Bool
  /// Samples of packets as later tables may see them.
  private var samples: [ReferencePacket] = []

  public static let portCount: UInt32 = 6

  public init(seed: UInt64) {
    self.seed = seed
    random = SeededGenerator(seed: seed)
    tableCount = random.pick([1, 1, 2, 3, 5])
    learns = random.chance(12)
    var ports = (1...Self.portCount).map { ReferencePort(number: $0) }
    ports[4].isUp = false
    ports[3].noFlood = true
    model = ReferenceSwitch(ports: ports, rules: [], groups: [])
    for _ in 0..<random.pick([4, 12, 24]) { shapes.append(FrameShape(using: &random)) }
    for _ in 0..<30 { samples.append(sample()) }
    if random.chance(2) { model.groups = makeGroups() }
    var rules: [ReferenceRule] = []
    for table in 0..<tableCount {
      let count = random.pick([1, 4, 10, 20])
      var priorities = Array(1...UInt16(count))
      priorities.shuffle(using: &random)
      for priority in priorities { rules.append(makeRule(UInt8(table), priority)) }
      // Most tables have a rule for whatever the others leave.
      if !random.chance(4) {
        var rule = ReferenceRule(table: UInt8(table), priority: 0, match: [])
        instruct(&rule, ReferencePacket([], inPort: 1))
        rules.append(rule)
      }
    }
    model.rules = rules
  }

  // MARK: Frames

  /// A frame, and the port that it comes in by: one of the world's shapes, or a twin of one.
  public mutating func shape() -> (shape: FrameShape, inPort: UInt32) {
    let shape = random.pick(shapes)
    let port = UInt32(random.next() % 4) + 1
    return (random.chance(2) ? shape.twin(&random) : shape, port)
  }

  private mutating func sample() -> ReferencePacket {
    var packet = ReferencePacket(random.pick(shapes).bytes(number: 0), inPort: UInt32(random.next() % 4) + 1)
    if random.chance(3), tableCount > 1 { packet.apply(structural()) }
    return packet
  }

  // MARK: Rules

  private mutating func makeRule(_ table: UInt8, _ priority: UInt16) -> ReferenceRule {
    let packet = random.pick(samples)
    var rule = ReferenceRule(table: table, priority: priority, match: match(like: packet, table: table))
    instruct(&rule, packet)
    return rule
  }

  /// A match that a packet meets, of fields that it has.
  private mutating func match(like packet: ReferencePacket, table: UInt8) -> [FieldBits] {
    var match: [FieldBits] = []
    func isPinned(_ field: ReferenceField) -> Bool { match.contains { $0.field == field && $0.mask == field.allOnes } }
    func add(_ field: ReferenceField, _ mask: UInt128? = nil) {
      guard !match.contains(where: { $0.field == field }) else { return }
      match.append(FieldBits(field, packet.value(field), mask ?? field.allOnes))
    }
    let present = ReferenceField.allCases.filter { !$0.isPipeline && packet.has($0) && $0 != .ethType && $0 != .vlanPCP }
    if random.chance(4) { add(.inPort) }
    if table > 0, random.chance(3) {
      let field: ReferenceField = random.pick([.metadata, .tunnelID, .reg0, .reg3, .reg7])
      let mask: UInt128 = random.pick([1, 3, field.allOnes])
      match.append(FieldBits(field, UInt128(random.next() & 3), mask))
    }
    for _ in 0..<random.pick([0, 1, 1, 2, 3, 4]) {
      guard let field = present.isEmpty ? nil : Optional(random.pick(present)) else { break }
      guard !match.contains(where: { $0.field == field }) else { continue }
      for needed in Self.prerequisites(field, packet) { add(needed) }
      guard field.isMaskable, random.chance(2) else {
        add(field)
        continue
      }
      let mask = randomMask(field)
      if mask != 0 { add(field, mask) }
    }
    if random.chance(8), packet.headers.tags > 0 {
      // Without a look at the VID this says itself that there is a tag.
      if !match.contains(where: { $0.field == .vlanVID || $0.field == .vlanTCI }) { match.append(FieldBits(.vlanPCP, packet.value(.vlanPCP))) }
    }
    // What others must see first is written first.
    return match.sorted { Self.rank($0.field) < Self.rank($1.field) }
  }

  private static func rank(_ field: ReferenceField) -> Int {
    switch field {
    case .ethType: 0
    case .ipProto: 1
    case .icmpv6Type: 2
    case .icmpv6Code: 3
    default: 4
    }
  }

  private mutating func randomMask(_ field: ReferenceField) -> UInt128 {
    let width = UInt128(field.width)
    switch random.next() % 4 {
    case 0: return UInt128(random.next()) << 64 & field.allOnes | UInt128(random.next()) & field.allOnes
    case 1: return UInt128(1) << (UInt128(random.next()) % width)
    default:
      let length = UInt128(random.next()) % width
      return field.allOnes & ~((UInt128(1) << length) - 1)
    }
  }

  /// The fields that a match must pin before it may look at one.
  static func prerequisites(_ field: ReferenceField, _ packet: ReferencePacket) -> [ReferenceField] {
    switch field {
    case .inPort, .metadata, .tunnelID, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7, .ethDst, .ethSrc, .ethType, .vlanTCI,
      .vlanVID, .vlanPCP, .vlanTCI2:
      []
    case .ipProto, .ipTTL, .ipDSCP, .ipECN, .ipFrag, .ipv4Src, .ipv4Dst, .ipv6Src, .ipv6Dst, .ipv6Label, .ipv6ExtHdr, .arpOp, .arpSPA,
      .arpTPA, .arpSHA, .arpTHA, .mplsLabel, .mplsTC, .mplsBOS, .mplsTTL, .pbbISID:
      [.ethType]
    case .tcpSrc, .tcpDst, .tcpFlags, .udpSrc, .udpDst, .sctpSrc, .sctpDst, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code:
      [.ethType, .ipProto]
    case .ndTarget, .ndSLL, .ndTLL: [.ethType, .ipProto, .icmpv6Type, .icmpv6Code]
    }
  }

  // MARK: Instructions

  /// Gives a rule something to do with packets like one.
  private mutating func instruct(_ rule: inout ReferenceRule, _ packet: ReferencePacket) {
    let settable = self.settable(rule.match, packet)
    if random.chance(10) { return }
    if random.chance(8) { rule.meter = 1 }
    let isLast = Int(rule.table) + 1 >= tableCount
    if !random.chance(5) || isLast {
      for _ in 0...Int(random.next() % 4) { rule.apply.append(action(settable, rule.match, inSet: false)) }
    }
    if tableCount > 1 {
      if random.chance(8) { rule.clears = true }
      if random.chance(3) {
        for _ in 0...Int(random.next() % 3) { rule.write.append(action(settable, rule.match, inSet: true)) }
      }
      if random.chance(4) { rule.metadata = FieldBits(.metadata, UInt128(random.next() & 3), random.pick([1, 3, ReferenceField.metadata.allOnes])) }
      if !isLast, !random.chance(4) { rule.goto = rule.table + 1 + UInt8(random.next() % UInt64(tableCount - Int(rule.table) - 1)) }
    }
    if rule.goto == nil, !random.chance(4) {
      rule.apply.append(learns && !random.chance(4) ? .normal : .output(UInt32(random.next() % 6) + 1))
    }
  }

  /// Fields that every packet of a match has.
  private func settable(_ match: [FieldBits], _ packet: ReferencePacket) -> [ReferenceField] {
    func isPinned(_ field: ReferenceField) -> Bool { match.contains { $0.field == field && $0.mask == field.allOnes } }
    let isTagged = match.contains {
      ($0.field == .vlanTCI || $0.field == .vlanVID) && $0.mask & 0x1000 != 0 && $0.value & 0x1000 != 0 || $0.field == .vlanPCP
    }
    return ReferenceField.allCases.filter { field in
      guard field.isSettable else { return false }
      if field == .vlanVID || field == .vlanPCP { return isTagged }
      return field.isPipeline
        || packet.has(field) && Self.prerequisites(field, packet).allSatisfy(isPinned)
    }
  }

  /// Any action; those that change which headers there are come less often.
  private mutating func action(_ settable: [ReferenceField], _ match: [FieldBits], inSet: Bool) -> ReferenceAction {
    switch random.next() % 20 {
    case 0, 1, 2: return .output(UInt32(random.next() % 7) + 1)
    case 3: return learns ? .normal : random.pick([.inPort, .flood, .all, .controller(64)])
    case 4, 5: return model.groups.isEmpty ? .output(2) : .group(random.pick(model.groups).id)
    case 6: return .setQueue(1)
    case 7, 8, 9, 10: return structural()
    case 11 where !inSet: return random.chance(2) ? .modVLAN(random.pick([0, 1, 2, 0xfff])) : .modPriority(random.pick([0, 3, 7]))
    case 12, 13: return .set(value(for: random.pick([.metadata, .tunnelID, .reg0, .reg3, .reg7]), whole: inSet))
    default: return settable.isEmpty ? .output(3) : .set(value(for: random.pick(settable), whole: inSet))
    }
  }

  private mutating func structural() -> ReferenceAction {
    random.pick([
      .pushVLAN(0x8100), .pushVLAN(0x88a8), .popVLAN, .popVLAN, .pushMPLS(0x8847), .pushMPLS(0x8848), .popMPLS(0x0800), .popMPLS(0x8847),
      .popMPLS(0x86dd), .pushPBB, .popPBB, .popPBB, .decrementTTL, .decrementTTL, .decrementMPLSTTL, .copyTTLIn, .copyTTLOut,
    ])
  }

  private mutating func value(for field: ReferenceField, whole: Bool) -> FieldBits {
    let value: UInt128
    switch field {
    case .metadata, .tunnelID, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7: value = UInt128(random.next() & 3)
    case .ethDst: value = UInt128(Draw.mac(&random))
    case .ipv4Src, .ipv4Dst: value = UInt128(Draw.ipv4(&random))
    case .ipv6Src, .ipv6Dst: value = Draw.ipv6(&random)
    case .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst: value = UInt128(Draw.port(&random))
    case .ipTTL, .mplsTTL: value = UInt128(random.pick([1, 2, 64, 255]))
    case .icmpType, .icmpv6Type: value = UInt128(random.pick([0, 8, 128, 129]))
    case .arpOp: value = UInt128(random.pick([1, 2]))
    // A VID is set together with the bit that says that there is a tag.
    case .vlanVID: return FieldBits(field, 0x1000 | UInt128(random.pick([0, 1, 2, 0xfff])))
    default: value = UInt128(random.next()) << 64 | UInt128(random.next())
    }
    guard field.isMaskable, !whole, random.chance(3) else { return FieldBits(field, value & field.allOnes) }
    let mask = randomMask(field)
    return mask == 0 ? FieldBits(field, value & field.allOnes) : FieldBits(field, value, mask)
  }

  // MARK: Groups

  /// Groups that name only groups with higher numbers, so that there is no loop.
  private mutating func makeGroups() -> [ReferenceGroup] {
    var groups: [ReferenceGroup] = []
    for id in (1...UInt32(random.pick([1, 2, 4]))).reversed() {
      let kind = random.pick(ReferenceGroup.Kind.allCases)
      var buckets: [ReferenceBucket] = []
      for _ in 0..<(kind == .indirect ? 1 : 1 + Int(random.next() % 3)) {
        var actions: [ReferenceAction] = []
        let all = ReferenceField.allCases.filter { $0.isSettable && $0 != .icmpType && $0 != .icmpv6Type }
        for _ in 0..<random.pick([0, 0, 1, 2]) { actions.append(random.chance(2) ? structural() : .set(value(for: random.pick(all), whole: true))) }
        if !groups.isEmpty, random.chance(3) { actions.append(.group(random.pick(groups).id)) } else {
          actions.append(.output(UInt32(random.next() % 6) + 1))
        }
        var bucket = ReferenceBucket(actions: actions)
        if kind == .select { bucket.weight = random.pick([1, 1, 2, 100, 0]) }
        if kind == .fastFailover {
          if !groups.isEmpty, random.chance(4) { bucket.watchGroup = random.pick(groups).id } else {
            bucket.watchPort = UInt32(random.next() % 6) + 1
          }
        }
        buckets.append(bucket)
      }
      groups.append(ReferenceGroup(id: id, kind: kind, buckets: buckets))
    }
    return groups
  }
}
