// VethPeer.swift
//
// What is known of the other end of a port's interface, and what the kernel's programs may do because of it.
// Invariant: what is not known for sure is answered so that no packet can be lost: a veth drops what XDP redirects to it unless its peer
//            polls, which it does with an XDP program or with GRO.
// Threads: confined to the control thread.
// Cost: a netlink request; for a veth that XDP may redirect to, one for each named namespace.

import Netlink

/// The other end of a port's interface.
struct VethPeer: Equatable {
  /// Its address, when tc may put packets right into it: it is in another namespace.
  var mac: [UInt8]?
  /// Whether XDP may redirect packets to the port.
  var takesRedirects = true

  /// Looks at what is on the other end.
  /// - Parameter redirects: find out about redirects too, which costs more.
  static func look(at link: Link, redirects: Bool, _ socket: inout NetlinkSocket) -> VethPeer {
    guard link.kind == "veth" else { return VethPeer() }
    guard let peer = try? socket.peer(of: link) else { return VethPeer(takesRedirects: false) }
    let isElsewhere = link.linkNamespaceID != nil && peer.macAddress.count == 6
    return VethPeer(
      mac: isElsewhere ? peer.macAddress : nil, takesRedirects: redirects && polls(peer, of: link, &socket))
  }

  private static func polls(_ peer: Link, of link: Link, _ socket: inout NetlinkSocket) -> Bool {
    if peer.xdpPrograms.contains(where: { $0.mode == .native }) { return true }
    guard let number = link.linkNamespaceID else {
      var ethtool = try? Ethtool()
      return (try? ethtool?.features(of: peer.index))?.isActive("rx-gro") ?? false
    }
    for name in (try? NetworkNamespace.names()) ?? [] {
      guard let namespace = try? NetworkNamespace(named: name), (try? socket.number(of: namespace)) == number else { continue }
      guard var ethtool = try? Ethtool(in: namespace) else { return false }
      return (try? ethtool.features(of: peer.index))?.isActive("rx-gro") ?? false
    }
    return false
  }
}
