// ClassifierTests.swift
//
// What: the exact cache gives back what was put in or nothing; the flow table agrees with a plain list through any order of insertions and
//       removals; the hash for the cache sees every bit that a mask uses.

import Testing
import TestSupport

@testable import Dataplane

/// A cache that test macros, which copy what they look at, can hold.
private final class CacheBox {
  var cache: ExactCache

  init(entryCount: Int) {
    guard let made = ExactCache(entryCount: entryCount) else { fatalError("no memory for a test cache") }
    cache = made
  }

  func find(_ hash: UInt64) -> UInt32 { cache.reader.find(hash) }
}

@Suite struct ExactCacheTests {
  @Test func whatWasPutInIsFound() {
    let box = CacheBox(entryCount: 1024)
    var generator = SeededGenerator.fresh()
    let hashes = (0..<100).map { _ in generator.next() }
    for (i, hash) in hashes.enumerated() { box.cache.insert(hash, UInt32(i + 1)) }
    for (i, hash) in hashes.enumerated() { #expect(box.find(hash) == UInt32(i + 1), "seed \(generator.seed)") }
  }

  @Test func anUnknownHashFindsNothing() {
    let box = CacheBox(entryCount: 64)
    #expect(box.find(0) == 0)
    #expect(box.find(.max) == 0)
  }

  @Test func theSameHashHasOnePlace() {
    let box = CacheBox(entryCount: 64)
    for index in 1...10 { box.cache.insert(0x1234_5678_0000_0001, UInt32(index)) }
    #expect(box.find(0x1234_5678_0000_0001) == 10)
    var places = 0
    for way in 0..<ExactCache.ways where box.cache.reader.bucket(of: 0x1234_5678_0000_0001)[way] != 0 { places += 1 }
    #expect(places == 1)
  }

  @Test func aFullLineKeepsTheNewestAndSevenOthers() {
    let box = CacheBox(entryCount: 64)
    for index in 1...40 {
      let hash = UInt64(index) << 32 | 5
      box.cache.insert(hash, UInt32(index))
      #expect(box.find(hash) == UInt32(index))
    }
    let left = (1...40).count { box.find(UInt64($0) << 32 | 5) == UInt32($0) }
    #expect(left == 2 * ExactCache.ways)
  }
}

@Suite struct UnionHashTests {
  @Test func everyBitOfTheUnionChangesTheHashAndNoOtherDoes() {
    let box = CacheBox(entryCount: 64)
    var generator = SeededGenerator.fresh()
    for _ in 0..<30 {
      var union = FlowMask()
      for _ in 0..<(1 + generator.next() % 6) {
        union.include(FlowField.allCases[Int(generator.next() % UInt64(FlowField.allCases.count))])
      }
      var plan = UnionHash(secrets: HashSecrets())
      plan.plan(for: union)
      var layout = FrameLayout()
      layout.lines = 3
      func hash(_ key: FlowKey) -> UInt64 {
        var key = key
        var layout = layout
        var result: UInt64 = 0
        plan.run(&key, &layout, &result, count: 1, cache: box.cache.reader)
        return result
      }
      let base = hash(FlowKey())
      for bit in 0..<(FlowKey.byteCount * 8) {
        var key = FlowKey()
        withUnsafeMutableBytes(of: &key) { $0[bit / 8] |= 1 << UInt8(bit % 8) }
        // Line 2 is the pipeline's own.
        let isUsed = bit < 1024 && key & union != FlowKey()
        #expect((hash(key) != base) == isUsed, "bit \(bit), seed \(generator.seed)")
      }
    }
  }
}

@Suite struct MegaflowTableTests {
  /// The table and the list that it is compared with.
  private final class Model {
    let slab: FlowSlab
    let secrets = HashSecrets()
    var table: MegaflowTable
    let masks: [FlowMask]
    var live: [UInt32: (mask: UInt16, key: FlowKey)] = [:]
    var free: [UInt32]

    init(capacity: Int, masks: [FlowMask]) throws {
      slab = try FlowSlab.make(capacity: capacity)
      guard let made = MegaflowTable(slab: slab, secrets: secrets) else { throw WorkerError.noMemory(what: "a test table") }
      table = made
      self.masks = masks
      for (i, mask) in masks.enumerated() { slab.setMask(UInt16(i + 1), mask) }
      free = (1...UInt32(capacity)).reversed()
    }

