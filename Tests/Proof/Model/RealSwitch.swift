// RealSwitch.swift
//
// What: the switch under proof: a real Switch with one worker or two on lockstep ports, which is given its rules and groups as text.
// Invariants: a rule's cookie is its position in the reference's list, so counters are found again.
// Threads: one thread of the caller's.

import Dataplane
import Pipeline
import TestSupport

public final class RealSwitch {
  public let sluice: Switch
  private let ports: LockstepPorts
  private let portNumbers: [UInt32]
  private var nextNumber: UInt32 = 1

  /// Longest frame that leaves by a port.
  public static let maxFrame = 1700

  /// What came of each frame of an exchange, in the order of the frames.
  public typealias Departures = [[Departure]]

  /// - Parameters:
  ///   - workers: 1 or 2; with 2, some ports belong to one of them only.
  ///   - placement: which flows are offered to a tier in front of the workers. A port's index is its number.
  public init(ports model: [ReferencePort], workers: Int = 1, placement: FlowPlacement = .off) throws {
    var worker = WorkerConfiguration(
      chunkSize: 2048, chunkCount: 16384, flowLimit: 20_000, exactEntries: 4096, upcallBudget: 1024)
    // Each thread waits for another one nearly always, so it had better sleep.
    worker.spinRounds = 10
    let configuration = SwitchConfiguration(workers: .init(repeating: worker, count: workers), flowIdleSeconds: 600)
    sluice = try Switch(configuration: configuration)
    let ports = LockstepPorts(count: model.count, workers: workers)
    self.ports = ports
    portNumbers = model.map(\.number)
    for port in model {
      let queues = ports.workers(of: port.number).map {
        WorkerQueue(worker: $0, queue: LockstepQueue(ports, number: port.number, worker: $0))
      }
      try sluice.performAndWait { core in
        _ = try core.addPort(
          name: "p\(port.number)", number: port.number, index: PortIndex(port.number), queues: queues, maxFrame: UInt32(Self.maxFrame),
          isUp: port.isUp, noFlood: port.noFlood, placement: placement)
      }
    }
  }

  public func stop() { sluice.stop() }

  /// Puts rules and groups in the place of those that are there. Returns the error that each refused one met.
  public func load(_ model: ReferenceSwitch) throws -> [Refusal] {
    var refusals: [Refusal] = []
    var requests: [RuleChangeRequest] = []
    // A rate that no proof reaches: the meter lets everything pass.
    requests.append(.addMeter(try MeterSpec(text: "meter=1 pktps bands=type=drop rate=4000000000")))
    // Groups are named by groups with lower numbers only.
    for (position, group) in model.groups.enumerated().sorted(by: { $0.element.id > $1.element.id }) {
      do { requests.append(.addGroup(try Group(text: group.text))) } catch {
        refusals.append(Refusal(what: .group(position), reason: "\(error)"))
      }
    }
    for (position, rule) in model.rules.enumerated() {
      do { requests.append(.add(try Rule(text: rule.text(cookie: position)))) } catch {
        refusals.append(Refusal(what: .rule(position), reason: "\(error)"))
      }
    }
    let all = requests
    try sluice.performAndWait { core in
      // Apart from what follows, so that no rule inherits the counters of one that went.
      _ = try core.apply([.delete(.all), .deleteGroup(nil), .deleteMeter(nil)])
      _ = try core.apply(all)
    }
    return refusals
  }

  /// Something that the switch does not take.
  public struct Refusal: Sendable {
    public enum What: Sendable { case rule(Int), group(Int) }
    public var what: What
    public var reason: String
  }

  /// A number for the next frame.
  public func number() -> UInt32 {
    defer { nextNumber += 1 }
    return nextNumber
  }

  /// Sends frames through the switch, and returns what left. Throws `SwitchStuck` when they do not all come to an end.
  @discardableResult
  public func send(_ frames: [(bytes: [UInt8], inPort: UInt32)]) throws -> [Departure] {
    guard let sent = ports.exchange(frames) else { throw SwitchStuck() }
    return sent
  }

  /// Sends frames through the switch, of which each is known again by its number. Throws `SwitchStuck` when they do not all come to an end, `StrayFrame` when
  /// something leaves that has none of their numbers.
  /// - Parameter first: the number of the first frame; the others follow it.
  public func exchange(_ frames: [(bytes: [UInt8], inPort: UInt32)], first: UInt32) throws -> Departures {
    let sent = try send(frames)
    // Whatever leaves then is of this frame.
    if frames.count == 1 { return [sent.sorted()] }
    var departures = Departures(repeating: [], count: frames.count)
    for departure in sent {
      let place = ReferenceNumber.distance(departure.bytes, from: first)
      guard departures.indices.contains(place) else { throw StrayFrame(departure: departure) }
      departures[place].append(departure)
    }
    for i in departures.indices { departures[i].sort() }
    return departures
  }

  /// What rules, groups and buckets have counted.
  public func counts() throws -> [ReferenceCounter: UInt64] {
    try sluice.performAndWait { core in
      var counts: [ReferenceCounter: UInt64] = [:]
      for rule in core.ruleList() { counts[.rule(Int(rule.rule.cookie)), default: 0] += rule.packets }
      for group in core.groupList() {
        counts[.group(group.group.id)] = group.packets
        for (position, bucket) in group.buckets.enumerated() { counts[.bucket(group.group.id, position)] = bucket.packets }
      }
      return counts
    }
  }

  /// The classes of packets of the cached flows.
  public func flows() throws -> [FlowMatch] { try sluice.performAndWait { core in core.flows().map(\.match) } }

  /// Forgets the cached flows.
  public func purge() throws { _ = try sluice.performAndWait { core in core.purgeFlows() } }

  /// Forgets what `normal` has learned.
  public func forgetStations() throws { _ = try sluice.performAndWait { core in core.flushStations() } }

  /// Says whether a port can be sent to.
  public func setPort(_ number: UInt32, isUp: Bool) throws { try sluice.performAndWait { core in try core.setPort(number, isUp: isUp) } }

  /// Frames dropped so far, by reason.
  public func drops() throws -> [DropReason: UInt64] {
    let numbers = portNumbers
    return try sluice.performAndWait { core in
      var drops: [DropReason: UInt64] = [:]
      for number in numbers { drops.merge(core.counters(of: number).drops, uniquingKeysWith: +) }
      return drops
    }
  }

  /// Look-ups that no cached flow answered.
  ///
  /// Cost: some 20 us.
  public var misses: UInt64 { sluice.workers.reduce(0) { $0 + $1.snapshot().misses } }
}

/// Frames went in and never came to an end.
public struct SwitchStuck: Error, CustomStringConvertible {
  public var description: String { "after a minute some frames have neither left nor been dropped" }
}

/// A frame left that nobody sent now.
public struct StrayFrame: Error, CustomStringConvertible {
  public let departure: Departure
  public var description: String { "a frame left by port \(departure.port) that none of this exchange's was: \(hexadecimal(departure.bytes))" }
}

/// Bytes in hexadecimal.
public func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
