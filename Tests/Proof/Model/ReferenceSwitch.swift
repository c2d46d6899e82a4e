// ReferenceSwitch.swift
//
// What: a deliberately simple OpenFlow 1.3 switch: it walks the tables with one packet, compares it with every rule, applies actions to bytes. It
//       knows no masks, no flows, no caches and no order of evaluation but the specification's.
// Invariants: the same packet has the same answer, unless somebody teaches the switch where stations are (`learn`). A select group's choice is nobody's business but the switch's: the
//             interpreter is run once for each choice that could be made.
// Threads: a value; pure.
// Cost: every rule of a table for every packet.
// Source: OpenFlow Switch Specification 1.3.5, sections 5.1 to 5.12.

/// A frame that leaves by a port.
public struct Departure: Hashable, Sendable, Comparable {
  public var port: UInt32
  public var bytes: [UInt8]

  public init(port: UInt32, bytes: [UInt8]) {
    self.port = port
    self.bytes = bytes
  }

  public static func < (a: Departure, b: Departure) -> Bool {
    a.port != b.port ? a.port < b.port : a.bytes.lexicographicallyPrecedes(b.bytes)
  }
}

/// An address in a VLAN; VLAN 0 is where packets without a VID are.
public struct ReferenceStation: Hashable, Sendable {
  public var vlan: UInt16
  public var address: UInt64
}

/// Something that counts the packets that meet it.
public enum ReferenceCounter: Hashable, Sendable {
  /// A position in `ReferenceSwitch.rules`.
  case rule(Int)
  case group(UInt32)
  /// A group's bucket, by its position.
  case bucket(UInt32, Int)
}

/// What becomes of one packet.
public struct ReferenceAnswer: Sendable {
  /// In order of port, then of bytes.
  public var departures: [Departure] = []
  /// What the packet met, and how often.
  public var met: [ReferenceCounter: UInt64] = [:]
  /// The sender that `normal` saw first; it is where the packet came in.
  public var learned: ReferenceStation?
  /// A TTL ran out on the way, so what comes behind that place may or may not have been met.
  public var expired = false
  /// Why nothing is promised for this packet; nil when something is.
  public var undefined: String?
}

/// The switch.
public struct ReferenceSwitch: Sendable {
  public var ports: [ReferencePort]
  public var rules: [ReferenceRule] { didSet { sort() } }
  public var groups: [ReferenceGroup]
  /// Where `normal` has seen senders.
  public private(set) var stations: [ReferenceStation: UInt32] = [:]
  /// Positions of rules by table, in falling priority.
  private var tables: [UInt8: [Int]] = [:]

  /// Choices of buckets that are tried for one packet before the reference gives up.
  public static let alternativeLimit = 256

  public init(ports: [ReferencePort], rules: [ReferenceRule], groups: [ReferenceGroup]) {
    self.ports = ports
    self.rules = rules
    self.groups = groups
    sort()
  }

  private mutating func sort() {
    tables = Dictionary(grouping: rules.indices) { rules[$0].table }
      .mapValues { $0.sorted { rules[$0].priority > rules[$1].priority } }
    learns = rules.contains { $0.apply.contains(.normal) || $0.write.contains(.normal) }
  }

  /// Everything that may become of a frame: one answer for each way in which select groups may choose.
  public func answers(_ frame: [UInt8], inPort: UInt32) -> [ReferenceAnswer] {
    var answers: [ReferenceAnswer] = []
    var choices: [Int] = []
    while true {
      var run = ReferenceRun(self, choices: choices)
      run.start(frame, inPort: inPort)
      answers.append(run.answer)
      guard answers.count < Self.alternativeLimit else {
        answers[0].undefined = "select groups have too many ways to choose"
        return answers
      }
      // The next combination: the last choice that has another possibility moves on.
      var made = run.made
      while let last = made.last, last.choice + 1 == last.count { made.removeLast() }
      guard let last = made.popLast() else { return answers }
      choices = made.map(\.choice) + [last.choice + 1]
    }
  }

