// FlowTableTests.swift
//
// The flow table in the kernel: placing, withdrawing, pins, and what the next agent finds. Packets go through the program by BPF_PROG_TEST_RUN.

import CLibbpf
import CSluice
import Dataplane
import Glibc
import Synchronization
import Testing

@testable import KernelTier

/// A table, the tier and its ports, of which 1 to 4 are there and have both hooks.
struct Table {
  let maps: FlowTableMaps
  let tier: KernelFlowTier
  let ports: KernelPorts

  init(maps: FlowTableMaps? = nil, flows: Int = 1024) throws {
    self.maps = try maps ?? FlowTableMaps.create(flows: flows)
    ports = KernelPorts(maps: self.maps)
    for index in 1...4 where maps == nil { try ports.set(Self.port(UInt16(index))) }
    tier = try KernelFlowTier(maps: self.maps)
  }

  static func port(_ index: PortIndex) -> KernelPort {
    // The loopback interface is in every namespace; nothing is sent to it in a dry run.
    KernelPort(
      index: index, interfaceIndex: 1, number: UInt32(index), hooks: [.xdp, .tc], maxFrame: 1514, worker: 0, isUp: true)
  }

  /// The flow that a frame which comes in by a port belongs to.
  static func flow(
    _ frame: [UInt8], _ fields: [FlowField] = [.ethType, .ipv4Src], _ actions: [FlowAction] = [.output(2)], port: PortIndex = 1, id: UInt64 = 1
  ) -> TierFlow {
    var mask = FlowMask()
    for field in [.inPort, .recircID] + fields { mask.include(field) }
    let key = parseFrame(frame, inPort: UInt32(port)).key & mask
    return TierFlow(key: key, mask: mask, actions: actions, port: port, worker: 0, id: id)
  }

  /// Lets a flow's packets be answered by the kernel: its worker says that nothing of before is under way.
  func settle() { sluice_store_release_u64(maps.drainStamp(worker: 0), .max / 2) }

  /// Offers a flow; nil when it is refused for now.
  func offer(_ flow: TierFlow) -> TierHandle? {
    do throws(TierRefusal) {
      return try tier.offer(flow)
    } catch {
      #expect(error.isTemporary)
      return nil
    }
  }

  func dry(_ hook: KernelDryRun.Hook, port: PortIndex = 1) throws -> KernelDryRun {
    try KernelDryRun(hook, flows: FlowHookSpec(maps: maps, port: port, upInterfaceIndex: 1))
  }
}

/// Runs a program on a frame again and again on a thread of its own.
private final class Runner: @unchecked Sendable {
  // Sendable: the thread alone has what is not constant until it was joined.
  private let dry: KernelDryRun
  private let frame: [UInt8]
  private let isStopped = Atomic(false)
  private var runs = 0
  private var others: [KernelDryRun.Outcome] = []
  private var thread = pthread_t()

  init(_ dry: KernelDryRun, _ frame: [UInt8]) throws {
    self.dry = dry
    self.frame = frame
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Runner>.fromOpaque(argument!).takeRetainedValue().loop()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard code == 0 else { throw CommandFailure(command: "pthread_create", status: code) }
  }

  private func loop() {
    while !isStopped.load(ordering: .relaxed) {
      guard let outcome = try? dry.run(frame) else { return }
      runs += 1
      if outcome != .outputs([.init(port: 2, bytes: frame)]), others.count < 10 { others.append(outcome) }
    }
  }

  /// How often it ran, and what came out that should not have.
  func stop() -> (runs: Int, others: [KernelDryRun.Outcome]) {
    isStopped.store(true, ordering: .relaxed)
    pthread_join(thread, nil)
    return (runs, others)
  }
}

