// InterfaceChange.swift
//
// What was changed on an interface to make it a port, and is put back when it is none any more; also by a later agent, so it has a word for
// the store.
// Invariant: a change stands in a list once, however often it was made: what is put back is what was there before the first time.
// Threads: values; `undo` in the network namespace of the interface.

import Glibc
import Netlink

/// One change of an interface.
enum InterfaceChange: Equatable {
  case broughtUp
  case madePromiscuous
  /// A feature, by the name that ethtool has for it.
  case switchedOff(String)

  init?(word: String) {
    switch word {
    case "up": self = .broughtUp
    case "promiscuous": self = .madePromiscuous
    default:
      guard word.hasPrefix("off:") else { return nil }
      self = .switchedOff(String(word.dropFirst(4)))
    }
  }

  var word: String {
    switch self {
    case .broughtUp: "up"
    case .madePromiscuous: "promiscuous"
    case .switchedOff(let feature): "off:\(feature)"
    }
  }

  /// Names an interface so that no other ever has the name: an index means something only in its namespace, until the machine starts anew.
  /// - Returns: nil when the kernel does not say where we are; changes are not remembered then.
  static func place(ofInterface index: Int32) -> String? {
    var namespace = stat()
    guard let start = ProcessFacts.bootIdentifier(), stat("/proc/self/ns/net", &namespace) == 0 else { return nil }
    return "\(start)/\(namespace.st_ino)/\(index)"
  }
}

extension [InterfaceChange] {
  mutating func note(_ change: InterfaceChange) {
    if !contains(change) { append(change) }
  }
}

extension BidirectionalCollection<InterfaceChange> {
  /// Puts back what was changed, the last change first.
  func undo(index: Int32) {
    guard !isEmpty, var socket = try? NetlinkSocket(.route) else { return }
    for change in reversed() {
      // An interface that is gone has nothing to be put back.
      switch change {
      case .broughtUp: try? socket.setDown(index: index)
      case .madePromiscuous: try? socket.setPromiscuous(false, index: index)
      case .switchedOff(let feature):
        guard var ethtool = try? Ethtool() else { continue }
        _ = try? ethtool.setFeature(feature, true, of: index)
      }
    }
  }
}
