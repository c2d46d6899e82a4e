// XDPSocket.swift
//
// What: one AF_XDP socket bound to one queue of one interface, with its four rings mapped. The only file that makes
//       AF_XDP system calls, kicks (sluice_afxdp.h) aside.
// Invariants: the socket registers the worker's whole FrameMemory as its own UMEM (FrameMemory.swift says why).
//             Zero-copy is tried first; when the driver refuses, copy mode is used and the refusal is kept as
//             `mode`'s reason. The rings must not be touched after close(): a mapping would keep the socket alive, so
//             close() removes them all.
// Threads: opened by the control plane, then owned by the worker, who closes it.
// Cost: opening pins the frame memory (about 0.1 ms per MiB) and may wait up to a second for a queue that was just
//       released.

import CSluice
import Glibc

/// How frames get from the driver into frame memory.
public enum XDPMode: Sendable, Equatable, CustomStringConvertible {
  /// The NIC reads and writes frame memory itself.
  case zeroCopy
  /// The kernel copies each frame; the reason why zero-copy is not used.
  case copy(reason: String)

  public var description: String {
    switch self {
    case .zeroCopy: "zero-copy"
    case .copy(let reason): "copy (\(reason))"
    }
  }
}

struct XDPSocket: ~Copyable {
  /// What to bind to.
  struct Target {
    let interfaceIndex: Int32
    let interfaceName: String
    let queue: UInt32
  }

  /// The memory that an own UMEM is made of.
  struct Region {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    let chunkSize: Int
  }

  let descriptor: Int32
  let mode: XDPMode
  let isZeroCopy: Bool
  /// Our own addresses for the kernel to write to; and our frames back.
  var fill: ProducerRing<UInt64>
  var completion: ConsumerRing<UInt64>
  var receive: ConsumerRing<FrameDescriptor>
  var transmit: ProducerRing<FrameDescriptor>
  private let target: Target
  private let mappings: [RingMapping]
  private var isOpen = true

  /// Takes over what open() made, or what a test made to play the kernel's side (then without mappings and with
  /// descriptor -1).
  init(
    descriptor: Int32, mode: XDPMode, target: Target, fill: RingMemory<UInt64>, completion: RingMemory<UInt64>,
    receive: RingMemory<FrameDescriptor>, transmit: RingMemory<FrameDescriptor>, mappings: [RingMapping] = []
  ) {
    self.descriptor = descriptor
    self.mode = mode
    isZeroCopy = mode == .zeroCopy
    self.target = target
    self.fill = ProducerRing(fill)
    self.completion = ConsumerRing(completion)
    self.receive = ConsumerRing(receive)
    self.transmit = ProducerRing(transmit)
    self.mappings = mappings
  }

  /// Opens, sizes, maps and binds a socket.
  ///
  /// - Parameter ringSize: entries of each of the four rings, a power of two.
  /// - Parameter copyReason: why zero-copy is not even tried; nil to try it.
  /// - Throws: `PortError.refused` with the step that the kernel refused.
  /// - Source: Documentation/networking/af_xdp.rst.
  static func open(
    _ target: Target, region: Region, ringSize: Int, copyReason: String?
  ) throws(PortError) -> XDPSocket {
    let descriptor = socket(AF_XDP, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw target.refused(.socket, errno) }
    var mappings: [RingMapping] = []
    do throws(PortError) {
      try register(region, on: descriptor, target)
      let rings = [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING]
      for ring in rings { try setOption(ring, UInt32(ringSize), on: descriptor, .makeRings, target) }
      // Kernels before 6.17 send 32 frames per sendto and do not know this option.
      var budget = UInt32(min(ringSize, 256))
      _ = setsockopt(descriptor, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, socklen_t(MemoryLayout<UInt32>.size))

      let offsets = try mmapOffsets(of: descriptor, target)
      let fill: RingMemory<UInt64> = try map(
        descriptor, offsets.fr, ringSize, UInt64(XDP_UMEM_PGOFF_FILL_RING), &mappings, target)
      let completion: RingMemory<UInt64> = try map(
        descriptor, offsets.cr, ringSize, UInt64(XDP_UMEM_PGOFF_COMPLETION_RING), &mappings, target)
      let receive: RingMemory<FrameDescriptor> = try map(
        descriptor, offsets.rx, ringSize, UInt64(XDP_PGOFF_RX_RING), &mappings, target)
      let transmit: RingMemory<FrameDescriptor> = try map(
        descriptor, offsets.tx, ringSize, UInt64(XDP_PGOFF_TX_RING), &mappings, target)
      let mode = try bind(descriptor, target, copyReason: copyReason)
      return XDPSocket(
        descriptor: descriptor, mode: mode, target: target, fill: fill, completion: completion, receive: receive,
        transmit: transmit, mappings: mappings)
    } catch {
      letGo(descriptor, mappings)
      throw error
    }
  }

