// TierBook.swift
//
// What: what the pipeline thread knows of the tier in front of the workers: which flows it holds, what of their counts has been added to
//       the rules, what it has been asked to let go of, and why it refused what it refused.
// Invariants: a flow that the tier holds is live in its worker's book, or on its way out and waits for the fence. A stay in the tier begins with `hold`, ends with
//             `withdraw`, and is settled by the fence: only then are its counts final, credited and kept as the flow's past. Only flows that
//             stay take a place here.
// Threads: confined to the pipeline thread.
// Cost: see StayTable for held flows; a refused one costs a byte of its record.

import Dataplane

/// What a flow's record says of the tier: nothing, held, idle there, or the place of the reason for which it was refused.
struct PlacementMark: RawRepresentable, Equatable, BitwiseCopyable {
  var rawValue: UInt8

  static let none = PlacementMark(rawValue: 0)
  /// The tier holds it, or has been asked to let go of it and not been fenced since.
  static let held = PlacementMark(rawValue: 1)

  /// It was withdrawn because it was idle while others found no room.
  static let idle = PlacementMark(rawValue: 2)

  init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Refused for the reason in this place.
  init(refusal place: Int) { rawValue = UInt8(truncatingIfNeeded: place + 3) }

  var refusalPlace: Int? { rawValue >= 3 ? Int(rawValue) - 3 : nil }
}

/// A flow's stay in the tier.
struct TierStay {
  var handle: TierHandle
  /// Withdrawn, and not fenced since.
  var isLeaving = false
  /// It was withdrawn for being idle.
  var wasIdle = false
  /// What of its counts has been added to the rules.
  var credited: FlowCounts = (0, 0)
  /// The monotonic clock's time of the last packet that was seen in the counts, or of the beginning of the stay.
  var usedNanoseconds: UInt64
}

final class TierBook {
  let tier: any FlowTier
  private(set) var stays = StayTable()
  /// Stays of flows that come in by a port.
  private var countByPort = [Int32](repeating: 0, count: WorkerCounters.portCapacity)
  /// Flows that have been withdrawn and not been fenced since.
  private(set) var unfenced: [FlowHandle] = []
  /// Withdrawals ever, and those of them that a fence has followed.
  private(set) var withdrawalCount: UInt64 = 0
  private(set) var fencedCount: UInt64 = 0
  private(set) var fencedNanoseconds: UInt64 = 0
  var refusals = RefusalMemory()
  /// Rounds of the clock hand.
  var round: UInt64 = 0
  /// The last round in which something was refused for want of room.
  private(set) var crowdedRound: UInt64?
  /// Offers that the tier took.
  private(set) var placedCount: UInt64 = 0
  /// Flows have been taken that wait for their workers, which may be asleep.
  var hasNews = false

  /// Rounds of the clock hand, half a second each, after which what was refused for the time being is offered again.
  static let patience: UInt64 = 8

  /// Refusals that idle flows are to make room for.
  private static let crowdingCauses: Set<String> = ["table-full", "bucket-full", "masks", "programs", "port-share"]

  init(tier: any FlowTier) { self.tier = tier }

  /// Somebody found no room lately.
  var isCrowded: Bool { crowdedRound.map { round - $0 <= 2 * Self.patience } ?? false }

  /// True when a flow of a port may be offered: flooded ports leave room for the others, as FlowGovernor has it for workers.
  func admits(_ port: PortIndex) -> Bool {
    // Whether there is a place at all is the tier's to say.
    tier.count >= tier.capacity || FlowGovernor.admits(limit: tier.capacity, count: tier.count, ownCount: Int(countByPort[Int(port)]))
  }

  /// Begins a stay.
  /// - Parameter isFirst: see `TierFlow`.
  func hold(_ flow: FlowHandle, _ handle: TierHandle, port: PortIndex, isFirst: Bool = false, now: UInt64) {
    stays[flow] = TierStay(handle: handle, usedNanoseconds: now)
    countByPort[Int(port)] += 1
    placedCount += 1
    if !isFirst { hasNews = true }
  }