    func insert(_ key: FlowKey, mask: UInt16) {
      let masked = key & masks[Int(mask) - 1]
      guard !live.values.contains(where: { $0.mask == mask && $0.key == masked }), let slot = free.popLast() else { return }
      let hash = secrets.flowHash(masked, masks[Int(mask) - 1])
      let flow = slab.describe(
        key: key, mask: mask, port: port(of: key), kind: .drop, output: 0, program: nil, hash: hash, now: 1)
      let isFirst = !live.values.contains { $0.mask == mask && port(of: $0.key) == port(of: key) }
      #expect(withUnsafePointer(to: flow) { table.insert(slot, $0) } == isFirst)
      live[slot] = (mask, masked)
    }

    func remove(_ slot: UInt32) {
      guard let gone = live.removeValue(forKey: slot) else { return }
      #expect(table.remove(slot) == !live.values.contains { $0.mask == gone.mask && port(of: $0.key) == port(of: gone.key) })
      free.append(slot)
    }

    func find(_ key: FlowKey) -> UInt32 {
      withUnsafePointer(to: key) { table.find($0, lines: 3, port: Int(port(of: key))) }
    }

    /// The index of the ingress port: here its number.
    func port(of key: FlowKey) -> PortIndex { PortIndex(key[.inPort]) }

    /// True when the table's answer is one that the list allows.
    func agrees(on key: FlowKey) -> Bool {
      let found = find(key)
      if found == 0 { return !live.values.contains { key & masks[Int($0.mask) - 1] == $0.key } }
      guard let flow = live[found] else { return false }
      return key & masks[Int(flow.mask) - 1] == flow.key
    }
  }

  private static func mask(_ fields: FlowField...) -> FlowMask {
    var mask = FlowMask()
    mask.include(.inPort)
    mask.include(.ethType)
    for field in fields { mask.include(field) }
    return mask
  }

  private static let masks: [FlowMask] = {
    var prefix = mask()
    prefix[.ipv4Dst] = 0xffff_0000
    return [
      mask(), mask(.ipv4Dst), prefix, mask(.ipProto), mask(.ipv6Dst), mask(.ethSrc, .ethDst), mask(.tcpDst, .ipProto),
      mask(.ipv4Src, .ipv4Dst, .tcpSrc, .tcpDst), mask(.ipv6Src, .ipv6Dst, .ipv6Label), mask(.vlanTCI), mask(.arpSHA),
      mask(.ipTTL, .ipTOS),
    ]
  }()

  /// Keys from a small world, so that flows and packets meet.
  private static func key(_ generator: inout SeededGenerator) -> FlowKey {
    var key = FlowKey()
    key[.inPort] = 1 + UInt128(generator.next() % 3)
    key[.ethType] = generator.next() & 1 == 0 ? 0x0800 : 0x86dd
    for field in [FlowField.ipv4Dst, .ipv4Src, .tcpDst, .tcpSrc, .ethSrc, .ipv6Dst, .vlanTCI, .ipTTL] {
      key[field] = UInt128(generator.next() % 4) &* 0x0001_0001
    }
    return key
  }

