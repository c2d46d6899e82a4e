// XDPProgramTests.swift
//
// Packet in, verdict and packet out: the program runs in the kernel by BPF_PROG_TEST_RUN, without any interface.

import Testing

@testable import KernelTier

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct XDPProgramTests {
  /// A program with a socket on its queue.
  private struct Loaded {
    let program: XDPProgram
    let socket: TestSocket
    let policy: Policy

    init(_ mode: XDPPortMode, deny: [String] = []) throws {
      policy = try Policy()
      try policy.add(deny.map { .deny(try IPPrefix($0)) })
      program = try XDPProgram.load(mode: mode, queues: 1, policy: policy)
      socket = try TestSocket()
      try program.setSocket(queue: 0, descriptor: socket.descriptor)
      if mode == .shared {
        try program.setHost(mac: MAC.host, addresses: ["10.9.9.9", "2001:db8::9"].compactMap { IPAddress($0) })
      }
    }

    /// The verdict, after a check that the packet is as it was and that exactly one verdict was counted.
    func verdict(_ packet: [UInt8]) throws -> XDPVerdict {
      let before = try program.counters()
      let run = try program.testRun(packet: packet)
      let after = try program.counters()
      #expect(run.packet == packet)
      #expect(after.received.packets == before.received.packets + 1)
      #expect(after.received.bytes == before.received.bytes + UInt64(packet.count))
      return run.verdict
    }
  }

  // MARK: Dedicated ports

  @Test(arguments: [
    Packet.frame(.ipv4()), Packet.frame(.ipv6()), Packet.frame(.other), Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.9")),
    Packet.frame(to: MAC.host, .ipv4()), Packet.frame(tags: [.q(1)], .ipv4()), Packet.frame(tags: [.ad(1), .q(2)], .ipv6()),
    Packet.frame(.ipv4(payload: 1480)),
  ])
  func aDedicatedPortRedirectsEveryFrame(packet: [UInt8]) throws {
    let loaded = try Loaded(.dedicated)
    #expect(try loaded.verdict(packet) == .redirect)
    let counters = try loaded.program.counters()
    #expect(counters.redirected == XDPCounter(packets: 1, bytes: UInt64(packet.count)))
    #expect(counters.malformed.packets == 0)
  }

  @Test func aDedicatedPortDropsWhileTheQueueHasNoSocket() throws {
    let loaded = try Loaded(.dedicated)
    try loaded.program.clearSocket(queue: 0)
    try loaded.program.clearSocket(queue: 0)
    #expect(try loaded.verdict(Packet.frame(.ipv4())) == .drop)
    #expect(try loaded.program.counters().noSocket.packets == 1)
    #expect(try loaded.program.counters().redirected.packets == 0)
  }

  @Test func aSharedPortPassesWhileTheQueueHasNoSocket() throws {
    let loaded = try Loaded(.shared)
    try loaded.program.clearSocket(queue: 0)
    #expect(try loaded.verdict(Packet.frame(.ipv4())) == .pass)
    #expect(try loaded.program.counters().noSocket.packets == 1)
    #expect(try loaded.program.counters().passedToHost.packets == 0)
  }

  @Test func theKernelForgetsASocketThatCloses() throws {
    let program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil)
    do {
      let socket = try TestSocket()
      try program.setSocket(queue: 0, descriptor: socket.descriptor)
      #expect(try program.testRun(packet: Packet.frame(.ipv4())).verdict == .redirect)
    }
    #expect(try program.testRun(packet: Packet.frame(.ipv4())).verdict == .drop)
  }

  // MARK: Deny list

  @Test(arguments: [[], [Tag.q(7)], [Tag.ad(7)], [Tag.ad(7), .q(8)], [Tag.q(7), .q(8)]])
  func deniedSourcesAreDroppedBehindEveryTag(tags: [Tag]) throws {
    let loaded = try Loaded(.dedicated, deny: ["10.0.0.0/8", "2001:db8:bad::/48"])
    let v4 = Packet.frame(tags: tags, .ipv4(from: "10.1.2.3"))
    let v6 = Packet.frame(tags: tags, .ipv6(from: "2001:db8:bad::1"))
    #expect(try loaded.verdict(v4) == .drop)
    #expect(try loaded.verdict(v6) == .drop)
    #expect(try loaded.verdict(Packet.frame(tags: tags, .ipv4(from: "11.1.2.3"))) == .redirect)
    #expect(try loaded.verdict(Packet.frame(tags: tags, .ipv6(from: "2001:db8:dead::1"))) == .redirect)
    let counters = try loaded.program.counters()
    #expect(counters.droppedDenyV4 == XDPCounter(packets: 1, bytes: UInt64(v4.count)))
    #expect(counters.droppedDenyV6 == XDPCounter(packets: 1, bytes: UInt64(v6.count)))
  }

  @Test func theMostSpecificEntryCountsTheDrop() throws {
    let loaded = try Loaded(.dedicated, deny: ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0"])
    let packet = Packet.frame(.ipv4(from: "10.1.9.9"))
    for source in ["10.1.2.3", "10.1.9.9", "10.1.9.9", "10.2.0.1"] {
      #expect(try loaded.verdict(Packet.frame(.ipv4(from: source))) == .drop)
    }
    #expect(
      loaded.policy.entries() == [
        PolicyEntry(rule: .deny(try IPPrefix("10.0.0.0/8")), dropped: XDPCounter(packets: 1, bytes: UInt64(packet.count))),
        PolicyEntry(rule: .deny(try IPPrefix("10.1.0.0/16")), dropped: XDPCounter(packets: 2, bytes: UInt64(2 * packet.count))),
        PolicyEntry(rule: .deny(try IPPrefix("10.1.2.3")), dropped: XDPCounter(packets: 1, bytes: UInt64(packet.count))),
        PolicyEntry(rule: .deny(try IPPrefix("::/0"))),
      ])
  }

  @Test func aChangeOfTheListCountsForProgramsThatRunAlready() throws {
    let loaded = try Loaded(.dedicated)
    let packet = Packet.frame(.ipv4(from: "10.1.2.3"))
    #expect(try loaded.verdict(packet) == .redirect)
    try loaded.policy.add([.deny(try IPPrefix("10.0.0.0/8"))])
    #expect(try loaded.verdict(packet) == .drop)
    loaded.policy.remove([.prefix(try IPPrefix("10.0.0.0/8"))])
    #expect(try loaded.verdict(packet) == .redirect)
  }

  @Test func allPortsShareOneList() throws {
    let loaded = try Loaded(.dedicated, deny: ["10.0.0.0/8"])
    let second = try XDPProgram.load(mode: .shared, queues: 4, policy: loaded.policy)
    _ = try loaded.verdict(Packet.frame(.ipv4(from: "10.1.2.3")))
    #expect(try second.testRun(packet: Packet.frame(.ipv4(from: "10.1.2.3"))).verdict == .drop)
    #expect(loaded.policy.entries().first?.dropped.packets == 2)
    #expect(try loaded.program.counters().droppedDenyV4.packets == 1)
  }

  @Test func theListStandsBeforeTheHost() throws {
    let loaded = try Loaded(.shared, deny: ["10.0.0.0/8"])
    #expect(try loaded.verdict(Packet.frame(to: MAC.host, .ipv4(from: "10.1.2.3"))) == .drop)
  }

  @Test func aPacketCannotSlipPastTheListByBeingMalformed() throws {
    let loaded = try Loaded(.dedicated, deny: ["10.0.0.0/8", "2001:db8:bad::/48"])
    #expect(try loaded.verdict(Packet.frame(.ipv4(from: "10.1.2.3", headerWords: 4))) == .drop)
    #expect(try loaded.verdict(Packet.frame(.ipv4(from: "10.1.2.3", totalLength: 9000))) == .drop)
    #expect(try loaded.verdict(Packet.frame(.ipv6(from: "2001:db8:bad::1", payloadLength: 9000))) == .drop)
  }

  @Test func withoutAListNothingIsLookedUp() throws {
    let program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil)
    #expect(!program.spec.usesPolicy)
    _ = try program.testRun(packet: Packet.frame(.ipv4(from: "10.1.2.3")))
    #expect(try program.counters().noSocket.packets == 1)
  }

  // MARK: Shared ports

  @Test(arguments: [
    Packet.frame(to: MAC.host, .ipv4()),
    Packet.frame(to: MAC.host, .ipv6()),
    Packet.frame(to: MAC.host, .other),
    Packet.frame(to: MAC.host, .arp(operation: 2, target: "10.1.1.1")),
    Packet.frame(to: MAC.host, .solicitation(of: "2001:db8::77")),
    Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.9")),
    Packet.frame(to: MAC.broadcast, .arp(operation: 2, target: "10.9.9.9")),
    Packet.frame(to: MAC.solicitedNode(of: "2001:db8::9"), .solicitation(of: "2001:db8::9")),
  ])
  func theHostKeepsItsOwnOnASharedPort(packet: [UInt8]) throws {
    let loaded = try Loaded(.shared)
    #expect(try loaded.verdict(packet) == .pass)
    #expect(try loaded.program.counters().passedToHost == XDPCounter(packets: 1, bytes: UInt64(packet.count)))
  }

  @Test(arguments: [
    Packet.frame(to: MAC.other, .ipv4()),
    Packet.frame(to: MAC.broadcast, .ipv4()),
    Packet.frame(to: MAC.ipv6AllNodes, .ipv6()),
    Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.8")),
    Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.9", hardware: 6)),
    Packet.frame(to: MAC.solicitedNode(of: "2001:db8::9"), .solicitation(of: "2001:db8:1::9")),
    Packet.frame(to: MAC.ipv6AllNodes, .solicitation(of: "2001:db8::9", type: 136)),
    Packet.frame(to: MAC.other, .solicitation(of: "2001:db8::9")),
    Packet.frame(to: MAC.host, tags: [.q(5)], .ipv4()),
    Packet.frame(to: MAC.host, tags: [.q(0)], .ipv4()),
    Packet.frame(to: MAC.broadcast, tags: [.q(5)], .arp(target: "10.9.9.9")),
    Packet.frame(to: MAC.solicitedNode(of: "2001:db8::9"), tags: [.ad(5)], .solicitation(of: "2001:db8::9")),
  ])
  func theSwitchGetsEverythingElseOfASharedPort(packet: [UInt8]) throws {
    let loaded = try Loaded(.shared)
    #expect(try loaded.verdict(packet) == .redirect)
    #expect(try loaded.program.counters().malformed.packets == 0)
  }

  @Test func theHostsAddressesCanChange() throws {
    let loaded = try Loaded(.shared)
    let old = Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.9"))
    let new = Packet.frame(to: MAC.broadcast, .arp(target: "10.8.8.8"))
    let kept = Packet.frame(to: MAC.solicitedNode(of: "2001:db8::9"), .solicitation(of: "2001:db8::9"))
    try loaded.program.setHost(mac: MAC.other, addresses: ["10.8.8.8", "2001:db8::9"].compactMap { IPAddress($0) })
    #expect(try loaded.verdict(old) == .redirect)
    #expect(try loaded.verdict(new) == .pass)
    #expect(try loaded.verdict(kept) == .pass)
    #expect(try loaded.verdict(Packet.frame(to: MAC.host, .ipv4())) == .redirect)
    #expect(try loaded.verdict(Packet.frame(to: MAC.other, .ipv4())) == .pass)
  }

  @Test func aSharedPortWithoutAKnownHostGivesTheSwitchEverything() throws {
    let program = try XDPProgram.load(mode: .shared, queues: 1, policy: nil)
    let socket = try TestSocket()
    try program.setSocket(queue: 0, descriptor: socket.descriptor)
    let toZero = Packet.frame(to: [0, 0, 0, 0, 0, 0], .ipv4())
    #expect(try program.testRun(packet: toZero).verdict == .redirect)
    #expect(try program.testRun(packet: Packet.frame(to: MAC.broadcast, .arp(target: "0.0.0.0"))).verdict == .redirect)
  }

  // MARK: Malformed frames

  @Test(arguments: [
    Packet.frame(.ipv4(version: 6)), Packet.frame(.ipv4(headerWords: 4)), Packet.frame(.ipv4(totalLength: 19)),
    Packet.frame(.ipv4(headerWords: 15, totalLength: 59)), Packet.frame(.ipv4(totalLength: 41, payload: 20)),
    Packet.frame(.ipv6(version: 4)), Packet.frame(.ipv6(payloadLength: 21)),
    Packet.frame(tags: [.ad(1), .q(2), .q(3)], .ipv4()),
    Packet.frame(to: MAC.broadcast, Body(type: 0x8100, bytes: [0])),
  ])
  func aMalformedFrameGoesOnAndIsNoted(packet: [UInt8]) throws {
    for mode in XDPPortMode.allCases {
      let loaded = try Loaded(mode)
      #expect(try loaded.verdict(packet) == .redirect)
      #expect(try loaded.program.counters().malformed == XDPCounter(packets: 1, bytes: UInt64(packet.count)))
    }
  }

  @Test func ethernetPaddingIsNotMalformed() throws {
    let loaded = try Loaded(.dedicated)
    let padding = [UInt8](repeating: 0, count: 26)
    #expect(try loaded.verdict(Packet.frame(.ipv4(payload: 0)) + padding) == .redirect)
    #expect(try loaded.verdict(Packet.frame(.ipv6(payload: [])) + padding) == .redirect)
    #expect(try loaded.program.counters().malformed.packets == 0)
  }

  @Test(arguments: XDPPortMode.allCases)
  func aFrameCutAtEveryByteIsHandled(mode: XDPPortMode) throws {
    let loaded = try Loaded(mode, deny: ["10.66.0.0/16", "2001:db8:66::/48"])
    let frames = [
      Packet.frame(tags: [.ad(1), .q(2)], .ipv4(headerWords: 15)),
      Packet.frame(tags: [.ad(1), .q(2)], .ipv6()),
      Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.9")),
      Packet.frame(to: MAC.solicitedNode(of: "2001:db8::9"), .solicitation(of: "2001:db8::9")),
      Packet.frame(.ipv4(from: "10.66.0.1")),
      Packet.frame(.ipv6(from: "2001:db8:66::1")),
    ]
    for frame in frames {
      let whole = try loaded.verdict(frame)
      // The kernel's test run takes no packet that is shorter than Ethernet's header.
      for length in 14..<frame.count {
        let verdict = try loaded.verdict(Array(frame.prefix(length)))
        #expect(verdict == .redirect || verdict == whole)
      }
    }
    let counters = try loaded.program.counters()
    #expect(counters.malformed.packets > 0)
    #expect(counters.noSocket.packets == 0)
  }

  @Test func aCutHeaderIsNoted() throws {
    let loaded = try Loaded(.shared)
    let cut = [
      Packet.frame(.ipv4(payload: 0)), Packet.frame(.ipv6(payload: [])),
      Packet.frame(to: MAC.broadcast, .arp(target: "10.9.9.9")), Packet.frame(tags: [.q(1)], Body(type: 0x0800, bytes: [])),
    ].map { Array($0.dropLast()) }
    for packet in cut { #expect(try loaded.verdict(packet) == .redirect) }
    #expect(try loaded.program.counters().malformed.packets == UInt64(cut.count))
  }

  // MARK: Refusals

  @Test func aQueueThatDoesNotExistIsRefused() throws {
    let program = try XDPProgram.load(mode: .dedicated, queues: 2, policy: nil)
    let socket = try TestSocket()
    try program.setSocket(queue: 1, descriptor: socket.descriptor)
    #expect(throws: KernelTierError.noQueue(queue: 2, queues: 2)) {
      try program.setSocket(queue: 2, descriptor: socket.descriptor)
    }
    #expect(throws: KernelTierError.noQueue(queue: -1, queues: 2)) { try program.clearSocket(queue: -1) }
  }

  @Test func whatIsNoXDPSocketIsRefused() throws {
    let program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil)
    #expect(throws: KernelTierError.self) { try program.setSocket(queue: 0, descriptor: 0) }
    #expect(throws: KernelTierError.self) { try program.setSocket(queue: 0, descriptor: -1) }
    #expect(throws: KernelTierError.self) { try program.setSocket(queue: 0, descriptor: 9_999) }
  }

  @Test(arguments: [0, -1, 65537])
  func anImpossibleNumberOfQueuesIsRefused(queues: Int) {
    #expect(throws: KernelTierError.self) { try XDPProgram.load(mode: .dedicated, queues: queues, policy: nil) }
  }

  @Test func aDedicatedPortHasNoHost() throws {
    let program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil)
    #expect(throws: KernelTierError.notShared) { try program.setHost(mac: MAC.host, addresses: []) }
  }

  @Test func aWrongMACAndTooManyAddressesAreRefused() throws {
    let program = try XDPProgram.load(mode: .shared, queues: 1, policy: nil)
    #expect(throws: KernelTierError.self) { try program.setHost(mac: [1, 2, 3], addresses: []) }
    #expect(throws: KernelTierError.self) {
      try program.setHost(mac: MAC.host, addresses: (0..<1025).map { .v4($0) })
    }
    try program.setHost(mac: MAC.host, addresses: (0..<1024).map { .v4($0) })
    try program.setHost(mac: MAC.host, addresses: (1024..<2048).map { .v4($0) })
  }

  @Test func theProgramBearsOurName() throws {
    let dedicated = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil)
    let shared = try XDPProgram.load(mode: .shared, queues: 1, policy: nil)
    #expect(dedicated.identity.isOurs)
    #expect(dedicated.identity.tag.count == 16)
    #expect(dedicated.identity.id != shared.identity.id)
  }

  /// Not a limit but a fuse: it takes some 40 ns on the project's machine, and something that is far slower would not show
  /// anywhere else.
  @Test func aFrameTakesLessThanAMicrosecond() throws {
    let loaded = try Loaded(.shared, deny: ["10.0.0.0/8"])
    let run = try loaded.program.testRun(packet: Packet.frame(.ipv4()), repetitions: 100_000)
    #expect(run.nanoseconds < 1_000)
  }
}
