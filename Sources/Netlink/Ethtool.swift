// Ethtool.swift
//
// What: what `ethtool` says about an interface: channels, rings, driver, features; and the one thing that Sluice changes,
//       features (EthtoolFeatures.swift). Spoken over the generic netlink family "ethtool"; where the kernel has no such
//       family or message, the older ioctl answers (EthtoolIoctl.swift).
// Invariants: interfaces go by index. Both ways give the same answer; a test compares them.
// Threads: confined to its owner (~Copyable); may be handed to another thread. The namespace is that of the thread that
//          opened it, or the one given.
// Cost: one request, or two ioctls, each.

import CLibmnl
import Glibc

/// How many queues an interface has, and how many it may have.
public struct EthtoolChannels: Sendable, Equatable {
  public struct Counts: Sendable, Equatable {
    public var rx: UInt32 = 0
    public var tx: UInt32 = 0
    /// Channels that have a receive and a transmit queue each.
    public var combined: UInt32 = 0
    /// For link events and the like.
    public var other: UInt32 = 0

    public init(rx: UInt32 = 0, tx: UInt32 = 0, combined: UInt32 = 0, other: UInt32 = 0) {
      self.rx = rx
      self.tx = tx
      self.combined = combined
      self.other = other
    }
  }

  public var current: Counts
  public var maximum: Counts

  /// Queues that frames arrive on, which is what AF_XDP sockets are bound to.
  public var receiveQueues: UInt32 { current.combined + current.rx }
  /// Queues that frames leave by.
  public var transmitQueues: UInt32 { current.combined + current.tx }

  public init(current: Counts, maximum: Counts) {
    self.current = current
    self.maximum = maximum
  }
}

/// Sizes of an interface's rings, in descriptors.
public struct EthtoolRings: Sendable, Equatable {
  public var rx: UInt32 = 0
  public var tx: UInt32 = 0
  public var maximumRX: UInt32 = 0
  public var maximumTX: UInt32 = 0

  public init(rx: UInt32 = 0, tx: UInt32 = 0, maximumRX: UInt32 = 0, maximumTX: UInt32 = 0) {
    self.rx = rx
    self.tx = tx
    self.maximumRX = maximumRX
    self.maximumTX = maximumTX
  }
}

/// What drives an interface.
public struct EthtoolDriver: Sendable, Equatable {
  /// "mlx5_core", "veth".
  public var name: String
  public var version: String
  public var firmware: String
  /// Where the device is: a PCI address such as "0000:3b:00.0"; empty for one made of software.
  public var bus: String
}

/// A conversation with the kernel's ethtool.
public struct Ethtool: ~Copyable, Sendable {
  var socket: NetlinkSocket
  /// The number of the generic netlink family; nil: this kernel was built without it.
  let family: UInt16?

  /// Opens ethtool in the network namespace of the calling thread.
  public init() throws(NetlinkError) {
    try self.init(socket: NetlinkSocket(.generic))
  }

  /// Opens ethtool in `namespace`.
  public init(in namespace: borrowing NetworkNamespace) throws(NetlinkError) {
    try self.init(socket: NetlinkSocket(.generic, in: namespace))
  }

  private init(socket: consuming NetlinkSocket) throws(NetlinkError) {
    var socket = socket
    do {
      family = try socket.familyID(named: "ethtool")
    } catch {
      guard error.isNotFound else { throw error }
      family = nil
    }
    self.socket = socket
  }

  /// How many queues an interface has.
  ///
  /// `// ethtool -l NAME`
  /// - Throws: an error that `isUnsupported` when the driver has nothing to say about queues.
  public mutating func channels(of index: Int32) throws(NetlinkError) -> EthtoolChannels {
    try ask("-l", ETHTOOL_MSG_CHANNELS_GET, ETHTOOL_A_CHANNELS_HEADER, index) { attributes throws(MalformedMessage) in
      try EthtoolChannels(attributes)
    } older: { ioctl throws(NetlinkError) in
      try ioctl.channels()
    }
  }

  /// How large the rings of an interface are.
  ///
  /// `// ethtool -g NAME`
  /// - Throws: an error that `isUnsupported` when the driver has no rings to speak of.
  public mutating func ringSizes(of index: Int32) throws(NetlinkError) -> EthtoolRings {
    try ask("-g", ETHTOOL_MSG_RINGS_GET, ETHTOOL_A_RINGS_HEADER, index) { attributes throws(MalformedMessage) in
      try EthtoolRings(attributes)
    } older: { ioctl throws(NetlinkError) in
      try ioctl.rings()
    }
  }

