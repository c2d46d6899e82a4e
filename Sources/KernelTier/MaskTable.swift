// MaskTable.swift
//
// What: the masks of the flows in the kernel, and for each port the list of those that its packets are looked up with.
// Idea: programs read a port's list from the front while it changes. So a list is changed only in ways that leave every mask that is in use
//       readable at every moment: a new mask takes the place of one that no flow uses or is put at the end; a mask moves towards the end by being
//       written there first; a mask that moves to the front is put at the end a second time until all programs have read the list anew.
// Invariants: a mask that a flow uses is in the list of the flow's port. A number means another mask only after a fence in which no list had it.
// Threads: the pipeline thread only.
// Cost: no system call but for `rank` and for taking numbers back, which wait for programs.

import CSluice
import Dataplane

/// The table of masks and the ports' lists.
struct MaskTable {
  private let maps: FlowTableMaps
  private var numbers: [FlowMask: UInt16] = [:]
  private var masks: [FlowMask?]
  /// Flows with a mask.
  private var uses: [Int]
  private var lists: [PortIndex: List] = [:]

  /// A port's list.
  private struct List {
    /// As the programs see it. A mask without uses is a place that is free, and so is one that stands further in front, too.
    var entries: [UInt16] = []
    /// Flows of the port with a mask.
    var uses: [UInt16: Int] = [:]
    /// Packets since the last ranking.
    var hits: [UInt16: UInt64] = [:]
  }

  /// One place stays free for moving.
  private static let listLimit = Int(SLUICE_PORT_MASKS) - 1

  init(maps: FlowTableMaps) {
    self.maps = maps
    masks = [FlowMask?](repeating: nil, count: Int(SLUICE_MASKS))
    uses = [Int](repeating: 0, count: Int(SLUICE_MASKS))
  }

  /// Masks in use.
  var count: Int { uses.count { $0 > 0 } }

  func mask(_ number: UInt16) -> FlowMask? { masks[Int(number)] }

  /// The masks that a port's packets are looked up with, in order.
  func list(of port: PortIndex) -> [UInt16] { lists[port]?.entries ?? [] }

  /// The number of a mask, which one flow more of a port uses from now on.
  mutating func use(_ mask: FlowMask, port: PortIndex, fence: () -> Void) throws(TierRefusal) -> UInt16 {
    let known = numbers[mask]
    // As nearly always. In place, because a list that is taken out and put back is copied.
    if let known, lists[port]?.uses[known] != nil {
      lists[port]?.uses[known]? += 1
      uses[Int(known)] += 1
      return known
    }
    var list = lists[port] ?? List()
    let number: UInt16
    if let known { number = known } else {
      guard Self.hasPlace(list) else { throw Self.full(port) }
      number = try add(mask, fence: fence)
      // Taking numbers back may have changed this list, and the number may be one that it had.
      list = lists[port] ?? List()
    }
    if !list.entries.contains(number) {
      if let vacant = Self.vacancy(list) {
        list.entries[vacant] = number
        write(list.entries, at: vacant, port: port)
      } else {
        guard list.entries.count < Self.listLimit else { throw Self.full(port) }
        list.entries.append(number)
        write(list.entries, at: list.entries.count - 1, port: port)
        writeCount(list.entries.count, port: port)
      }
    }
    list.uses[number] = 1
    lists[port] = list
    uses[Int(number)] += 1
    return number
  }

  /// One use less. The mask keeps its number until that is wanted for another.
  mutating func unuse(_ number: UInt16, port: PortIndex) {
    uses[Int(number)] -= 1
    if let count = lists[port]?.uses[number], count > 1 {
      lists[port]?.uses[number] = count - 1
      return
    }
    guard var list = lists[port] else { return }
    list.uses[number] = nil
    let before = list.entries.count
    while let last = list.entries.last, list.uses[last, default: 0] == 0 || list.entries.dropLast().contains(last) {
      list.entries.removeLast()
    }
    if list.entries.count < before { writeCount(list.entries.count, port: port) }
    lists[port] = list.entries.isEmpty ? nil : list
  }

