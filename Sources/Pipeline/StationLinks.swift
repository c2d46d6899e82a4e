// StationLinks.swift
//
// What: which flows have to be looked at when a station moves or is forgotten: a list of flows per station, and of stations per flow,
//       threaded through one pool of links.
// Invariants: a link is in exactly one station's list and one flow's; a station is here as long as its list is not empty.
// Threads: confined to the pipeline thread.
// Cost: 20 bytes a link, of which a flow of `normal` has one or two; linking is a dictionary probe and a few stores.

import CSluice
import Dataplane

final class StationLinks {
  private struct Link: BitwiseCopyable {
    var flow: FlowHandle
    var station: UInt32
    /// Other flows of the station.
    var next: UInt32
    var previous: UInt32
    /// The next link of the flow; the highest bit says that the flow's packets teach where the station is.
    var nextOfFlow: UInt32
  }

  private struct Node {
    var station: Station
    var first: UInt32
  }

  private static let teaches: UInt32 = 1 << 31
  private let links: UnsafeMutablePointer<Link>
  private let capacity: Int
  private let byteCount: Int
  private var end: UInt32 = 1
  private var firstFree: UInt32 = 0
  private var nodes: [Node] = []
  private var freeNodes: [UInt32] = []
  private var nodeOf: [Station: UInt32] = [:]
  /// Links in use.
  private(set) var count = 0

  /// - Parameter flows: flows that can be held, of all workers.
  init?(flows: Int) {
    capacity = flows * 2 + 64
    byteCount = (capacity + 1) * MemoryLayout<Link>.stride
    guard let memory = sluice_map_memory(byteCount, 0) else { return nil }
    links = memory.assumingMemoryBound(to: Link.self)
  }

  deinit { sluice_unmap_memory(links, byteCount) }

  /// Bytes that links in use have touched.
  var touchedBytes: Int { Int(end) * MemoryLayout<Link>.stride }

  /// True when a flow can be linked to so many stations.
  func hasRoom(_ stations: Int) -> Bool { count + stations <= capacity }

  /// Links a flow to stations and returns its first link, 0 for none. The caller has made sure that there is room.
  func link(_ flow: FlowHandle, to stations: [Station], taught source: Station?) -> UInt32 {
    var first: UInt32 = 0
    for station in stations.reversed() {
      let node = node(of: station)
      let link = takeLink()
      let head = nodes[Int(node)].first
      links[Int(link)] = Link(
        flow: flow, station: node, next: head, previous: 0, nextOfFlow: first | (station == source ? Self.teaches : 0))
      if head != 0 { links[Int(head)].previous = link }
      nodes[Int(node)].first = link
      first = link
    }
    return first
  }

  /// Takes a flow's links apart.
  func unlink(_ first: UInt32) {
    var at = first
    while at != 0 {
      let link = links[Int(at)]
      if link.previous != 0 { links[Int(link.previous)].next = link.next } else { nodes[Int(link.station)].first = link.next }
      if link.next != 0 { links[Int(link.next)].previous = link.previous }
      if nodes[Int(link.station)].first == 0 {
        nodeOf[nodes[Int(link.station)].station] = nil
        freeNodes.append(link.station)
      }
      links[Int(at)].next = firstFree
      firstFree = at
      count -= 1
      at = link.nextOfFlow & ~Self.teaches
    }
  }

  /// The flows that depend on a station.
  func flows(of station: Station) -> [FlowHandle] {
    guard let node = nodeOf[station] else { return [] }
    var flows: [FlowHandle] = []
    var at = nodes[Int(node)].first
    while at != 0 {
      flows.append(links[Int(at)].flow)
      at = links[Int(at)].next
    }
    return flows
  }

  /// The station whose place a flow's packets teach.
  func source(_ first: UInt32) -> Station? {
    var at = first
    while at != 0 {
      let link = links[Int(at)]
      if link.nextOfFlow & Self.teaches != 0 { return nodes[Int(link.station)].station }
      at = link.nextOfFlow
    }
    return nil
  }

  /// True when a flow is linked to exactly these stations, in this order.
  func isLinked(_ first: UInt32, to stations: [Station]) -> Bool {
    var at = first
    for station in stations {
      guard at != 0, nodes[Int(links[Int(at)].station)].station == station else { return false }
      at = links[Int(at)].nextOfFlow & ~Self.teaches
    }
    return at == 0
  }

  private func node(of station: Station) -> UInt32 {
    if let node = nodeOf[station] { return node }
    let node: UInt32
    if let free = freeNodes.popLast() {
      node = free
      nodes[Int(node)] = Node(station: station, first: 0)
    } else {
      node = UInt32(nodes.count)
      nodes.append(Node(station: station, first: 0))
    }
    nodeOf[station] = node
    return node
  }

  private func takeLink() -> UInt32 {
    count += 1
    if firstFree != 0 {
      let link = firstFree
      firstFree = links[Int(link)].next
      return link
    }
    end += 1
    return end - 1
  }
}
