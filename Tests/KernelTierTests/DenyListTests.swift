import Testing

@testable import KernelTier

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct DenyListTests {
  @Test func addingAndRemovingTwiceIsTheSameAsOnce() throws {
    let list = try DenyList()
    let prefix = try IPPrefix("10.0.0.0/8")
    #expect(try list.add(prefix))
    #expect(try !list.add(prefix))
    #expect(list.count == 1)
    #expect(try list.remove(prefix))
    #expect(try !list.remove(prefix))
    #expect(list.count == 0)
    #expect(try list.entries().isEmpty)
  }

  @Test func nestedPrefixesAreEntriesOfTheirOwn() throws {
    let list = try DenyList()
    let all = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/32", "::/0", "2001:db8::/32", "2001:db8::/128"]
    for text in all { #expect(try list.add(try IPPrefix(text))) }
    #expect(try list.entries().map(\.prefix.description) == all)
    #expect(try !list.contains(try IPPrefix("10.0.0.0/24")))
    #expect(try !list.remove(try IPPrefix("10.0.0.0/24")))
    #expect(try list.remove(try IPPrefix("10.0.0.0/16")))
    #expect(try list.contains(try IPPrefix("10.0.0.0/8")))
    #expect(try list.contains(try IPPrefix("10.0.0.0/32")))
    #expect(list.count == all.count - 1)
  }

  @Test func addingAgainKeepsTheCounters() throws {
    let list = try DenyList()
    let program = try XDPProgram.load(mode: .dedicated, queues: 1, denyList: list)
    let prefix = try IPPrefix("192.0.2.0/24")
    try list.add(prefix)
    #expect(try program.testRun(packet: Packet.frame(.ipv4(from: "192.0.2.1"))).verdict == .drop)
    try list.add(prefix)
    try list.add(contentsOf: [prefix, try IPPrefix("198.51.100.0/24")])
    #expect(try list.entries().map(\.packets) == [1, 0])
  }

  @Test func thousandsAreAddedListedAndRemovedAtOnce() throws {
    let list = try DenyList()
    let v4 = try (0..<20_000).map { try IPPrefix(.v4(0x0a00_0000 + UInt32($0) << 4), length: 28) }
    let v6 = try (0..<5_000).map { try IPPrefix(.v6(high: 0x2001_0db8_0000_0000 + UInt64($0), low: 0), length: 64) }
    #expect(try list.add(contentsOf: v4 + v6 + v4) == 25_000)
    #expect(try list.add(contentsOf: v6) == 0)
    #expect(list.count == 25_000)
    #expect(try list.entries().map(\.prefix) == v4 + v6)
    #expect(try list.remove(contentsOf: v4 + v4) == 20_000)
    #expect(try list.entries().map(\.prefix) == v6)
  }

  @Test func aFullListRefusesWithoutChangingAnything() throws {
    let list = try DenyList()
    let capacity = DenyList.capacity
    let most = (0..<UInt32(capacity - 1)).map { IPPrefix(.v4($0)) }
    try list.add(contentsOf: most)
    let two = [IPPrefix(.v4(0xffff_0000)), IPPrefix(.v4(0xffff_0001))]
    #expect(throws: KernelTierError.denyListFull(family: .v4, capacity: capacity, present: capacity - 1, adding: 2)) {
      try list.add(contentsOf: two)
    }
    #expect(list.count == capacity - 1)
    #expect(try list.add(two[0]))
    #expect(throws: KernelTierError.denyListFull(family: .v4, capacity: capacity, present: capacity, adding: 1)) {
      try list.add(two[1])
    }
    // What is there already needs no room, and the other family has its own.
    #expect(try !list.add(two[0]))
    #expect(try list.add(try IPPrefix("::1")))
  }

  @Test func kernelsWithoutBatchCallsListTheSame() throws {
    let list = try DenyList()
    try list.add(contentsOf: (0..<5_000).map { IPPrefix(.v4($0)) })
    let oneByOne = try list.v4.entriesOneByOne(blankKey: .init(), blank: .init())
    let batched = try list.v4.entries(blankKey: .init(), blank: .init())
    #expect(batched.count == 5_000)
    #expect(oneByOne.map { [$0.key.address.0, $0.key.address.1, $0.key.address.2, $0.key.address.3] }
      == batched.map { [$0.key.address.0, $0.key.address.1, $0.key.address.2, $0.key.address.3] })
  }

  @Test func anEmptyBulkChangesNothing() throws {
    let list = try DenyList()
    #expect(try list.add(contentsOf: []) == 0)
    #expect(try list.remove(contentsOf: []) == 0)
  }
}
