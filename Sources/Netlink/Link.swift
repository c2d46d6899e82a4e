// Link.swift
//
// What: one network interface as the kernel describes it, and the reading of that description (RTM_NEWLINK).
// Invariants: a link is told from others by namespace and index, never by its name, which can change hands.
// Threads: a value; any.
// Cost: 5 us each in a list, asking included; the kernel sends some 60 attributes for each.

import CLibmnl

/// A network interface.
public struct Link: Sendable, Equatable {
  /// Unique in its namespace while the interface lives.
  public var index: Int32
  public var name: String
  /// Further names: `ip link property add dev NAME altname OTHER`.
  public var altNames: [String] = []
  /// The text of `ip link set dev NAME alias TEXT`, at most 255 bytes; interfaces that Sluice made are marked with it.
  public var alias: String?
  /// "veth", "bridge", "vlan", ...; nil for hardware and loopback.
  public var kind: String?
  /// 6 bytes for Ethernet; empty where the interface has none.
  public var macAddress: [UInt8] = []
  /// Largest payload of a frame in bytes, without the Ethernet header.
  public var mtu: UInt32 = 0
  public var minMTU: UInt32?
  /// The most the driver takes; nil where it did not say.
  public var maxMTU: UInt32?
  public var flags: LinkFlags = []
  /// How many users asked for all frames, packet sockets included.
  public var promiscuity: UInt32 = 0
  /// The other end of a veth, or the interface a VLAN or the like is on. In namespace `linkNamespaceID` if that is set.
  public var peerIndex: Int32?
  /// This namespace's number for the one that `peerIndex` is in; nil: the same.
  public var linkNamespaceID: Int32?
  /// The bridge, bond or the like that this interface belongs to.
  public var masterIndex: Int32?
  /// What is attached, in the order in which frames meet it: offload, native, generic.
  public var xdpPrograms: [XDPAttachment] = []
  public var rxQueues: UInt32 = 1
  public var txQueues: UInt32 = 1

  /// Bytes in the longest name: IFNAMSIZ of linux/if.h, less one for its end.
  public static let longestName = 15
  /// Bytes in the longest alternative name: ALTIFNAMSIZ of linux/if.h, less one for its end.
  public static let longestAltName = 127

  /// The XDP program that sees frames first.
  public var xdp: XDPAttachment? { xdpPrograms.first }
  public var isUp: Bool { flags.contains(.up) }
  /// Whether frames can pass: up, and the other end of the wire is there.
  public var isRunning: Bool { flags.contains(.running) }
  public var hasCarrier: Bool { flags.contains(.carrier) }
  /// Whether somebody set the flag; `promiscuity` also counts those who opened packet sockets.
  public var isPromiscuous: Bool { flags.contains(.promiscuous) }
  public var isLoopback: Bool { flags.contains(.loopback) }
}

/// The flags of an interface.
///
/// - Source: linux/if.h, enum net_device_flags (it and glibc's net/if.h cannot be imported together).
public struct LinkFlags: OptionSet, Sendable, Hashable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let up = LinkFlags(rawValue: 1 << 0)
  public static let broadcast = LinkFlags(rawValue: 1 << 1)
  public static let loopback = LinkFlags(rawValue: 1 << 3)
  public static let running = LinkFlags(rawValue: 1 << 6)
  public static let noARP = LinkFlags(rawValue: 1 << 7)
  public static let promiscuous = LinkFlags(rawValue: 1 << 8)
  public static let multicast = LinkFlags(rawValue: 1 << 12)
  public static let carrier = LinkFlags(rawValue: 1 << 16)
}

/// An XDP program on an interface.
public struct XDPAttachment: Sendable, Equatable {
  public enum Mode: String, Sendable {
    /// In the NIC.
    case offload
    /// In the driver.
    case native
    /// After the driver, on socket buffers.
    case generic
  }

  public var mode: Mode
  /// The id that `bpftool prog show id` takes.
  public var programID: UInt32
}

extension Link {
  /// `struct ifinfomsg`.
  static let headerLength = 16