  /// True when a rule says `normal`: then an answer depends on the packets before.
  public private(set) var learns = false

  /// Notes where the sender of an answered packet is.
  public mutating func learn(_ answer: ReferenceAnswer, inPort: UInt32) {
    if let station = answer.learned { stations[station] = inPort }
  }

  /// True when an answered packet says where a station is, and that was not known.
  func isTaught(by answer: ReferenceAnswer, inPort: UInt32) -> Bool { answer.learned.map { stations[$0] != inPort } ?? false }

  /// Forgets all stations.
  public mutating func forgetStations() { stations = [:] }

  /// The rule of a table that a packet meets.
  func rule(of table: UInt8, for packet: ReferencePacket) -> Int? {
    tables[table]?.first { position in
      rules[position].match.allSatisfy { bits in
        // A priority is that of a tag that is there.
        (bits.field != .vlanPCP || packet.headers.tags > 0) && packet.value(bits.field) & bits.mask == bits.value
      }
    }
  }

  func port(_ number: UInt32) -> ReferencePort? { ports.first { $0.number == number } }
  func group(_ id: UInt32) -> ReferenceGroup? { groups.first { $0.id == id } }

  /// True when a bucket can be used (5.6): what it watches is up, or it watches nothing.
  func isLive(_ bucket: ReferenceBucket) -> Bool {
    if bucket.watchPort == nil, bucket.watchGroup == nil { return true }
    if let number = bucket.watchPort, port(number)?.isUp == true { return true }
    if let id = bucket.watchGroup, let group = group(id), group.buckets.contains(where: isLive) { return true }
    return false
  }
}

/// One packet's way through the switch.
private struct ReferenceRun {
  private let model: ReferenceSwitch
  private let choices: [Int]
  /// The choices made so far, and among how many buckets.
  private(set) var made: [(choice: Int, count: Int)] = []
  private(set) var answer = ReferenceAnswer()

  init(_ model: ReferenceSwitch, choices: [Int]) {
    self.model = model
    self.choices = choices
  }

  mutating func start(_ frame: [UInt8], inPort: UInt32) {
    var packet = ReferencePacket(frame, inPort: inPort)
    guard !packet.headers.isMalformed else { return }
    var set: [ReferenceAction] = []
    var table: UInt8 = 0
    while true {
      guard let position = model.rule(of: table, for: packet) else { break }
      count(.rule(position))
      let rule = model.rules[position]
      execute(rule.apply, &packet)
      if rule.clears { set = [] }
      write(rule.write, &set)
      if let metadata = rule.metadata { packet.set(metadata) }
      guard !packet.isDead, packet.undefined == nil else { break }
      guard let next = rule.goto else {
        execute(ordered(set), &packet)
        break
      }
      table = next
    }
    note(packet)
    answer.departures.sort()
  }

  private mutating func count(_ counter: ReferenceCounter) { answer.met[counter, default: 0] += 1 }

  private mutating func note(_ packet: ReferencePacket) {
    if packet.isDead { answer.expired = true }
    if answer.undefined == nil { answer.undefined = packet.undefined }
  }

  private mutating func execute(_ actions: [ReferenceAction], _ packet: inout ReferencePacket) {
    for action in actions {
      guard !packet.isDead, packet.undefined == nil else { return }
      switch action {
      case .output(let number): if number != packet.inPort { send(packet, number) }
      case .inPort: send(packet, packet.inPort)
      case .flood: flood(packet)
      case .normal: normal(packet)
      case .all: for port in model.ports where port.number != packet.inPort { send(packet, port.number) }
      case .controller, .setQueue: break
      case .group(let id): run(group: id, packet)
      default: packet.apply(action)
      }
    }
  }

  private mutating func flood(_ packet: ReferencePacket) {
    for port in model.ports where port.number != packet.inPort && !port.noFlood { send(packet, port.number) }
  }

