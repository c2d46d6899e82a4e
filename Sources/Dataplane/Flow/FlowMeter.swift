// FlowMeter.swift
//
// What: measures the packets of the flows that share it and says which of them exceed a rate. Each band is a GCRA (the virtual scheduling
//       algorithm of ITU-T I.371, a leaky bucket): one word holds the time at which the next packet would arrive if all kept the rate.
// Invariants: a packet is charged to the bands from the highest rate downwards until one is exceeded; that one applies: the band with the highest
//             rate that the traffic is over (OpenFlow 1.3.5, section 5.7.1). A packet that a band refuses costs it nothing, so the rate that passes is
//             exact, and the burst only comes on top once.
// Threads: any number of workers; a compare-and-swap per band and packet, no lock. Identity is equality.
// Cost: a multiplication and an atomic per band, two additions to shared counters; the clock is read once per batch.

import CSluice

/// A rate limit shared by flows and workers.
///
/// @unchecked Sendable: what the pointers lead to is written by `init`, and later only through atomics.
public final class FlowMeter: @unchecked Sendable, Hashable {
  /// A rate and what happens to packets above it.
  public struct Band: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
      /// The packet goes no further.
      case drop
      /// The drop precedence of an assured forwarding DSCP (RFC 2597) is raised by this much, to 3 at most; other packets go on unchanged.
      case remarkDSCP(precedence: UInt8)
    }

    public var kind: Kind
    /// Kilobits (1,000 bits) per second, or packets per second.
    public var rate: UInt32
    /// Kilobits or packets that may come at once; 0 for a twentieth of a second's worth, and two packets at least. One packet always may.
    public var burst: UInt32

    public init(kind: Kind, rate: UInt32, burst: UInt32 = 0) {
      self.kind = kind
      self.rate = rate
      self.burst = burst
    }
  }

  /// What a meter has counted.
  public struct Counts: Equatable, Sendable {
    public struct Share: Equatable, Sendable {
      public var packets: UInt64 = 0
      /// Frame bytes, from the Ethernet header on.
      public var bytes: UInt64 = 0
    }
    /// All packets that came to the meter.
    public var total = Share()
    /// Packets to which a band was applied, in the order in which the bands were given.
    public var bands: [Share] = []
  }

  /// Rates are in packets per second instead of kilobits.
  public let perPacket: Bool
  public let bands: [Band]
  /// What workers use.
  let plan: UnsafeMutablePointer<MeterPlan>
  private let steps: UnsafeMutablePointer<MeterStep>
  private let words: UnsafeMutablePointer<UInt64>

  /// - Parameters:
  ///   - perPacket: rates are in packets per second, not kilobits.
  ///   - previous: the meter that this one takes the place of: its counts go on, those of bands if there are as many.
  public init(perPacket: Bool, bands: [Band], previous: FlowMeter? = nil) {
    self.perPacket = perPacket
    self.bands = bands
    // A cache line for the totals, then one per band.
    let lines = bands.count + 1
    words = UnsafeMutableRawPointer.allocate(byteCount: lines * 64, alignment: 64)
      .initializeMemory(as: UInt64.self, repeating: 0, count: lines * 8)
    steps = .allocate(capacity: max(bands.count, 1))
    let falling = bands.indices.sorted { (bands[$0].rate, $1) > (bands[$1].rate, $0) }
    for (place, index) in falling.enumerated() {
      (steps + place).initialize(to: MeterStep(bands[index], perPacket: perPacket, words: words + (index + 1) * 8))
    }
    plan = .allocate(capacity: 1)
    plan.initialize(to: MeterPlan(words: words, steps: steps, count: bands.count, perPacket: perPacket))
    if let previous { takeOver(previous.counts) }
  }

  deinit {
    plan.deallocate()
    steps.deallocate()
    words.deallocate()
  }

  private func takeOver(_ counts: Counts) {
    words[0] = counts.total.packets
    words[1] = counts.total.bytes
    guard counts.bands.count == bands.count else { return }
    for (index, share) in counts.bands.enumerated() {
      words[(index + 1) * 8 + 1] = share.packets
      words[(index + 1) * 8 + 2] = share.bytes
    }
  }

  /// The counts now. Any thread.
  public var counts: Counts {
    func share(_ place: Int) -> Counts.Share {
      Counts.Share(packets: sluice_load_relaxed_u64(words + place), bytes: sluice_load_relaxed_u64(words + place + 1))
    }
    return Counts(total: share(0), bands: bands.indices.map { share(($0 + 1) * 8 + 1) })
  }

  /// Measures one packet, as a worker does.
  /// - Parameter now: nanoseconds of a clock that does not go back.
  /// - Returns: the band that applies, nil when the packet keeps all rates.
  public func measure(bytes: Int, now: UInt64) -> Band.Kind? {
    switch plan.pointee.measure(bytes: bytes, now: now) {
    case MeterPlan.passes: nil
    case MeterPlan.drops: .drop
    case let precedence: .remarkDSCP(precedence: UInt8(precedence))
    }
  }

  public static func == (a: FlowMeter, b: FlowMeter) -> Bool { a === b }

  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A meter as workers use it.
