// ReplyParsingTests.swift
//
// What the kernel's answers mean: acknowledgements with their explanations, links, addresses, ethtool, notifications.

import CLibmnl
import Glibc
import Testing

@testable import Netlink

@Suite struct Acknowledgements {
  @Test func theKernelsExplanationIsReadBehindAnEchoedRequest() throws {
    let message = try NetlinkMessage.split(Replies.mtuTooLarge)[0]
    #expect(try message.acknowledgement() == Acknowledgement(errno: EINVAL, extack: "mtu greater than device maximum"))
  }

  @Test func theKernelsExplanationIsReadBehindACappedRequest() throws {
    // As the captured one, with only the header of the request echoed, although its length still says 40.
    let message = try NetlinkMessage.split(
      Replies.bytes(
        """
        48000000 02000003 01000000 680c0000 eaffffff 28000000 10000500 01000000
        00000000 24000100 6d747520 67726561 74657220 7468616e 20646576 69636520
        6d617869 6d756d00
        """))[0]
    #expect(try message.acknowledgement() == Acknowledgement(errno: EINVAL, extack: "mtu greater than device maximum"))
  }

  @Test func whereNoTextIsGivenTheOffsetAndTheMissingAttributeAreTold() throws {
    let explanation = [UInt8](Replies.bytes("08000200 20000000 08000500 03000000"))
    let message = NetlinkMessage(
      type: Int(NLMSG_ERROR), flags: NLM_F_CAPPED | NLM_F_ACK_TLVS, sequence: 1, port: 1,
      payload: (Replies.bytes("eaffffff 28000000 10000500 01000000 00000000") + explanation)[...])
    #expect(try message.acknowledgement()?.extack == "see byte 32 of the request; attribute 3 is missing")
  }

  @Test func successIsZero() throws {
    let message = NetlinkMessage(
      type: Int(NLMSG_ERROR), flags: NLM_F_CAPPED, sequence: 1, port: 1,
      payload: Replies.bytes("00000000 28000000 10000500 01000000 00000000")[...])
    #expect(try message.acknowledgement() == Acknowledgement(errno: 0, extack: nil))
  }

  @Test func aDumpCanEndInAnError() throws {
    let message = NetlinkMessage(
      type: Int(NLMSG_DONE), flags: NLM_F_MULTI, sequence: 1, port: 1, payload: Replies.bytes("a1ffffff")[...])
    #expect(try message.acknowledgement()?.errno == EOPNOTSUPP)
  }

  @Test func anErrorPrintsAsOneSentence() {
    let taken = NetlinkError.kernel(operation: "ip link add veth0", errno: EEXIST, extack: nil)
    #expect(taken.description == "ip link add veth0: File exists")
    let large = NetlinkError.kernel(operation: "ip link set dev a mtu 70000", errno: EINVAL, extack: "mtu greater")
    #expect(large.description == "ip link set dev a mtu 70000: Invalid argument (mtu greater)")
    let forbidden = NetlinkError.kernel(operation: "ip link add a", errno: EPERM, extack: nil)
    #expect(forbidden.description == "ip link add a: Operation not permitted; it needs root or CAP_NET_ADMIN")
  }
}

@Suite struct LinkParsing {
  @Test func everyAttributeIsRead() throws {
    let link = try #require(try Link(Replies.message(Replies.link())))
    var expected = Link(index: 7, name: "veth7")
    expected.alias = "sluice:internal"
    expected.altNames = ["a-name-that-is-longer-than-fifteen", "other"]
    expected.kind = "veth"
    expected.macAddress = [2, 0, 0, 0, 0, 7]
    expected.mtu = 1500
    expected.minMTU = 68
    expected.maxMTU = 65535
    expected.promiscuity = 2
    expected.peerIndex = 8
    expected.linkNamespaceID = 3
    expected.masterIndex = 9
    expected.rxQueues = 4
    expected.txQueues = 2
    expected.flags = [.up, .broadcast, .running, .promiscuous, .multicast, .carrier]
    expected.xdpPrograms = [
      XDPAttachment(mode: .native, programID: 11), XDPAttachment(mode: .generic, programID: 12),
    ]
    #expect(link.flags.isSuperset(of: expected.flags))
    var withoutOtherFlags = link
    withoutOtherFlags.flags = expected.flags
    #expect(withoutOtherFlags == expected)
    #expect(link.isUp && link.isRunning && link.hasCarrier && link.isPromiscuous)
  }

