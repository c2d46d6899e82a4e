// InternalPair.swift
//
// The interface of an internal port: a veth pair whose one end, NAME, is the host's, and whose other end, NAME.sw, is the
// port.
// Invariants: the pair is recognised by the alias on its switch end, never by its name alone, so that an interface of
//             somebody else is neither used nor removed. The pair outlives the agent, with the addresses that the host
//             gave its end; it goes when the port is deleted.
// Threads: confined to the control thread.

import Netlink

/// A veth pair that the agent made.
struct InternalPair {
  /// The end that the host uses.
  let hostName: String

  static let alias = "sluice:internal"
  static let suffix = ".sw"

  var switchName: String { hostName + Self.suffix }

  /// Finds the pair or makes it.
  ///
  /// `// ip link add NAME type veth peer name NAME.sw`
  /// - Returns: the switch's end.
  /// - Throws: `PortFailure.conflict` when an interface of that name is somebody else's.
  func ensure(_ socket: inout NetlinkSocket) throws(PortFailure) -> Link {
    do {
      if let present = try find(switchName, &socket) {
        guard present.alias == Self.alias else { throw PortFailure.conflict(taken(switchName)) }
        return present
      }
      if try find(hostName, &socket) != nil { throw PortFailure.conflict(taken(hostName)) }
      let host = try socket.createVeth(name: hostName, peer: switchName, queues: 1)
      let end = try socket.link(named: switchName)
      // Should the agent die between making and marking, the next one finds a pair that it takes for somebody else's,
      // says so, and leaves the removal to a person. That is rarer and safer than removing pairs by their name.
      try socket.setAlias(Self.alias, index: end.index)
      try socket.setAlias(Self.alias, index: host.index)
      HostIPv6.disable(on: switchName)
      return try socket.link(index: end.index)
    } catch let failure as PortFailure {
      throw failure
    } catch {
      throw .refused("port \(hostName): \(error)")
    }
  }

  /// The host's end, if it is in this namespace.
  func hostEnd(_ socket: inout NetlinkSocket) -> Link? {
    guard let link = try? socket.link(named: hostName), link.alias == Self.alias else { return nil }
    return link
  }

  /// Removes the pair; what is not ours, or gone, is left alone.
  func remove(_ socket: inout NetlinkSocket) throws(NetlinkError) {
    guard let end = try find(switchName, &socket), end.alias == Self.alias else { return }
    try socket.deleteLink(index: end.index)
  }

  /// Removes pairs of internal ports that are not wanted any more.
  ///
  /// - Returns: the names of the removed switch ends.
  static func removeLeftovers(wanted: Set<String>, links: [Link], _ socket: inout NetlinkSocket) -> [String] {
    var removed: [String] = []
    for link in links where link.alias == alias && link.name.hasSuffix(suffix) {
      guard !wanted.contains(String(link.name.dropLast(suffix.count))) else { continue }
      if (try? socket.deleteLink(index: link.index)) != nil { removed.append(link.name) }
    }
    return removed
  }

  private func find(_ name: String, _ socket: inout NetlinkSocket) throws(NetlinkError) -> Link? {
    do {
      return try socket.link(named: name)
    } catch  where error.isNotFound {
      return nil
    }
  }

  private func taken(_ name: String) -> String {
    "port \(hostName): an interface named \(name) is there already and was not made by sluiced; rename it or choose another port name"
  }
}
