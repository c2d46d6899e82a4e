// AFXDPQueue.swift
//
// What: the AF_XDP driver: one queue of an interface, received and sent without copying in user space. The XDP
//       program that feeds it is attached by the kernel tier; it needs only `socketDescriptor`, for its XSKMAP.
// Invariants: every frame is ours or lent to the kernel, and LentFrames knows which: what close() gives back plus
//             what the worker got is what was put in. No more frames are lent for receiving than the rx ring has
//             entries, nor for sending than the completion ring has, so neither ring can overflow. The fill ring is
//             refilled before a batch is handed over.
// Threads: open() on any thread (of the frame memory it reads only base and size); then everything belongs to the
//          worker, except `monitor` and the constants, which any thread may read.
// Cost: receive and transmit move 16 bytes per frame and store one mark; system calls only when the kernel asks for a
//       wake-up. In copy mode the kernel asks always, and the one sendto per batch is the transmission itself.

import CSluice
import Glibc

/// One queue of an interface, through AF_XDP.
///
/// @unchecked Sendable: see "Threads" here and in PortQueue.swift.
public final class AFXDPQueue: PortQueue, @unchecked Sendable {
  /// Entries of each ring when nothing else is asked for.
  public static let defaultRingSize = 2048

  public let interfaceIndex: Int32
  public let interfaceName: String
  public let queue: UInt32
  /// Zero-copy, or copy with the reason.
  public let mode: XDPMode
  /// The socket, to be put in the XSKMAP of the XDP program; valid until the queue is closed.
  public let socketDescriptor: Int32
  /// Counters and stall detection, for other threads.
  public let monitor: AFXDPMonitor
  public override var receives: Bool { isReceiving }

  private let isReceiving: Bool
  private let fillTarget: Int
  private let refillBatch: Int
  private let transmitLimit: Int
  private let chunkSize: UInt64
  private let partialChecksums: Bool
  private let isZeroCopy: Bool
  private var isOpen = true
  /// True inside a frame in several pieces, until its last one was dropped.
  private var dropsPieces = false
  /// True after a kick failed for good (link down, interface gone): only new frames try again, so that the worker may
  /// sleep.
  private var isBlocked = false
  private var socket: XDPSocket
  private var lent: LentFrames
  private let tally: UnsafeMutablePointer<AFXDPMonitor.Tally>

  /// Opens queue `queue` of an interface.
  ///
  /// Blocks for up to a second when the queue was released a moment ago.
  /// - Parameter memory: the frame memory of the worker that will own the queue.
  /// - Parameter ringSize: entries of each ring: a power of two, 64 to 32768.
  /// - Parameter fillTarget: frames to keep lent for receiving: this port's fair share of the memory. The ring size
  ///   if nil.
  /// - Parameter allowZeroCopy: false when the XDP program runs in generic mode.
  /// - Parameter deliversPartialChecksums: true for a veth, whose peer leaves checksums to be completed.
  /// - Parameter receives: false for a port whose frames come in elsewhere: nothing is lent for receiving, the queue is not for an XSKMAP, and
  ///   copy mode is used, because a zero-copy driver would give its receive queue away with the other.
  /// - Throws: `PortError`, a sentence with interface, queue, the kernel's words and the remedy.
  public static func open(
    interfaceIndex: Int32, interfaceName: String, queue: UInt32, memory: FrameMemory, ringSize: Int = defaultRingSize,
    fillTarget: Int? = nil, allowZeroCopy: Bool = true, deliversPartialChecksums: Bool = false, receives: Bool = true
  ) throws(PortError) -> AFXDPQueue {
    guard (64...32768).contains(ringSize), ringSize & (ringSize - 1) == 0 else { throw .badRingSize(ringSize) }
    let target = XDPSocket.Target(interfaceIndex: interfaceIndex, interfaceName: interfaceName, queue: queue)
    let region = XDPSocket.Region(base: memory.base, byteCount: memory.byteCount, chunkSize: memory.chunkSize)
    let socket = try XDPSocket.open(target, region: region, ringSize: ringSize,
      copyReason: !receives ? "it only sends" : allowZeroCopy ? nil : "the XDP program runs in generic mode")
    return AFXDPQueue(
      socket: socket, target: target, memory: memory, ringSize: ringSize,
      fillTarget: receives ? fillTarget ?? ringSize : 0, deliversPartialChecksums: deliversPartialChecksums)
  }