  /// What drives an interface. The netlink family has no message for this: it is always the ioctl.
  ///
  /// `// ethtool -i NAME`
  public mutating func driver(of index: Int32) throws(NetlinkError) -> EthtoolDriver {
    do {
      return try ioctl("-i", index).driver()
    } catch {
      throw error.during("ethtool -i \(socket.nameForPeople(index))")
    }
  }

  // MARK: Parts

  /// Asks over netlink, and over the ioctl where the kernel does not know the message.
  mutating func ask<Answer>(
    _ option: String, _ command: Int, _ header: Int, _ index: Int32,
    _ read: ([NetlinkAttribute]) throws(MalformedMessage) -> Answer,
    older: (EthtoolIoctl) throws(NetlinkError) -> Answer
  ) throws(NetlinkError) -> Answer {
    let operation = "ethtool \(option) (index \(index))"
    guard index > 0 else { throw .invalidArgument(operation: operation, reason: "an index is 1 or more") }
    do throws(NetlinkError) {
      if let family {
        do throws(NetlinkError) {
          let answers = try socket.request(
            .ethtool(family: family, command: command, header: header, index: index), operation: operation)
          guard let answer = answers.first else { throw NetlinkError.noReply(operation: operation) }
          return try parsing(operation) { () throws(MalformedMessage) in
            try read(answer.attributes(after: NetlinkRequest.genericHeaderLength))
          }
        } catch  where error.isUnsupported {
          // Either the kernel has no such message or the driver no such thing; the ioctl tells which.
        }
      }
      return try older(ioctl(option, index))
    } catch {
      throw error.during("ethtool \(option) \(socket.nameForPeople(index))")
    }
  }

  func ioctl(_ option: String, _ index: Int32) -> EthtoolIoctl {
    EthtoolIoctl(socket: socket.fileDescriptor, index: index, operation: "ethtool \(option) (index \(index))")
  }
}

extension NetlinkRequest {
  /// A request to the ethtool family about one interface; flags are ETHTOOL_FLAG_*.
  static func ethtool(
    family: UInt16, command: Int, header: Int, index: Int32, flags: Int32 = 0
  ) -> NetlinkRequest {
    var request = NetlinkRequest.generic(family: family, command: command, version: UInt8(ETHTOOL_GENL_VERSION))
    request.nest(header) {
      $0.put(ETHTOOL_A_HEADER_DEV_INDEX, i32: index)
      if flags != 0 { $0.put(ETHTOOL_A_HEADER_FLAGS, i32: flags) }
    }
    return request
  }
}

extension EthtoolChannels {
  init(_ attributes: [NetlinkAttribute]) throws(MalformedMessage) {
    self.init(current: Counts(), maximum: Counts())
    for attribute in attributes {
      switch attribute.type {
      case ETHTOOL_A_CHANNELS_RX_MAX: maximum.rx = try attribute.u32()
      case ETHTOOL_A_CHANNELS_TX_MAX: maximum.tx = try attribute.u32()
      case ETHTOOL_A_CHANNELS_OTHER_MAX: maximum.other = try attribute.u32()
      case ETHTOOL_A_CHANNELS_COMBINED_MAX: maximum.combined = try attribute.u32()
      case ETHTOOL_A_CHANNELS_RX_COUNT: current.rx = try attribute.u32()
      case ETHTOOL_A_CHANNELS_TX_COUNT: current.tx = try attribute.u32()
      case ETHTOOL_A_CHANNELS_OTHER_COUNT: current.other = try attribute.u32()
      case ETHTOOL_A_CHANNELS_COMBINED_COUNT: current.combined = try attribute.u32()
      default: break
      }
    }
  }
}

extension EthtoolRings {
  init(_ attributes: [NetlinkAttribute]) throws(MalformedMessage) {
    self.init()
    for attribute in attributes {
      switch attribute.type {
      case ETHTOOL_A_RINGS_RX_MAX: maximumRX = try attribute.u32()
      case ETHTOOL_A_RINGS_TX_MAX: maximumTX = try attribute.u32()
      case ETHTOOL_A_RINGS_RX: rx = try attribute.u32()
      case ETHTOOL_A_RINGS_TX: tx = try attribute.u32()
      default: break
      }
    }
  }
}
