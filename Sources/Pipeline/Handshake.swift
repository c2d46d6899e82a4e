// Handshake.swift
//
// What: the first packet of a TCP connection (SYN). Whoever opens a connection will be answered, so the flow of the answers is made together with that
//       of the packet, and a new connection costs one way up instead of two.
// Why both are executed by the tier at once: a tier has a new flow wait until the packets that went up before have been sent. Behind a SYN there are
//       none before it has been delivered, and of what answers it none at all, if the flow is told apart by the client's port: what else could be under
//       way is of another connection from that very port which had no flow for being idle, and TCP puts its packets in order.
// Invariants: a flow made in advance is what its first packet would have got: nothing of an answer is guessed that its translation looks at. Who opens
//             many connections fills no other port's share of the places: that port gets a quarter of them at most in advance, and none of the last half.
// Threads: the pipeline thread only.
// Cost: a translation and an offer more for each connection that is opened; nothing for other packets, or while misses pile up.
// Source: RFC 9293, sections 3.1 and 3.5.

import Dataplane

struct Handshake {
  private let key: FlowKey
  let isIPv6: Bool

  private static let protocolTCP: UInt128 = 6
  private static let (fin, syn, rst, ack): (UInt128, UInt128, UInt128, UInt128) = (1, 2, 4, 16)

  /// nil when a packet is not the first of a connection.
  init?(_ key: FlowKey, isIPv6: Bool) {
    guard key[.ipProto] == Self.protocolTCP, key[.ethType] == UInt128(isIPv6 ? EtherType.ipv6 : EtherType.ipv4),
      key[.tcpFlags] & (Self.fin | Self.syn | Self.rst | Self.ack) == Self.syn, key[.ipFrag] == 0, key[.recircID] == 0
    else { return nil }
    self.key = key
    self.isIPv6 = isIPv6
  }

  /// True when each flow of a mask is of TCP connections with one port of the client only, which is in `port`: the source of what the client sends,
  /// the destination of the answers.
  static func isToldApart(_ mask: FlowMask, by port: FlowField) -> Bool {
    mask.bits[.ipProto] == FlowField.ipProto.allOnes && mask.bits[port] == port.allOnes
  }

  /// The key of an answer that comes in by a port, but for what only the one who answers knows.
  func answer(inPort: UInt32) -> FlowKey {
    var answer = key
    answer[.inPort] = UInt128(inPort)
    let swapped: [(FlowField, FlowField)] = [
      (.ethSrc, .ethDst), (.tcpSrc, .tcpDst), isIPv6 ? (.ipv6Src, .ipv6Dst) : (.ipv4Src, .ipv4Dst),
    ]
    for (source, destination) in swapped { (answer[source], answer[destination]) = (key[destination], key[source]) }
    answer[.tcpFlags] = Self.syn | Self.ack
    return answer
  }

  /// True when a mask looks at nothing that only the one who answers knows.
  func isForeseen(_ mask: FlowMask) -> Bool {
    let unknown: [FlowField] = isIPv6 ? [.ipTTL, .ipTOS, .tcpFlags, .ipv6Label] : [.ipTTL, .ipTOS, .tcpFlags]
    return unknown.allSatisfy { mask.bits[$0] == 0 }
  }
}

extension SwitchCore {
  /// Misses that may wait at a worker while flows are made in advance: under a flood there is better work to do.
  private static let answeredMisses: UInt64 = 32

  /// Makes the flow of what will answer a packet, if that can be foreseen, and offers it to the tier.
  /// - Parameter translation: what happens to the packet.
  func installAnswer(to opening: Handshake, _ translation: Translation) {
    guard translation.actions.count == 1, case .output(let out) = translation.actions[0], placements[Int(out)] == .eager,
      let record = record(at: out), let index = workerOfMisses(record), hasPlenty(index, out),
      workers[index].upcalls.producedCount - workers[index].upcalls.consumedCount < Self.answeredMisses
    else { return }
    let key = opening.answer(inPort: record.port.number)
    guard books[index].find(key, installedAfter: 0) == nil else { return }
    let answer = translate(key)
    guard Handshake.isToldApart(answer.mask, by: .tcpDst), opening.isForeseen(answer.mask), answer.recirculations.isEmpty, teachesNothing(answer) else { return }
    let plan = plans.plan(for: answer)
    if !install(key, answer, plan, port: out, isIPv6: opening.isIPv6, worker: index, isFirst: true) { plans.retireIfUnused(plan) }
  }

  /// True when there is room for a flow of a port that nobody has asked for yet.
  private func hasPlenty(_ worker: Int, _ port: PortIndex) -> Bool {
    guard let tier = tierBook?.tier else { return false }
    let book = books[worker]
    return book.count < book.capacity / 2 && tier.count < tier.capacity / 2
      && Int(book.countByPort[Int(port)]) < min(book.capacity, tier.capacity) / 4
  }

  /// True when what a packet would teach is known already.
  private func teachesNothing(_ translation: Translation) -> Bool {
    translation.learns.map { macs.port(of: $0.station) == $0.port } ?? true
  }

  /// The worker to which the misses of a port come; nil when there are several.
  private func workerOfMisses(_ record: PortRecord) -> Int? {
    let receiving = record.queues.filter(\.queue.receives)
    guard let first = receiving.first else { return upcallQueue?.worker }
    return receiving.allSatisfy { $0.worker == first.worker } ? first.worker : nil
  }
}