  /// - Parameter socket: an open socket, or rings in plain memory of which a test plays the kernel's side.
  /// - Parameter fillTarget: 0 for a queue that only sends.
  init(
    socket: consuming XDPSocket, target: XDPSocket.Target, memory: FrameMemory, ringSize: Int, fillTarget: Int,
    deliversPartialChecksums: Bool
  ) {
    interfaceIndex = target.interfaceIndex
    interfaceName = target.interfaceName
    queue = target.queue
    mode = socket.mode
    isZeroCopy = socket.isZeroCopy
    socketDescriptor = socket.descriptor
    monitor = AFXDPMonitor(descriptor: socket.descriptor, isZeroCopy: socket.isZeroCopy)
    tally = monitor.tally
    isReceiving = fillTarget > 0
    self.fillTarget = min(max(0, fillTarget), ringSize)
    // Refilling a few frames at a time would bounce the ring's cache line for each; a quarter of a small ring is
    // still soon.
    refillBatch = max(1, min(32, self.fillTarget / 4))
    transmitLimit = ringSize
    chunkSize = UInt64(memory.chunkSize)
    partialChecksums = deliversPartialChecksums
    lent = LentFrames(chunkCount: memory.chunkCount, chunkSize: memory.chunkSize)
    self.socket = socket
  }

  /// The largest MTU whose frames, with two VLAN tags, AF_XDP carries in one chunk of `chunkSize` bytes.
  ///
  /// A chunk starts with XDP_PACKET_HEADROOM (256 bytes). A driver in native XDP mode needs that in its own page of
  /// 4096 too, and behind the frame room for the kernel's skb_shared_info (320 bytes): it refuses XDP at larger MTUs.
  /// - Returns: 3498 for chunks of 4096 bytes, 1770 for chunks of 2048.
  public static func largestMTU(chunkSize: Int) -> Int {
    let linkHeader = 14 + 2 * 4
    let driverPage = 4096
    let sharedInfo = 320
    return min(chunkSize, driverPage - sharedInfo) - FrameMemory.headroom - linkHeader
  }

  /// Refuses an MTU that the port cannot carry.
  /// - Throws: `PortError.mtuTooLarge`, with the limit.
  public static func check(mtu: Int, interfaceName: String, chunkSize: Int) throws(PortError) {
    let limit = largestMTU(chunkSize: chunkSize)
    guard mtu <= limit else { throw .mtuTooLarge(interface: interfaceName, mtu: mtu, limit: limit) }
  }

  public override var waitDescriptor: Int32 { socketDescriptor }
  public override var deliversPartialChecksums: Bool { partialChecksums }

  /// Frames that the kernel holds for this queue; 0 once it is closed. For the worker.
  public var lentCount: Int { lent.count }

  public override func receive(
    _ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory
  ) -> Int {
    guard isOpen, isReceiving else { return 0 }
    let arrived = socket.receive.available(upTo: limit)
    var kept = 0
    if arrived > 0 {
      var anyOptions: UInt32 = 0
      for i in 0..<arrived {
        let frame = socket.receive.element(at: i)
        // Another core has just written it: the transfers of the whole batch overlap from here on.
        sluice_prefetch(memory.bytes(at: frame.address))
        lent.takeReceived(frame.address)
        anyOptions |= frame.options
        frames[i] = frame
      }
      socket.receive.release(arrived)
      lent.countForReceive(0 &- arrived)
      kept = arrived
      if anyOptions != 0 || dropsPieces { kept = dropPieces(frames, count: arrived, memory: memory) }
      sluice_count_u64(&tally.pointee.received, UInt64(kept))
    }
    refill(memory)
    return kept
  }

  public override func transmit(
    _ frames: UnsafePointer<FrameDescriptor>, count: Int, memory: FrameMemory
  ) -> Int {
    guard isOpen, count > 0 else { return 0 }
    // Sent frames are the warmest ones to receive into; and the ring may be full of them.
    reclaim(memory)
    var room = min(socket.transmit.room(upTo: count), transmitLimit &- lent.transmitCount)
    if room < count {
      kick()
      reclaim(memory)
      room = min(socket.transmit.room(upTo: count), transmitLimit &- lent.transmitCount)
    }
    let accepted = min(room, count)
    var placed = 0
    for i in 0..<accepted {
      let frame = frames[i]
      guard isSendable(frame) else {
        // The kernel would skip it without ever completing it.
        memory.release(frame.address)
        sluice_count_u64(&tally.pointee.malformed, 1)
        continue
      }
      lent.lendForTransmit(frame.address)
      socket.transmit.put(FrameDescriptor(address: frame.address, length: frame.length), at: placed)
      placed &+= 1
    }
    if placed > 0 {
      socket.transmit.submit(placed)
      lent.countForTransmit(placed)
      sluice_count_u64(&tally.pointee.transmitted, UInt64(placed))
      kick()
      reclaim(memory)
      publishLent()
    }
    if accepted < count { sluice_count_u64(&tally.pointee.refused, UInt64(count &- accepted)) }
    return accepted
  }

  public override func progress(memory: FrameMemory) -> Bool {
    guard isOpen else { return false }
    reclaim(memory)
    if lent.transmitCount > 0 && !isBlocked {
      kick()
      reclaim(memory)
    }
    return lent.transmitCount > 0 && !isBlocked
  }

