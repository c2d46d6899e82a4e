// XDPPortTests.swift
//
// Attaching to real interfaces, each test in a network namespace of its own.

import CLibbpf
import Glibc
import Testing

@testable import KernelTier

@Suite(.enabled(if: BPFSupport.isThere, BPFSupport.comment)) struct XDPPortTests {
  @Test func aVethRunsTheProgramInItsDriver() throws {
    try inNamespace {
      let index = try makeVeth()
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .dedicated, queues: 1, policy: nil)
      #expect(port.attachMode == .native)
      #expect(
        try XDPHook(index: index, name: "uplink0").occupants() == [
          XDPOccupant(
            identity: XDPProgramIdentity(id: port.programID, name: "sluice_xdp", tag: port.tag), place: .native)
        ])
      #expect(try port.detach())
      #expect(try !port.detach())
      #expect(try XDPHook(index: index, name: "uplink0").occupants().isEmpty)
    }
  }

  @Test func aDriverWithoutXDPFallsBackAndSaysWhy() throws {
    try inNamespace {
      try run("ip link add uplink0 type bridge")
      let index = if_nametoindex("uplink0")
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
      guard case .generic(let reason) = port.attachMode else {
        Issue.record("a bridge has no native XDP, but: \(port.attachMode)")
        return
      }
      #expect(reason.contains("native"), "\(reason)")
      #expect(try port.detach())
      #expect(try XDPHook(index: index, name: "uplink0").occupants().isEmpty)
    }
  }

  @Test func aDriverThatRefusesNowFallsBackWithItsOwnWords() throws {
    try inNamespace {
      let index = try makeVeth()
      try run("ip link set peer0 mtu 9000")
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .dedicated, queues: 1, policy: nil)
      guard case .generic(let reason) = port.attachMode else {
        Issue.record("a peer's MTU of 9000 is too large for native XDP, but: \(port.attachMode)")
        return
      }
      #expect(reason.contains("Peer MTU is too large"), "\(reason)")
    }
  }

  @Test(arguments: [XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE])
  func aForeignProgramIsNeverReplaced(flags: UInt32) throws {
    try inNamespace {
      let index = try makeVeth()
      let foreign = try loadForeignProgram()
      try BPFSystem.setProgram(interface: index, flags: flags, program: foreign.number, expected: nil)
      let identity = try BPFSystem.identity(of: foreign)
      #expect(throws: KernelTierError.foreignProgram(interface: "uplink0", program: identity)) {
        try XDPPort.attach(interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
      }
      #expect(try removeLeftovers(interfaceIndices: [index]).isEmpty)
      #expect(try XDPHook(index: index, name: "uplink0").occupants().map(\.identity) == [identity])
    }
  }

  @Test func aForeignProgramIsNamedWithWhatToDo() {
    let program = XDPProgramIdentity(id: 42, name: "xdp_dispatcher", tag: "0123456789abcdef")
    #expect(
      KernelTierError.foreignProgram(interface: "eth0", program: program).description
        == "eth0 already runs the XDP program xdp_dispatcher (id 42, tag 0123456789abcdef), which is not Sluice's and stays; "
        + "if it is not needed any more, remove it with: ip link set dev eth0 xdp off")
  }

  @Test func theLeftoverOfACrashIsReplaced() throws {
    try inNamespace {
      let index = try makeVeth()
      var first: UInt32 = 0
      do {
        // Dropped without detach, as by kill -9.
        let port = try XDPPort.attach(
          interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
        first = port.programID
      }
      #expect(try XDPHook(index: index, name: "uplink0").occupants().map(\.identity.id) == [first])
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .dedicated, queues: 1, policy: nil)
      #expect(port.programID != first)
      #expect(port.attachMode == .native)
      #expect(try XDPHook(index: index, name: "uplink0").occupants().map(\.identity.id) == [port.programID])
    }
  }

  @Test func aGenericLeftoverGivesWayToTheDriver() throws {
    try inNamespace {
      let index = try makeVeth()
      do {
        let leftover = try XDPProgram.load(mode: .shared, queues: 1, policy: nil)
        try BPFSystem.setProgram(
          interface: index, flags: UInt32(XDP_FLAGS_SKB_MODE), program: leftover.descriptor.number, expected: nil)
      }
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
      #expect(port.attachMode == .native)
      #expect(try XDPHook(index: index, name: "uplink0").occupants().map(\.place) == [.native])
    }
  }

  @Test func detachLeavesAloneWhatReplacedUs() throws {
    try inNamespace {
      let index = try makeVeth()
      let first = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
      let second = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
      #expect(try !first.detach())
      #expect(try XDPHook(index: index, name: "uplink0").occupants().map(\.identity.id) == [second.programID])
    }
  }

  @Test func leftoversAreRemovedFromWhatIsNoPortAnyMore() throws {
    try inNamespace {
      let native = try makeVeth()
      try run("ip link add bridge0 type bridge")
      let generic = if_nametoindex("bridge0")
      let empty = if_nametoindex("peer0")
      var ids: [UInt32] = []
      for (index, name) in [(native, "uplink0"), (generic, "bridge0")] {
        let port = try XDPPort.attach(
          interfaceIndex: index, interfaceName: name, mode: .dedicated, queues: 1, policy: nil)
        ids.append(port.programID)
      }
      let removed = try removeLeftovers(interfaceIndices: [native, empty, 999_999, generic])
      #expect(removed.map(\.interfaceIndex) == [native, generic])
      #expect(removed.map(\.program.id) == ids)
      #expect(try removeLeftovers(interfaceIndices: [native, empty, generic]).isEmpty)
    }
  }

  @Test func anInterfaceThatIsGoneIsNamed() throws {
    try inNamespace {
      #expect(throws: KernelTierError.noInterface(name: "eth7", index: 777)) {
        try XDPPort.attach(interfaceIndex: 777, interfaceName: "eth7", mode: .shared, queues: 1, policy: nil)
      }
      let index = try makeVeth()
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 1, policy: nil)
      try run("ip link del uplink0")
      #expect(try !port.detach())
    }
  }

  @Test func realFramesAreCounted() throws {
    try inNamespace {
      let index = try makeVeth()
      try run("ip link set uplink0 up")
      try run("ip link set peer0 up")
      let policy = try Policy()
      try policy.add([.deny(try IPPrefix("192.0.2.66"))])
      let port = try XDPPort.attach(
        interfaceIndex: index, interfaceName: "uplink0", mode: .dedicated, queues: 1, policy: policy)
      let denied = Packet.frame(.ipv4(from: "192.0.2.66"))
      try send(Packet.frame(.other), from: "peer0", times: 3)
      try send(denied, from: "peer0", times: 5)
      let deadline = ContinuousClock.now + .seconds(5)
      while policy.entries()[0].dropped.packets < 5, ContinuousClock.now < deadline { usleep(1_000) }
      let counters = try port.counters()
      #expect(counters.droppedDenyV4 == XDPCounter(packets: 5, bytes: UInt64(5 * denied.count)))
      #expect(counters.noSocket.packets >= 3)
      #expect(policy.entries() == [
        PolicyEntry(rule: .deny(try IPPrefix("192.0.2.66")), dropped: XDPCounter(packets: 5, bytes: UInt64(5 * denied.count)))
      ])
    }
  }

  @Test func nothingIsLeftOpen() throws {
    try inNamespace {
      let index = try makeVeth()
      func cycle() throws {
        let policy = try Policy()
        let port = try XDPPort.attach(
          interfaceIndex: index, interfaceName: "uplink0", mode: .shared, queues: 8, policy: policy)
        try port.detach()
      }
      try cycle()
      let programs = openBPFDescriptors()
      for _ in 0..<20 { try cycle() }
      // Other tests run beside this one and have some open; 20 leaked ports would be 180 more.
      #expect(openBPFDescriptors() < programs + 100)
    }
  }
}