  /// Reads an RTM_NEWLINK or RTM_DELLINK message.
  ///
  /// - Returns: nil for a message about an interface's role in a bridge (AF_BRIDGE), which is not about the interface: a
  ///   "deleted" there means that it left the bridge.
  init?(_ message: NetlinkMessage) throws(MalformedMessage) {
    guard message.type == RTM_NEWLINK || message.type == RTM_DELLINK else {
      throw MalformedMessage(reason: "message type \(message.type) is not about a link")
    }
    guard let family = message.payload.integer(at: 0, as: UInt8.self),
      let index = message.payload.integer(at: 4, as: Int32.self),
      let flags = message.payload.integer(at: 8, as: UInt32.self)
    else { throw MalformedMessage(reason: "a link message of \(message.payload.count) bytes") }
    guard family == 0 else { return nil }
    guard index > 0 else { throw MalformedMessage(reason: "a link with index \(index)") }
    self.init(index: index, name: "")
    self.flags = LinkFlags(rawValue: flags)
    for attribute in try message.attributes(after: Self.headerLength) { try read(attribute) }
    guard !name.isEmpty else { throw MalformedMessage(reason: "link \(index) has no name") }
  }

  private mutating func read(_ attribute: NetlinkAttribute) throws(MalformedMessage) {
    switch attribute.type {
    case IFLA_IFNAME: name = attribute.string
    case IFLA_IFALIAS: alias = attribute.string
    case IFLA_ADDRESS: macAddress = Array(attribute.payload)
    case IFLA_MTU: mtu = try attribute.u32()
    case IFLA_MIN_MTU: minMTU = try attribute.u32()
    case IFLA_MAX_MTU:
      // 0 is what drivers leave that know no limit.
      let limit = try attribute.u32()
      maxMTU = limit == 0 ? nil : limit
    case IFLA_PROMISCUITY: promiscuity = try attribute.u32()
    case IFLA_LINK:
      let peer = try attribute.i32()
      peerIndex = peer > 0 ? peer : nil
    case IFLA_LINK_NETNSID: linkNamespaceID = try attribute.i32()
    case IFLA_MASTER: masterIndex = try attribute.i32()
    case IFLA_NUM_RX_QUEUES: rxQueues = try attribute.u32()
    case IFLA_NUM_TX_QUEUES: txQueues = try attribute.u32()
    case IFLA_LINKINFO:
      for info in try attribute.nested() where info.type == IFLA_INFO_KIND { kind = info.string }
    case IFLA_PROP_LIST:
      for property in try attribute.nested() where property.type == IFLA_ALT_IFNAME { altNames.append(property.string) }
    case IFLA_XDP: xdpPrograms = try Self.xdpPrograms(in: attribute.nested())
    default: break
    }
  }

  /// Reads IFLA_XDP. One program is in IFLA_XDP_PROG_ID, with its mode in IFLA_XDP_ATTACHED; several, each in the attribute
  /// of its mode. Kernels fill both in when there is one.
  private static func xdpPrograms(in attributes: [NetlinkAttribute]) throws(MalformedMessage) -> [XDPAttachment] {
    var attached = XDP_ATTACHED_NONE
    var only: UInt32 = 0
    var byMode: [XDPAttachment.Mode: UInt32] = [:]
    for attribute in attributes {
      switch attribute.type {
      case IFLA_XDP_ATTACHED: attached = Int(try attribute.u8())
      case IFLA_XDP_PROG_ID: only = try attribute.u32()
      case IFLA_XDP_DRV_PROG_ID: byMode[.native] = try attribute.u32()
      case IFLA_XDP_SKB_PROG_ID: byMode[.generic] = try attribute.u32()
      case IFLA_XDP_HW_PROG_ID: byMode[.offload] = try attribute.u32()
      default: break
      }
    }
    switch attached {
    case XDP_ATTACHED_NONE: return []
    case XDP_ATTACHED_DRV: byMode[.native] = byMode[.native] ?? only
    case XDP_ATTACHED_SKB: byMode[.generic] = byMode[.generic] ?? only
    case XDP_ATTACHED_HW: byMode[.offload] = byMode[.offload] ?? only
    default: break
    }
    return [XDPAttachment.Mode.offload, .native, .generic].compactMap { mode in
      byMode[mode].map { XDPAttachment(mode: mode, programID: $0) }
    }
  }
}
