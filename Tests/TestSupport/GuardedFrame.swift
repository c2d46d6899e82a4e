// GuardedFrame.swift
//
// What: a frame whose last byte lies right before memory that nobody may touch: code that reads or writes past the frame dies at
//       once, with or without sanitizers.

import CSluice
import Glibc

/// Bytes that end at the edge of the permitted world.
public struct GuardedFrame: ~Copyable {
  private static let pageSize = 4096
  private let memory: UnsafeMutableRawPointer
  private let readable: Int
  /// The first byte.
  public let bytes: UnsafeMutablePointer<UInt8>
  public let count: Int

  /// - Parameter room: bytes that may be used in front of the frame.
  public init(_ frame: [UInt8], room: Int = 0) {
    count = frame.count
    readable = (frame.count + room + Self.pageSize) / Self.pageSize * Self.pageSize
    guard let mapped = sluice_map_memory(readable + Self.pageSize, 0) else { fatalError("no memory for a test frame") }
    memory = mapped
    precondition(mprotect(mapped + readable, Self.pageSize, PROT_NONE) == 0, "mprotect failed")
    bytes = (mapped + readable - frame.count).assumingMemoryBound(to: UInt8.self)
    bytes.update(from: frame, count: frame.count)
  }

  deinit { sluice_unmap_memory(memory, readable + Self.pageSize) }
}