  public override func close(memory: FrameMemory) {
    guard isOpen else { return }
    isOpen = false
    let unsent = lent.transmitCount
    monitor.closing { socket.close() }
    // A copying kernel is done with our memory now, unless a driver still sends from it. If the kernel does not let
    // go in time, losing the frames is better than a NIC writing into somebody else's packet.
    if socketDescriptor >= 0 && (isZeroCopy || unsent > 0) && !socket.waitUntilReleased(timeoutMilliseconds: 3000) {
      return
    }
    lent.returnAll(to: memory)
    publishLent()
  }

  /// Puts free frames in the fill ring until `fillTarget` are lent, and wakes a driver that had run out.
  @inline(__always)
  private func refill(_ memory: FrameMemory) {
    let missing = fillTarget &- lent.receiveCount
    if missing >= refillBatch {
      let room = socket.fill.room(upTo: missing)
      var filled = 0
      while filled < room, let address = memory.allocate() {
        lent.lendForReceive(address)
        socket.fill.put(address, at: filled)
        filled &+= 1
      }
      if filled > 0 {
        socket.fill.submit(filled)
        lent.countForReceive(filled)
      }
      if filled < room { sluice_count_u64(&tally.pointee.memoryExhausted, 1) }
      publishLent()
    }
    // Never asked for in copy mode, where the kernel looks at the fill ring for each frame.
    if isZeroCopy && socket.fill.needsWakeup {
      sluice_count_u64(&tally.pointee.receiveKicks, 1)
      note(sluice_afxdp_kick_receive(socketDescriptor))
    }
  }

  /// Takes back what the kernel has sent.
  @inline(__always)
  private func reclaim(_ memory: FrameMemory) {
    guard lent.transmitCount > 0 else { return }
    let done = socket.completion.available(upTo: lent.transmitCount)
    guard done > 0 else { return }
    for i in 0..<done {
      let address = socket.completion.element(at: i)
      lent.takeTransmitted(address)
      memory.release(address)
    }
    socket.completion.release(done)
    lent.countForTransmit(0 &- done)
    sluice_count_u64(&tally.pointee.completed, UInt64(done))
    publishLent()
  }

  /// Makes the kernel send, if it asks for that. In copy mode a call sends the ring, or a part of it, before it
  /// returns; so we call until the ring is empty or stands still (the device's queue is full), and progress() goes on
  /// later.
  @inline(__always)
  private func kick() {
    guard socket.transmit.needsWakeup else { return }
    var pending = socket.transmit.pending
    // A zero-copy driver may need the call to look for finished frames, too.
    guard pending > 0 || isZeroCopy else { return }
    while true {
      sluice_count_u64(&tally.pointee.transmitKicks, 1)
      isBlocked = !note(sluice_afxdp_kick_transmit(socketDescriptor))
      let left = socket.transmit.pending
      if isZeroCopy || isBlocked || left == 0 || left == pending { return }
      pending = left
    }
  }

  /// Records the result of a kick; false when it failed for good.
  @inline(__always) @discardableResult
  private func note(_ code: Int32) -> Bool {
    // EAGAIN: more is left than one call sends, or the socket's buffer or the completion ring is full. EBUSY: the
    // device's queue is full.
    let isTransient = code == 0 || code == EAGAIN || code == EBUSY || code == ENOBUFS || code == EINTR
    if !isTransient { sluice_count_u64(&tally.pointee.kickErrors, 1) }
    sluice_store_relaxed_u64(&tally.pointee.lastKickError, isTransient ? 0 : UInt64(UInt32(bitPattern: code)))
    return isTransient
  }

  /// True when the kernel accepts the frame in a tx ring: not empty and within one chunk (xp_aligned_validate_desc).
  @inline(__always)
  private func isSendable(_ frame: FrameDescriptor) -> Bool {
    frame.length > 0 && (frame.address & (chunkSize &- 1)) &+ UInt64(frame.length) <= chunkSize
  }

  @inline(__always)
  private func publishLent() {
    sluice_store_relaxed_u64(&tally.pointee.lentForReceive, UInt64(lent.receiveCount))
    sluice_store_relaxed_u64(&tally.pointee.lentForTransmit, UInt64(lent.transmitCount))
  }

  /// Drops frames that came in several pieces. We never ask for them (XDP_USE_SG), so this is a guard, not a path.
  @inline(never)
  private func dropPieces(
    _ frames: UnsafeMutablePointer<FrameDescriptor>, count: Int, memory: FrameMemory
  ) -> Int {
    var kept = 0
    for i in 0..<count {
      let frame = frames[i]
      let continues = frame.options & UInt32(XDP_PKT_CONTD) != 0
      if continues || dropsPieces {
        memory.release(frame.address)
        sluice_count_u64(&tally.pointee.multiBuffer, 1)
        dropsPieces = continues
      } else {
        frames[kept] = FrameDescriptor(address: frame.address, length: frame.length)
        kept &+= 1
      }
    }
    return kept
  }
}
