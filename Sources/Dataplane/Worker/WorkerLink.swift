// WorkerLink.swift
//
// What: takes frames from one worker to a port whose queue another worker polls. Each ordered pair of workers has one link: a ring of frames
//       going over and a ring of frames coming back.
// Invariants: a frame belongs to the sending worker's memory until its address has come back; the receiving worker copies the bytes
//             into a frame of its own before it returns the address. Workers share nothing else that is written.
// Threads: the sender uses `send` and `reclaim`, the receiver `receive`.
// Cost: one copy of the frame and two ring operations; only ports without a queue on the sending worker pay it.

import CSluice

/// A frame on its way to another worker.
struct LinkedFrame: BitwiseCopyable {
  var bytes: UnsafePointer<UInt8>
  var address: UInt64
  var length: UInt32
  var port: PortIndex
}

final class WorkerLink: @unchecked Sendable {
  // Sendable: both rings are single-producer single-consumer.
  let over = SPSCRing<LinkedFrame>(capacity: 1024)
  let back = SPSCRing<UInt64>(capacity: 1024)
  let receiverDoorbell: Doorbell

  init(receiverDoorbell: Doorbell) { self.receiverDoorbell = receiverDoorbell }

  /// Takes returned frames back into the sender's memory.
  @inline(__always)
  func reclaim(_ memory: FrameMemory) {
    while let address = back.peek() {
      memory.release(address.pointee)
      back.consume()
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
      guard link.over.push(linked) else { break }
      sent += 1
    }
    if sent > 0 { link.receiverDoorbell.ring() }
    return sent
  }
}