  @Test(arguments: [32, 300])
  func theTableAgreesWithAListThroughAnyChanges(_ capacity: Int) throws {
    var generator = SeededGenerator.fresh()
    let model = try Model(capacity: capacity, masks: Self.masks)
    for round in 0..<20_000 {
      let key = Self.key(&generator)
      switch generator.next() % 4 {
      case 0, 1: model.insert(key, mask: UInt16(1 + generator.next() % UInt64(Self.masks.count)))
      case 2: if let slot = model.live.keys.randomElement(using: &generator) { model.remove(slot) }
      default: break
      }
      let agrees = model.agrees(on: key)
      #expect(agrees, "seed \(generator.seed), round \(round)")
      if !agrees { return }
    }
    for slot in Array(model.live.keys) {
      model.remove(slot)
      #expect(model.agrees(on: Self.key(&generator)))
    }
    #expect(model.table.maskCount == 0)
    for port in 1...3 { #expect(model.table.unionOfMasks(port: port) == FlowMask()) }
  }

  /// A table that wore out would look for an empty place for ever, or slower and slower.
  @Test func aTableThatWasFullManyTimesStillEndsItsSearches() throws {
    var generator = SeededGenerator.fresh()
    let model = try Model(capacity: 32, masks: [Self.mask(.arpSHA)])
    for _ in 0..<3000 {
      while !model.free.isEmpty {
        var key = FlowKey()
        key[.inPort] = 1
        key[.arpSHA] = UInt128(generator.next())
        model.insert(key, mask: 1)
      }
      for (slot, flow) in model.live { #expect(model.find(flow.key) == slot, "seed \(generator.seed)") }
      for slot in model.live.keys.shuffled(using: &generator).prefix(Int(generator.next() % 33)) { model.remove(slot) }
      var unknown = FlowKey()
      unknown[.inPort] = 2
      #expect(model.find(unknown) == 0)
    }
  }

  @Test func aRemovedSlotMatchesNothingEvenThroughAStaleIndex() throws {
    let model = try Model(capacity: 4, masks: [Self.mask()])
    var key = FlowKey()
    key[.inPort] = 1
    model.insert(key, mask: 1)
    let slot = model.slab.slots + 1
    #expect(model.slab.matches(slot, index: 1, &key))
    model.remove(1)
    #expect(!model.slab.matches(slot, index: 1, &key))
    var empty = FlowKey()
    #expect(!model.slab.matches(slot, index: 1, &empty))
    #expect(!model.slab.matches(model.slab.slots, index: 0, &empty))
  }

  @Test func anotherAnswerMarksWhatTheOldOneHasCounted() throws {
    let model = try Model(capacity: 4, masks: [Self.mask()])
    var key = FlowKey()
    key[.inPort] = 1
    model.insert(key, mask: 1)
    let slot = model.slab.slots + 1
    (slot.pointee.packets, slot.pointee.bytes) = (7, 700)
    model.slab.replace(.replace(1, kind: .output, output: 9, program: nil))
    #expect(model.slab.matches(slot, index: 1, &key))
    #expect(slot.pointee.kind == .output && slot.pointee.output == 9)
    #expect(model.slab.marks(of: 1) == (7, 700))
    #expect(model.slab.counters(of: 1).packets == 7)
    model.remove(1)
    model.slab.clearCounters(of: 1)
    #expect(model.slab.counters(of: 1).packets == 0 && model.slab.marks(of: 1) == (0, 0))
  }

  @Test func masksOfOnePortAreNotTriedForPacketsOfAnother() throws {
    let model = try Model(capacity: 8, masks: [Self.mask(), Self.mask(.ipv4Src), Self.mask(.ipv4Dst)])
    var key = FlowKey()
    key[.inPort] = 1
    for mask: UInt16 in 1...3 { model.insert(key, mask: mask) }
    key[.inPort] = 2
    model.insert(key, mask: 2)
    #expect(model.table.masks(ofPort: 1).map(\.mask) == [1, 2, 3])
    #expect(model.table.masks(ofPort: 2).map(\.mask) == [2])
    #expect(model.table.masks(ofPort: 3).isEmpty)
    #expect(model.table.maskCount == 3)
    #expect(model.table.unionOfMasks(port: 2) == Self.mask(.ipv4Src))
  }

  @Test func theBusiestMaskComesFirst() throws {
    let model = try Model(capacity: 8, masks: [Self.mask(.ipv4Src), Self.mask(.ipv4Dst), Self.mask(.ipTTL)])
    var key = FlowKey()
    key[.inPort] = 1
    for mask: UInt16 in 1...3 { model.insert(key, mask: mask) }
    let row = model.table.masks(ofPort: 1)
    for place in 0..<3 { row[place].hits = UInt32(place + 1) * 10 }
    model.table.rank()
    #expect(row.map(\.mask) == [3, 2, 1])
    #expect(row.map(\.hits) == [15, 10, 5])
  }

  @Test func aPacketWithoutLineOneIsNotComparedWithFlowsThatLookAtIt() throws {
    let model = try Model(capacity: 8, masks: [Self.mask(.ipv6Dst)])
    var key = FlowKey()
    key[.inPort] = 1
    key[.ethType] = 0x86dd
    model.insert(key, mask: 1)
    #expect(model.find(key) == 1)
    let foundWithoutLine1 = withUnsafePointer(to: key) { model.table.find($0, lines: 1, port: 1) }
    #expect(foundWithoutLine1 == 0)
  }
}
