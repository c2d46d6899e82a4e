// NetlinkMessage.swift
//
// What: what the kernel sent, taken apart: a datagram into messages, a message into attributes, an acknowledgement into
//       an errno and the kernel's explanation.
// Invariants: everything is checked against the bytes that are there before it is read; a length that lies is an error,
//             never a read past the end. Bytes are copied, so nothing here outlives its memory. Nests are entered only
//             where the caller knows what is inside, so no message can make this recurse.
// Threads: values; any.
// Cost: a message is a slice of its datagram, an attribute a slice of its message; no copy after the first.

import CLibmnl
import Glibc

/// A message or an attribute that contradicts itself.
struct MalformedMessage: Error, Equatable {
  var reason: String
}

/// One message from the kernel.
struct NetlinkMessage {
  var type: Int
  var flags: Int32
  var sequence: UInt32
  /// The netlink port the message answers to; 0 in notifications.
  var port: UInt32
  /// All behind the 16-byte header.
  var payload: ArraySlice<UInt8>

  /// Takes a datagram apart.
  static func split(_ datagram: [UInt8]) throws(MalformedMessage) -> [NetlinkMessage] {
    var messages: [NetlinkMessage] = []
    var rest = datagram[...]
    while !rest.isEmpty {
      guard let length = rest.integer(at: 0, as: UInt32.self), let type = rest.integer(at: 4, as: UInt16.self),
        let flags = rest.integer(at: 6, as: UInt16.self), let sequence = rest.integer(at: 8, as: UInt32.self),
        let port = rest.integer(at: 12, as: UInt32.self)
      else { throw MalformedMessage(reason: "\(rest.count) bytes are no message header") }
      guard length >= 16, length <= rest.count else {
        throw MalformedMessage(reason: "a message claims \(length) bytes where there are \(rest.count)")
      }
      messages.append(
        NetlinkMessage(
          type: Int(type), flags: Int32(flags), sequence: sequence, port: port,
          payload: rest.dropFirst(16).prefix(Int(length) - 16)))
      rest = rest.dropFirst(aligned(Int(length)))
    }
    return messages
  }

  /// The attributes behind a fixed struct of `headerLength` bytes.
  func attributes(after headerLength: Int) throws(MalformedMessage) -> [NetlinkAttribute] {
    guard payload.count >= headerLength else {
      throw MalformedMessage(reason: "\(payload.count) bytes of payload, expected at least \(headerLength)")
    }
    return try NetlinkAttribute.parse(payload.dropFirst(aligned(headerLength)))
  }

  /// The result in an NLMSG_ERROR message or at the end of a dump; nil for any other message.
  ///
  /// - Source: linux/netlink.h, struct nlmsgerr and enum nlmsgerr_attrs.
  func acknowledgement() throws(MalformedMessage) -> Acknowledgement? {
    guard type == Int(NLMSG_ERROR) || type == Int(NLMSG_DONE) else { return nil }
    guard let code = payload.integer(at: 0, as: Int32.self) else {
      // A dump without a final code ended well.
      if type == Int(NLMSG_DONE) { return Acknowledgement(errno: 0, extack: nil) }
      throw MalformedMessage(reason: "an error message without an error code")
    }
    // Codes are negative; a positive one would be a lie that must not become success.
    let errno = code == 0 ? 0 : code > 0 ? EPROTO : code == .min ? EPROTO : -code
    guard flags & NLM_F_ACK_TLVS != 0 else { return Acknowledgement(errno: errno, extack: nil) }
    var explanationOffset = 4
    if type == Int(NLMSG_ERROR) {
      // The header of the refused request comes first, and all of the request when the kernel did not cap it.
      guard let requestLength = payload.integer(at: 4, as: UInt32.self) else {
        throw MalformedMessage(reason: "an error message without the request it answers")
      }
      explanationOffset += flags & NLM_F_CAPPED != 0 ? 16 : aligned(max(16, Int(requestLength)))
    }
    let explanation = try attributes(after: explanationOffset)
    return Acknowledgement(errno: errno, extack: try Self.words(of: explanation))
  }

  private static func words(of attributes: [NetlinkAttribute]) throws(MalformedMessage) -> String? {
    var words: [String] = []
    for attribute in attributes {
      switch attribute.type {
      case Int(NLMSGERR_ATTR_MSG.rawValue): words.insert(attribute.string, at: 0)
      case Int(NLMSGERR_ATTR_MISS_TYPE.rawValue): words.append("attribute \(try attribute.u32()) is missing")
      case Int(NLMSGERR_ATTR_OFFS.rawValue): words.append("see byte \(try attribute.u32()) of the request")
      default: break
      }
    }
    return words.isEmpty ? nil : words.joined(separator: "; ")
  }
}

/// How a request ended.
struct Acknowledgement: Equatable {
  /// 0 is success.
  var errno: Int32
  /// The kernel's explanation, or its warning when errno is 0.
  var extack: String?
}

/// One type-length-value of a message.
struct NetlinkAttribute {
  /// Without the bits that say "nested" and "network byte order".
  var type: Int
  var payload: ArraySlice<UInt8>

  /// Takes apart a run of attributes. Fewer than four bytes at the end are padding.
  static func parse(_ bytes: ArraySlice<UInt8>) throws(MalformedMessage) -> [NetlinkAttribute] {
    var attributes: [NetlinkAttribute] = []
    var rest = bytes
    while let length = rest.integer(at: 0, as: UInt16.self), let type = rest.integer(at: 2, as: UInt16.self) {
      guard length >= 4, Int(length) <= rest.count else {
        throw MalformedMessage(reason: "an attribute claims \(length) bytes where there are \(rest.count)")
      }
      attributes.append(
        NetlinkAttribute(
          type: Int(type) & Self.typeMask, payload: rest.dropFirst(4).prefix(Int(length) - 4)))
      rest = rest.dropFirst(aligned(Int(length)))
    }
    return attributes
  }

  /// NLA_TYPE_MASK of linux/netlink.h, a macro that does not import.
  private static let typeMask = 0x3fff

  func nested() throws(MalformedMessage) -> [NetlinkAttribute] { try Self.parse(payload) }
  func u8() throws(MalformedMessage) -> UInt8 { try integer() }
  func u32() throws(MalformedMessage) -> UInt32 { try integer() }
  func i32() throws(MalformedMessage) -> Int32 { try integer() }
  func u16() throws(MalformedMessage) -> UInt16 { try integer() }

  /// The text up to its NUL, or all of it; bytes that are not UTF-8 are shown as U+FFFD.
  var string: String { String(decoding: payload.prefix { $0 != 0 }, as: UTF8.self) }

  private func integer<Value: FixedWidthInteger>() throws(MalformedMessage) -> Value {
    guard let value = payload.integer(at: 0, as: Value.self) else {
      throw MalformedMessage(
        reason: "attribute \(type) has \(payload.count) bytes, expected \(MemoryLayout<Value>.size)")
    }
    return value
  }
}

/// Rounds up to the four bytes that messages and attributes are aligned to.
private func aligned(_ length: Int) -> Int { (length + 3) & ~3 }

extension ArraySlice<UInt8> {
  /// The integer in this machine's byte order that starts `offset` bytes into the slice; nil when it does not fit.
  func integer<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type) -> Value? {
    guard offset >= 0, count - offset >= MemoryLayout<Value>.size else { return nil }
    return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Value.self) }
  }
}
