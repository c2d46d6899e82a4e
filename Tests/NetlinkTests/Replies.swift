// Replies.swift
//
// What: messages as the kernel would send them, built with the request builder, and captured ones as hex.

import CLibmnl

@testable import Netlink

enum Replies {
  /// The message that a builder made, as if it had been received.
  static func message(_ request: consuming NetlinkRequest) throws -> NetlinkMessage {
    try NetlinkMessage.split(request.bytes)[0]
  }

  /// One link with every attribute that `Link` reads.
  static func link(
    type: Int = RTM_NEWLINK, family: UInt8 = 0, index: Int32 = 7, name: String = "veth7"
  ) -> NetlinkRequest {
    var reply = NetlinkRequest(type: type)
    var header = ifinfomsg()
    header.ifi_family = family
    header.ifi_index = index
    header.ifi_flags = 0x11143  // up, broadcast, running, promiscuous, multicast, carrier
    reply.put(header: header)
    reply.put(IFLA_IFNAME, string: name)
    reply.put(IFLA_IFALIAS, bytes: Array("sluice:internal".utf8))
    reply.put(IFLA_ADDRESS, bytes: [2, 0, 0, 0, 0, 7])
    reply.put(IFLA_MTU, u32: 1500)
    reply.put(IFLA_MIN_MTU, u32: 68)
    reply.put(IFLA_MAX_MTU, u32: 65535)
    reply.put(IFLA_PROMISCUITY, u32: 2)
    reply.put(IFLA_LINK, i32: 8)
    reply.put(IFLA_LINK_NETNSID, i32: 3)
    reply.put(IFLA_MASTER, i32: 9)
    reply.put(IFLA_NUM_RX_QUEUES, u32: 4)
    reply.put(IFLA_NUM_TX_QUEUES, u32: 2)
    reply.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, string: "veth") }
    reply.nest(IFLA_PROP_LIST) {
      $0.put(IFLA_ALT_IFNAME, string: "a-name-that-is-longer-than-fifteen")
      $0.put(IFLA_ALT_IFNAME, string: "other")
    }
    reply.nest(IFLA_XDP) {
      $0.put(IFLA_XDP_ATTACHED, u8: UInt8(XDP_ATTACHED_MULTI))
      $0.put(IFLA_XDP_SKB_PROG_ID, u32: 12)
      $0.put(IFLA_XDP_DRV_PROG_ID, u32: 11)
    }
    return reply
  }

  static func address(type: Int = RTM_NEWADDR) -> NetlinkRequest {
    var reply = NetlinkRequest(type: type)
    var header = ifaddrmsg()
    header.ifa_family = 2
    header.ifa_prefixlen = 24
    header.ifa_index = 7
    reply.put(header: header)
    reply.put(IFA_ADDRESS, bytes: [192, 0, 2, 254])
    reply.put(IFA_LOCAL, bytes: [192, 0, 2, 1])
    return reply
  }

  static func features() -> NetlinkRequest {
    var reply = NetlinkRequest.generic(family: 0x15, command: ETHTOOL_MSG_FEATURES_GET_REPLY, version: 1)
    reply.put(ETHTOOL_A_FEATURES_HW, list: ["tx-checksum-ip-generic", "tx-tcp-segmentation"])
    reply.put(ETHTOOL_A_FEATURES_ACTIVE, list: ["tx-checksum-ip-generic", "tx-lockless"])
    reply.put(ETHTOOL_A_FEATURES_NOCHANGE, list: ["netns-local"])
    return reply
  }

  /// `ip link set dev gold0 mtu 70000`, iproute2 6.1, Linux 6.18: strace -e read=all. Not capped: the request is echoed.
  static let mtuTooLarge = bytes(
    """
    60000000 02000002 516a016b 680c0000 eaffffff 28000000 10000500 516a016b
    00000000 00000000 03000000 00000000 00000000 08000400 70110100 24000100
    6d747520 67726561 74657220 7468616e 20646576 69636520 6d617869 6d756d00
    """)

  static func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }
    return stride(from: 0, to: digits.count, by: 2).map { position in
      let start = digits.index(digits.startIndex, offsetBy: position)
      return UInt8(digits[start...].prefix(2), radix: 16) ?? 0
    }
  }
}

extension NetlinkRequest {
  /// Appends a set of named bits, as ethtool lists them.
  fileprivate mutating func put(_ type: Int, list names: [String]) {
    nest(type) {
      $0.put(flag: ETHTOOL_A_BITSET_NOMASK)
      $0.put(ETHTOOL_A_BITSET_SIZE, u32: 64)
      $0.nest(ETHTOOL_A_BITSET_BITS) { bits in
        for (number, name) in names.enumerated() {
          bits.nest(ETHTOOL_A_BITSET_BITS_BIT) {
            $0.put(ETHTOOL_A_BITSET_BIT_INDEX, u32: UInt32(number))
            $0.put(ETHTOOL_A_BITSET_BIT_NAME, string: name)
          }
        }
      }
    }
  }
}
