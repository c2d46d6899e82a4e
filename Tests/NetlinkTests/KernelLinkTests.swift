// KernelLinkTests.swift
//
// Links and addresses of a real kernel, in a namespace of each test's own.

import CLibmnl
import Glibc
import Testing

@testable import Netlink

@Suite struct KernelLinks {
  @Test(.needsNamespace) func aVethPairIsMadeRenamedResizedMarkedAndRemoved() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    let near = try netlink.createVeth(name: "left", peer: "right", mtu: 1400, queues: 3)
    let far = try netlink.link(named: "right")
    #expect(near.kind == "veth")
    #expect(near.mtu == 1400)
    #expect(far.mtu == 1400)
    #expect(near.peerIndex == far.index)
    #expect(far.peerIndex == near.index)
    #expect(near.linkNamespaceID == nil)
    #expect(near.macAddress.count == 6)
    #expect(near.rxQueues == 3)
    #expect(near.maxMTU == 65535)
    #expect(!near.isUp)

    try netlink.setUp(index: near.index)
    try netlink.setUp(index: far.index)
    try netlink.setMTU(3000, index: near.index)
    try netlink.setMAC([2, 0, 0, 0, 0, 1], index: near.index)
    try netlink.setAlias("sluice:internal", index: near.index)
    try netlink.setPromiscuous(true, index: near.index)
    try netlink.setDown(index: far.index)
    try netlink.rename(index: far.index, to: "wrong")
    let changed = try netlink.link(index: near.index)
    #expect(changed.isUp)
    #expect(!changed.hasCarrier)
    #expect(changed.mtu == 3000)
    #expect(changed.macAddress == [2, 0, 0, 0, 0, 1])
    #expect(changed.alias == "sluice:internal")
    #expect(changed.isPromiscuous)
    #expect(try netlink.link(named: "wrong").index == far.index)

    try netlink.setAlias("", index: near.index)
    try netlink.setPromiscuous(false, index: near.index)
    let restored = try netlink.link(index: near.index)
    #expect(restored.alias == nil)
    #expect(!restored.isPromiscuous)

