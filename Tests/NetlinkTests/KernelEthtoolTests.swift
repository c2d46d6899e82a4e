// KernelEthtoolTests.swift
//
// Ethtool of a real kernel on a veth, over netlink and over the ioctl.

import CLibmnl
import Testing

@testable import Netlink

@Suite struct KernelEthtool {
  @Test(.needsNamespace) func aVethTellsItsChannelsAndItsDriver() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    var ethtool = try Ethtool(in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b", queues: 3)
    let channels = try ethtool.channels(of: link.index)
    #expect(channels.receiveQueues == 3)
    #expect(channels.transmitQueues == 3)
    let driver = try ethtool.driver(of: link.index)
    #expect(driver.name == "veth")
    #expect(driver.bus == "")
  }

  @Test(.needsNamespace) func featuresAreSwitchedWithAllThatDependsOnThem() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    var ethtool = try Ethtool(in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b")
    let speaksNetlink = ethtool.family != nil
    #expect(speaksNetlink)
    let before = try ethtool.features(of: link.index)
    #expect(before.isActive("tx-checksum-ip-generic"))
    #expect(before.isActive("tx-tcp-segmentation"))
    let changed = try ethtool.setFeature("tx-checksum-ip-generic", false, of: link.index)
    #expect(changed["tx-checksum-ip-generic"] == false)
    #expect(changed["tx-tcp-segmentation"] == false)
    #expect(try !ethtool.features(of: link.index).isActive("tx-checksum-ip-generic"))
    #expect(try ethtool.setFeature("tx-checksum-ip-generic", false, of: link.index) == [:])
    let back = try ethtool.setFeatures(["tx-checksum-ip-generic": true], of: link.index)
    #expect(back["tx-checksum-ip-generic"] == true)
    #expect(try ethtool.features(of: link.index) == before)
  }

  @Test(.needsNamespace) func aFeatureThatIsFixedOrUnknownIsRefusedInWords() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    var ethtool = try Ethtool(in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b")
    let refused = NetlinkError.from { () throws(NetlinkError) in
      try ethtool.setFeature("rx-vlan-filter", true, of: link.index)
    }
    #expect(refused?.description == "ethtool -K a rx-vlan-filter on: accepted, but not done: rx-vlan-filter: it is fixed")
    let unknown = NetlinkError.from { () throws(NetlinkError) in try ethtool.setFeature("warp", true, of: link.index) }
    #expect(unknown?.description == "ethtool -K a warp on: the kernel knows no feature \"warp\"; see ethtool -k")
  }

  @Test(.needsNamespace) func ringsThatTheDriverDoesNotHaveAreUnsupported() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    var ethtool = try Ethtool(in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b")
    let error = NetlinkError.from { () throws(NetlinkError) in _ = try ethtool.ringSizes(of: link.index) }
    #expect(error?.isUnsupported == true)
  }

  @Test(.needsNamespace) func theOlderIoctlGivesTheSameAnswers() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    var ethtool = try Ethtool(in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b", queues: 2)
    let ioctl = ethtool.ioctl("-k", link.index)
    #expect(try ioctl.channels() == ethtool.channels(of: link.index))
    let older = try ioctl.features()
    let newer = try ethtool.features(of: link.index)
    #expect(older.changeable == newer.changeable)
    #expect(older.active.filter(\.value) == newer.active.filter(\.value))
    try ioctl.setFeatures(["tx-checksum-ip-generic": false])
    #expect(try !ethtool.features(of: link.index).isActive("tx-checksum-ip-generic"))
  }

  @Test(.needsNamespace) func anInterfaceThatIsGoneIsNotFound() throws {
    let namespace = try NetworkNamespace.unnamed()
    var ethtool = try Ethtool(in: namespace)
    #expect(NetlinkError.from { () throws(NetlinkError) in _ = try ethtool.channels(of: 99) }?.isNotFound == true)
    #expect(NetlinkError.from { () throws(NetlinkError) in _ = try ethtool.driver(of: 99) }?.isNotFound == true)
  }
}
