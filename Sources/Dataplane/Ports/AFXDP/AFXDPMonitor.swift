// AFXDPMonitor.swift
//
// What: what other threads may see of an AF_XDP queue while a worker uses it: its counters, the kernel's own counters
//       of the socket, and whether the queue is stuck.
// Invariants: each word of the tally has one writer, the worker. The descriptor is read only under the lock that the
//             worker takes to close it, so that a reader never asks a socket of somebody else who got the same
//             number.
// Threads: any for counters() and stall(); the worker alone writes.
// Cost: for the worker a plain load and store per counter and batch, no locked instruction; for the reader one system
//       call.

import CSluice
import Glibc
import Synchronization

/// Counters of an AF_XDP queue since it was opened.
public struct AFXDPCounters: Sendable, Equatable {
  /// Frames handed to the worker.
  public var received: UInt64 = 0
  /// Frames put in the tx ring.
  public var transmitted: UInt64 = 0
  /// Frames that the kernel has sent and given back.
  public var completed: UInt64 = 0
  /// Frames refused because the tx ring was full.
  public var refused: UInt64 = 0
  /// Frames that AF_XDP cannot send (empty, or longer than a chunk), dropped.
  public var malformed: UInt64 = 0
  /// Pieces of frames in several buffers, dropped.
  public var multiBuffer: UInt64 = 0
  /// Times that the fill ring could not be filled up because the frame memory had no free frame.
  public var memoryExhausted: UInt64 = 0
  /// System calls made to send.
  public var transmitKicks: UInt64 = 0
  /// System calls made to wake a zero-copy driver that waited for receive buffers.
  public var receiveKicks: UInt64 = 0
  /// Kicks that failed for other reasons than a full queue.
  public var kickErrors: UInt64 = 0
  /// errno of the last kick; 0 when it succeeded or only found a full queue.
  public var lastKickError: Int32 = 0
  /// Frames lent to the kernel for receiving, now.
  public var lentForReceive: UInt64 = 0
  /// Frames lent to the kernel for sending, now.
  public var lentForTransmit: UInt64 = 0

  // From the kernel (XDP_STATISTICS in linux/if_xdp.h).
  /// Frames dropped by the kernel because they do not fit in a chunk, or for another reason of its own.
  public var kernelDropped: UInt64 = 0
  /// Frames dropped because the rx ring was full.
  public var receiveRingFull: UInt64 = 0
  /// Frames dropped because the fill ring was empty.
  public var fillRingEmpty: UInt64 = 0
  /// Fill ring entries that the kernel refused.
  public var invalidFillEntries: UInt64 = 0
  /// Tx ring entries that the kernel refused.
  public var invalidTransmitEntries: UInt64 = 0
}

/// Why a queue counts as stuck.
public enum AFXDPStall: Sendable, Equatable, CustomStringConvertible {
  case transmit(frames: UInt64, seconds: UInt64)
  case receive(seconds: UInt64)

  public var description: String {
    switch self {
    case .transmit(let frames, let seconds):
      "\(frames) frames were given to the kernel to send and none came back for \(seconds) s"
    case .receive(let seconds):
      "the kernel finds no receive buffer although it was given some, and delivered nothing for \(seconds) s"
    }
  }
}

/// A queue as seen from other threads.
public final class AFXDPMonitor: @unchecked Sendable {
  // Sendable: the tally is written by one thread with atomic stores, everything else is under the lock.

  /// The worker's words, in one cache line pair of their own.
  struct Tally {
    var received: UInt64 = 0
    var transmitted: UInt64 = 0
    var completed: UInt64 = 0
    var refused: UInt64 = 0
    var malformed: UInt64 = 0
    var multiBuffer: UInt64 = 0
    var memoryExhausted: UInt64 = 0
    var transmitKicks: UInt64 = 0
    var receiveKicks: UInt64 = 0
    var kickErrors: UInt64 = 0
    var lastKickError: UInt64 = 0
    var lentForReceive: UInt64 = 0
    var lentForTransmit: UInt64 = 0
  }

  private struct State {
    var descriptor: Int32
    var kernel = xdp_statistics()
    /// Since when, in monotonic nanoseconds, nothing has moved, and where it stood then.
    var transmitSince: UInt64?
    var completed: UInt64 = 0
    var receiveSince: UInt64?
    var received: UInt64 = 0
    var fillRingEmpty: UInt64 = 0
    var memoryExhausted: UInt64 = 0
  }

  private static let patienceNanoseconds: UInt64 = 2_000_000_000

  let tally: UnsafeMutablePointer<Tally>
  private let isZeroCopy: Bool
  private let state: Locked<State>

