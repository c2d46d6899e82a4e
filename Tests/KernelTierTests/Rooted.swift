// Rooted.swift
//
// What tests of the kernel need: the right to load programs, namespaces of their own, interfaces, an AF_XDP socket.
// Invariant: a namespace belongs to the thread that made it and vanishes with it, interfaces, programs and all.

import CLibbpf
import CSluice
import Glibc
import Testing

@testable import KernelTier

/// Whether BPF programs can be loaded here, found out by loading one; the reason when not.
enum BPFSupport {
  static let refusal: String? = {
    do {
      _ = try XDPProgram.load(mode: .dedicated, queues: 1, policy: nil)
      return nil
    } catch {
      return "\(error)"
    }
  }()

  static var isThere: Bool { refusal == nil }
  static var comment: Comment { "needs BPF: \(refusal ?? "")" }
}

/// Runs a test on a thread of its own, in a new network namespace that ends with it.
func inNamespace(_ body: @escaping @Sendable () throws -> Void) throws {
  final class Box: @unchecked Sendable {
    // Written by the thread before it ends, read after it was joined.
    var failure: (any Error)?
    let body: @Sendable () throws -> Void
    init(_ body: @escaping @Sendable () throws -> Void) { self.body = body }
  }
  let box = Box(body)
  var thread = pthread_t()
  let created = pthread_create(
    &thread, nil,
    { argument in
      let box = Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue()
      do {
        let code = sluice_new_network_namespace()
        guard code == 0 else { throw CommandFailure(command: "unshare --net", status: code) }
        try box.body()
      } catch {
        box.failure = error
      }
      return nil
    }, Unmanaged.passRetained(box).toOpaque())
  #expect(created == 0)
  pthread_join(thread, nil)
  if let failure = box.failure { throw failure }
}

struct CommandFailure: Error {
  var command: String
  var status: Int32
}

/// Runs a command in the calling thread's namespace.
func run(_ command: String) throws {
  let words = command.split(separator: " ").map(String.init)
  var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
  defer { for argument in arguments { free(argument) } }
  var child = pid_t()
  guard posix_spawnp(&child, arguments[0]!, nil, nil, &arguments, environ) == 0 else {
    throw CommandFailure(command: command, status: errno)
  }
  var status: Int32 = 0
  waitpid(child, &status, 0)
  guard status == 0 else { throw CommandFailure(command: command, status: status) }
}

/// Makes a veth pair in the calling thread's namespace; the first end's index.
func makeVeth(_ name: String = "uplink0", peer: String = "peer0") throws -> UInt32 {
  try run("ip link add \(name) type veth peer name \(peer)")
  return if_nametoindex(name)
}

/// A program that is not ours: it passes everything.
func loadForeignProgram() throws -> BPFDescriptor {
  // r0 = XDP_PASS; exit
  let instructions = [
    bpf_insn(code: UInt8(BPF_ALU64 | BPF_MOV | BPF_K), dst_reg: 0, src_reg: 0, off: 0, imm: 2),
    bpf_insn(code: UInt8(BPF_JMP | BPF_EXIT), dst_reg: 0, src_reg: 0, off: 0, imm: 0),
  ]
  let number = bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_xdp", "GPL", instructions, instructions.count, nil)
  guard number >= 0 else { throw CommandFailure(command: "load a foreign program", status: errno) }
  return BPFDescriptor(owning: number)
}

/// An AF_XDP socket with memory and rings, which is what a place in the socket map takes; it is not bound to any interface.
final class TestSocket {
  let descriptor: Int32
  private let memory: UnsafeMutableRawPointer
  private static let frames = 16
  private static let frameSize = 4096

  init() throws {
    descriptor = socket(44 /* AF_XDP */, Int32(SOCK_RAW.rawValue), 0)
    guard descriptor >= 0, let memory = sluice_map_memory(Self.frames * Self.frameSize, 0) else {
      throw CommandFailure(command: "socket(AF_XDP)", status: errno)
    }
    self.memory = memory
    var area = xdp_umem_reg()
    area.addr = UInt64(UInt(bitPattern: memory))
    area.len = UInt64(Self.frames * Self.frameSize)
    area.chunk_size = UInt32(Self.frameSize)
    try set(XDP_UMEM_REG, &area, MemoryLayout<xdp_umem_reg>.size)
    var entries = UInt32(Self.frames)
    for option in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING] {
      try set(option, &entries, MemoryLayout<UInt32>.size)
    }
  }

  deinit {
    close(descriptor)
    sluice_unmap_memory(memory, Self.frames * Self.frameSize)
  }

  private func set(_ option: Int32, _ value: UnsafeRawPointer, _ size: Int) throws {
    guard setsockopt(descriptor, 283 /* SOL_XDP */, option, value, socklen_t(size)) == 0 else {
      throw CommandFailure(command: "setsockopt(SOL_XDP, \(option))", status: errno)
    }
  }
}