    try netlink.deleteLink(index: near.index)
    #expect(try netlink.links().map(\.name) == ["lo"])
  }

  @Test(.needsNamespace) func aPeerIsMadeInAnotherNamespace() throws {
    let here = try NetworkNamespace.unnamed()
    let there = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: here)
    var other = try NetlinkSocket(.route, in: there)
    let near = try netlink.createVeth(
      VethEnd(name: "near"), peer: VethEnd(name: "far", macAddress: [2, 0, 0, 0, 0, 2]),
      peerNamespace: there.fileDescriptor)
    let far = try other.link(named: "far")
    #expect(near.linkNamespaceID != nil)
    #expect(near.peerIndex == far.index)
    #expect(far.macAddress == [2, 0, 0, 0, 0, 2])
  }

  @Test(.needsNamespace) func aLinkMovesToAnotherNamespaceUnderANewName() throws {
    let here = try NetworkNamespace.unnamed()
    let there = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: here)
    var other = try NetlinkSocket(.route, in: there)
    let near = try netlink.createVeth(name: "near", peer: "far")
    try netlink.move(index: near.index, toNamespace: there.fileDescriptor, name: "moved")
    #expect(try other.link(named: "moved").kind == "veth")
    #expect(NetlinkError.from { () throws(NetlinkError) in _ = try netlink.link(named: "near") }?.isNotFound == true)
  }

  @Test(.needsNamespace) func refusalsCarryTheKernelsOwnWords() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b")
    let tooLarge = NetlinkError.from { () throws(NetlinkError) in try netlink.setMTU(70000, index: link.index) }
    #expect(tooLarge?.description == "ip link set dev a mtu 70000: Invalid argument (mtu greater than device maximum)")
    let taken = NetlinkError.from { () throws(NetlinkError) in try netlink.createVeth(name: "a", peer: "c") }
    #expect(taken?.description == "ip link add a type veth peer name c: File exists")
    let occupied = NetlinkError.from { () throws(NetlinkError) in try netlink.rename(index: link.index, to: "b") }
    #expect(occupied?.description == "ip link set dev a name b: File exists")
    let gone = NetlinkError.from { () throws(NetlinkError) in try netlink.deleteLink(index: 99) }
    #expect(gone == .notFound(operation: "ip link delete dev (index 99)", what: "no such interface"))
  }

  @Test(.needsNamespace, arguments: ["", ".", "..", "a/b", "a b", "a:b", "sixteen-letters-", "nul\0"])
  func badNamesAreRefusedBeforeTheKernelSeesThem(name: String) throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    let error = NetlinkError.from { () throws(NetlinkError) in try netlink.createVeth(name: name, peer: "b") }
    guard case .invalidArgument? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try netlink.links().map(\.name) == ["lo"])
  }

  @Test(.needsNamespace) func aLinkLargerThanTheBufferIsReadWhole() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    let link = try netlink.createVeth(name: "many", peer: "b")
    let padding = String(repeating: "x", count: 120)
    for batch in 0..<10 {
      var request = NetlinkRequest(type: RTM_NEWLINKPROP, flags: NLM_F_CREATE | NLM_F_EXCL)
      var header = ifinfomsg()
      header.ifi_index = link.index
      request.put(header: header)
      request.nest(IFLA_PROP_LIST) { list in
        for number in 0..<30 { list.put(IFLA_ALT_IFNAME, string: "\(padding)-\(batch * 30 + number)") }
      }
      _ = try netlink.request(request, operation: "ip link property add")
    }
    #expect(try netlink.link(index: link.index).altNames.count == 300)
    #expect(try netlink.links().first { $0.index == link.index }?.altNames.count == 300)
    #expect(try netlink.link(named: "\(padding)-299").index == link.index)
  }

  @Test(.needsNamespace) func aListThatChangesWhileItIsReadIsReadAgain() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    for number in 0..<40 { try netlink.createVeth(name: "p\(number)", peer: "q\(number)") }
    let descriptor = dup(namespace.fileDescriptor)
    // A thread of its own keeps making and removing a link meanwhile; the sleep leaves room for one undisturbed reading.
    let churn = try ChurnThread(namespace: descriptor)
    defer { churn.stop() }
    for _ in 0..<30 {
      let names = try netlink.links().map(\.name)
      #expect(Set(names).count == names.count)
      #expect((0..<40).allSatisfy { names.contains("p\($0)") && names.contains("q\($0)") })
    }
  }
}

@Suite struct KernelAddresses {
  @Test(.needsNamespace) func addressesAreAddedListedAndDeleted() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    let link = try netlink.createVeth(name: "a", peer: "b")
    let four = InterfaceAddress(interfaceIndex: link.index, bytes: [192, 0, 2, 1], prefixLength: 24)
    let six = InterfaceAddress(
      interfaceIndex: link.index, bytes: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], prefixLength: 64)
    try netlink.addAddress(four)
    try netlink.addAddress(six, skipDuplicateDetection: true)
    #expect(try Set(netlink.addresses(ofInterface: link.index)) == [four, six])
    #expect(try netlink.addresses(ofInterface: link.index).map(\.description).contains("2001:db8::1/64"))

    let again = NetlinkError.from { () throws(NetlinkError) in try netlink.addAddress(four) }
    guard case .kernel(let operation, EEXIST, _)? = again else {
      Issue.record("\(String(describing: again))")
      return
    }
    #expect(operation == "ip address add 192.0.2.1/24 dev a")

    try netlink.deleteAddress(four)
    #expect(try netlink.addresses(ofInterface: link.index) == [six])
    let gone = NetlinkError.from { () throws(NetlinkError) in try netlink.deleteAddress(four) }
    #expect(gone?.isNotFound == true)
  }

  @Test(.needsNamespace) func anAddressOfTheWrongLengthIsNotSent() throws {
    let namespace = try NetworkNamespace.unnamed()
    var netlink = try NetlinkSocket(.route, in: namespace)
    let error = NetlinkError.from { () throws(NetlinkError) in
      try netlink.addAddress(InterfaceAddress(interfaceIndex: 1, bytes: [1, 2, 3], prefixLength: 8))
    }
    guard case .invalidArgument? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }
}
