// RequestBytesTests.swift
//
// Golden bytes of requests. Source, where nothing else is said: iproute2 6.1.0 and ethtool 6.1 on Linux 6.18, by
// `strace -e trace=sendmsg,sendto -e write=all`. Three differences are meant: the sequence number and NLM_F_ACK are the
// socket's to add; libmnl marks nests with NLA_F_NESTED (0x80), which `ip` leaves out; interfaces go by index.

import CLibmnl
import Testing

@testable import Netlink

@Suite struct RequestBytes {
  @Test func aVethPairIsAskedForAsIpDoes() {
    // ip link add va0 mtu 1400 type veth peer name va1 mtu 1400
    let bytes = NetlinkRequest.createVeth(
      VethEnd(name: "va0"), peer: VethEnd(name: "va1"), mtu: 1400, queues: nil, peerNamespace: nil
    ).bytes
    #expect(
      bytes
        == Replies.bytes(
          """
          64000000 10000106 00000000 00000000 00000000 00000000 00000000 00000000
          08000400 78050000 08000300 76613000 34001280 08000100 76657468 28000280
          24000180 00000000 00000000 00000000 00000000 08000400 78050000 08000300
          76613100
          """))
  }

  @Test func aPeerInAnotherNamespaceIsNamedByDescriptorInsideItsNest() {
    // By hand: linux/veth.h, linux/if_link.h.
    let bytes = NetlinkRequest.createVeth(
      VethEnd(name: "a", macAddress: [2, 0, 0, 0, 0, 1]), peer: VethEnd(name: "b"), mtu: nil, queues: 2,
      peerNamespace: 5
    ).bytes
    #expect(
      bytes
        == Replies.bytes(
          """
          88000000 10000106 00000000 00000000 00000000 00000000 00000000 00000000
          0a000100 02000000 00010000 06000300 61000000 08001f00 02000000 08002000
          02000000 44001280 08000100 76657468 38000280 34000180 00000000
          00000000 00000000 00000000 06000300 62000000 08001f00 02000000 08002000
          02000000 08001c00 05000000
          """))
  }

  @Test func anAddressIsAddedAsIpDoes() {
    // ip address add 192.0.2.1/24 dev gold0
    let address = InterfaceAddress(interfaceIndex: 3, bytes: [192, 0, 2, 1], prefixLength: 24)
    let bytes = NetlinkRequest.addAddress(address, skipDuplicateDetection: false).bytes
    #expect(
      bytes
        == Replies.bytes(
          "28000000 14000106 00000000 00000000 02180000 03000000 08000200 c0000201 08000100 c0000201"))
  }

  @Test func duplicateDetectionIsSkippedAsIpDoes() {
    // ip address add 2001:db8::1/64 dev gold0 nodad
    let address = InterfaceAddress(
      interfaceIndex: 3, bytes: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], prefixLength: 64)
    let bytes = NetlinkRequest.addAddress(address, skipDuplicateDetection: true).bytes
    #expect(
      bytes
        == Replies.bytes(
          """
          40000000 14000106 00000000 00000000 0a400200 03000000 14000200 20010db8
          00000000 00000000 00000001 14000100 20010db8 00000000 00000000 00000001
          """))
  }

  @Test func anAddressIsDeletedAsIpDoes() {
    // ip address delete 192.0.2.1/24 dev gold0
    let address = InterfaceAddress(interfaceIndex: 3, bytes: [192, 0, 2, 1], prefixLength: 24)
    let bytes = NetlinkRequest.deleteAddress(address).bytes
    #expect(
      bytes
        == Replies.bytes(
          "28000000 15000100 00000000 00000000 02180000 03000000 08000200 c0000201 08000100 c0000201"))
  }

  @Test func aFlagIsChangedWithoutTouchingTheOthers() {
    // ip link set dev gold0 promisc on
    let bytes = NetlinkRequest.setLink(index: 3, flags: .promiscuous, mask: .promiscuous).bytes
    #expect(bytes == Replies.bytes("20000000 10000100 00000000 00000000 00000000 03000000 00010000 00010000"))
  }

  @Test func anAliasHasNoNulAndZeroPadding() {
    // ip link set dev gold0 alias hello
    var request = NetlinkRequest.setLink(index: 3)
    request.put(IFLA_IFALIAS, bytes: Array("hello".utf8))
    let bytes = request.bytes
    #expect(
      bytes
        == Replies.bytes(
          "2c000000 10000100 00000000 00000000 00000000 03000000 00000000 00000000 09001400 68656c6c 6f000000"))
  }

  @Test func aGenericFamilyIsLookedUpAsEthtoolDoes() {
    let bytes = NetlinkRequest.getFamily(named: "ethtool").bytes
    #expect(bytes == Replies.bytes("20000000 10000100 00000000 00000000 03010000 0c000200 6574 6874 6f6f 6c00"))
  }

  @Test func channelsAreAskedForByIndex() {
    // ethtool -l gold0, with ETHTOOL_A_HEADER_DEV_INDEX in place of the name.
    let bytes = NetlinkRequest.ethtool(
      family: 0x15, command: ETHTOOL_MSG_CHANNELS_GET, header: ETHTOOL_A_CHANNELS_HEADER, index: 3
    ).bytes
    #expect(bytes == Replies.bytes("20000000 15000100 00000000 00000000 11010000 0c000180 08000100 03000000"))
  }

  @Test func aFeatureIsSwitchedOffByNameWithoutAValue() {
    // ethtool -K gold0 tx-checksum-ip-generic off, with an index, and OMIT_REPLY in place of COMPACT_BITSETS.
    let bytes = NetlinkRequest.setFeatures(["tx-checksum-ip-generic": false], family: 0x15, index: 3).bytes
    #expect(
      bytes
        == Replies.bytes(
          """
          50000000 15000100 00000000 00000000 0c010000 14000180 08000100 03000000
          08000300 02000000 28000380 24000380 20000180 1b000200 74782d63 6865636b
          73756d2d 69702d67 656e6572 69630000
          """))
  }

  @Test func aMessageGrowsBeyondItsFirstBufferAndKeepsItsNests() throws {
    var request = NetlinkRequest(type: RTM_NEWLINK)
    request.put(header: ifinfomsg())
    request.nest(IFLA_PROP_LIST) { list in
      for number in 0..<300 { list.put(IFLA_ALT_IFNAME, string: "name-\(number)") }
    }
    let attributes = try Replies.message(request).attributes(after: 16)
    let names = try attributes[0].nested().map(\.string)
    #expect(names.count == 300)
    #expect(names.last == "name-299")
  }

  @Test func anAttributeThatItsLengthCannotSayIsLeftOutAndTold() throws {
    var request = NetlinkRequest(type: RTM_NEWLINK)
    request.put(IFLA_IFNAME, string: "kept")
    request.put(IFLA_IFALIAS, bytes: [UInt8](repeating: 1, count: 65532))
    request.nest(IFLA_PROP_LIST) { list in
      for _ in 0..<40 { list.put(IFLA_ALT_IFNAME, bytes: [UInt8](repeating: 1, count: 2000)) }
    }
    let isTooLong = request.isTooLong
    let names = try Replies.message(request).attributes(after: 0).map(\.string)
    #expect(isTooLong)
    #expect(names == ["kept"])
  }
}
