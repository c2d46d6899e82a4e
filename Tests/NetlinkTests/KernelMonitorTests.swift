// KernelMonitorTests.swift
//
// Events of a real kernel, in a namespace of each test's own.

import CLibmnl
import Glibc
import Testing

@testable import Netlink

@Suite struct KernelMonitor {
  @Test(.needsNamespace) func whatHappensToALinkIsSeenInOrder() throws {
    let namespace = try NetworkNamespace.unnamed()
    var monitor = try LinkMonitor(in: namespace)
    var netlink = try NetlinkSocket(.route, in: namespace)
    #expect(try monitor.read() == [])

    let link = try netlink.createVeth(name: "a", peer: "b")
    let made = try monitor.read()
    #expect(made.contains { if case .linkChanged(let seen) = $0 { seen.index == link.index } else { false } })

    try netlink.addAddress(InterfaceAddress(interfaceIndex: link.index, bytes: [192, 0, 2, 1], prefixLength: 24))
    #expect(try monitor.read().contains(.addressesChanged(index: link.index)))

    try netlink.setUp(index: link.index)
    let raised = try monitor.read()
    #expect(
      raised.contains { if case .linkChanged(let seen) = $0 { seen.index == link.index && seen.isUp } else { false } })

    try netlink.deleteLink(index: link.index)
    #expect(try settled(&monitor).contains(.linkRemoved(index: link.index, name: "a")))
  }

  @Test(.needsNamespace) func eventsThatDidNotFitAreToldAsLost() throws {
    let namespace = try NetworkNamespace.unnamed()
    // The kernel's minimum: room for one or two events.
    var monitor = try LinkMonitor(in: namespace, receiveBufferBytes: 1)
    var netlink = try NetlinkSocket(.route, in: namespace)
    for number in 0..<20 { try netlink.createVeth(name: "a\(number)", peer: "b\(number)") }
    #expect(try monitor.read().contains(.overflow))
  }

  @Test(.needsNamespace) func theDescriptorIsReadableExactlyWhenEventsWait() throws {
    let namespace = try NetworkNamespace.unnamed()
    var monitor = try LinkMonitor(in: namespace)
    var netlink = try NetlinkSocket(.route, in: namespace)
    #expect(readable(monitor.fileDescriptor) == false)
    try netlink.createVeth(name: "a", peer: "b")
    #expect(readable(monitor.fileDescriptor) == true)
    _ = try monitor.read()
    #expect(readable(monitor.fileDescriptor) == false)
  }

  private func readable(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) == 1
  }

  /// Reads until nothing came for 50 ms: the kernel announces a removal at its end.
  private func settled(_ monitor: inout LinkMonitor) throws -> [LinkEvent] {
    var events: [LinkEvent] = []
    while true {
      var entry = pollfd(fd: monitor.fileDescriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, 50) == 1 else { return events }
      events += try monitor.read()
    }
  }
}
