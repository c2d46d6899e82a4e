// UpcallPath.swift
//
// The way of packets from tc programs to a worker: the veth pair, the XDP program at its far end, and the AF_XDP queue behind that.
// Invariants: the worker has the queue before the program may send into it. The pair is there before any tc program names it, and as
//             long as one does.
// Threads: confined to the control thread; the queue is the worker's.

import Dataplane
import KernelTier
import Netlink

/// An open way up.
final class UpcallPath {
  /// All packets of tc ports are one worker's, so that packets of one flow stay in order.
  static let worker = 0

  /// Every packet that the kernel lets go of comes here, so it has deep rings, and more frames than a port's queue.
  private static let ringSize = 4096

  /// Frames to lend for receiving, out of all frames of the worker.
  static func share(of frames: Int) -> Int {
    var share = ringSize
    while share > frames / 4 { share /= 2 }
    return max(share, FrameBudget.smallestShare)
  }

  private(set) var pair: UpcallPair
  let program: UpPort
  let queue: AFXDPQueue
  /// Frames that the queue may have lent to the kernel.
  let share: Int

  private init(pair: UpcallPair, program: UpPort, queue: AFXDPQueue, share: Int) {
    self.pair = pair
    self.program = program
    self.queue = queue
    self.share = share
  }

  /// Makes or finds the pair and opens its queue; frames flow after `connect`.
  static func open(memory: FrameMemory, share: Int) throws -> UpcallPath {
    var socket = try NetlinkSocket(.route)
    let pair = try UpcallPair.ensure(&socket)
    let (index, name) = (pair.exit.index, pair.exit.name)
    let program = try UpPort.attach(interfaceIndex: UInt32(index), interfaceName: name, queues: 1)
    let queue = try AFXDPQueue.open(
      interfaceIndex: index, interfaceName: name, queue: 0, memory: memory, ringSize: ringSize, fillTarget: share,
      allowZeroCopy: false)
    return UpcallPath(pair: pair, program: program, queue: queue, share: share)
  }

  /// Lets frames come. Call when the worker has the queue.
  func connect() throws(KernelTierError) {
    try program.setSocket(queue: 0, descriptor: queue.socketDescriptor)
  }

  var entryIndex: UInt32 { UInt32(pair.entry.index) }

  func isConcerned(index: Int32) -> Bool { index == pair.entry.index || index == pair.exit.index }

  /// Looks at the pair again and brings it up if somebody set it down.
  /// - Returns: false when it is gone.
  func isThere(_ socket: inout NetlinkSocket) -> Bool {
    guard let entry = try? socket.link(index: pair.entry.index), let exit = try? socket.link(index: pair.exit.index) else {
      return false
    }
    for link in [entry, exit] where !link.isUp { try? socket.setUp(index: link.index) }
    return exit.xdpPrograms.contains { $0.programID == program.programID }
  }
}
