// Shrinking.swift
//
// What: makes a difference small: fewer frames, fewer rules, fewer actions, fewer fields, as long as it is still there.
// Invariant: what it returns differs by itself when its frames are judged one by one in an empty switch, or says that it does not.
// Threads: the caller's.
// Cost: a load of the switch for each attempt; some hundreds.

import TestSupport

struct Shrinking {
  /// What differs for a frame, which is sent now; nil when nothing does.
  typealias Judge = (_ frame: [UInt8], _ inPort: UInt32, _ number: UInt32, _ model: ReferenceSwitch) throws -> String?

  let real: RealSwitch
  let seed: UInt64
  private let judge: Judge
  private var model: ReferenceSwitch
  private var frames: [(bytes: [UInt8], inPort: UInt32)] = []

  init(real: RealSwitch, world: World, judge: Judge? = nil) {
    self.real = real
    self.judge = judge ?? { try Self.difference(real, $0, $1, $2, $3) }
    seed = world.seed
    model = world.model
  }

  /// The smallest difference found, from frames of which the last one was treated wrongly.
  func shrink(_ frames: [(bytes: [UInt8], inPort: UInt32)]) throws -> Difference {
    var copy = self
    return try copy.run(frames)
  }

  private mutating func run(_ all: [(bytes: [UInt8], inPort: UInt32)]) throws -> Difference {
    guard let last = all.last else { return Difference(seed: seed, what: "nothing was sent", model: model, frames: []) }
    frames = [last]
    if try difference(model) == nil { frames = [last, last] }
    if try difference(model) == nil {
      // Another packet made the flow that this one met.
      for other in all.dropLast() {
        frames = [other, last]
        if try difference(model) != nil { break }
      }
    }
    if try difference(model) == nil { frames = all }
    guard var found = try difference(model) else {
      return Difference(seed: seed, what: "a frame was not treated as the reference says", model: model, frames: [last])
    }
    var isSmaller = true
    while isSmaller {
      isSmaller = false
      for candidate in Self.smaller(model) {
        guard let what = try difference(candidate) else { continue }
        (model, found, isSmaller) = (candidate, what, true)
        break
      }
    }
    return Difference(seed: seed, what: found, model: model, frames: frames, isShrunk: true)
  }

  /// What differs when the frames are sent one by one; nil when nothing does.
  private func difference(_ candidate: ReferenceSwitch) throws -> String? {
    var model = candidate
    // A candidate may lack what others of its things refer to: then it is none.
    guard (try? real.load(model))?.isEmpty == true else { return nil }
    try real.purge()
    model.forgetStations()
    try real.forgetStations()
    for frame in frames {
      let number = real.number()
      let bytes = ReferenceNumber.numbered(frame.bytes, number)
      if let what = try judge(bytes, frame.inPort, number, model) { return what }
      guard model.learns else { continue }
      let answers = model.answers(bytes, inPort: frame.inPort)
      // From here on nobody knows what has been learned.
      if answers.contains(where: { $0.undefined != nil || $0.expired }) { return nil }
      model.learn(answers[0], inPort: frame.inPort)
    }
    return nil
  }

  /// What differs between what the switch sends and what the reference says.
  private static func difference(
    _ real: RealSwitch, _ bytes: [UInt8], _ inPort: UInt32, _ number: UInt32, _ model: ReferenceSwitch
  ) throws -> String? {
    let drops = try real.drops()
    let outcome = try real.exchange([(bytes, inPort)], first: number)[0]
    let answers = model.answers(bytes, inPort: inPort)
    guard answers.allSatisfy({ $0.undefined == nil }), !answers.contains(where: { $0.departures == outcome }) else { return nil }
    let now = try real.drops()
    let reasons = now.filter { $0.value != drops[$0.key] ?? 0 }.map(\.key.name).sorted()
    return text("the switch", bytes, inPort, is: outcome, wants: answers, reasons: reasons)
  }

  /// A difference, for people.
  static func text(
    _ who: String, _ bytes: [UInt8], _ inPort: UInt32, is outcome: [Departure], wants answers: [ReferenceAnswer], reasons: [String] = []
  ) -> String {
    func text(_ departures: [Departure]) -> String {
      departures.isEmpty ? "nothing" : departures.map { "\($0.port): \(hexadecimal($0.bytes))" }.joined(separator: "\n      ")
    }
    return "\(who) and the reference differ"
      + "\n  in  \(inPort): \(hexadecimal(bytes))\n  is    \(text(outcome))\(reasons.isEmpty ? "" : " (dropped: \(reasons.joined(separator: ", ")))")"
      + "\n  wants \(text(answers[0].departures))" + (answers.count > 1 ? " or \(answers.count - 1) others" : "")
  }

  /// All ways to leave one thing out, the largest first.
  private static func smaller(_ model: ReferenceSwitch) -> [ReferenceSwitch] {
    var all: [ReferenceSwitch] = []
    func with(_ change: (inout ReferenceSwitch) -> Void) {
      var copy = model
      change(&copy)
      all.append(copy)
    }
    let half = model.rules.count / 2
    if half > 1 {
      with { $0.rules.removeFirst(half) }
      with { $0.rules.removeLast(half) }
    }
    for i in model.rules.indices { with { $0.rules.remove(at: i) } }
    for i in model.groups.indices { with { $0.groups.remove(at: i) } }
    for (g, group) in model.groups.enumerated() {
      for b in group.buckets.indices where group.buckets.count > 1 { with { $0.groups[g].buckets.remove(at: b) } }
      for (b, bucket) in group.buckets.enumerated() {
        for a in bucket.actions.indices { with { $0.groups[g].buckets[b].actions.remove(at: a) } }
      }
    }
    for (r, rule) in model.rules.enumerated() {
      for a in rule.apply.indices { with { $0.rules[r].apply.remove(at: a) } }
      for a in rule.write.indices { with { $0.rules[r].write.remove(at: a) } }
      for f in rule.match.indices { with { $0.rules[r].match.remove(at: f) } }
      if rule.meter != nil { with { $0.rules[r].meter = nil } }
      if rule.clears { with { $0.rules[r].clears = false } }
      if rule.metadata != nil { with { $0.rules[r].metadata = nil } }
      if rule.goto != nil { with { $0.rules[r].goto = nil } }
    }
    return all
  }
}
