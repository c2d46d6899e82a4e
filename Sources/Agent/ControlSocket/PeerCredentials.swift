// PeerCredentials.swift
//
// Who is at the other end of a Unix socket, as the kernel saw them when they connected, and whether they may use the API.
// Invariant: the kernel's word only: nothing that the peer says is looked at.
// Threads: values.
// Source: unix(7), SO_PEERCRED; socket(7) since Linux 4.13, SO_PEERGROUPS.

import Glibc

/// The other end of a connection.
struct PeerCredentials: Sendable, Equatable {
  var processID: Int32
  var userID: UInt32
  var groupID: UInt32
  /// The supplementary groups.
  var groups: [UInt32]

  /// Asks the kernel about a connected socket.
  ///
  /// - Returns: nil when the kernel does not say, which means that the peer is not to be let in.
  init?(of descriptor: Int32) {
    // struct ucred: pid, uid, gid, each 32 bits (not imported, because glibc hides it).
    var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
    var length = socklen_t(MemoryLayout.size(ofValue: credentials))
    guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else { return nil }
    (processID, userID, groupID) = credentials
    groups = Self.supplementaryGroups(of: descriptor)
  }

  init(processID: Int32, userID: UInt32, groupID: UInt32, groups: [UInt32] = []) {
    self.processID = processID
    self.userID = userID
    self.groupID = groupID
    self.groups = groups
  }

  private static let peerGroups: Int32 = 59  // SO_PEERGROUPS, asm-generic/socket.h

  private static func supplementaryGroups(of descriptor: Int32) -> [UInt32] {
    var groups = [UInt32](repeating: 0, count: 64)
    while true {
      var length = socklen_t(groups.count * MemoryLayout<UInt32>.size)
      if getsockopt(descriptor, SOL_SOCKET, peerGroups, &groups, &length) == 0 {
        return Array(groups.prefix(Int(length) / MemoryLayout<UInt32>.size))
      }
      // ERANGE says how many bytes there are; anything else means that there are none to be known.
      guard errno == ERANGE, Int(length) > groups.count * MemoryLayout<UInt32>.size else { return [] }
      groups = [UInt32](repeating: 0, count: Int(length) / MemoryLayout<UInt32>.size)
    }
  }
}

/// Who may use the API: root, and the members of one group.
struct AdmissionRule: Sendable {
  /// nil when the configured group does not exist: then only root may.
  var groupID: UInt32?

  func admits(_ peer: PeerCredentials) -> Bool {
    if peer.userID == 0 { return true }
    guard let groupID else { return false }
    return peer.groupID == groupID || peer.groups.contains(groupID)
  }
}