  init(descriptor: Int32, isZeroCopy: Bool) {
    self.isZeroCopy = isZeroCopy
    let raw = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    tally = raw.initializeMemory(as: Tally.self, repeating: Tally(), count: 1)
    state = Locked(State(descriptor: descriptor))
  }

  deinit { tally.deallocate() }

  /// The queue's counters now. After the queue was closed: as they were then.
  public func counters() -> AFXDPCounters { state.withLock { counters(&$0) } }

  /// True when the queue is stuck; see `stall(at:)`.
  public var isStalled: Bool { stall() != nil }

  /// Says whether the queue has been stuck for at least two seconds. Compares with what earlier calls saw, so it has
  /// to be called regularly (every second does), and only while the link is up. The cure is to close the queue and
  /// open it again.
  public func stall() -> AFXDPStall? { stall(at: sluice_monotonic_nanoseconds()) }

  func stall(at now: UInt64) -> AFXDPStall? {
    state.withLock { state in
      let seen = counters(&state)
      defer {
        state.completed = seen.completed
        state.received = seen.received
        state.fillRingEmpty = seen.fillRingEmpty
        state.memoryExhausted = seen.memoryExhausted
      }
      // A kick that fails for good (link down, interface gone) is told by lastKickError; opening again would not help.
      let sending = seen.lentForTransmit > 0 && seen.completed == state.completed && seen.lastKickError == 0
      if !sending {
        state.transmitSince = nil
      } else if state.transmitSince == nil {
        state.transmitSince = now
      }
      // In copy mode the kernel looks for a buffer only when it has a frame: finding none while it holds some of ours
      // means that they are lost. A zero-copy driver looks at other times too, so there it means nothing.
      let starving =
        !isZeroCopy && seen.fillRingEmpty != state.fillRingEmpty && seen.received == state.received
        && seen.lentForReceive > 0 && seen.memoryExhausted == state.memoryExhausted
      if !starving {
        state.receiveSince = nil
      } else if state.receiveSince == nil {
        state.receiveSince = now
      }
      if let since = state.transmitSince, now &- since >= Self.patienceNanoseconds {
        return .transmit(frames: seen.lentForTransmit, seconds: (now &- since) / 1_000_000_000)
      }
      if let since = state.receiveSince, now &- since >= Self.patienceNanoseconds {
        return .receive(seconds: (now &- since) / 1_000_000_000)
      }
      return nil
    }
  }

  /// Runs `close`, after which the descriptor is not asked any more. For the worker.
  func closing(_ close: () -> Void) {
    state.withLock { state in
      if let last = XDPSocket.statistics(of: state.descriptor) { state.kernel = last }
      state.descriptor = -1
      close()
    }
  }

  private func counters(_ state: inout State) -> AFXDPCounters {
    if state.descriptor >= 0, let now = XDPSocket.statistics(of: state.descriptor) { state.kernel = now }
    var counters = AFXDPCounters()
    counters.received = sluice_load_relaxed_u64(&tally.pointee.received)
    counters.completed = sluice_load_relaxed_u64(&tally.pointee.completed)
    counters.transmitted = sluice_load_relaxed_u64(&tally.pointee.transmitted)
    counters.refused = sluice_load_relaxed_u64(&tally.pointee.refused)
    counters.malformed = sluice_load_relaxed_u64(&tally.pointee.malformed)
    counters.multiBuffer = sluice_load_relaxed_u64(&tally.pointee.multiBuffer)
    counters.memoryExhausted = sluice_load_relaxed_u64(&tally.pointee.memoryExhausted)
    counters.transmitKicks = sluice_load_relaxed_u64(&tally.pointee.transmitKicks)
    counters.receiveKicks = sluice_load_relaxed_u64(&tally.pointee.receiveKicks)
    counters.kickErrors = sluice_load_relaxed_u64(&tally.pointee.kickErrors)
    counters.lastKickError = Int32(truncatingIfNeeded: sluice_load_relaxed_u64(&tally.pointee.lastKickError))
    counters.lentForReceive = sluice_load_relaxed_u64(&tally.pointee.lentForReceive)
    counters.lentForTransmit = sluice_load_relaxed_u64(&tally.pointee.lentForTransmit)
    counters.kernelDropped = state.kernel.rx_dropped
    counters.receiveRingFull = state.kernel.rx_ring_full
    counters.fillRingEmpty = state.kernel.rx_fill_ring_empty_descs
    counters.invalidFillEntries = state.kernel.rx_invalid_descs
    counters.invalidTransmitEntries = state.kernel.tx_invalid_descs
    return counters
  }
}