/// A frame whose source address is number `i` of many.
func numbered(_ i: Int) -> [UInt8] { Packet.frame(.ipv4(from: "10.\(i >> 16 & 255).\(i >> 8 & 255).\(i & 255)")) }

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct FlowTableTests {
  @Test(arguments: [KernelDryRun.Hook.xdp, .tc])
  func whatIsPlacedIsAnsweredByTheKernel(hook: KernelDryRun.Hook) throws {
    let table = try Table()
    let dry = try table.dry(hook)
    let frame = Packet.frame(.ipv4(from: "10.0.0.1"))
    #expect(try dry.run(frame) == .up)
    let handle = try table.tier.offer(Table.flow(frame))
    // Those of before are still under way.
    #expect(try dry.run(frame) == .up)
    table.settle()
    #expect(try dry.run(frame) == .outputs([.init(port: 2, bytes: frame)]))
    #expect(try dry.run(Packet.frame(.ipv4(from: "10.0.0.2"))) == .up)
    #expect(table.tier.count == 1)
    let counts = table.tier.counts(of: handle)
    #expect(counts.packets == 1)
    #expect(counts.bytes == UInt64(frame.count))
    #expect(counts.usedNanoseconds > 0)
    table.tier.withdraw(handle)
    #expect(try dry.run(frame) == .up)
    table.tier.fence()
    #expect(table.tier.counts(of: handle).packets == 1)
    table.tier.release(handle)
    #expect(table.tier.count == 0)
    #expect(table.tier.counts(of: handle) == TierCounts())
  }

  @Test(arguments: [KernelDryRun.Hook.xdp, .tc])
  func ipv6UsesBothLines(hook: KernelDryRun.Hook) throws {
    let table = try Table()
    table.settle()
    let dry = try table.dry(hook)
    let frame = Packet.frame(.ipv6(from: "2001:db8::7"))
    _ = try table.tier.offer(Table.flow(frame, [.ethType, .ipv6Src, .ipv6Dst], []))
    #expect(try dry.run(frame) == .drop)
    #expect(try dry.run(Packet.frame(.ipv6(from: "2001:db8::8"))) == .up)
  }

  @Test func everyPortLooksOnlyAtItsOwnMasks() throws {
    let table = try Table()
    table.settle()
    let frame = Packet.frame(.ipv4(from: "10.0.0.1"))
    _ = try table.tier.offer(Table.flow(frame, port: 3))
    #expect(try table.dry(.tc, port: 1).run(frame) == .up)
    #expect(try table.dry(.tc, port: 3).run(frame) == .outputs([.init(port: 2, bytes: frame)]))
  }

  @Test func aFirstFlowIsExecutedAtOnceAndOthersWait() throws {
    let table = try Table()
    let dry = try table.dry(.tc)
    var flow = Table.flow(numbered(1))
    _ = try table.tier.offer(flow)
    #expect(try dry.run(numbered(1)) == .up)
    flow = Table.flow(numbered(2))
    flow.isFirst = true
    _ = try table.tier.offer(flow)
    #expect(try dry.run(numbered(2)) == .outputs([.init(port: 2, bytes: numbered(2))]))
    #expect(try dry.run(numbered(1)) == .up)
  }

  @Test func thousandsOfFlowsComeAndGo() throws {
    let table = try Table(flows: 16384)
    table.settle()
    let dry = try table.dry(.xdp)
    var handles: [(Int, TierHandle)] = []
    var refused = 0
    for i in 1...6000 {
      guard let handle = table.offer(Table.flow(numbered(i), id: UInt64(i))) else {
        refused += 1
        continue
      }
      handles.append((i, handle))
    }
    #expect(refused < 6)
    #expect(Set(table.tier.refusals.keys).isSubset(of: ["bucket-full", "tag"]))
    #expect(table.tier.count == handles.count)
    for (i, _) in handles.prefix(500) { #expect(try dry.run(numbered(i)) == .outputs([.init(port: 2, bytes: numbered(i))])) }
    for (i, handle) in handles where i % 2 == 0 { table.tier.withdraw(handle) }
    table.tier.fence()
    for (i, handle) in handles where i % 2 == 0 { table.tier.release(handle) }
    for (i, _) in handles.prefix(500) {
      #expect(try dry.run(numbered(i)) == (i % 2 == 0 ? .up : .outputs([.init(port: 2, bytes: numbered(i))])))
    }
    #expect(table.tier.count == handles.count { $0.0 % 2 != 0 })
  }

  @Test func aFullTableRefusesAndTakesAgain() throws {
    let table = try Table(flows: 1024)
    var handles: [TierHandle] = []
    for i in 1...3000 {
      if let handle = table.offer(Table.flow(numbered(i))) { handles.append(handle) }
    }
    #expect(handles.count == table.tier.capacity)
    #expect(table.tier.refusals["table-full", default: 0] > 1000)
    table.tier.withdraw(handles[0])
    table.tier.fence()
    table.tier.release(handles[0])
    _ = try table.tier.offer(Table.flow(numbered(4000)))
    table.tier.withdrawAll()
    #expect(table.tier.count == 0)
  }

  @Test func masksAreLimitedPerPortAndTheirPlacesComeFree() throws {
    let table = try Table()
    table.settle()
    let dry = try table.dry(.tc)
    let frame = Packet.frame(.ipv4(from: "10.0.0.1"))
    func flow(_ bits: Int) -> TierFlow {
      var flow = Table.flow(frame, [.ethType])
      flow.mask[.ipv4Src] = FlowField.ipv4Src.allOnes << UInt128(bits) & FlowField.ipv4Src.allOnes
      flow.key = parseFrame(frame, inPort: 1).key & flow.mask
      return flow
    }
    var handles = try (0..<15).map { try table.tier.offer(flow($0)) }
    #expect { _ = try table.tier.offer(flow(20)) } throws: { ($0 as? TierRefusal)?.cause == "masks" }
    // Another port has a list of its own.
    var other = Table.flow(frame, [.ethType, .ipv4Dst], port: 2)
    other.id = 9
    _ = try table.tier.offer(other)
    let gone = handles.remove(at: 5)
    table.tier.withdraw(gone)
    table.tier.fence()
    table.tier.release(gone)
    _ = try table.tier.offer(flow(20))
    #expect(try dry.run(frame) == .outputs([.init(port: 2, bytes: frame)]))
  }

  @Test func busyMasksComeToTheFront() throws {
    let maps = try FlowTableMaps.create(flows: 1024)
    var masks = MaskTable(maps: maps)
    func mask(_ bits: Int) -> FlowMask {
      var mask = FlowMask()
      mask[.ipv4Src] = UInt128(UInt32.max << UInt32(bits))
      return mask
    }
    let numbers = try (0..<5).map { try masks.use(mask($0), port: 1, fence: {}) }
    masks.hit(numbers[3], port: 1, packets: 1000)
    masks.hit(numbers[1], port: 1, packets: 300)
    masks.hit(numbers[0], port: 1, packets: 10)
    var seen: [[UInt8]] = []
    func list() -> [UInt8] {
      let port = maps.ports.base[1]
      return withUnsafeBytes(of: port.masks) { Array($0.prefix(Int(port.mask_count))) }
    }
    masks.rank { seen.append(list()) }
    // Every mask could be found at every moment.
    for seen in seen { #expect(Set(seen) == Set(numbers.map(UInt8.init))) }
    #expect(seen.count == 2)
    #expect(list() == [3, 1, 0, 2, 4].map { UInt8(numbers[$0]) })
    #expect(masks.list(of: 1) == [3, 1, 0, 2, 4].map { numbers[$0] })
    masks.rank { Issue.record("nothing is to be changed") }
  }

  @Test func moreMasksThanThereAreNumbersTakeOldOnesBack() throws {
    let maps = try FlowTableMaps.create(flows: 1024)
    var masks = MaskTable(maps: maps)
    var random = SystemRandomNumberGenerator()
    var fences = 0
    for round in 0..<1000 {
      var mask = FlowMask()
      mask[.ipv4Src] = UInt128(UInt32(round + 1))
      mask[.ipv4Dst] = UInt128(UInt32.random(in: 1...UInt32.max, using: &random))
      let port = PortIndex(round % 7)
      let number = try masks.use(mask, port: port, fence: { fences += 1 })
      #expect(masks.mask(number) == mask)
      masks.unuse(number, port: port)
    }
    #expect(fences < 10)
    #expect(masks.count == 0)
  }

  /// A mask that looks at the source address only, another one for each number.
  private static func mask(_ number: Int) -> FlowMask {
    var mask = FlowMask()
    mask[.ipv4Src] = UInt128(number + 1)
    return mask
  }

  /// What programs look packets of a port up with.
  private static func list(of port: Int, _ maps: FlowTableMaps) -> [UInt16] {
    let port = maps.ports.base[port]
    return withUnsafeBytes(of: port.masks) { $0.prefix(Int(port.mask_count)).map(UInt16.init) }
  }

  /// Uses masks on a port of its own, one after the other, until numbers were taken back.
  private static func exhaust(_ masks: inout MaskTable) throws {
    for i in 1000..<2000 {
      var fences = 0
      masks.unuse(try masks.use(mask(i), port: 9, fence: { fences += 1 }), port: 9)
      guard fences == 0 else { return }
    }
    Issue.record("no number was taken back")
  }

  @Test func aMaskWithANumberTakenBackFromThePortsListIsFound() throws {
    let maps = try FlowTableMaps.create(flows: 1024)
    var masks = MaskTable(maps: maps)
    let first = try masks.use(Self.mask(1), port: 1, fence: {})
    let second = try masks.use(Self.mask(2), port: 1, fence: {})
    masks.unuse(first, port: 1)
    for i in 3..<256 { masks.unuse(try masks.use(Self.mask(i), port: 9, fence: {}), port: 9) }
    var fences = 0
    let third = try masks.use(Self.mask(300), port: 1, fence: { fences += 1 })
    #expect(fences == 1)
    #expect(third == first)
    #expect(Set(Self.list(of: 1, maps)) == [second, third])
    #expect(masks.list(of: 1) == Self.list(of: 1, maps))
  }

  @Test func placesOfMasksTakenBackAreUsedAgain() throws {
    let maps = try FlowTableMaps.create(flows: 1024)
    var masks = MaskTable(maps: maps)
    var numbers = try (0..<15).map { try masks.use(Self.mask($0), port: 1, fence: {}) }
    for number in numbers[1..<14] { masks.unuse(number, port: 1) }
    try Self.exhaust(&masks)
    numbers.replaceSubrange(1..<14, with: try (20..<33).map { try masks.use(Self.mask($0), port: 1, fence: {}) })
    #expect(Self.list(of: 1, maps).count == 15)
    #expect(Set(Self.list(of: 1, maps)) == Set(numbers))
    // Copies at the end go with the last mask behind which they stood.
    for number in numbers[1..<14] { masks.unuse(number, port: 1) }
    try Self.exhaust(&masks)
    masks.unuse(numbers[14], port: 1)
    #expect(Self.list(of: 1, maps) == [numbers[0]])
  }

  @Test func withAllMasksInUseNobodyWaits() throws {
    let maps = try FlowTableMaps.create(flows: 1024)
    var masks = MaskTable(maps: maps)
    for i in 0..<255 { _ = try masks.use(Self.mask(i), port: PortIndex(1 + i / 15), fence: {}) }
    #expect(throws: TierRefusal.self) {
      _ = try masks.use(Self.mask(300), port: 30, fence: { Issue.record("there is nothing to wait for") })
    }
  }

  @Test func programsAreShared() throws {
    let table = try Table()
    let actions: [FlowAction] = [.decrementTTL, .output(2)]
    let first = try table.tier.offer(Table.flow(numbered(1), [.ethType, .ipv4Src], actions))
    let second = try table.tier.offer(Table.flow(numbered(2), [.ethType, .ipv4Src], actions))
    #expect(table.tier.used["sluice_programs"] == 1)
    for handle in [first, second] { table.tier.withdraw(handle) }
    table.tier.fence()
    for handle in [first, second] { table.tier.release(handle) }
    #expect(table.tier.used["sluice_programs"] == 0)
  }

  @Test func aFlowWhosePortIsNotThereIsRefused() throws {
    let table = try Table()
    let frame = numbered(1)
    #expect { _ = try table.tier.offer(Table.flow(frame, [.ethType], [.output(9)])) } throws: { ($0 as? TierRefusal)?.cause == "port" }
    try table.ports.remove(2)
    #expect { _ = try table.tier.offer(Table.flow(frame)) } throws: { ($0 as? TierRefusal)?.isTemporary == true }
    #expect(table.ports.ports().map(\.index) == [1, 3, 4])
  }

  @Test func xdpAloneTakesNoFloods() throws {
    let table = try Table()
    var port = Table.port(1)
    port.hooks = .xdp
    try table.ports.set(port)
    #expect { _ = try table.tier.offer(Table.flow(numbered(1), [.ethType], [.output(2), .output(3)])) } throws: {
      ($0 as? TierRefusal)?.cause == "hook"
    }
    _ = try table.tier.offer(Table.flow(numbered(1), [.ethType], [.output(2)]))
  }

  /// What a program sees that looked at the port just before its device was taken away.
  @Test(arguments: [false, true]) func aFrameWhoseDeviceIsGoneIsNotCountedAsSent(isRewritten: Bool) throws {
    let table = try Table()
    table.settle()
    let program = try XDPProgram.load(
      mode: .dedicated, queues: 1, policy: nil, flows: FlowHookSpec(maps: table.maps, port: 1, upInterfaceIndex: 1))
    let frame = numbered(1)
    let actions: [FlowAction] = isRewritten ? [.decrementTTL, .output(2)] : [.output(2)]
    let handle = try table.tier.offer(Table.flow(frame, [.ethType, .ipv4Src], actions))
    #expect(try program.testRun(packet: frame).verdict.rawValue == 4)
    #expect(try table.ports.counters(of: 2).outPackets == 1)
    try table.maps.setDevice(port: 2, interfaceIndex: nil)
    let up = try program.counters().noSocket.packets
    _ = try program.testRun(packet: frame)
    #expect(try table.ports.counters(of: 2).outPackets == 1)
    // As it came it goes up; a rewritten frame is no use there.
    #expect(try program.counters().noSocket.packets - up == (isRewritten ? 0 : 1))
    #expect(try table.ports.counters(of: 1).lostPackets == (isRewritten ? 1 : 0))
    #expect(table.tier.counts(of: handle).packets == (isRewritten ? 2 : 1))
  }

  @Test func aPortIsAsItWasSet() throws {
    let table = try Table()
    let port = KernelPort(
      index: 5, interfaceIndex: 1, number: 77, hooks: [.tc, .peer, .clsact], maxFrame: 9014, worker: 3, peerMAC: MAC.other, isUp: true)
    try table.ports.set(port)
    #expect(table.ports.ports().last == port)
    table.ports.setUp(5, false)
    #expect(table.ports.ports().last?.isUp == false)
    #expect(try table.ports.counters(of: 5) == KernelPortCounters())
  }

  @Test func aWaitForProgramsIsShort() throws {
    let table = try Table()
    for i in 1...3 {
      let handle = try table.tier.offer(Table.flow(numbered(i)))
      table.tier.fence()
      table.tier.withdraw(handle)
      table.tier.fence()
      table.tier.fence()
      table.tier.release(handle)
    }
    #expect(table.tier.fences.count == 3)
    #expect(table.tier.fences.nanoseconds < 3_000_000_000)
    print("a fence takes \(table.tier.fences.nanoseconds / 3 / 1000) us")
  }

  /// Slots, masks and places in lists are used again all the time beside a program that runs without a pause.
  @Test func aFlowIsFoundAtEveryMomentWhileOthersComeAndGo() throws {
    let table = try Table()
    table.settle()
    let frame = numbered(1)
    let steady = try table.tier.offer(Table.flow(frame, [.ethType, .ipv4Src, .ipv4Dst], [.output(2)]))
    let runner = try Runner(try table.dry(.xdp), frame)
    var handles: [TierHandle] = []
    var generator = SystemRandomNumberGenerator()
    let deadline = ContinuousClock.now + .seconds(3)
    var changes = 0
    while ContinuousClock.now < deadline {
      for i in 0..<40 {
        // Other packets, by thirty masks; no flow of them has the steady one's packets.
        var flow = Table.flow(numbered(0x330000 + i), [.ethType], [.output(3)])
        let bits = UInt128.random(in: 0..<30, using: &generator)
        flow.mask[.ipv4Src] = UInt128(UInt32.max) & ~(1 << bits)
        flow.key = parseFrame(numbered(0x330000 + i), inPort: 1).key & flow.mask
        if let handle = table.offer(flow) { handles.append(handle) }
        changes += 1
      }
      for handle in handles {
        // Some are as busy as the steady one, so that masks change places.
        table.maps.flows.base[Int(handle.rawValue)].use.packets += UInt64.random(in: 0..<100_000, using: &generator)
        _ = table.tier.counts(of: handle)
      }
      _ = table.tier.counts(of: steady)
      table.tier.rank()
      let gone = handles.filter { _ in Bool.random() }
      for handle in gone { table.tier.withdraw(handle) }
      table.tier.fence()
      for handle in gone { table.tier.release(handle) }
      handles.removeAll { gone.contains($0) }
    }
    let (runs, others) = runner.stop()
    #expect(others.isEmpty, "of \(runs) runs beside \(changes) changes: \(others)")
    #expect(runs > 1000)
    #expect(table.tier.counts(of: steady).packets == UInt64(runs))
  }

  /// The verifier takes the programs as a whole, and what it has to look at multiplies: a configuration that no other test loads may be refused.
  @Test func everyConfigurationIsLoaded() throws {
    let table = try Table()
    let policy = try Policy()
    for mode in [XDPPortMode.dedicated, .shared] {
      for policy in [nil, policy] {
        var specs: [FlowHookSpec?] = [nil]
        for isWithTC in [false, true] { specs.append(FlowHookSpec(maps: table.maps, port: 1, upInterfaceIndex: 1, isWithTC: isWithTC)) }
        for flows in specs {
          let program = try XDPProgram.load(mode: mode, queues: 2, policy: policy, flows: flows)
          let facts = try KernelFacts.read(maps: table.maps, programIDs: [program.identity.id], used: [:])
          // Kernels differ in what they count: room for some to count much more.
          #expect(try #require(facts.programs.first).verifiedInstructions < 250_000)
        }
      }
    }
  }

  @Test func factsAreRead() throws {
    let table = try Table()
    _ = try table.tier.offer(Table.flow(numbered(1)))
    let program = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil, flows: FlowHookSpec(maps: table.maps, port: 1))
    let facts = try KernelFacts.read(maps: table.maps, programIDs: [program.identity.id, .max], used: table.tier.used)
    #expect(facts.programs.map(\.name) == ["sluice_xdp"])
    #expect(facts.programs[0].type == "xdp")
    #expect(facts.programs[0].verifiedInstructions > 100)
    let flows = try #require(facts.maps.first { $0.name == "sluice_flows" })
    #expect(flows.entries == table.maps.slots)
    #expect(flows.used == 1)
    #expect(flows.bytes >= table.maps.slots * 128)
  }
}
