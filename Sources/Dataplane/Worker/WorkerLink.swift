// WorkerLink.swift
//
// What: takes frames from one worker to a port whose queue another worker polls. Each ordered pair of workers has one link: a ring of frames
//       going over and a ring of frames coming back.
// Invariants: a frame belongs to the sending worker's memory until its address has come back; the receiving worker copies the bytes
//             into a frame of its own before it returns the address. No more frames are lent than the ring back has places, so an address
//             always finds room to return. Workers share nothing else that is written.
// Threads: the sender uses `lend` and `reclaim`, the receiver `over` and `giveBack`; the pipeline thread may wait by `waitUntilTaken`.
// Cost: one copy of the frame and two ring operations; only ports without a queue on the sending worker pay it.

import CSluice
import Glibc

/// A frame on its way to another worker.
struct LinkedFrame: BitwiseCopyable {
  var bytes: UnsafePointer<UInt8>
  var address: UInt64
  var length: UInt32
  var port: PortIndex
}

final class WorkerLink: @unchecked Sendable {
  // Sendable: both rings are single-producer single-consumer; the count is the sender's.
  let over: SPSCRing<LinkedFrame>
  private let back: SPSCRing<UInt64>
  let receiverDoorbell: Doorbell
  /// Frames lent and not yet back. Sender only.
  private(set) var lentCount = 0

  /// - Parameter capacity: frames that may be lent; a power of two.
  init(receiverDoorbell: Doorbell, capacity: Int = 1024) {
    self.receiverDoorbell = receiverDoorbell
    over = SPSCRing(capacity: capacity)
    back = SPSCRing(capacity: capacity)
  }

  /// Hands a frame over; false when as many are lent as may be. Sender only.
  @inline(__always)
  func lend(_ frame: LinkedFrame) -> Bool {
    guard lentCount < back.capacity, over.push(frame) else { return false }
    lentCount &+= 1
    return true
  }

  /// Takes returned frames back into the sender's memory. Sender only.
  @inline(__always)
  func reclaim(_ memory: FrameMemory) {
    while let address = back.peek() {
      memory.release(address.pointee)
      back.consume()
      lentCount &-= 1
    }
  }

  /// Returns a frame whose bytes have been copied. Receiver only.
  @inline(__always)
  func giveBack(_ address: UInt64) {
    let found = back.push(address)
    precondition(found, "more frames came back over a link than were lent")
  }

  /// Waits until the frames that are in the ring now have been taken out.
  func waitUntilTaken() {
    let goal = over.producedCount
    while over.consumedCount < goal {
      receiverDoorbell.ring()
      sched_yield()
    }
  }
}

/// The transmit side of a port that another worker owns.
public final class LinkQueue: PortQueue, @unchecked Sendable {
  private let link: WorkerLink
  private let port: PortIndex

  init(link: WorkerLink, port: PortIndex) {
    self.link = link
    self.port = port
  }

  public override func transmit(
    _ frames: UnsafePointer<FrameDescriptor>, count: Int, memory: FrameMemory
  ) -> Int {
    link.reclaim(memory)
    var sent = 0
    while sent < count {
      let frame = frames[sent]
      let linked = LinkedFrame(
        bytes: UnsafePointer(memory.bytes(at: frame.address)), address: frame.address, length: frame.length, port: port)
      guard link.lend(linked) else { break }
      sent += 1
    }
    if sent > 0 { link.receiverDoorbell.ring() }
    return sent
  }
}
