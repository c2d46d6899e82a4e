// QueueSockets.swift
//
// The AF_XDP sockets that an XDP program hands frames to, one for each receive queue: an XSKMAP.
// Invariant: a socket is in the map only for a queue that exists. The kernel forgets a socket that closes.
// Threads: any.
// Cost: one system call per change.

/// The sockets of one program's queues.
struct QueueSockets: ~Copyable, Sendable {
  private let map: BPFMap<UInt32, UInt32>
  private let queues: Int

  /// 65,536 is far beyond any NIC and bounds what a wrong number can cost.
  private static let queueCounts = 1...65536

  /// Makes the object's map of sockets as large as it has to be; before the object is loaded.
  /// - Throws: `.invalid` when there are no queues.
  static func size(_ object: borrowing BPFObject, map: String, queues: Int) throws(KernelTierError) {
    guard queueCounts ~= queues else {
      throw .invalid(what: "a number of queues of", value: "\(queues)", expected: "1 to \(queueCounts.upperBound)")
    }
    try object.setEntries(of: map, to: queues)
  }

  /// Takes the map out of a loaded object.
  init(_ object: borrowing BPFObject, map: StaticString, queues: Int) throws(KernelTierError) {
    self.map = BPFMap(try object.descriptor(ofMap: "\(map)"), name: map)
    self.queues = queues
  }

  /// Sends the frames of a queue to a socket, in place of the one before.
  /// - Parameter descriptor: the socket, with its memory, receive and fill rings set up.
  /// - Throws: `.noQueue`, or `.system` when the descriptor is no such socket.
  func set(queue: Int, descriptor: Int32) throws(KernelTierError) {
    try requireQueue(queue)
    guard descriptor >= 0 else {
      throw .invalid(what: "a socket descriptor of", value: "\(descriptor)", expected: "an open AF_XDP socket")
    }
    try map.set(UInt32(queue), to: UInt32(descriptor))
  }

  /// Leaves a queue without a socket. It is no error when it had none.
  /// - Throws: `.noQueue`.
  func clear(queue: Int) throws(KernelTierError) {
    try requireQueue(queue)
    try map.remove(UInt32(queue))
  }

  private func requireQueue(_ queue: Int) throws(KernelTierError) {
    guard 0..<queues ~= queue else { throw .noQueue(queue: queue, queues: queues) }
  }
}
