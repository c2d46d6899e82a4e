// EthtoolIoctl.swift
//
// What: ethtool's older interface, the ioctl SIOCETHTOOL: for the driver's name, which has no netlink message, and for
//       kernels built without the netlink family. This file owns the layouts of linux/ethtool.h.
// Invariants: every buffer is as long as the count in it says before the kernel sees it; what the kernel writes into the count
//             is checked against the buffer before it is used.
// Threads: any, one call at a time.
// Cost: two ioctls per call; features need six.

import CLibmnl
import CSluice
import Glibc

/// The ethtool ioctl of one interface.
struct EthtoolIoctl {
  /// Any socket of the interface's namespace.
  var socket: Int32
  var index: Int32
  var operation: String

  /// ETH_SS_FEATURES of linux/ethtool.h: the string set with the names of the features.
  private static let featureNames = UInt32(ETH_SS_FEATURES.rawValue)
  private static let nameLength = Int(ETH_GSTRING_LEN)

  func driver() throws(NetlinkError) -> EthtoolDriver {
    var request = ethtool_drvinfo()
    request.cmd = UInt32(ETHTOOL_GDRVINFO)
    try call(&request)
    return EthtoolDriver(
      name: Self.text(request.driver), version: Self.text(request.version), firmware: Self.text(request.fw_version),
      bus: Self.text(request.bus_info))
  }

  func channels() throws(NetlinkError) -> EthtoolChannels {
    var request = ethtool_channels()
    request.cmd = UInt32(ETHTOOL_GCHANNELS)
    try call(&request)
    return EthtoolChannels(
      current: .init(
        rx: request.rx_count, tx: request.tx_count, combined: request.combined_count, other: request.other_count),
      maximum: .init(rx: request.max_rx, tx: request.max_tx, combined: request.max_combined, other: request.max_other))
  }

  func rings() throws(NetlinkError) -> EthtoolRings {
    var request = ethtool_ringparam()
    request.cmd = UInt32(ETHTOOL_GRINGPARAM)
    try call(&request)
    return EthtoolRings(
      rx: request.rx_pending, tx: request.tx_pending, maximumRX: request.rx_max_pending,
      maximumTX: request.tx_max_pending)
  }

  func features() throws(NetlinkError) -> EthtoolFeatures {
    let names = try names()
    let blocks = (names.count + 31) / 32
    // struct ethtool_gfeatures: command, count of blocks; each block is available, requested, active, never changed.
    var request = [UInt32](repeating: 0, count: 2 + blocks * 4)
    request[0] = UInt32(ETHTOOL_GFEATURES)
    request[1] = UInt32(blocks)
    try call(&request)
    var features = EthtoolFeatures()
    for (bit, name) in names.enumerated() where !name.isEmpty {
      let block = 2 + bit / 32 * 4
      let mask = UInt32(1) << UInt32(bit % 32)
      features.active[name] = request[block + 2] & mask != 0
      // "Available" is what the driver lets be switched.
      if request[block] & mask != 0 { features.changeable.insert(name) }
    }
    return features
  }

  func setFeatures(_ wanted: [String: Bool]) throws(NetlinkError) {
    let names = try names()
    let blocks = (names.count + 31) / 32
    if let unknown = wanted.keys.sorted().first(where: { !names.contains($0) }) {
      throw .invalidArgument(operation: operation, reason: "the kernel knows no feature \"\(unknown)\"; see ethtool -k")
    }
    // struct ethtool_sfeatures: command, count of blocks; each block is valid, requested.
    var request = [UInt32](repeating: 0, count: 2 + blocks * 2)
    request[0] = UInt32(ETHTOOL_SFEATURES)
    request[1] = UInt32(blocks)
    for (bit, name) in names.enumerated() {
      guard let on = wanted[name] else { continue }
      let block = 2 + bit / 32 * 2
      let mask = UInt32(1) << UInt32(bit % 32)
      request[block] |= mask
      if on { request[block + 1] |= mask }
    }
    try call(&request)
  }

  /// The names of the features, by bit.
  private func names() throws(NetlinkError) -> [String] {
    // struct ethtool_sset_info: command, reserved, a 64-bit mask of sets, then a count for each set in the mask.
    var counts: [UInt32] = [UInt32(ETHTOOL_GSSET_INFO), 0, 1 << Self.featureNames, 0, 0]
    try call(&counts)
    let count = Int(counts[4])
    // More than the kernel could ever have is not worth the memory.
    guard counts[2] != 0, count <= 4096 else {
      throw .malformedReply(operation: operation, reason: "\(count) features")
    }
    // struct ethtool_gstrings: command, set, count, then 32 bytes for each name.
    var strings = [UInt32](repeating: 0, count: 3 + count * Self.nameLength / 4)
    strings[0] = UInt32(ETHTOOL_GSTRINGS)
    strings[1] = Self.featureNames
    strings[2] = UInt32(count)
    try call(&strings)
    return strings.withUnsafeBytes { bytes in
      (0..<count).map { name in
        let start = 12 + name * Self.nameLength
        return String(
          decoding: bytes[start..<start + Self.nameLength].prefix { $0 != 0 }, as: UTF8.self)
      }
    }
  }

  /// Runs a command that fits in a struct.
  private func call<Request: BitwiseCopyable>(_ request: inout Request) throws(NetlinkError) {
    try check(withUnsafeMutableBytes(of: &request) { sluice_ethtool(socket, index, $0.baseAddress) })
  }

  /// Runs a command whose struct ends in an array.
  private func call(_ request: inout [UInt32]) throws(NetlinkError) {
    try check(request.withUnsafeMutableBytes { sluice_ethtool(socket, index, $0.baseAddress) })
  }

  private func check(_ code: Int32) throws(NetlinkError) {
    guard code != 0 else { return }
    throw NetlinkError(operation: operation, errno: code, extack: nil)
  }

  /// The text in a fixed array of C characters, which Swift sees as a tuple.
  private static func text<Characters: BitwiseCopyable>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