  /// Notes a refusal and returns what the flow's record has to say.
  func note(_ refusal: TierRefusal) -> PlacementMark {
    if Self.crowdingCauses.contains(refusal.cause) { crowdedRound = round }
    return refusals.note(refusal, retryRound: round + Self.patience)
  }

  /// Ends a flow's stay; packets of it come up from now on. Its counts are final after the fence.
  func withdraw(_ flow: FlowHandle, wasIdle: Bool) {
    guard var stay = stays[flow], !stay.isLeaving else { return }
    tier.withdraw(stay.handle)
    stay.isLeaving = true
    stay.wasIdle = wasIdle
    stays[flow] = stay
    unfenced.append(flow)
    withdrawalCount += 1
  }

  /// Waits until the tier executes nothing that has been withdrawn, and returns the flows whose stays are over.
  func fence(now: UInt64) -> [FlowHandle] {
    tier.fence()
    fencedCount = withdrawalCount
    fencedNanoseconds = now
    defer { unfenced = [] }
    return unfenced
  }

  /// Replaces what is known of a stay.
  func update(_ flow: FlowHandle, _ stay: TierStay) { stays[flow] = stay }

  /// Ends a stay after the fence: the tier may use its place again.
  func release(_ flow: FlowHandle, port: PortIndex) {
    guard let stay = stays[flow] else { return }
    stays[flow] = nil
    tier.release(stay.handle)
    countByPort[Int(port)] -= 1
  }
}

/// Why flows were refused, each reason once, so that a flow's record names it in a byte.
struct RefusalMemory {
  private struct Entry {
    var refusal: TierRefusal
    var users: UInt64
    /// The round of the clock hand from which the flows may be offered again.
    var retryRound: UInt64
  }

  private var entries: [Entry] = []
  private var placeOf: [TierRefusal: Int] = [:]
  private var free: [Int] = []
  /// Refusals ever, by cause.
  private(set) var countByCause: [String: UInt64] = [:]

  /// Reasons that are told apart; the first two places are for all others.
  private static let capacity = 253
  private static let others = (
    lasting: TierRefusal(
      cause: "refused", description: "refused, for a reason that is not kept: there are too many different ones at a time", isTemporary: false),
    temporary: TierRefusal(
      cause: "refused", description: "refused for now, for a reason that is not kept: there are too many different ones at a time",
      isTemporary: true)
  )

  init() {
    for refusal in [Self.others.lasting, Self.others.temporary] { _ = place(of: refusal) }
    // These never leave.
    for place in entries.indices { entries[place].users = 1 }
  }

  subscript(mark: PlacementMark) -> TierRefusal? { mark.refusalPlace.map { entries[$0].refusal } }

  /// True when a flow that was refused so may be offered again.
  func mayRetry(_ mark: PlacementMark, round: UInt64) -> Bool {
    guard let place = mark.refusalPlace else { return true }
    return entries[place].refusal.isTemporary && round >= entries[place].retryRound
  }

  /// Notes a refusal of a flow.
  mutating func note(_ refusal: TierRefusal, retryRound: UInt64) -> PlacementMark {
    countByCause[refusal.cause, default: 0] += 1
    let place = place(of: refusal) ?? (refusal.isTemporary ? 1 : 0)
    entries[place].users += 1
    // Whoever was refused so waits as long as the last one: one offer a time finds out whether there is room again.
    entries[place].retryRound = retryRound
    return PlacementMark(refusal: place)
  }

  /// Lets go of a flow's reason.
  mutating func release(_ mark: PlacementMark) {
    guard let place = mark.refusalPlace else { return }
    entries[place].users -= 1
    guard entries[place].users == 0 else { return }
    placeOf[entries[place].refusal] = nil
    free.append(place)
  }

  private mutating func place(of refusal: TierRefusal) -> Int? {
    if let place = placeOf[refusal] { return place }
    let place: Int
    if let freed = free.popLast() {
      place = freed
      entries[place] = Entry(refusal: refusal, users: 0, retryRound: 0)
    } else {
      guard entries.count < Self.capacity else { return nil }
      place = entries.count
      entries.append(Entry(refusal: refusal, users: 0, retryRound: 0))
    }
    placeOf[refusal] = place
    return place
  }
}
