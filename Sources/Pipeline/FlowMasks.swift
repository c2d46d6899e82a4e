// FlowMasks.swift
//
// What: the masks of one worker's flows: which place of the slab holds which, who uses it, and how many a port may have.
// Why a cap: a packet that the exact cache does not know is tried under each mask of its port. Whoever can choose packets, or rules, such that
//       every packet needs a mask of its own makes all misses of the port slow (a tuple-space attack). From the cap on a flow
//       gets a mask that the port has already and that contains its own; if there is none, the union of its own and all
//       that the port has. Looking at more bits than needed is always right: the flow is only narrower. Such unions grow with each new one, and
//       after a few of them the whole key is looked at, which contains every mask there can be.
// Invariants: a place is written only while nobody uses it; it is in use from `take` until the last `release`, which follows the worker's
//             confirmation that the flow is gone.
// Threads: confined to the pipeline thread.
// Cost: taking a mask that the port has: a hash, a dictionary probe, a comparison.

import Dataplane

final class FlowMasks {
  private let slab: FlowSlab
  private let secrets: HashSecrets
  private let cap: Int
  /// Unions that a port may have beyond the cap, before whole keys are looked at.
  private static let unionLimit = 8
  /// The most that a port can have, whole keys (with and without line 1) included; less than `MegaflowTable` can take.
  static let largestCap = 240

  private var places: [UInt64: UInt16] = [:]
  private var users: [UInt32] = [0]
  private var lastInstalls: [UInt64] = [0]
  private var free: [UInt16] = []
  /// Places in use.
  private(set) var inUse: [UInt16] = []
  /// By port, when it has had a flow: its flows under each mask.
  private var usersByPort = [UnsafeMutablePointer<UInt32>?](repeating: nil, count: WorkerCounters.portCapacity)
  private var countByPort = [UInt16](repeating: 0, count: WorkerCounters.portCapacity)
  /// The mask that was found last.
  private var recent: UInt16 = 0
  /// Flows that got a wider mask than they needed.
  private(set) var widenedCount: UInt64 = 0

  init(slab: FlowSlab, secrets: HashSecrets, masksPerPort: Int) {
    self.slab = slab
    self.secrets = secrets
    cap = min(max(masksPerPort, 1), Self.largestCap)
  }

  deinit { for row in usersByPort { row?.deallocate() } }

  /// Masks of a port's flows.
  func count(ofPort port: PortIndex) -> Int { Int(countByPort[Int(port)]) }

  /// Commands that the worker had been given when the last flow under a mask was installed.
  func lastInstall(_ mask: UInt16) -> UInt64 { lastInstalls[Int(mask)] }

  func noteInstall(_ mask: UInt16, command: UInt64) { lastInstalls[Int(mask)] = command }

  /// A place for a flow's mask, or for one that contains it; nil when the worker has no place left.
  func take(_ mask: FlowMask, port: PortIndex, isIPv6: Bool) -> UInt16? {
    let found = find(mask)
    let row = row(of: port)
    if let found, row[Int(found)] > 0 || countByPort[Int(port)] < cap { return use(found, row, port) }
    if countByPort[Int(port)] < cap { return add(mask, row, port) }
    widenedCount += 1
    let wide = widened(mask, row, port, isIPv6: isIPv6)
    return find(wide).map { use($0, row, port) } ?? add(wide, row, port)
  }

  /// Gives a place back.
  func release(_ index: UInt16, port: PortIndex) {
    let row = row(of: port)
    row[Int(index)] -= 1
    if row[Int(index)] == 0 { countByPort[Int(port)] -= 1 }
    users[Int(index)] -= 1
    guard users[Int(index)] == 0 else { return }
    forget(index)
    if let at = inUse.firstIndex(of: index) {
      inUse.swapAt(at, inUse.count - 1)
      inUse.removeLast()
    }
    free.append(index)
  }

  // MARK: - Widening

  private func widened(_ mask: FlowMask, _ row: UnsafeMutablePointer<UInt32>, _ port: PortIndex, isIPv6: Bool) -> FlowMask {
    var union = mask
    var best: FlowMask?
    for index in inUse where row[Int(index)] > 0 {
      let present = slab.mask(index)
      union = union | present
      if present.contains(mask), best.map({ $0.bitCount > present.bitCount }) ?? true { best = present }
    }
    if let best { return best }
    // A packet that is not IPv6 has no line 1 to look at.
    if !isIPv6 { union.bits.line1 = FlowLine() }
    return countByPort[Int(port)] < cap + Self.unionLimit ? union : .wholeKey(isIPv6: isIPv6)
  }

  // MARK: - Places

  private func row(of port: PortIndex) -> UnsafeMutablePointer<UInt32> {
    if let row = usersByPort[Int(port)] { return row }
    let row = UnsafeMutablePointer<UInt32>.allocate(capacity: FlowSlab.maskCapacity)
    row.initialize(repeating: 0, count: FlowSlab.maskCapacity)
    usersByPort[Int(port)] = row
    return row
  }

  private func use(_ index: UInt16, _ row: UnsafeMutablePointer<UInt32>, _ port: PortIndex) -> UInt16 {
    users[Int(index)] += 1
    row[Int(index)] += 1
    if row[Int(index)] == 1 { countByPort[Int(port)] += 1 }
    return index
  }

  private func add(_ mask: FlowMask, _ row: UnsafeMutablePointer<UInt32>, _ port: PortIndex) -> UInt16? {
    let index: UInt16
    if let freed = free.popLast() {
      index = freed
    } else {
      guard users.count < FlowSlab.maskCapacity else { return nil }
      index = UInt16(users.count)
      users.append(0)
      lastInstalls.append(0)
    }
    slab.setMask(index, mask)
    remember(index, mask)
    inUse.append(index)
    return use(index, row, port)
  }

  private func hash(_ mask: FlowMask) -> UInt64 { secrets.flowHash(mask.bits, .wholeKey(isIPv6: true)) }

  /// The place of a mask. Masks with the same hash follow each other.
  private func find(_ mask: FlowMask) -> UInt16? {
    // The flow before had the same mask more often than not.
    if users[Int(recent)] > 0, slab.mask(recent) == mask { return recent }
    var at = hash(mask)
    while let index = places[at] {
      if slab.mask(index) == mask {
        recent = index
        return index
      }
      at &+= 1
    }
    return nil
  }

  private func remember(_ index: UInt16, _ mask: FlowMask) {
    var at = hash(mask)
    while places[at] != nil { at &+= 1 }
    places[at] = index
  }

  private func forget(_ index: UInt16) {
    var at = hash(slab.mask(index))
    while let there = places[at], there != index { at &+= 1 }
    places[at] = nil
    // Whoever lies behind the gap is put where it will be found.
    at &+= 1
    while let next = places.removeValue(forKey: at) {
      remember(next, slab.mask(next))
      at &+= 1
    }
  }
}

extension FlowMask {
  /// Bits that are looked at.
  fileprivate var bitCount: Int { withUnsafeBytes(of: bits) { $0.reduce(0) { $0 + $1.nonzeroBitCount } } }

  /// Everything that packets can be told apart by.
  fileprivate static func wholeKey(isIPv6: Bool) -> FlowMask {
    var mask = FlowMask()
    let all = ~FlowLine()
    mask.bits.line0 = all
    if isIPv6 { mask.bits.line1 = all }
    return mask
  }
}
