// AFXDPNamespace.swift
//
// What: where the AF_XDP tests run: a network namespace of their own, entered by a thread of their own, with veth
//       pairs, the smallest XDP program that feeds AF_XDP sockets, and plain packet sockets that see what a container
//       would see.
// Invariants: the namespace has no name and vanishes with its thread and sockets, whatever happens in the test.
// Threads: everything is used on the thread that runOnOwnNetwork() starts.

import CLibbpf
import Glibc

/// What went wrong in a test's own thread, where #expect has no test to report to.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func require(_ condition: Bool, _ description: @autoclosure () -> String) throws {
  if !condition { throw Failure(description()) }
}

/// Why tests with real traffic cannot run here; nil when they can.
let networkRefusal: String? = {
  guard geteuid() == 0 else { return "needs root (network namespaces, AF_XDP)" }
  let probe = socket(AF_XDP, Int32(SOCK_RAW.rawValue), 0)
  guard probe >= 0 else { return "this kernel has no AF_XDP" }
  close(probe)
  return nil
}()

/// Runs `body` on a new thread in a new network namespace.
func runOnOwnNetwork<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    let job = Job {
      continuation.resume(
        with: Result {
          try leaveNetwork()
          return try body()
        })
    }
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().run() }
        return nil
      }, Unmanaged.passRetained(job).toOpaque())
    precondition(code == 0, "no thread for a test")
    pthread_detach(thread)
  }
}

private final class Job {
  let run: () -> Void
  init(_ run: @escaping () -> Void) { self.run = run }
}

private func leaveNetwork() throws {
  // unshare is a GNU extension, which Swift's Glibc does not show.
  guard let symbol = dlsym(nil, "unshare") else { throw Failure("no unshare in libc") }
  let unshare = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
  let newNetwork: Int32 = 0x4000_0000  // CLONE_NEWNET, linux/sched.h
  try require(unshare(newNetwork) == 0, "unshare: \(String(cString: strerror(errno)))")
  // Neighbour discovery would mix with the frames of the test.
  for which in ["all", "default"] {
    let file = open("/proc/sys/net/ipv6/conf/\(which)/disable_ipv6", O_WRONLY)
    if file >= 0 {
      _ = write(file, "1", 1)
      close(file)
    }
  }
}

/// Runs `ip` with the given words in the namespace of the calling thread.
func ip(_ words: String) throws {
  let arguments = ["ip"] + words.split(separator: " ").map(String.init)
  var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  var child = pid_t()
  try require(posix_spawnp(&child, "ip", nil, nil, &pointers, environ) == 0, "cannot run ip")
  var status: Int32 = 0
  waitpid(child, &status, 0)
  try require(status == 0, "ip \(words): status \(status)")
}

/// A veth pair; the near end gets the AF_XDP socket, the far end is the container's.
struct VethPair {
  let near: String
  let far: String
  let nearIndex: Int32
  let farIndex: Int32

  static func make(_ near: String, _ far: String, mtu: Int = 1500) throws -> VethPair {
    try ip("link add \(near) mtu \(mtu) type veth peer name \(far) mtu \(mtu)")
    try ip("link set \(near) up")
    try ip("link set \(far) up")
    return VethPair(
      near: near, far: far, nearIndex: Int32(if_nametoindex(near)), farIndex: Int32(if_nametoindex(far)))
  }
}

/// `return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS)`, with its map.
final class RedirectProgram {
  let map: Int32
  let program: Int32