  /// Notes packets that a mask of a port has answered.
  mutating func hit(_ number: UInt16, port: PortIndex, packets: UInt64) {
    if packets > 0 { lists[port]?.hits[number, default: 0] &+= packets }
  }

  // MARK: Ranking

  /// Brings the masks that most packets met to the front of each list where it pays: where a mask met twice as many as one in front of it.
  /// - Parameter fence: waits for the programs that are under way; called twice when a list changes, and not at all else.
  mutating func rank(fence: () -> Void) {
    var plans: [(port: PortIndex, old: [UInt16], new: [UInt16])] = []
    for (port, list) in lists {
      if let plan = Self.plan(list) { plans.append((port, list.entries, plan)) }
      lists[port]?.hits = [:]
    }
    guard !plans.isEmpty else { return }
    // Those that move to the front, a second time at the end.
    for plan in plans {
      let old = plan.old
      let moving = plan.new.enumerated().filter { place, mask in old.firstIndex(of: mask).map { $0 > place } ?? false }.map(\.element)
      for (i, mask) in moving.enumerated() { write([mask], at: 0, to: old.count + i, port: plan.port) }
      writeCount(old.count + moving.count, port: plan.port)
    }
    fence()
    for plan in plans {
      // From the end on, so that a mask is behind before it is gone in front.
      for place in plan.new.indices.reversed() { write(plan.new, at: place, port: plan.port) }
      lists[plan.port]?.entries = plan.new
    }
    fence()
    for plan in plans { writeCount(plan.new.count, port: plan.port) }
  }

  /// The order that a list should have; nil when it is good enough.
  private static func plan(_ list: List) -> [UInt16]? {
    func hits(_ mask: UInt16) -> UInt64 { list.uses[mask, default: 0] == 0 ? 0 : list.hits[mask, default: 0] }
    let room = Int(SLUICE_PORT_MASKS) - list.entries.count
    var new = list.entries
    var moved = 0
    // Insertion from the front: the busiest mask that is out of its place moves, as long as there is room for its copy.
    for place in new.indices where moved < room {
      guard let best = new[place...].max(by: { hits($0) < hits($1) }), hits(best) > 2 * hits(new[place]), hits(best) > 16,
        let from = new[place...].firstIndex(of: best)
      else { continue }
      new.remove(at: from)
      new.insert(best, at: place)
      moved += 1
    }
    // A mask that ends further in front needs a copy, also one that was only pushed; there are none of those, as moves go to the front.
    return new == list.entries ? nil : new
  }

  // MARK: Numbers

  private static func hasPlace(_ list: List) -> Bool {
    list.entries.count < listLimit || vacancy(list) != nil
  }

  /// The first place that another mask may take: its mask has no flows of the port, or stands further in front, too, where it stays.
  private static func vacancy(_ list: List) -> Int? {
    list.entries.indices.first { place in
      let number = list.entries[place]
      return list.uses[number, default: 0] == 0 || list.entries[..<place].contains(number)
    }
  }

  private static func full(_ port: PortIndex) -> TierRefusal {
    .temporary("masks", "packets of this port are looked up with \(listLimit) masks in the kernel already, which is all that it takes")
  }

  private mutating func add(_ mask: FlowMask, fence: () -> Void) throws(TierRefusal) -> UInt16 {
    if let place = masks.indices.dropFirst().first(where: { masks[$0] == nil }) { return put(mask, place) }
    // Without a mask to take back, waiting for the programs would be for nothing.
    guard let place = masks.indices.dropFirst().first(where: { uses[$0] == 0 }) else {
      throw .temporary("masks", "the kernel tier has \(masks.count - 1) different masks, which is all it can hold")
    }
    takeBack(fence: fence)
    return put(mask, place)
  }

