// PortQueue.swift
//
// What: what a worker asks of a port driver: one receive queue and one transmit queue, polled by exactly one worker.
// Invariants: `receive` hands over frames of the worker's FrameMemory and with them their ownership; `transmit` takes ownership of
//             the frames that it accepts and gives each back to the FrameMemory when it has left. A driver never keeps or
//             drops a frame in secret: what it cannot send it refuses, and the caller counts the drop.
// Threads: made by the control plane, handed to one worker through its mailbox, from then on touched by that worker only, until
//          the worker has confirmed the detachment.
// Cost: a virtual call per batch, never per packet.

/// One queue pair of a port. Drivers subclass this.
///
/// @unchecked Sendable: see "Threads"; ownership passes through the worker's mailbox.
open class PortQueue: @unchecked Sendable {
  public init() {}

  /// Receives up to `limit` frames into `frames` and returns how many. Refills its own receive buffers from `memory` first.
  open func receive(_ frames: UnsafeMutablePointer<FrameDescriptor>, limit: Int, memory: FrameMemory) -> Int { 0 }

  /// False for a queue that only sends: it is asked for progress only while frames are under way, and never waited for.
  open var receives: Bool { true }

  /// Sends `count` frames; returns how many, from the front, were accepted. The caller keeps the others.
  open func transmit(_ frames: UnsafePointer<FrameDescriptor>, count: Int, memory: FrameMemory) -> Int { 0 }

  /// Called once per poll round in which the queue had frames under way: collects finished transmissions and wakes the kernel
  /// where it asked for that. Returns true while more work is expected soon (frames still under way).
  open func progress(memory: FrameMemory) -> Bool { false }

  /// The descriptor that becomes readable when a frame arrives; -1 when the driver cannot wait (the worker then polls).
  open var waitDescriptor: Int32 { -1 }

  /// Gives every frame back and lets go of the kernel's resources. Called by the worker on detachment; the object is
  /// not used by the worker afterwards.
  open func close(memory: FrameMemory) {}

  /// True when received TCP and UDP frames may carry a checksum that covers only the pseudo header (a veth peer's
  /// CHECKSUM_PARTIAL) and the worker has to complete it.
  open var deliversPartialChecksums: Bool { false }
}