/// Descriptors of this process that are BPF maps and programs.
private func openBPFDescriptors() -> Int {
  (0..<4096).count { number in
    var target = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/fd/\(number)", &target, target.count)
    return String(decoding: target.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self).hasPrefix("anon_inode:bpf")
  }
}

/// Sends a frame out of an interface through a packet socket.
private func send(_ frame: [UInt8], from interface: String, times: Int) throws {
  let descriptor = socket(AF_PACKET, Int32(SOCK_RAW.rawValue), 0)
  guard descriptor >= 0 else { throw CommandFailure(command: "socket(AF_PACKET)", status: errno) }
  defer { close(descriptor) }
  // struct sockaddr_ll, which glibc's module does not show: family, protocol, interface, ARP type, packet type, address.
  var address = [UInt8](repeating: 0, count: 20)
  address.withUnsafeMutableBytes {
    $0.storeBytes(of: UInt16(AF_PACKET), toByteOffset: 0, as: UInt16.self)
    $0.storeBytes(of: Int32(if_nametoindex(interface)), toByteOffset: 4, as: Int32.self)
    $0.storeBytes(of: 6, toByteOffset: 11, as: UInt8.self)
  }
  for _ in 0..<times {
    let sent = address.withUnsafeBytes { bytes in
      sendto(
        descriptor, frame, frame.count, 0, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    guard sent == frame.count else { throw CommandFailure(command: "sendto", status: errno) }
  }
}
