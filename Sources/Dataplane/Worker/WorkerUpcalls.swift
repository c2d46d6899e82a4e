// WorkerUpcalls.swift
//
// What: frames that the kernel's tc programs send up through the upcall device: each says in a header in front which port it came in by
//       (`struct sluice_up_header` in BPF/shared.h). The header is taken off, and the frames are handled as batches of their ports.
// Invariants: what is in front of a frame is not trusted: a frame whose header is cut short, is not ours or names no port here is dropped
//             and counted (`badUpcalls`). The frames of one port keep their order.
// Threads: the worker's own.
// Cost: some 10 instructions per frame, and per port of a batch one walk over the frames that are left.

import CSluice

/// A frame without its header, and the port that it came in by.
struct RaisedFrame: BitwiseCopyable {
  var frame: FrameDescriptor
  var port: PortIndex
}

/// The layout of `struct sluice_up_header`.
enum UpHeader {
  static let byteCount = 16
  /// SLUICE_UP_MARK as the low 48 bits of a little-endian word.
  static let mark: UInt64 = 0x02 | 0x53 << 8 | 0x4c << 16 | 0x55 << 24 | 0x50 << 32 | UInt64(SLUICE_ABI) << 40
  static let portOffset = 6
  static let typeOffset = 12
}

extension Worker {
  /// Handles `count` frames in `batch.frames` that came up through the upcall device.
  @inline(never)
  func processRaised(count received: Int) {
    var left: UInt64 = 0
    var bad: UInt64 = 0
    for i in 0..<received {
      let frame = batch.frames[i]
      let port = ingressPort(frame)
      if port >= 0 {
        raised[i] = RaisedFrame(
          frame: FrameDescriptor(
            address: frame.address &+ UInt64(UpHeader.byteCount), length: frame.length &- UInt32(UpHeader.byteCount)),
          port: PortIndex(truncatingIfNeeded: port))
        left |= 1 << UInt64(truncatingIfNeeded: i)
      } else {
        memory.release(frame.address)
        bad &+= 1
      }
    }
    if bad > 0 { counters.add(.badUpcalls, bad) }
    while left != 0 {
      let port = raised[left.trailingZeroBitCount].port
      var rest = left
      var count = 0
      while rest != 0 {
        let i = rest.trailingZeroBitCount
        let bit = rest & (0 &- rest)
        rest ^= bit
        guard raised[i].port == port else { continue }
        batch.frames[count] = raised[i].frame
        count &+= 1
        left ^= bit
      }
      process(count: count, port: Int(port), completeChecksums: false)
    }
  }

  /// The port that a header names; -1 when it is no header, or there is no such port.
  @inline(__always)
  private func ingressPort(_ frame: FrameDescriptor) -> Int {
    guard frame.length >= UInt32(UpHeader.byteCount) else { return -1 }
    let bytes = UnsafePointer(memory.bytes(at: frame.address))
    guard loadRaw(bytes, 0, as: UInt64.self).littleEndian & 0xffff_ffff_ffff == UpHeader.mark,
      load16(bytes, UpHeader.typeOffset) == UInt16(SLUICE_UP_ETHERTYPE)
    else { return -1 }
    let port = Int(loadRaw(bytes, UpHeader.portOffset, as: UInt16.self))
    guard port < WorkerCounters.portCapacity, ports[port].transmitter != nil else { return -1 }
    return port
  }
}