  deinit {
    if isOpen { Self.letGo(descriptor, mappings) }
  }

  /// Unmaps the rings and closes the socket. In copy mode the kernel touches frame memory no more when this returns; in
  /// zero-copy mode only when waitUntilReleased() says so.
  mutating func close() {
    if isOpen { Self.letGo(descriptor, mappings) }
    isOpen = false
  }

  private static func letGo(_ descriptor: Int32, _ mappings: [RingMapping]) {
    for mapping in mappings { mapping.unmap() }
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
  }

  /// Waits until the queue is free again after close(), which the kernel does from a work queue some milliseconds
  /// later. Until then a zero-copy NIC may still write to frames that it took from the fill ring.
  /// - Returns: false when the kernel still holds the queue after `timeoutMilliseconds`.
  func waitUntilReleased(timeoutMilliseconds: Int) -> Bool {
    for _ in 0...timeoutMilliseconds {
      if !Self.isHeld(target) { return true }
      usleep(1000)
    }
    return false
  }

  /// True when some AF_XDP socket is bound to the queue: a bind of our own, to memory of no use, finds it busy.
  private static func isHeld(_ target: Target) -> Bool {
    let byteCount = 4096
    guard let page = sluice_map_memory(byteCount, 0) else { return true }
    defer { sluice_unmap_memory(page, byteCount) }
    let probe = socket(AF_XDP, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { return true }
    defer { _ = Glibc.close(probe) }
    do throws(PortError) {
      try register(Region(base: page, byteCount: byteCount, chunkSize: 2048), on: probe, target)
      for ring in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING] {
        try setOption(ring, 2, on: probe, .makeRings, target)
      }
    } catch {
      return true
    }
    return bindOnce(probe, target, flags: XDP_COPY) == EBUSY
  }

  /// Reads the kernel's counters of a socket; nil when it is gone.
  static func statistics(of descriptor: Int32) -> xdp_statistics? {
    var statistics = xdp_statistics()
    var length = socklen_t(MemoryLayout<xdp_statistics>.size)
    return getsockopt(descriptor, SOL_XDP, XDP_STATISTICS, &statistics, &length) == 0 ? statistics : nil
  }
}

/// A mapped ring.
struct RingMapping {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  func unmap() { munmap(base, byteCount) }
}

extension XDPSocket.Target {
  fileprivate func refused(_ step: PortError.Step, _ code: Int32) -> PortError {
    .refused(step: step, interface: interfaceName, queue: queue, errno: code)
  }
}

// The steps of opening.
extension XDPSocket {
  private static func register(_ region: Region, on descriptor: Int32, _ target: Target) throws(PortError) {
    // No headroom of our own: the kernel leaves XDP_PACKET_HEADROOM (256 bytes) in front of a frame anyway.
    let memory = xdp_umem_reg(
      addr: UInt64(UInt(bitPattern: region.base)), len: UInt64(region.byteCount), chunk_size: UInt32(region.chunkSize),
      headroom: 0, flags: 0)
    try setOption(XDP_UMEM_REG, memory, on: descriptor, .registerMemory, target)
  }

