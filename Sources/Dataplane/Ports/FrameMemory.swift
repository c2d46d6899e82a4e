// FrameMemory.swift
//
// What: the packet memory of one worker: equal chunks in one mapping, and the stack of those that are free. All ports of a
//       worker take frames from here and give them back here, so forwarding from one port to another moves a 16-byte
//       descriptor and no bytes. AF_XDP ports register the same mapping as the UMEM of each of their sockets; registering
//       it once per socket (instead of XDP_SHARED_UMEM) lets a zero-copy NIC and a copy-mode veth live in one worker,
//       because a shared UMEM forces the mode of its first socket on all others.
// Invariants: a chunk is owned by exactly one of: the free stack, a ring of a port, a batch in progress, a waiting upcall.
//             Debug builds keep an owner mark per chunk and trap on a double free or on the use of a free frame.
// Threads: confined to the worker; only `base` and `chunkSize` may be read elsewhere. The pipeline thread may read the bytes of
//          a frame that waits in an upcall.
// Cost: taking or giving back a frame is a load and a store; the stack is last-in first-out, so a busy worker with a
//       short queue touches few chunks and they stay in the cache.

import CSluice
import Glibc

/// A frame in a worker's memory: the layout of the kernel's `struct xdp_desc` (linux/if_xdp.h).
@frozen
public struct FrameDescriptor: BitwiseCopyable, Sendable {
  /// Where the frame's first byte is: bytes from the base of the frame memory.
  public var address: UInt64
  /// Bytes in the frame, without the FCS.
  public var length: UInt32
  /// XDP_PKT_CONTD and the like; 0 for a frame in one piece.
  public var options: UInt32

  @inline(__always)
  public init(address: UInt64, length: UInt32, options: UInt32 = 0) {
    self.address = address
    self.length = length
    self.options = options
  }
}

/// Why frame memory cannot be had.
public enum FrameMemoryError: Error, CustomStringConvertible {
  case badChunkSize(Int)
  case badChunkCount(Int)
  case cannotMap(bytes: Int, errno: Int32)

  public var description: String {
    switch self {
    case .badChunkSize(let size): "frame size \(size): expected 2048 or 4096 bytes"
    case .badChunkCount(let count): "\(count) frames: expected 64 to 4194304"
    case .cannotMap(let bytes, let errno):
      "cannot map \(bytes) bytes of frame memory: \(String(cString: strerror(errno)))"
    }
  }
}

/// The frames of one worker.
public final class FrameMemory {
  /// Bytes that AF_XDP and the rewriter may use in front of a received frame: XDP_PACKET_HEADROOM (linux/bpf.h).
  public static let headroom = 256

  public let base: UnsafeMutablePointer<UInt8>
  public let chunkSize: Int
  public let chunkCount: Int
  private let chunkShift: UInt64
  private let free: UnsafeMutablePointer<UInt32>
  private var freeCountStorage: Int
  #if DEBUG
    private let isFree: UnsafeMutablePointer<Bool>
  #endif

  /// Maps `chunkCount` chunks of `chunkSize` bytes. The pages are touched when they are first used, or pinned by the first
  /// AF_XDP socket that registers them.
  public static func make(chunkSize: Int, chunkCount: Int) throws(FrameMemoryError) -> FrameMemory {
    guard chunkSize == 2048 || chunkSize == 4096 else { throw .badChunkSize(chunkSize) }
    guard chunkCount >= 64, chunkCount <= 1 << 22 else { throw .badChunkCount(chunkCount) }
    guard let memory = sluice_map_memory(chunkSize * chunkCount, 1) else {
      throw .cannotMap(bytes: chunkSize * chunkCount, errno: errno)
    }
    return FrameMemory(memory: memory, chunkSize: chunkSize, chunkCount: chunkCount)
  }

  private init(memory: UnsafeMutableRawPointer, chunkSize: Int, chunkCount: Int) {
    base = memory.assumingMemoryBound(to: UInt8.self)
    self.chunkSize = chunkSize
    self.chunkCount = chunkCount
    chunkShift = UInt64(chunkSize.trailingZeroBitCount)
    free = .allocate(capacity: chunkCount)
    for i in 0..<chunkCount { free[i] = UInt32(chunkCount - 1 - i) }
    freeCountStorage = chunkCount
    #if DEBUG
      isFree = .allocate(capacity: chunkCount)
      isFree.initialize(repeating: true, count: chunkCount)
    #endif
  }

  deinit {
    sluice_unmap_memory(base, byteCount)
    free.deallocate()
    #if DEBUG
      isFree.deallocate()
    #endif
  }

  /// Bytes of the whole mapping: what an AF_XDP socket registers.
  public var byteCount: Int { chunkSize * chunkCount }

  /// Chunks that nobody owns now.
  @inline(__always)
  public var freeCount: Int { freeCountStorage }

  /// Takes a chunk and returns the address of its first byte (headroom included), or nil when none is free.
  @inline(__always)
  public func allocate() -> UInt64? {
    guard freeCountStorage > 0 else { return nil }
    freeCountStorage &-= 1
    let chunk = free[freeCountStorage]
    #if DEBUG
      precondition(isFree[Int(chunk)], "frame \(chunk) was handed out twice")
      isFree[Int(chunk)] = false
    #endif
    return UInt64(chunk) &<< chunkShift
  }

  /// Gives back the chunk that `address` lies in.
  @inline(__always)
  public func release(_ address: UInt64) {
    let chunk = UInt32(truncatingIfNeeded: address &>> chunkShift)
    #if DEBUG
      precondition(Int(chunk) < chunkCount, "frame address \(address) is outside the frame memory")
      precondition(!isFree[Int(chunk)], "frame \(chunk) was given back twice")
      isFree[Int(chunk)] = true
    #endif
    free[freeCountStorage] = chunk
    freeCountStorage &+= 1
  }

  /// The bytes at an address of this memory.
  @inline(__always)
  public func bytes(at address: UInt64) -> UnsafeMutablePointer<UInt8> {
    base + Int(truncatingIfNeeded: address)
  }

  /// The address of the first byte of the chunk that `address` lies in.
  @inline(__always)
  public func chunkStart(of address: UInt64) -> UInt64 { (address &>> chunkShift) << chunkShift }

  /// Bytes between the start of its chunk and `address`: room for headers to be pushed.
  @inline(__always)
  public func roomBefore(_ address: UInt64) -> Int {
    Int(truncatingIfNeeded: address & (UInt64(chunkSize) &- 1))
  }

  /// The longest frame that fits behind the usual headroom.
  public var largestFrame: Int { chunkSize - Self.headroom }
}
