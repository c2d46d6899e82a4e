// PolicyTests.swift
//
// The early drop policy: what is kept of changes, and what the program makes of it, packet by packet.

import Dispatch
import Glibc
import Testing

@testable import KernelTier

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct PolicyTests {
  /// A program whose frames nobody takes: what the policy lets pass is dropped for want of a socket, and counted so.
  private struct Loaded {
    let policy: Policy
    let program: XDPProgram

    init(_ rules: [PolicyRule] = []) throws {
      policy = try Policy()
      try policy.add(rules)
      program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: policy)
    }

    /// Whether the policy lets a packet pass.
    func passes(_ packet: [UInt8]) throws -> Bool {
      let before = try program.counters().noSocket.packets
      _ = try program.testRun(packet: packet)
      return try program.counters().noSocket.packets > before
    }
  }

  private func prefix(_ text: String) throws -> PolicyRule { .deny(try IPPrefix(text)) }
  private func tuple(_ text: String) throws -> PolicyRule { .deny(try FiveTuple(text)) }

  // MARK: Entries

  @Test func addingAndRemovingTwiceIsTheSameAsOnce() throws {
    let policy = try Policy()
    let rules = [try prefix("10.0.0.0/8"), try tuple("proto=tcp,src=10.0.0.1,dport=80")]
    #expect(try policy.add(rules + rules) == 2)
    #expect(try policy.add(rules) == 0)
    #expect(policy.counts == Policy.Counts(prefixes: 1, tuples: 1, limits: 0))
    #expect(policy.remove(rules.map(\.key) + rules.map(\.key)) == 2)
    #expect(policy.remove(rules.map(\.key)) == 0)
    #expect(policy.counts.total == 0)
    #expect(policy.entries().isEmpty)
  }

  @Test func nestedPrefixesAreEntriesOfTheirOwn() throws {
    let policy = try Policy()
    let all = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/32", "::/0", "2001:db8::/32", "2001:db8::/128"]
    #expect(try policy.add(all.map { try prefix($0) }) == all.count)
    #expect(policy.entries().map { "\($0.rule.key)" } == all)
    #expect(!policy.contains(.prefix(try IPPrefix("10.0.0.0/24"))))
    #expect(policy.remove([.prefix(try IPPrefix("10.0.0.0/24"))]) == 0)
    #expect(policy.remove([.prefix(try IPPrefix("10.0.0.0/16"))]) == 1)
    #expect(policy.contains(.prefix(try IPPrefix("10.0.0.0/8"))))
    #expect(policy.contains(.prefix(try IPPrefix("10.0.0.0/32"))))
  }

  @Test func addingAgainKeepsTheCounters() throws {
    let loaded = try Loaded([try prefix("192.0.2.0/24")])
    #expect(try !loaded.passes(Packet.frame(.ipv4(from: "192.0.2.1"))))
    try loaded.policy.add([try prefix("192.0.2.0/24"), try prefix("198.51.100.0/24")])
    #expect(loaded.policy.entries().map(\.dropped.packets) == [1, 0])
    try loaded.policy.replace(with: [try prefix("192.0.2.0/24")])
    #expect(loaded.policy.entries().map(\.dropped.packets) == [1])
  }

  @Test func aSlotThatIsUsedAgainCountsFromZero() throws {
    let loaded = try Loaded([try prefix("192.0.2.1")])
    #expect(try !loaded.passes(Packet.frame(.ipv4(from: "192.0.2.1"))))
    #expect(loaded.policy.remove([.prefix(try IPPrefix("192.0.2.1"))]) == 1)
    #expect(try loaded.passes(Packet.frame(.ipv4(from: "192.0.2.1"))))
    try loaded.policy.add([try prefix("192.0.2.1"), try prefix("0.0.0.0/32")])
    #expect(loaded.policy.entries().map(\.dropped.packets) == [0, 0])
    #expect(try !loaded.passes(Packet.frame(.ipv4(from: "0.0.0.0"))))
    #expect(try !loaded.passes(Packet.frame(tags: [.q(2)], .ipv4(from: "192.0.2.1"))))
    #expect(try loaded.passes(Packet.frame(.ipv4(from: "192.0.2.2"))))
    #expect(loaded.policy.entries().map(\.dropped.packets) == [1, 1])
  }

  @Test func aCounterGoesOverItsEndWithoutALoss() throws {
    let loaded = try Loaded([try prefix("192.0.2.1"), try prefix("198.51.100.0/24")])
    let drops = loaded.policy.maps.drops
    for slot in 0..<PolicyTable.slotCount where loaded.policy.maps.slots.base[slot].key.0 != 0 {
      for shard in stride(from: slot, to: drops.count, by: PolicyTable.slotCount) { drops.base[shard].packets = .max - 1 }
    }
    let before = loaded.policy.entries().map(\.dropped.packets)
    _ = try loaded.program.testRun(packet: Packet.frame(.ipv4(from: "192.0.2.1")), repetitions: 10)
    _ = try loaded.program.testRun(packet: Packet.frame(.ipv4(from: "198.51.100.9")), repetitions: 10)
    #expect(loaded.policy.entries().map(\.dropped.packets) == before.map { $0 + 10 })
    withExtendedLifetime(loaded) {}
  }

  @Test func aHundredThousandEntriesComeAndGo() throws {
    let loaded = try Loaded()
    var generator = SeededGenerator(seed: 7)
    var prefixes: Set<IPPrefix> = []
    while prefixes.count < 100_000 {
      let length = Int.random(in: 24...32, using: &generator)
      prefixes.insert(try IPPrefix(IPAddress.v4(.random(in: 0...UInt32.max, using: &generator)).masked(to: length), length: length))
    }
    let rules = prefixes.map { PolicyRule.deny($0) }
    #expect(try loaded.policy.add(rules) == 100_000)
    #expect(loaded.policy.entries().map(\.rule.key) == prefixes.sorted().map { .prefix($0) })
    for prefix in prefixes.prefix(100) { #expect(try !loaded.passes(Packet.frame(.ipv4(from: "\(prefix.address)")))) }
    #expect(loaded.policy.entries().reduce(0) { $0 + $1.dropped.packets } == 100)
    #expect(loaded.policy.remove(rules.map(\.key)) == 100_000)
    for prefix in prefixes.prefix(10) { #expect(try loaded.passes(Packet.frame(.ipv4(from: "\(prefix.address)")))) }
    #expect(loaded.policy.maps.state.base.pointee.use == 0)
  }

  @Test func aFullPolicyRefusesWithoutChangingAnything() throws {
    let policy = try Policy()
    let capacity = Policy.capacity
    try policy.add((0..<UInt32(capacity - 1)).map { .deny(IPPrefix(.v4($0))) })
    let two = [PolicyRule.deny(IPPrefix(.v4(0xffff_0000))), .deny(IPPrefix(.v4(0xffff_0001)))]
    #expect(throws: KernelTierError.policyFull(what: "entries", capacity: capacity, present: capacity - 1, adding: 2)) {
      try policy.add(two)
    }
    #expect(policy.counts.total == capacity - 1)
    #expect(try policy.add([two[0]]) == 1)
    #expect(try policy.add([two[0]]) == 0)
    #expect(throws: KernelTierError.self) { try policy.add([two[1]]) }
  }

  @Test func limitsHaveARoomOfTheirOwn() throws {
    let policy = try Policy()
    let rate = try PacketRate(packetsPerSecond: 10)
    let most = (0..<UInt32(Policy.limitCapacity)).map { PolicyRule.limit(IPPrefix(.v4($0)), to: rate) }
    try policy.add(most)
    let one = PolicyRule.limit(try IPPrefix("10.0.0.0/8"), to: rate)
    #expect(throws: KernelTierError.self) { try policy.add([try prefix("11.0.0.0/8"), one]) }
    #expect(!policy.contains(.prefix(try IPPrefix("11.0.0.0/8"))))
    #expect(policy.remove([most[5].key]) == 1)
    #expect(try policy.add([one]) == 1)
  }

  @Test func whatIsPinnedIsFoundAgainWithItsCounters() throws {
    let directory = "/sys/fs/bpf/sluice-test-\(getpid())/policy"
    defer {
      _ = try? Policy.unpin(directory: directory)
      rmdir("/sys/fs/bpf/sluice-test-\(getpid())")
    }
    let rules = [
      try prefix("192.0.2.0/24"), try prefix("2001:db8::/32"), try tuple("proto=udp,dst=198.51.100.1,dport=53"),
      .limit(try IPPrefix("10.0.0.0/8"), to: try PacketRate(packetsPerSecond: 5, burst: 3)),
    ]
    do {
      let policy = try Policy.openOrCreate(directory: directory)
      try policy.add(rules + [try prefix("203.0.113.0/24")])
      let program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: policy)
      _ = try program.testRun(packet: Packet.frame(.ipv4(from: "192.0.2.1")), repetitions: 5)
    }
    let policy = try Policy.openOrCreate(directory: directory)
    #expect(policy.counts == Policy.Counts(prefixes: 3, tuples: 1, limits: 1))
    try policy.replace(with: rules)
    #expect(Set(policy.entries().map(\.rule)) == Set(rules))
    #expect(policy.entries().first?.dropped.packets == 5)
    #expect(policy.discarded == nil)
    #expect(try Policy.unpin(directory: directory))
    #expect(try !Policy.unpin(directory: directory))
  }

  @Test func pinnedWordsThatAreNoKeyGo() throws {
    let directory = "/sys/fs/bpf/sluice-test-words-\(getpid())/policy"
    defer {
      _ = try? Policy.unpin(directory: directory)
      rmdir("/sys/fs/bpf/sluice-test-words-\(getpid())")
    }
    do {
      let before = try Policy.openOrCreate(directory: directory)
      let slots = before.maps.slots.base
      let sound = PolicyWords(.prefix(try IPPrefix("10.0.0.0/8")))
      // An address of more than 32 bits, whose hint would be far outside of the table; bits where no field is; a kind that there is not.
      slots[0].key = (sound.word0, sound.word1 | 1 << 60, 0, 0, 0)
      slots[1].key = (sound.word0 | 1 << 40, sound.word1, 0, 0, 0)
      slots[2].key = (0xff, 0, 0, 0, 0)
      // The memory is mapped as long as the policy is there.
      withExtendedLifetime(before) {}
    }
    let policy = try Policy.openOrCreate(directory: directory)
    #expect(policy.counts.total == 0)
    #expect(policy.maps.state.base.pointee.use == 0)
    #expect(try policy.add([try prefix("10.0.0.0/8")]) == 1)
  }

  // MARK: Prefixes

  @Test func everyLengthOfBothFamiliesIsFoundAndNoNeighbourIs() throws {
    let loaded = try Loaded()
    for length in 1...128 {
      var present: [IPPrefix] = []
      defer { loaded.policy.remove(present.map { .prefix($0) }) }
      func deny(_ address: IPAddress) throws {
        let prefix = try IPPrefix(address.masked(to: length), length: length)
        try loaded.policy.add([.deny(prefix)])
        present.append(prefix)
      }
      let high = UInt64(0x2a5a_b6d3_77f1_9c5b), low = UInt64(0x8d31_5be7_c24f_a96d)
      let whole = IPAddress.v6(high: high, low: low)
      // The neighbour differs in the last bit of the prefix.
      let neighbour =
        length <= 64
        ? IPAddress.v6(high: high ^ 1 << UInt64(64 - length), low: low) : .v6(high: high, low: low ^ 1 << UInt64(128 - length))
      try deny(whole)
      #expect(try !loaded.passes(Packet.frame(.ipv6(from: "\(whole)"))), "\(length)")
      #expect(try loaded.passes(Packet.frame(.ipv6(from: "\(neighbour)"))), "\(length)")
      guard length <= 32 else { continue }
      let address = IPAddress.v4(0x9ab7_5cd3)
      try deny(address)
      #expect(try !loaded.passes(Packet.frame(.ipv4(from: "\(address)"))), "\(length)")
      #expect(try loaded.passes(Packet.frame(.ipv4(from: "\(IPAddress.v4(0x9ab7_5cd3 ^ 1 << UInt32(32 - length)))"))), "\(length)")
    }
  }

  @Test func randomPrefixesAgreeWithASearchThroughAll() throws {
    var generator = SeededGenerator(seed: 99)
    var prefixes: Set<IPPrefix> = []
    for _ in 0..<3000 {
      let length = Int.random(in: 6...32, using: &generator)
      // Few first bytes, so that prefixes nest.
      let address = IPAddress.v4(UInt32.random(in: 0...UInt32.max, using: &generator) & 0x03ff_ffff)
      prefixes.insert(try IPPrefix(address.masked(to: length), length: length))
    }
    let loaded = try Loaded(prefixes.map { .deny($0) })
    let gone = Set(prefixes.shuffled(using: &generator).prefix(1500))
    #expect(loaded.policy.remove(gone.map { .prefix($0) }) == gone.count)
    let left = prefixes.subtracting(gone)
    var expected: [IPPrefix: UInt64] = [:]
    for _ in 0..<500 {
      let source = IPAddress.v4(UInt32.random(in: 0...UInt32.max, using: &generator) & 0x03ff_ffff)
      let longest = left.filter { $0.contains(source) }.max { $0.length < $1.length }
      #expect(try loaded.passes(Packet.frame(.ipv4(from: "\(source)"))) == (longest == nil), "\(source)")
      if let longest { expected[longest, default: 0] += 1 }
    }
    for entry in loaded.policy.entries() {
      guard case .prefix(let prefix) = entry.rule.key else { continue }
      #expect(entry.dropped.packets == expected[prefix] ?? 0, "\(prefix)")
    }
  }

  // MARK: Five-tuples

  @Test(arguments: [
    "proto=tcp,src=192.0.2.1,dst=198.51.100.1,sport=1000,dport=80", "src=192.0.2.1", "dst=198.51.100.1",
    "proto=tcp,dst=198.51.100.1,dport=80", "src=192.0.2.1,sport=1000", "proto=6,src=192.0.2.1,dst=198.51.100.1",
  ])
  func aTupleDropsWhatItNamesAndNothingElse(text: String) throws {
    let loaded = try Loaded([try tuple(text)])
    let named = try FiveTuple(text)
    #expect(try !loaded.passes(Packet.frame(.transport())))
    #expect(try !loaded.passes(Packet.frame(tags: [.ad(1), .q(2)], .transport(options: 20))))
    #expect(try loaded.passes(Packet.frame(.transport(from: "192.0.2.2", to: "198.51.100.2", source: 1, destination: 2, transport: 17))))
    if named.source != nil { #expect(try loaded.passes(Packet.frame(.transport(from: "192.0.2.2")))) }
    if named.destination != nil { #expect(try loaded.passes(Packet.frame(.transport(to: "198.51.100.2")))) }
    if named.sourcePort != nil { #expect(try loaded.passes(Packet.frame(.transport(source: 1001)))) }
    if named.destinationPort != nil { #expect(try loaded.passes(Packet.frame(.transport(destination: 81)))) }
    if named.transport != nil { #expect(try loaded.passes(Packet.frame(.transport(transport: 17)))) }
    #expect(loaded.policy.entries().map(\.dropped.packets) == [2])
    #expect(try loaded.program.counters().droppedDenyTuple.packets == 2)
  }

  @Test func aLaterFragmentHasNoPorts() throws {
    let ports = try Loaded([try tuple("proto=tcp,src=192.0.2.1,dport=80")])
    #expect(try !ports.passes(Packet.frame(.transport(fragment: 0x2000))))
    #expect(try ports.passes(Packet.frame(.transport(fragment: 0x2001))))
    let addresses = try Loaded([try tuple("proto=tcp,src=192.0.2.1,dst=198.51.100.1")])
    #expect(try !addresses.passes(Packet.frame(.transport(fragment: 0x2001))))
  }

  @Test func aPacketCannotSlipPastATupleByBeingMalformed() throws {
    let loaded = try Loaded([try tuple("proto=tcp,src=192.0.2.1,dst=198.51.100.1,sport=1000,dport=80"), try prefix("192.0.2.9")])
    var longer = Packet.frame(.transport())
    longer[16] = 0xff
    #expect(try !loaded.passes(longer))
    // A header that says to be shorter than it can be goes to the worker, who drops it; its source still counts.
    var short = Packet.frame(.transport(from: "192.0.2.9"))
    short[14] = 0x42
    #expect(try !loaded.passes(short))
  }

  @Test func portsAreFoundBehindExtensionHeaders() throws {
    let loaded = try Loaded([try tuple("proto=udp,dst=2001:db8::99,dport=53")])
    let udp = big(1234) + big(53) + [0, 8, 0, 0]
    #expect(try !loaded.passes(Packet.frame(.ipv6(payload: udp))))
    let options: [UInt8] = [0, 0, 1, 4, 0, 0, 0, 0]
    func chain(_ headers: [UInt8], _ extra: [UInt8] = []) -> [UInt8] {
      var payload: [UInt8] = []
      for index in headers.indices {
        let next = index + 1 < headers.count ? headers[index + 1] : 17
        payload += headers[index] == 51 ? [next, 1] + [UInt8](repeating: 0, count: 10) : [next] + options.dropFirst()
      }
      return payload + extra
    }
    for headers: [UInt8] in [[0], [60, 43], [0, 60, 43, 51], [44], [0, 60, 43, 44, 60, 135, 139, 140]] {
      var payload = chain(headers, udp)
      // A fragment header whose offset is 0 and which has no length.
      if headers == [44] { payload[1] = 0; payload[2] = 0; payload[3] = 0 }
      if headers.count == 8 { payload[24] = payload[24]; payload[26] = 0; payload[27] = 0 }
      #expect(try !loaded.passes(Packet.frame(.ipv6(next: headers[0], payload: payload))), "\(headers)")
    }
    #expect(try loaded.passes(Packet.frame(.ipv6(next: 60, payload: chain([60], big(1234) + big(54) + [0, 8, 0, 0])))))
    // Nine headers: nobody can say what is behind them, so it is dropped.
    #expect(try !loaded.passes(Packet.frame(.ipv6(next: 60, payload: chain([UInt8](repeating: 60, count: 9), udp)))))
    #expect(try loaded.program.counters().droppedDenyTuple.packets == 7)
    // Cut in every place: never a fault, and what is cut off before the ports is nobody's.
    let whole = Packet.frame(.ipv6(next: 0, payload: chain([0, 60, 43, 51], udp)))
    for length in 14..<whole.count - 4 { _ = try loaded.passes(Array(whole.prefix(length))) }
  }

  @Test func aLaterFragmentOfIPv6HasNoPorts() throws {
    let loaded = try Loaded([try tuple("proto=udp,dst=2001:db8::99,dport=53"), try tuple("proto=tcp,src=2001:db8::1")])
    let later: [UInt8] = [17, 0, 0, 9, 0, 0, 0, 1] + big(1234) + big(53) + [0, 8, 0, 0]
    #expect(try loaded.passes(Packet.frame(.ipv6(next: 44, payload: later))))
    #expect(try !loaded.passes(Packet.frame(.ipv6(next: 44, payload: [6] + later.dropFirst()))))
  }

  // MARK: Limits

  @Test func aLimitIsExactUnderATimeThatStands() throws {
    let loaded = try Loaded([.limit(try IPPrefix("10.0.0.0/8"), to: try PacketRate(packetsPerSecond: 1000, burst: 100))])
    let packet = Packet.frame(.ipv4(from: "10.1.2.3"))
    let start: UInt64 = 5_000_000_000
    loaded.policy.setTestTime(start)
    _ = try loaded.program.testRun(packet: packet, repetitions: 5000)
    #expect(try loaded.program.counters().noSocket.packets == 100)
    #expect(try loaded.program.counters().droppedLimit.packets == 4900)
    // Ten seconds, three packets for each that may pass, at uneven moments: 1,000 a second, to the packet.
    for step in 1...200 {
      loaded.policy.setTestTime(start + UInt64(step) * 50_000_000 + UInt64(step * 7919 % 1000))
      _ = try loaded.program.testRun(packet: packet, repetitions: 150)
    }
    let entry = try #require(loaded.policy.entries().first)
    #expect((10_099...10_101).contains(entry.passed.packets), "\(entry.passed.packets)")
    #expect(entry.passed.packets + entry.dropped.packets == 35_000)
    #expect(entry.passed.bytes == entry.passed.packets * UInt64(packet.count))
    // After a long pause the burst is there again, and no more.
    loaded.policy.setTestTime(start + 3_600_000_000_000)
    _ = try loaded.program.testRun(packet: packet, repetitions: 500)
    #expect(loaded.policy.entries().first?.passed.packets == entry.passed.packets + 100)
  }

  @Test(arguments: [1, 7, 1000, 33_333, 1_000_000, 14_880_952, 100_000_000] as [UInt64])
  func aRateIsExactToOnePerCent(rate: UInt64) throws {
    let loaded = try Loaded([.limit(try IPPrefix("::/0"), to: try PacketRate(packetsPerSecond: rate, burst: 1000))])
    let packet = Packet.frame(.ipv6())
    // So long that 20,000 packets may pass, in steps of a hundred that offer twice as much.
    let step = 100 * 1_000_000_000 / rate
    for index in 0..<200 {
      loaded.policy.setTestTime(1_000_000_000_000 + UInt64(index) * step)
      _ = try loaded.program.testRun(packet: packet, repetitions: index == 0 ? 1200 : 200)
    }
    let passed = Double(try #require(loaded.policy.entries().first).passed.packets - 1000)
    let exact = Double(199 * step) * Double(rate) / 1_000_000_000
    #expect(abs(passed - exact) <= max(1, exact / 100), "\(passed), not \(exact)")
  }

  @Test func CPUsShareALimitWithoutLosingOrInventingATaken() throws {
    let loaded = try Loaded([.limit(try IPPrefix("10.0.0.0/8"), to: try PacketRate(packetsPerSecond: 1, burst: 20_000))])
    loaded.policy.setTestTime(1_000_000_000)
    let program = loaded.program
    let packet = Packet.frame(.ipv4(from: "10.1.2.3"))
    DispatchQueue.concurrentPerform(iterations: 4) { _ in _ = try? program.testRun(packet: packet, repetitions: 20_000) }
    let entry = try #require(loaded.policy.entries().first)
    #expect(entry.passed.packets == 20_000)
    #expect(entry.dropped.packets == 60_000)
  }

  @Test func theMostSpecificLimitDecidesAndANewRateKeepsTheCounters() throws {
    let wide = try IPPrefix("10.0.0.0/8"), narrow = try IPPrefix("10.1.0.0/16")
    let loaded = try Loaded([
      .limit(wide, to: try PacketRate(packetsPerSecond: 1, burst: 1)), .limit(narrow, to: try PacketRate(packetsPerSecond: 1, burst: 5)),
    ])
    loaded.policy.setTestTime(1_000_000_000)
    _ = try loaded.program.testRun(packet: Packet.frame(.ipv4(from: "10.1.2.3")), repetitions: 10)
    _ = try loaded.program.testRun(packet: Packet.frame(.ipv4(from: "10.2.2.3")), repetitions: 10)
    #expect(loaded.policy.entries().map(\.passed.packets) == [1, 5])
    #expect(try loaded.policy.add([.limit(wide, to: try PacketRate(packetsPerSecond: 2, burst: 50))]) == 0)
    // The new rate counts at once, with its whole burst.
    _ = try loaded.program.testRun(packet: Packet.frame(.ipv4(from: "10.2.2.3")), repetitions: 100)
    #expect(try loaded.policy.add([.limit(wide, to: try PacketRate(packetsPerSecond: 2, burst: 50))]) == 0)
    _ = try loaded.program.testRun(packet: Packet.frame(.ipv4(from: "10.2.2.3")), repetitions: 100)
    let entry = try #require(loaded.policy.entries().first)
    #expect(entry.rule.rate?.burst == 50)
    #expect(entry.passed.packets == 51)
  }

  @Test func whatIsDeniedTakesNoToken() throws {
    let loaded = try Loaded([
      .limit(try IPPrefix("10.0.0.0/8"), to: try PacketRate(packetsPerSecond: 1, burst: 2)), try prefix("10.9.0.0/16"),
    ])
    loaded.policy.setTestTime(1_000_000_000)
    for _ in 0..<5 { #expect(try !loaded.passes(Packet.frame(.ipv4(from: "10.9.1.1")))) }
    #expect(try loaded.passes(Packet.frame(.ipv4(from: "10.8.1.1"))))
  }

  @Test(arguments: [(0, 1), (100_000_001, 1), (1, 0), (1, 1_000_001)] as [(UInt64, UInt32)])
  func anImpossibleRateIsRefused(rate: UInt64, burst: UInt32) {
    #expect(throws: KernelTierError.self) { try PacketRate(packetsPerSecond: rate, burst: burst) }
  }

  // MARK: Events

  @Test func dropsAreSampledWithTheirReasonAndFirstBytes() throws {
    let loaded = try Loaded([try prefix("192.0.2.0/24"), try tuple("src=198.51.100.5")])
    let events = try loaded.policy.dropEvents()
    let long = Packet.frame(.ipv4(from: "192.0.2.1", payload: 300))
    _ = try loaded.program.testRun(packet: long, repetitions: 10)
    #expect(try events.read().isEmpty)
    loaded.policy.sampleDrops(oneIn: 1, perSecond: 100_000)
    _ = try loaded.program.testRun(packet: long)
    let short = Packet.frame(.ipv4(from: "198.51.100.5", payload: 0))
    _ = try loaded.program.testRun(packet: short)
    let read = try events.read()
    #expect(read.map(\.reason) == [.deniedPrefix, .deniedTuple])
    #expect(read.map(\.length) == [long.count, short.count])
    #expect(read.map(\.bytes) == [Array(long.prefix(128)), short])
    #expect(try events.lost() == 0)
  }

  @Test func oneInSoManyIsSampledAndAFloodIsHeldBack() throws {
    let loaded = try Loaded([try prefix("192.0.2.0/24")])
    let events = try loaded.policy.dropEvents()
    let packet = Packet.frame(.ipv4(from: "192.0.2.1"))
    loaded.policy.sampleDrops(oneIn: 100, perSecond: 1_000_000)
    _ = try loaded.program.testRun(packet: packet, repetitions: 10_000)
    let few = try events.read()
    // Each CPU counts for itself.
    #expect((95...100).contains(few.count), "\(few.count)")
    #expect(few.allSatisfy { $0.sample == 100 })
    loaded.policy.sampleDrops(oneIn: 1, perSecond: 100)
    _ = try loaded.program.testRun(packet: packet, repetitions: 10_000)
    let flood = try events.read()
    #expect(flood.count < 2_000, "\(flood.count)")
    #expect(try events.lost() + UInt64(flood.count) == 10_000)
    loaded.policy.sampleDrops(oneIn: 0)
    _ = try loaded.program.testRun(packet: packet, repetitions: 100)
    #expect(try events.read().isEmpty)
  }

  @Test func aRecordOfAnotherFormIsNoEvent() {
    #expect(DropEvents.event([]) == nil)
    #expect(DropEvents.event([UInt8](repeating: 0, count: 152)) == nil)
    #expect(DropEvents.event([UInt8](repeating: 0xff, count: 152)) == nil)
    #expect(DropEvents.event([UInt8](repeating: 1, count: 151)) == nil)
  }
}

@Suite struct FiveTupleTests {
  @Test(arguments: [
    ("dport=80,proto=tcp,src=192.0.2.1", "proto=tcp,src=192.0.2.1,dport=80"), ("dst=2001:DB8::1", "dst=2001:db8::1"),
    ("proto=132,src=10.0.0.1", "proto=sctp,src=10.0.0.1"), ("proto=99,dst=10.0.0.1", "proto=99,dst=10.0.0.1"),
  ])
  func aTupleHasOneText(text: String, canonical: String) throws {
    #expect(try FiveTuple(text).description == canonical)
    #expect(try FiveTuple(canonical) == FiveTuple(text))
    #expect(PolicyWords(.tuple(try FiveTuple(text))).key == .tuple(try FiveTuple(text)))
  }

  @Test(arguments: [
    "", "proto=tcp", "proto=tcp,dport=80", "src=10.0.0.0/8", "src=10.0.0.1,src=10.0.0.2", "src=10.0.0.1,dst=::1", "src=10.0.0.1,dport=65536",
    "src=10.0.0.1,dport=+5", "src=10.0.0.1,proto=banana", "src=10.0.0.1,proto=256", "src=10.0.0.1,proto=icmp,dport=1", "src=10.0.0.1,",
    "sorce=10.0.0.1", "src=::1,proto=60", "src", "src=10.0.0.1 ",
  ])
  func aWrongTupleIsRefused(text: String) {
    #expect(throws: FiveTupleError.self) { try FiveTuple(text) }
  }
}

extension Body {
  /// TCP or what looks like it, with IPv4 options if wanted.
  static func transport(
    from source: String = "192.0.2.1", to destination: String = "198.51.100.1", source sourcePort: UInt16 = 1000,
    destination destinationPort: UInt16 = 80, transport: UInt8 = 6, options: Int = 0, fragment: UInt16 = 0
  ) -> Body {
    let payload = big(sourcePort) + big(destinationPort) + [UInt8](repeating: 0, count: 16)
    var bytes: [UInt8] = [0x45 + UInt8(options / 4), 0] + big(UInt16(20 + options + payload.count)) + [0, 0]
    bytes += big(fragment) + [64, transport, 0, 0] + KernelTierTests.bytes(source) + KernelTierTests.bytes(destination)
    return Body(type: 0x0800, bytes: bytes + [UInt8](repeating: 1, count: options) + payload)
  }
}

/// A generator that replays by its seed.
private struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed &+ 0x9e37_79b9_7f4a_7c15 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}
