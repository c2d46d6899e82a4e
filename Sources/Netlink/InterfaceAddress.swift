// InterfaceAddress.swift
//
// What: an IP address on an interface, and what `ip address` does with it: list, add, delete.
// Invariants: an address has 4 bytes (IPv4) or 16 (IPv6), in network order; a prefix is never longer than that.
// Threads: a value; the operations have those of NetlinkSocket.
// Cost: one request each; a list reads those of all interfaces, even when one is asked for.

import CLibmnl
import Glibc

/// An address of an interface, with the length of its network's prefix.
public struct InterfaceAddress: Sendable, Hashable {
  public enum Family: Sendable, Hashable {
    case ipv4, ipv6
    /// Bytes in an address.
    public var length: Int { self == .ipv4 ? 4 : 16 }
  }

  /// How far the address is known.
  ///
  /// - Source: linux/rtnetlink.h, enum rt_scope_t.
  public enum Scope: Sendable, Hashable {
    case global, site, link, host, nowhere
    case other(UInt8)

    init(_ code: UInt8) {
      self =
        switch code {
        case 0: .global
        case 200: .site
        case 253: .link
        case 254: .host
        case 255: .nowhere
        default: .other(code)
        }
    }

    var code: UInt8 {
      switch self {
      case .global: 0
      case .site: 200
      case .link: 253
      case .host: 254
      case .nowhere: 255
      case .other(let code): code
      }
    }
  }

  public var interfaceIndex: Int32
  /// 4 or 16 bytes in network order.
  public var bytes: [UInt8]
  /// Bits.
  public var prefixLength: UInt8
  public var scope: Scope
  /// Whether the host still checks that nobody else has this IPv6 address; it cannot be used before.
  public var isTentative: Bool

  public var family: Family { bytes.count == 4 ? .ipv4 : .ipv6 }

  public init(
    interfaceIndex: Int32, bytes: [UInt8], prefixLength: UInt8, scope: Scope = .global, isTentative: Bool = false
  ) {
    self.interfaceIndex = interfaceIndex
    self.bytes = bytes
    self.prefixLength = prefixLength
    self.scope = scope
    self.isTentative = isTentative
  }
}

extension InterfaceAddress: CustomStringConvertible {
  /// "192.0.2.1/24", "2001:db8::1/64".
  public var description: String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    // inet_ntop reads as many bytes as the family has, whatever the array holds.
    guard bytes.count == family.length,
      inet_ntop(family == .ipv4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil
    else {
      return "address of \(bytes.count) bytes"
    }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/\(prefixLength)"
  }
}

extension InterfaceAddress {
  /// `struct ifaddrmsg`.
  private static let headerLength = 8

  /// Reads an RTM_NEWADDR or RTM_DELADDR message; nil for families other than IPv4 and IPv6.
  init?(_ message: NetlinkMessage) throws(MalformedMessage) {
    guard message.type == RTM_NEWADDR || message.type == RTM_DELADDR else {
      throw MalformedMessage(reason: "message type \(message.type) is not about an address")
    }
    let payload = message.payload
    guard let familyCode = payload.integer(at: 0, as: UInt8.self), let prefix = payload.integer(at: 1, as: UInt8.self),
      let shortFlags = payload.integer(at: 2, as: UInt8.self), let scope = payload.integer(at: 3, as: UInt8.self),
      let index = payload.integer(at: 4, as: Int32.self)
    else { throw MalformedMessage(reason: "an address message of \(payload.count) bytes") }
    let family: Family
    switch Int32(familyCode) {
    case AF_INET: family = .ipv4
    case AF_INET6: family = .ipv6
    default: return nil
    }
    var address: [UInt8] = []
    var local: [UInt8] = []
    var flags = UInt32(shortFlags)
    for attribute in try message.attributes(after: Self.headerLength) {
      switch attribute.type {
      case IFA_ADDRESS: address = Array(attribute.payload)
      case IFA_LOCAL: local = Array(attribute.payload)
      case IFA_FLAGS: flags = try attribute.u32()
      default: break
      }
    }
    // On a point-to-point interface IFA_ADDRESS is the other side's, and IFA_LOCAL ours.
    let ours = local.isEmpty ? address : local
    guard index > 0, ours.count == family.length, Int(prefix) <= family.length * 8 else {
      throw MalformedMessage(reason: "an address of \(ours.count) bytes with prefix \(prefix) on interface \(index)")
    }
    self.init(
      interfaceIndex: index, bytes: ours, prefixLength: prefix, scope: Scope(scope),
      isTentative: flags & UInt32(IFA_F_TENTATIVE) != 0)
  }
}

