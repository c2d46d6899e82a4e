// Packet.swift
//
// Builds the frames that the tests feed to the XDP program: readable at the call, exact on the wire.
//
//     Packet.frame(to: .host, tags: [.q(5)], .ipv4(from: "10.0.0.1"))

@testable import KernelTier

enum MAC {
  /// The shared port's own interface.
  static let host: [UInt8] = [0x02, 0, 0, 0, 0, 0x01]
  /// Somebody behind the switch.
  static let other: [UInt8] = [0x02, 0, 0, 0, 0, 0x02]
  static let broadcast = [UInt8](repeating: 0xff, count: 6)
  static let ipv6AllNodes: [UInt8] = [0x33, 0x33, 0, 0, 0, 0x01]

  /// RFC 2464: the group that an address' neighbour solicitations are sent to.
  static func solicitedNode(of address: String) -> [UInt8] { [0x33, 0x33, 0xff] + bytes(address).suffix(3) }
}

/// A VLAN tag.
struct Tag {
  var type: UInt16
  var vlan: UInt16

  static func q(_ vlan: UInt16) -> Tag { Tag(type: 0x8100, vlan: vlan) }
  static func ad(_ vlan: UInt16) -> Tag { Tag(type: 0x88a8, vlan: vlan) }
}

/// What follows Ethernet and the tags.
struct Body {
  var type: UInt16
  var bytes: [UInt8]

  static func ipv4(
    from source: String = "192.0.2.1", version: UInt8 = 4, headerWords: UInt8 = 5, totalLength: UInt16? = nil, payload: Int = 20
  ) -> Body {
    let options = max(0, Int(headerWords) - 5) * 4
    var bytes: [UInt8] = [version << 4 | headerWords, 0]
    bytes += big(totalLength ?? UInt16(20 + options + payload)) + [0, 0, 0, 0, 64, 17, 0, 0]
    bytes += KernelTierTests.bytes(source) + KernelTierTests.bytes("198.51.100.1")
    return Body(type: 0x0800, bytes: bytes + [UInt8](repeating: 0, count: options + payload))
  }

  static func ipv6(
    from source: String = "2001:db8::1", version: UInt8 = 6, payloadLength: UInt16? = nil, next: UInt8 = 17,
    payload: [UInt8] = [UInt8](repeating: 0, count: 20)
  ) -> Body {
    var bytes: [UInt8] = [version << 4, 0, 0, 0]
    bytes += big(payloadLength ?? UInt16(payload.count)) + [next, 255]
    bytes += KernelTierTests.bytes(source) + KernelTierTests.bytes("2001:db8::99")
    return Body(type: 0x86dd, bytes: bytes + payload)
  }

  static func arp(operation: UInt16 = 1, target: String, hardware: UInt16 = 1) -> Body {
    var bytes = big(hardware) + big(0x0800) + [6, 4] + big(operation) + MAC.other
    bytes += KernelTierTests.bytes("192.0.2.1") + [UInt8](repeating: 0, count: 6) + KernelTierTests.bytes(target)
    return Body(type: 0x0806, bytes: bytes)
  }

  /// - Parameter type: of ICMPv6; 135 is a neighbour solicitation, 136 an advertisement.
  static func solicitation(of target: String, type: UInt8 = 135) -> Body {
    .ipv6(next: 58, payload: [type, 0, 0, 0, 0, 0, 0, 0] + KernelTierTests.bytes(target))
  }

  /// Not IP at all.
  static let other = Body(type: 0x88b5, bytes: [UInt8](repeating: 0xab, count: 46))
}

enum Packet {
  static func frame(to destination: [UInt8] = MAC.other, tags: [Tag] = [], _ body: Body) -> [UInt8] {
    var bytes = destination + [0x02, 0, 0, 0, 0, 0x99]
    for tag in tags { bytes += big(tag.type) + big(tag.vlan) }
    return bytes + big(body.type) + body.bytes
  }
}

func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

func bytes(_ address: String) -> [UInt8] { IPAddress(address)!.bytes }