  private mutating func put(_ mask: FlowMask, _ place: Int) -> UInt16 {
    var entry = sluice_mask()
    entry.line0 = sluice_line(mask.bits.line0)
    entry.line1 = sluice_line(mask.bits.line1)
    entry.words = mask.bits.line0.kernelWords
    entry.words1 = mask.bits.line1.kernelWords1
    entry.lines = UInt32(mask.packetLines)
    maps.masks.base[place] = entry
    masks[place] = mask
    numbers[mask] = UInt16(place)
    return UInt16(place)
  }

  /// Frees the numbers of masks that no flow uses.
  private mutating func takeBack(fence: () -> Void) {
    for (port, list) in lists {
      var list = list
      // A list is gone with its last use, so one of its masks is in use: that one stands in for those that are not.
      guard let stay = list.entries.first(where: { list.uses[$0, default: 0] > 0 }) else { continue }
      for place in list.entries.indices where list.uses[list.entries[place], default: 0] == 0 {
        list.entries[place] = stay
        write(list.entries, at: place, port: port)
      }
      // What stands twice is once too many, but harmless: its place is free for another mask, and at the end it goes.
      while list.entries.count > 1, let last = list.entries.last, list.entries.dropLast().contains(last) { list.entries.removeLast() }
      writeCount(list.entries.count, port: port)
      lists[port] = list
    }
    fence()
    for place in masks.indices.dropFirst() where uses[place] == 0 {
      if let mask = masks[place] { numbers[mask] = nil }
      masks[place] = nil
    }
  }

  // MARK: What an agent before this one left

  /// Whether there is a mask of that number.
  func isSound(_ number: UInt16) -> Bool {
    guard number > 0, Int(number) < masks.count else { return false }
    let lines = maps.masks.base[Int(number)].lines
    return lines == 1 || lines == 3
  }

  /// Counts the uses of flows that are there already, and makes sure that their ports' lists have their masks.
  /// - Returns: those flows for whose masks there is no place.
  mutating func takeIn(_ flows: [(slot: UInt32, mask: UInt16, port: PortIndex)]) -> [UInt32] {
    for port in 0..<Int(SLUICE_PORTS) {
      let entry = maps.ports.base[port]
      guard entry.mask_count > 0 else { continue }
      let all = withUnsafeBytes(of: entry.masks) { $0.prefix(Int(entry.mask_count)).map(UInt16.init) }
      lists[PortIndex(port)] = List(entries: Array(all.prefix(Self.listLimit)))
    }
    var homeless: [UInt32] = []
    for flow in flows {
      let number = Int(flow.mask)
      if masks[number] == nil {
        let entry = maps.masks.base[number]
        var mask = FlowMask()
        mask.bits.line0 = FlowLine(entry.line0)
        mask.bits.line1 = FlowLine(entry.line1)
        masks[number] = mask
        numbers[mask] = flow.mask
      }
      var list = lists[flow.port] ?? List()
      if !list.entries.contains(flow.mask) {
        guard list.entries.count < Self.listLimit else {
          homeless.append(flow.slot)
          continue
        }
        list.entries.append(flow.mask)
      }
      list.uses[flow.mask, default: 0] += 1
      uses[number] += 1
      lists[flow.port] = list
    }
    for (port, list) in lists {
      for place in list.entries.indices { write(list.entries, at: place, port: port) }
      writeCount(list.entries.count, port: port)
      // A list without any use is of a port that has no flows any more.
      if list.uses.isEmpty {
        writeCount(0, port: port)
        lists[port] = nil
      }
    }
    return homeless
  }

  // MARK: Writing

  private func write(_ entries: [UInt16], at place: Int, port: PortIndex) { write(entries, at: place, to: place, port: port) }

  private func write(_ entries: [UInt16], at place: Int, to target: Int, port: PortIndex) {
    guard target < Int(SLUICE_PORT_MASKS) else { return }
    sluice_fence()
    withUnsafeMutableBytes(of: &maps.ports.base[Int(port)].masks) { $0[target] = UInt8(entries[place]) }
    sluice_fence()
  }

  private func writeCount(_ count: Int, port: PortIndex) {
    sluice_fence()
    maps.ports.base[Int(port)].mask_count = UInt8(count)
    sluice_fence()
  }
}
