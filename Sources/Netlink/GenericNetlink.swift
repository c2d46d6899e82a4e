// GenericNetlink.swift
//
// What: families of generic netlink are found by name, and each of their messages starts with a command and a version.
// Threads, cost: those of NetlinkSocket. A family's number stays the same until reboot or until its module is unloaded.

import CLibmnl
import Glibc

extension NetlinkRequest {
  /// `struct genlmsghdr`.
  static let genericHeaderLength = 4

  /// Starts a message to a generic netlink family.
  static func generic(family: UInt16, command: Int, version: UInt8) -> NetlinkRequest {
    var request = NetlinkRequest(type: Int(family))
    request.put(header: genlmsghdr(cmd: UInt8(truncatingIfNeeded: command), version: version, reserved: 0))
    return request
  }

  static func getFamily(named name: String) -> NetlinkRequest {
    var request = generic(family: UInt16(GENL_ID_CTRL), command: CTRL_CMD_GETFAMILY, version: 1)
    request.put(CTRL_ATTR_FAMILY_NAME, string: name)
    return request
  }
}

extension NetlinkSocket {
  /// The number of a generic netlink family.
  ///
  /// `// genl ctrl get name NAME`
  /// - Throws: `.notFound` when this kernel has no such family.
  public mutating func familyID(named name: String) throws(NetlinkError) -> UInt16 {
    let operation = "genl ctrl get name \(name)"
    do {
      let answers = try request(.getFamily(named: name), operation: operation)
      return try parsing(operation) { () throws(MalformedMessage) in
        for answer in answers {
          for attribute in try answer.attributes(after: NetlinkRequest.genericHeaderLength)
          where attribute.type == CTRL_ATTR_FAMILY_ID {
            return try attribute.u16()
          }
        }
        throw MalformedMessage(reason: "no family number")
      }
    } catch .kernel(_, ENOENT, _) {
      throw .notFound(operation: operation, what: "this kernel has no such netlink family")
    }
  }
}