  @Test(
    arguments: [
      (XDP_ATTACHED_NONE, nil), (XDP_ATTACHED_DRV, XDPAttachment.Mode.native), (XDP_ATTACHED_SKB, .generic),
      (XDP_ATTACHED_HW, .offload),
    ] as [(Int, XDPAttachment.Mode?)])
  func aSingleXDPProgramHasTheModeItIsAttachedIn(attached: Int, mode: XDPAttachment.Mode?) throws {
    var reply = NetlinkRequest(type: RTM_NEWLINK)
    var header = ifinfomsg()
    header.ifi_index = 1
    reply.put(header: header)
    reply.put(IFLA_IFNAME, string: "a")
    reply.nest(IFLA_XDP) {
      $0.put(IFLA_XDP_ATTACHED, u8: UInt8(attached))
      if mode != nil { $0.put(IFLA_XDP_PROG_ID, u32: 42) }
    }
    let link = try #require(try Link(Replies.message(reply)))
    #expect(link.xdp == mode.map { XDPAttachment(mode: $0, programID: 42) })
  }

  @Test func leavingABridgeIsNotTakenForBeingRemoved() throws {
    let message = try Replies.message(Replies.link(type: RTM_DELLINK, family: 7))
    #expect(LinkMonitor.events(in: message) == [])
  }
}

@Suite struct AddressParsing {
  @Test func onAPointToPointLinkOurOwnAddressIsTaken() throws {
    let address = try #require(try InterfaceAddress(Replies.message(Replies.address())))
    #expect(address.description == "192.0.2.1/24")
    #expect(address.interfaceIndex == 7)
  }

  @Test(arguments: [0, 3, 5, 15, 17]) func anAddressOfTheWrongLengthPrintsWithoutReadingPastItsEnd(length: Int) {
    let address = InterfaceAddress(interfaceIndex: 1, bytes: [UInt8](repeating: 1, count: length), prefixLength: 8)
    #expect(address.description == "address of \(length) bytes")
  }

  @Test func aPrefixLongerThanTheAddressIsRefused() throws {
    var message = try Replies.message(Replies.address())
    message.payload[message.payload.startIndex + 1] = 33
    #expect(throws: MalformedMessage.self) { try InterfaceAddress(message) }
  }
}

@Suite struct EthtoolParsing {
  @Test func aFeatureIsActiveWhenListedAndChangeableWhenTheHardwareSaysSo() throws {
    let message = try Replies.message(Replies.features())
    let features = try EthtoolFeatures(message.attributes(after: NetlinkRequest.genericHeaderLength))
    #expect(
      features.active == [
        "tx-checksum-ip-generic": true, "tx-tcp-segmentation": false, "tx-lockless": true, "netns-local": false,
      ])
    #expect(features.changeable == ["tx-checksum-ip-generic", "tx-tcp-segmentation"])
  }

  @Test func channelsCountSeparateAndCombinedQueues() throws {
    var reply = NetlinkRequest.generic(family: 0x15, command: ETHTOOL_MSG_CHANNELS_GET_REPLY, version: 1)
    reply.put(ETHTOOL_A_CHANNELS_RX_COUNT, u32: 1)
    reply.put(ETHTOOL_A_CHANNELS_COMBINED_COUNT, u32: 4)
    reply.put(ETHTOOL_A_CHANNELS_COMBINED_MAX, u32: 8)
    let attributes = try Replies.message(reply).attributes(after: NetlinkRequest.genericHeaderLength)
    let channels = try EthtoolChannels(attributes)
    #expect(channels.receiveQueues == 5)
    #expect(channels.transmitQueues == 4)
    #expect(channels.maximum.combined == 8)
  }
}

@Suite struct MonitorParsing {
  @Test func whatCannotBeReadCountsAsLost() throws {
    var message = try Replies.message(Replies.link())
    message.payload = message.payload.prefix(10)
    #expect(LinkMonitor.events(in: message) == [.overflow])
  }

  @Test func anAddressNamesItsInterface() throws {
    #expect(LinkMonitor.events(in: try Replies.message(Replies.address(type: RTM_DELADDR))) == [.addressesChanged(index: 7)])
  }

  @Test func aRemovedLinkIsToldByIndexAndName() throws {
    let message = try Replies.message(Replies.link(type: RTM_DELLINK))
    #expect(LinkMonitor.events(in: message) == [.linkRemoved(index: 7, name: "veth7")])
  }
}
