// PcapFile.swift
//
// What: reads the frames of a capture file in the classic pcap format.
// Invariants: every length is checked against the file; a file that ends in the middle of a record is refused, because a trace cut short
//             would measure something else.
// Threads: pure.
// Cost: `records` looks at 16 bytes a frame and copies none; `parse` makes an array of each, which a trace of a million is spared.
// Source: the pcap file format, draft-ietf-opsawg-pcap (section 4, 5); link type 1 is Ethernet.

import Glibc

/// Why a capture cannot be used.
public enum PcapError: Error, CustomStringConvertible {
  case cannotRead(path: String, errno: Int32)
  case notPcap(path: String, magic: UInt32)
  case notEthernet(path: String, linkType: UInt32)
  case cutShort(path: String, offset: Int)
  case badRecord(path: String, offset: Int, length: UInt32)
  case empty(path: String)

  public var description: String {
    switch self {
    case .cannotRead(let path, let errno): "\(path): \(String(cString: strerror(errno)))"
    case .notPcap(let path, let magic):
      "\(path): not a pcap file (it begins with 0x\(String(magic, radix: 16)); pcapng is not read: convert with tcpdump -r IN -w OUT)"
    case .notEthernet(let path, let linkType): "\(path): link type \(linkType); expected 1 (Ethernet)"
    case .cutShort(let path, let offset): "\(path): ends in the middle of the record at byte \(offset)"
    case .badRecord(let path, let offset, let length):
      "\(path): the record at byte \(offset) has \(length) bytes; expected 14 to 9216, captured whole"
    case .empty(let path): "\(path): no frames"
    }
  }
}

/// The frames of a capture.
public enum PcapFile {
  private static let largestFrame: UInt32 = 9216

  /// Reads all frames of a file, laid out for replaying.
  /// - Throws: `PcapError`.
  public static func trace(path: String) throws(PcapError) -> Trace {
    let bytes = try contents(path)
    return Trace(bytes: bytes, frames: try records(bytes, path: path))
  }

  /// Reads all frames of a capture in memory; `path` is for messages.
  public static func parse(_ bytes: [UInt8], path: String) throws(PcapError) -> [[UInt8]] {
    try records(bytes, path: path).map { Array(bytes[$0]) }
  }

  /// Where in a capture its frames lie.
  private static func records(_ bytes: [UInt8], path: String) throws(PcapError) -> [Range<Int>] {
    func word(_ offset: Int, swapped: Bool) -> UInt32 {
      let value =
        UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8 | UInt32(bytes[offset + 2]) << 16
        | UInt32(bytes[offset + 3]) << 24
      return swapped ? value.byteSwapped : value
    }
    guard bytes.count >= 24 else { throw .cutShort(path: path, offset: 0) }
    let swapped: Bool
    switch word(0, swapped: false) {
    case 0xa1b2_c3d4, 0xa1b2_3c4d: swapped = false
    case 0xd4c3_b2a1, 0x4d3c_b2a1: swapped = true
    default: throw .notPcap(path: path, magic: word(0, swapped: false))
    }
    let linkType = word(20, swapped: swapped) & 0xffff
    guard linkType == 1 else { throw .notEthernet(path: path, linkType: linkType) }
    var frames: [Range<Int>] = []
    var offset = 24
    while offset < bytes.count {
      guard offset + 16 <= bytes.count else { throw .cutShort(path: path, offset: offset) }
      let captured = word(offset + 8, swapped: swapped)
      let original = word(offset + 12, swapped: swapped)
      guard captured >= 14, captured <= largestFrame, captured == original else {
        throw .badRecord(path: path, offset: offset, length: captured)
      }
      let start = offset + 16
      guard start + Int(captured) <= bytes.count else { throw .cutShort(path: path, offset: offset) }
      frames.append(start..<start + Int(captured))
      offset = start + Int(captured)
    }
    guard !frames.isEmpty else { throw .empty(path: path) }
    return frames
  }

  private static func contents(_ path: String) throws(PcapError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .cannotRead(path: path, errno: errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: path, errno: errno) }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
      let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress?.advanced(by: filled), $0.count - filled) }
      if got < 0, errno == EINTR { continue }
      guard got > 0 else { throw .cannotRead(path: path, errno: got < 0 ? errno : EIO) }
      filled += got
    }
    return bytes
  }
}