  init() throws {
    map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "test_sockets", 4, 4, 64, nil)
    try require(map >= 0, "cannot make an XSKMAP: \(String(cString: strerror(errno)))")
    func instruction(
      _ code: UInt64, to: UInt64 = 0, from: UInt64 = 0, offset: UInt64 = 0, value: UInt32 = 0
    ) -> UInt64 {
      code | to << 8 | from << 12 | offset << 16 | UInt64(value) << 32
    }
    let instructions: [UInt64] = [
      instruction(0x61, to: 2, from: 1, offset: 16),  // r2 = ctx->rx_queue_index
      instruction(0x18, to: 1, from: 1, value: UInt32(map)),  // r1 = &sockets (two instructions long)
      0,
      instruction(0xb7, to: 3, value: 2),  // r3 = XDP_PASS
      instruction(0x85, value: 51),  // call bpf_redirect_map
      instruction(0x95),  // exit
    ]
    program = instructions.withUnsafeBytes { bytes in
      bpf_prog_load(
        BPF_PROG_TYPE_XDP, "test_redirect", "GPL", bytes.baseAddress?.assumingMemoryBound(to: bpf_insn.self),
        instructions.count, nil)
    }
    try require(program >= 0, "cannot load the XDP program: \(String(cString: strerror(errno)))")
  }

  deinit {
    close(program)
    close(map)
  }

  /// Attaches to an interface in native mode. 0 or errno.
  func attach(_ interfaceIndex: Int32) -> Int32 {
    -bpf_xdp_attach(interfaceIndex, program, UInt32(XDP_FLAGS_DRV_MODE), nil)
  }

  func setSocket(queue: UInt32, _ descriptor: Int32) throws {
    var key = queue
    var value = descriptor
    try require(bpf_map_update_elem(map, &key, &value, 0) == 0, "cannot put the socket in the XSKMAP")
  }
}

/// A raw packet socket on an interface: what a container sends and sees.
final class PacketSocket {
  let descriptor: Int32

  init(_ interfaceIndex: Int32) throws {
    let everything = UInt16(0x0003).bigEndian  // ETH_P_ALL
    descriptor = socket(AF_PACKET, Int32(SOCK_RAW.rawValue), Int32(everything))
    try require(descriptor >= 0, "no packet socket: \(String(cString: strerror(errno)))")
    var on: Int32 = 1
    let solPacket: Int32 = 263
    let packetIgnoreOutgoing: Int32 = 23
    setsockopt(descriptor, solPacket, packetIgnoreOutgoing, &on, 4)
    var bufferBytes: Int32 = 16 << 20
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bufferBytes, 4)
    // struct sockaddr_ll, linux/if_packet.h: family, protocol, interface, then zeroes.
    var address = [UInt8](repeating: 0, count: 20)
    withUnsafeBytes(of: UInt16(AF_PACKET)) { address.replaceSubrange(0..<2, with: $0) }
    withUnsafeBytes(of: everything) { address.replaceSubrange(2..<4, with: $0) }
    withUnsafeBytes(of: interfaceIndex) { address.replaceSubrange(4..<8, with: $0) }
    let bound = address.withUnsafeBytes { bytes in
      bind(descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    try require(bound == 0, "cannot bind a packet socket: \(String(cString: strerror(errno)))")
  }

  deinit { close(descriptor) }

  func send(_ frame: [UInt8]) throws {
    let sent = Glibc.send(descriptor, frame, frame.count, 0)
    try require(sent == frame.count, "packet socket sent \(sent) of \(frame.count) bytes: \(errno)")
  }

  /// The next frame, or nil when none came within the time.
  func receive(timeoutMilliseconds: Int32 = 0) -> [UInt8]? {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&wait, 1, timeoutMilliseconds) > 0 else { return nil }
    var buffer = [UInt8](repeating: 0, count: 9216)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count > 0 ? Array(buffer[0..<count]) : nil
  }
}

/// Frame number `n` of a test: an experimental EtherType, its number, and bytes that follow from it.
func numberedFrame(_ n: Int, length: Int = 60) -> [UInt8] {
  var frame: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]
  withUnsafeBytes(of: UInt32(n).bigEndian) { frame.append(contentsOf: $0) }
  while frame.count < length { frame.append(UInt8(truncatingIfNeeded: n &* 31 &+ frame.count)) }
  return frame
}