  private static func setOption<Value: BitwiseCopyable>(
    _ name: Int32, _ value: Value, on descriptor: Int32, _ step: PortError.Step, _ target: Target
  ) throws(PortError) {
    let result = withUnsafeBytes(of: value) { bytes in
      setsockopt(descriptor, SOL_XDP, name, bytes.baseAddress, socklen_t(bytes.count))
    }
    guard result == 0 else { throw target.refused(step, errno) }
  }

  private static func mmapOffsets(of descriptor: Int32, _ target: Target) throws(PortError) -> xdp_mmap_offsets {
    var offsets = xdp_mmap_offsets()
    var length = socklen_t(MemoryLayout<xdp_mmap_offsets>.size)
    guard getsockopt(descriptor, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) == 0 else {
      throw target.refused(.mapRings, errno)
    }
    return offsets
  }

  private static func map<Element: BitwiseCopyable>(
    _ descriptor: Int32, _ offsets: xdp_ring_offset, _ size: Int, _ pageOffset: UInt64,
    _ mappings: inout [RingMapping], _ target: Target
  ) throws(PortError) -> RingMemory<Element> {
    let byteCount = Int(offsets.desc) + size * MemoryLayout<Element>.stride
    guard let base = sluice_afxdp_map_ring(descriptor, byteCount, pageOffset) else {
      throw target.refused(.mapRings, errno)
    }
    mappings.append(RingMapping(base: base, byteCount: byteCount))
    return RingMemory(
      producer: (base + Int(offsets.producer)).assumingMemoryBound(to: UInt32.self),
      consumer: (base + Int(offsets.consumer)).assumingMemoryBound(to: UInt32.self),
      flags: (base + Int(offsets.flags)).assumingMemoryBound(to: UInt32.self),
      entries: (base + Int(offsets.desc)).assumingMemoryBound(to: Element.self), size: UInt32(size))
  }

  /// Binds zero-copy if the driver can, else copy.
  private static func bind(
    _ descriptor: Int32, _ target: Target, copyReason: String?
  ) throws(PortError) -> XDPMode {
    var reason = copyReason ?? ""
    if copyReason == nil {
      let refusal = bindPatiently(descriptor, target, flags: XDP_ZEROCOPY)
      if refusal == 0 { return .zeroCopy }
      // With these no other mode works either; everything else is the driver saying no to zero-copy.
      if refusal == EBUSY || refusal == ENODEV { throw target.refused(.bind, refusal) }
      reason = "the driver of \(target.interfaceName) refuses zero-copy: \(String(cString: strerror(refusal)))"
    }
    let refusal = bindPatiently(descriptor, target, flags: XDP_COPY)
    guard refusal == 0 else { throw target.refused(.bind, refusal) }
    return .copy(reason: reason)
  }

  /// Binds, and tries again for a second while the queue is busy: the kernel frees a queue only some milliseconds after
  /// its last socket was closed.
  private static func bindPatiently(_ descriptor: Int32, _ target: Target, flags: Int32) -> Int32 {
    for _ in 0..<100 {
      let refusal = bindOnce(descriptor, target, flags: flags)
      if refusal != EBUSY { return refusal }
      usleep(10_000)
    }
    return EBUSY
  }

  private static func bindOnce(_ descriptor: Int32, _ target: Target, flags: Int32) -> Int32 {
    var address = sockaddr_xdp()
    address.sxdp_family = UInt16(AF_XDP)
    address.sxdp_flags = UInt16(flags | XDP_USE_NEED_WAKEUP)
    address.sxdp_ifindex = UInt32(target.interfaceIndex)
    address.sxdp_queue_id = target.queue
    let result = withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_xdp>.size))
      }
    }
    return result == 0 ? 0 : errno
  }
}