extension NetlinkRequest {
  static func listAddresses() -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_GETADDR)
    request.put(header: ifaddrmsg())
    return request
  }

  static func addAddress(_ address: InterfaceAddress, skipDuplicateDetection: Bool) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_EXCL)
    request.put(address, flags: skipDuplicateDetection ? UInt8(IFA_F_NODAD) : 0)
    return request
  }

  static func deleteAddress(_ address: InterfaceAddress) -> NetlinkRequest {
    var request = NetlinkRequest(type: RTM_DELADDR)
    request.put(address, flags: 0)
    return request
  }

  private mutating func put(_ address: InterfaceAddress, flags: UInt8) {
    var header = ifaddrmsg()
    header.ifa_family = UInt8(address.family == .ipv4 ? AF_INET : AF_INET6)
    header.ifa_prefixlen = address.prefixLength
    header.ifa_flags = flags
    header.ifa_scope = address.scope.code
    header.ifa_index = UInt32(bitPattern: address.interfaceIndex)
    put(header: header)
    put(IFA_LOCAL, bytes: address.bytes)
    put(IFA_ADDRESS, bytes: address.bytes)
  }
}

extension NetlinkSocket {
  /// The IPv4 and IPv6 addresses of all interfaces of the namespace, or of one.
  ///
  /// `// ip address show`
  public mutating func addresses(ofInterface index: Int32? = nil) throws(NetlinkError) -> [InterfaceAddress] {
    let operation = "ip address show"
    let answers = try dump(.listAddresses(), operation: operation)
    return try parsing(operation) { () throws(MalformedMessage) in
      var addresses: [InterfaceAddress] = []
      for answer in answers {
        guard let address = try InterfaceAddress(answer) else { continue }
        if index == nil || index == address.interfaceIndex { addresses.append(address) }
      }
      return addresses
    }
  }

  /// Gives an interface an address.
  ///
  /// `// ip address add ADDRESS/PREFIX dev NAME`
  /// - Parameter skipDuplicateDetection: an IPv6 address is usable at once, not after the second or two in which the host
  ///   asks whether somebody else has it.
  /// - Throws: `.kernel(EEXIST)` when it has it already.
  public mutating func addAddress(
    _ address: InterfaceAddress, skipDuplicateDetection: Bool = false
  ) throws(NetlinkError) {
    let request = NetlinkRequest.addAddress(address, skipDuplicateDetection: skipDuplicateDetection)
    try change(address, "add", request)
  }

  /// Takes an address away from an interface.
  ///
  /// `// ip address delete ADDRESS/PREFIX dev NAME`
  /// - Throws: `.notFound` when the interface has no such address, or is gone.
  public mutating func deleteAddress(_ address: InterfaceAddress) throws(NetlinkError) {
    do {
      try change(address, "delete", .deleteAddress(address))
    } catch .kernel(let operation, EADDRNOTAVAIL, _) {
      throw .notFound(operation: operation, what: "the interface has no such address")
    }
  }

  private mutating func change(
    _ address: InterfaceAddress, _ verb: String, _ request: consuming NetlinkRequest
  ) throws(NetlinkError) {
    let words = "ip address \(verb) \(address) dev"
    guard address.bytes.count == address.family.length, Int(address.prefixLength) <= address.family.length * 8 else {
      throw .invalidArgument(
        operation: words,
        reason: "an address has 4 bytes and a prefix of at most 32 bits, or 16 bytes and at most 128 bits")
    }
    do {
      _ = try self.request(request, operation: words)
    } catch {
      throw error.during("\(words) \(nameForPeople(address.interfaceIndex))")
    }
  }
}
