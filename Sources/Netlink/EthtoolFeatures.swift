// EthtoolFeatures.swift
//
// What: the offloads of an interface by the kernel's names ("tx-checksum-ip-generic", "tx-tcp-segmentation"), read and
//       switched. `ethtool -k` prints some of them under older, collective names ("tx-checksumming"); those are not known here.
// Invariants: a switch that did not take effect is an error, never silence: the kernel itself answers success for it.
// Threads: those of Ethtool.
// Cost: reading is one request, 0.1 ms for some 60 names; setting is three.

import CLibmnl

/// The features of an interface.
public struct EthtoolFeatures: Sendable, Equatable {
  /// Whether each feature is in effect now. The kernel does not mention those that are off and cannot be switched.
  public var active: [String: Bool] = [:]
  /// Those that can be switched on this interface.
  public var changeable: Set<String> = []

  public init() {}

  public func isActive(_ name: String) -> Bool { active[name] ?? false }
}

extension Ethtool {
  /// The features of an interface.
  ///
  /// `// ethtool -k NAME`
  public mutating func features(of index: Int32) throws(NetlinkError) -> EthtoolFeatures {
    try ask("-k", ETHTOOL_MSG_FEATURES_GET, ETHTOOL_A_FEATURES_HEADER, index) { attributes throws(MalformedMessage) in
      try EthtoolFeatures(attributes)
    } older: { ioctl throws(NetlinkError) in
      try ioctl.features()
    }
  }

  /// Switches one feature of an interface.
  ///
  /// `// ethtool -K NAME FEATURE on|off`
  /// - Returns: every feature that changed by it, with its new state; others may depend on it. Empty: it was so already.
  /// - Throws: `.notApplied` when the interface cannot do it, `.invalidArgument` for a name that the kernel does not
  ///   know.
  @discardableResult
  public mutating func setFeature(_ name: String, _ on: Bool, of index: Int32) throws(NetlinkError) -> [String: Bool] {
    try setFeatures([name: on], of: index)
  }

  /// Switches features of an interface in one step. See `setFeature(_:_:of:)`.
  @discardableResult
  public mutating func setFeatures(_ wanted: [String: Bool], of index: Int32) throws(NetlinkError) -> [String: Bool] {
    let words = wanted.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "on" : "off")" }.joined(separator: " ")
    let before = try features(of: index)
    func operation() -> String { "ethtool -K \(socket.nameForPeople(index)) \(words)" }
    // One that is off and not mentioned may not exist at all; asking for it lets the kernel say so.
    let changes = wanted.filter { before.active[$0.key] != $0.value }
    guard !changes.isEmpty else { return [:] }
    do {
      try apply(changes, to: index)
    } catch {
      throw error.during(operation())
    }
    let after = try features(of: index)
    if let refused = changes.keys.sorted().first(where: { changes[$0] != after.isActive($0) }) {
      let reason = before.changeable.contains(refused) ? "another feature that is on or off forbids it" : "it is fixed"
      throw .notApplied(operation: operation(), reason: "\(refused): \(reason)")
    }
    return after.active.filter { before.isActive($0.key) != $0.value }
  }

  private mutating func apply(_ changes: [String: Bool], to index: Int32) throws(NetlinkError) {
    if let family {
      do {
        _ = try socket.request(.setFeatures(changes, family: family, index: index), operation: "ethtool -K")
        return
      } catch  where error.isUnsupported {
        // The kernel has no such message, or does not know one of the names; the ioctl tells which.
      }
    }
    try ioctl("-K", index).setFeatures(changes)
  }
}

extension NetlinkRequest {
  static func setFeatures(_ changes: [String: Bool], family: UInt16, index: Int32) -> NetlinkRequest {
    var request = ethtool(
      family: family, command: ETHTOOL_MSG_FEATURES_SET, header: ETHTOOL_A_FEATURES_HEADER, index: index,
      flags: ETHTOOL_FLAG_OMIT_REPLY)
    request.nest(ETHTOOL_A_FEATURES_WANTED) {
      $0.nest(ETHTOOL_A_BITSET_BITS) { bits in
        for (name, on) in changes.sorted(by: { $0.key < $1.key }) {
          bits.nest(ETHTOOL_A_BITSET_BITS_BIT) {
            $0.put(ETHTOOL_A_BITSET_BIT_NAME, string: name)
            if on { $0.put(flag: ETHTOOL_A_BITSET_BIT_VALUE) }
          }
        }
      }
    }
    return request
  }
}

extension EthtoolFeatures {
  /// Reads a reply: lists of names, of what can be switched, was asked for, is active, and can never change.
  init(_ attributes: [NetlinkAttribute]) throws(MalformedMessage) {
    var mentioned: Set<String> = []
    var on: Set<String> = []
    for attribute in attributes {
      switch attribute.type {
      case ETHTOOL_A_FEATURES_HW:
        changeable = try Self.names(in: attribute)
        mentioned.formUnion(changeable)
      case ETHTOOL_A_FEATURES_ACTIVE:
        on = try Self.names(in: attribute)
        mentioned.formUnion(on)
      case ETHTOOL_A_FEATURES_WANTED, ETHTOOL_A_FEATURES_NOCHANGE: mentioned.formUnion(try Self.names(in: attribute))
      default: break
      }
    }
    for name in mentioned { active[name] = on.contains(name) }
  }

  /// The names in a bit set that was sent as a list of names.
  private static func names(in attribute: NetlinkAttribute) throws(MalformedMessage) -> Set<String> {
    var names: Set<String> = []
    var isList = false
    let parts = try attribute.nested()
    for part in parts where part.type == ETHTOOL_A_BITSET_NOMASK { isList = true }
    for part in parts where part.type == ETHTOOL_A_BITSET_BITS {
      for bit in try part.nested() where bit.type == ETHTOOL_A_BITSET_BITS_BIT {
        var name: String?
        var value = false
        for detail in try bit.nested() {
          switch detail.type {
          case ETHTOOL_A_BITSET_BIT_NAME: name = detail.string
          case ETHTOOL_A_BITSET_BIT_VALUE: value = true
          default: break
          }
        }
        // In a list, being there is being set; in a set with a mask, a flag says so.
        if let name, !name.isEmpty, isList || value { names.insert(name) }
      }
    }
    return names
  }
}