  /// What a bridge does (IEEE 802.1Q, 8.6 to 8.8): it learns where the sender is and sends to where the destination was seen, or everywhere.
  private mutating func normal(_ packet: ReferencePacket) {
    func isGroup(_ address: UInt64) -> Bool { address >> 40 & 1 == 1 }
    let vlan = packet.headers.tags > 0 ? UInt16(packet.value(.vlanVID) & 0xfff) : 0
    let sender = ReferenceStation(vlan: vlan, address: UInt64(packet.value(.ethSrc)))
    if !isGroup(sender.address), answer.learned == nil { answer.learned = sender }
    let destination = ReferenceStation(vlan: vlan, address: UInt64(packet.value(.ethDst)))
    // Addresses that no bridge forwards.
    if destination.address >> 4 == 0x0180_c200_000 { return }
    if isGroup(destination.address) { return flood(packet) }
    guard destination != sender else { return }
    let port = destination == answer.learned ? packet.inPort : model.stations[destination]
    guard let port else { return flood(packet) }
    if port != packet.inPort { send(packet, port) }
  }

  private mutating func send(_ packet: ReferencePacket, _ number: UInt32) {
    guard model.port(number)?.isUp == true else { return }
    answer.departures.append(Departure(port: number, bytes: packet.bytes))
  }

  /// Hands the packet to a group: each bucket works on a copy, as an action set.
  private mutating func run(group id: UInt32, _ packet: ReferencePacket) {
    guard let group = model.group(id) else { return }
    count(.group(id))
    func bucket(_ position: Int) {
      count(.bucket(id, position))
      var copy = packet
      var set: [ReferenceAction] = []
      write(group.buckets[position].actions, &set)
      execute(ordered(set), &copy)
      note(copy)
    }
    switch group.kind {
    case .all, .indirect: for position in group.buckets.indices { bucket(position) }
    case .fastFailover: if let first = group.buckets.firstIndex(where: model.isLive) { bucket(first) }
    case .select:
      let live = group.buckets.indices.filter { group.buckets[$0].weight > 0 && model.isLive(group.buckets[$0]) }
      guard !live.isEmpty else { return }
      let choice = made.count < choices.count ? choices[made.count] : 0
      made.append((choice, live.count))
      bucket(live[choice])
    }
  }

  // MARK: Action sets (5.10)

  /// Adds actions to a set: each takes the place of one of its kind.
  private func write(_ actions: [ReferenceAction], _ set: inout [ReferenceAction]) {
    for action in actions {
      set.removeAll { Self.kind($0) == Self.kind(action) }
      set.append(action)
    }
  }

  /// Actions of one kind have the same stage, and those that set fields the same field.
  private static func kind(_ action: ReferenceAction) -> (stage: Int, field: ReferenceField?) {
    switch action {
    case .set(let bits): (stage(action), bits.field)
    case .modVLAN: (stage(action), .vlanVID)
    case .modPriority: (stage(action), .vlanPCP)
    default: (stage(action), nil)
    }
  }

  private static func stage(_ action: ReferenceAction) -> Int {
    switch action {
    case .copyTTLIn: 0
    case .popVLAN: 1
    case .popPBB: 2
    case .popMPLS: 3
    case .pushMPLS: 4
    case .pushPBB: 5
    case .pushVLAN: 6
    case .copyTTLOut: 7
    case .decrementTTL: 8
    case .decrementMPLSTTL: 9
    case .set, .modVLAN, .modPriority: 10
    case .setQueue: 11
    case .group: 12
    case .output, .inPort, .flood, .all, .normal, .controller: 13
    }
  }

  /// The order in which a set is executed; a group stands for the output.
  private func ordered(_ set: [ReferenceAction]) -> [ReferenceAction] {
    guard !set.isEmpty else { return [] }
    let hasGroup = set.contains { Self.stage($0) == 12 }
    var result: [ReferenceAction] = []
    for stage in 0...(hasGroup ? 12 : 13) {
      for action in set where Self.stage(action) == stage { result.append(action) }
    }
    return result
  }
}