struct MeterPlan: BitwiseCopyable {
  /// Packets, bytes.
  let words: UnsafeMutablePointer<UInt64>
  /// By falling rate.
  let steps: UnsafeMutablePointer<MeterStep>
  let count: Int
  let perPacket: Bool

  static let passes = -1
  static let drops = -2

  /// Measures a packet; returns `passes`, `drops` or the number by which to raise its drop precedence.
  func measure(bytes: Int, now: UInt64) -> Int {
    sluice_add_shared_u64(words, 1)
    sluice_add_shared_u64(words + 1, UInt64(bytes))
    let units = perPacket ? 1 : UInt64(bytes)
    for i in 0..<count where !steps[i].take(units, now: now &<< MeterStep.tickShift) {
      let step = steps + i
      sluice_add_shared_u64(step.pointee.words + 1, 1)
      sluice_add_shared_u64(step.pointee.words + 2, UInt64(bytes))
      return step.pointee.answer
    }
    return Self.passes
  }
}

/// One band as workers use it. Times are in ticks of 1/64 nanosecond: fine enough for 400 Gbit/s, and 64 bits of them last nine years.
struct MeterStep: BitwiseCopyable {
  /// The next packet's theoretical arrival, packets, bytes.
  let words: UnsafeMutablePointer<UInt64>
  /// What a unit (packet or byte) takes at this rate, in 2^-30 nanoseconds.
  let unitCost: UInt64
  /// How far the theoretical arrival may be ahead of now, in ticks.
  let limit: UInt64
  /// Packets that may always come at once: 2 where the burst is ours to choose, so that a rate of a few packets is kept whatever the
  /// distances at which they come.
  let leastPackets: UInt64
  let answer: Int
  /// A rate of 0: everything exceeds it.
  let isShut: Bool

  static let tickShift: UInt64 = 6
  private static let costShift: UInt64 = 30 - tickShift
  private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

  init(_ band: FlowMeter.Band, perPacket: Bool, words: UnsafeMutablePointer<UInt64>) {
    self.words = words
    let rate = UInt64(max(band.rate, 1))
    // A byte is 8 bits of 1,000 times `rate` bits per second.
    let nanosecondsTimesRate = perPacket ? Self.nanosecondsPerSecond : 8 * Self.nanosecondsPerSecond / 1000
    unitCost = (nanosecondsTimesRate << 30) / rate
    // Burst and rate are in the same unit, so their quotient is in seconds.
    let second = UInt128(Self.nanosecondsPerSecond << Self.tickShift)
    let wanted = band.burst == 0 ? second / 20 : UInt128(band.burst) * second / UInt128(rate)
    limit = UInt64(min(wanted, 1 << 61))
    leastPackets = band.burst == 0 ? 2 : 1
    isShut = band.rate == 0
    switch band.kind {
    case .drop: answer = MeterPlan.drops
    case .remarkDSCP(let precedence): answer = Int(precedence)
    }
  }

  /// Charges a packet to the band; false, and nothing charged, when it exceeds the rate.
  func take(_ units: UInt64, now: UInt64) -> Bool {
    guard !isShut else { return false }
    let product = units.multipliedFullWidth(by: unitCost)
    let half: UInt64 = 1 << (Self.costShift - 1)
    let cost = (UInt128(product.high) << 64 | UInt128(product.low)) &+ UInt128(half)
    let ticks = UInt64(truncatingIfNeeded: cost >> UInt128(Self.costShift))
    let limit = max(limit, ticks &* leastPackets)
    var arrival = sluice_load_relaxed_u64(words)
    while true {
      let ahead = Int64(bitPattern: arrival &- now)
      // In the past, or so far ahead that it must be years old: the bucket is full.
      let isFull = ahead <= 0 || ahead > 1 << 62
      guard isFull || UInt64(ahead) &+ ticks <= limit else { return false }
      if sluice_exchange_if_u64(words, &arrival, (isFull ? now : arrival) &+ ticks) { return true }
    }
  }
}
