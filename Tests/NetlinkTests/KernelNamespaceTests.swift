// KernelNamespaceTests.swift
//
// Namespaces of a real kernel: names as `ip netns` sees them, and what runs inside.

import Glibc
import Testing

@testable import Netlink

@Suite struct KernelNamespaces {
  @Test(.needsNamespace) func aNamedNamespaceIsMadeFoundAndDeleted() throws {
    let name = "sluice-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let made = try NetworkNamespace.create(name: name)
    defer { try? NetworkNamespace.delete(name: name) }
    #expect(try NetworkNamespace.names().contains(name))
    let found = try NetworkNamespace(named: name)
    #expect(try found.identity() == made.identity())
    #expect(try found.identity() != NetworkNamespace.current().identity())
    // What `ip netns exec` does first must work on it.
    #expect(try NetworkNamespace.run(in: found) { try NetworkNamespace.current().identity() } == made.identity())
    let twice = NetlinkError.from { () throws(NetlinkError) in _ = try NetworkNamespace.create(name: name) }
    #expect(twice?.description == "ip netns add \(name): File exists")
    try NetworkNamespace.delete(name: name)
    let gone = NetlinkError.from { () throws(NetlinkError) in try NetworkNamespace.delete(name: name) }
    #expect(gone?.isNotFound == true)
    #expect(try !NetworkNamespace.names().contains(name))
  }

  @Test(.needsNamespace) func whatRunsInsideLeavesTheCallersThreadWhereItWas() throws {
    let before = try NetworkNamespace.current().identity()
    let namespace = try NetworkNamespace.unnamed()
    let inside = try NetworkNamespace.run(in: namespace) { try NetworkNamespace.current().identity() }
    #expect(try inside == namespace.identity())
    #expect(try NetworkNamespace.current().identity() == before)
  }

  @Test(.needsNamespace) func whatIsThrownInsideArrivesOutside() throws {
    struct Expected: Error {}
    let namespace = try NetworkNamespace.unnamed()
    #expect(throws: Expected.self) { try NetworkNamespace.run(in: namespace) { throw Expected() } }
  }

  @Test(arguments: ["", ".", "..", "a/b", "nul\0"]) func badNamesAreRefused(name: String) {
    let error = NetlinkError.from { () throws(NetlinkError) in _ = try NetworkNamespace(named: name) }
    guard case .invalidArgument? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: ["/dev/null", "/etc/passwd", "/proc/self/ns/uts"])
  func aFileThatIsNoNetworkNamespaceIsRefused(path: String) {
    let error = NetlinkError.from { () throws(NetlinkError) in _ = try NetworkNamespace(path: path) }
    #expect(error?.description == "open network namespace \(path): it is not a network namespace")
  }

  @Test func aNameThatIsNotThereIsNotFound() {
    let error = NetlinkError.from { () throws(NetlinkError) in _ = try NetworkNamespace(named: "sluice-no-such") }
    #expect(error?.isNotFound == true)
  }
}
