// LinkRequests.swift
//
// What: the messages that list, make, change and remove links, without a socket, so that tests compare their bytes.
// Invariants: a change names the interface by index, so that it cannot hit another one that took over the name.
// Threads, cost: those of NetlinkRequest.

import CLibmnl

/// One end of a veth pair to be made.
public struct VethEnd: Sendable {
  public var name: String
  /// 6 bytes; nil: the kernel makes up a random one.
  public var macAddress: [UInt8]?

  public init(name: String, macAddress: [UInt8]? = nil) {
    self.name = name
    self.macAddress = macAddress
  }
}

extension NetlinkRequest {
  /// All links. The counters, a third of each message, are left out.
  static func listLinks() -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_GETLINK)
    request.put(header: ifinfomsg())
    request.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_SKIP_STATS))
    return request
  }

  static func getLink(index: Int32) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_GETLINK)
    var header = ifinfomsg()
    header.ifi_index = index
    request.put(header: header)
    request.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_SKIP_STATS))
    return request
  }

  /// A link of the namespace that the socket's knows by a number.
  static func getLink(index: Int32, namespaceNumber: Int32) -> NetlinkRequest {
    var request = getLink(index: index)
    request.put(IFLA_TARGET_NETNSID, i32: namespaceNumber)
    return request
  }

  static func getLink(name: String) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_GETLINK)
    request.put(header: ifinfomsg())
    // Names longer than an interface's own can only be alternative ones.
    request.put(name.utf8.count <= Link.longestName ? IFLA_IFNAME : IFLA_ALT_IFNAME, string: name)
    request.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_SKIP_STATS))
    return request
  }

  static func createVeth(
    _ near: VethEnd, peer far: VethEnd, mtu: UInt32?, queues: UInt32?, peerNamespace: Int32?
  ) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
    request.put(header: ifinfomsg())
    request.put(end: near, mtu: mtu, queues: queues)
    request.nest(IFLA_LINKINFO) {
      $0.put(IFLA_INFO_KIND, bytes: Array("veth".utf8))
      $0.nest(IFLA_INFO_DATA) {
        $0.nest(VETH_INFO_PEER) {
          $0.put(header: ifinfomsg())
          $0.put(end: far, mtu: mtu, queues: queues)
          if let peerNamespace { $0.put(IFLA_NET_NS_FD, i32: peerNamespace) }
        }
      }
    }
    return request
  }

  private mutating func put(end: VethEnd, mtu: UInt32?, queues: UInt32?) {
    if let mtu { put(IFLA_MTU, u32: mtu) }
    if let address = end.macAddress { put(IFLA_ADDRESS, bytes: address) }
    put(IFLA_IFNAME, string: end.name)
    if let queues {
      put(IFLA_NUM_TX_QUEUES, u32: queues)
      put(IFLA_NUM_RX_QUEUES, u32: queues)
    }
  }

  static func deleteLink(index: Int32) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_DELLINK)
    var header = ifinfomsg()
    header.ifi_index = index
    request.put(header: header)
    return request
  }

  /// A change of flags: those in `mask` become what they are in `flags`. The caller may append attributes.
  static func setLink(index: Int32, flags: LinkFlags = [], mask: LinkFlags = []) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_NEWLINK)
    var header = ifinfomsg()
    header.ifi_index = index
    header.ifi_flags = flags.rawValue
    header.ifi_change = mask.rawValue
    request.put(header: header)
    return request
  }
}
