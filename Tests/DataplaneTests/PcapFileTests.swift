// PcapFileTests.swift
//
// What: captures in either byte order are read; whatever else a file may hold is refused with a reason.

import Glibc
import Testing
import TestSupport

@testable import Dataplane

@Suite struct PcapFileTests {
  private func word(_ value: UInt32, swapped: Bool) -> [UInt8] {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
    return swapped ? bytes.reversed() : bytes
  }

  private func capture(
    _ frames: [[UInt8]], magic: UInt32 = 0xa1b2_c3d4, linkType: UInt32 = 1, swapped: Bool = false
  ) -> [UInt8] {
    var bytes = word(magic, swapped: swapped) + word(0x0004_0002, swapped: swapped)
    for value in [0, 0, 65535, linkType] { bytes += word(value, swapped: swapped) }
    for frame in frames {
      bytes += word(1, swapped: swapped) + word(2, swapped: swapped)
      bytes += word(UInt32(frame.count), swapped: swapped) + word(UInt32(frame.count), swapped: swapped) + frame
    }
    return bytes
  }

  private let frames = [FramePacket().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).bytes, FramePacket().etherType(0x88b5).bytes]

  private func message(_ bytes: [UInt8]) -> String {
    do {
      _ = try PcapFile.parse(bytes, path: "x.pcap")
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [false, true], [0xa1b2_c3d4 as UInt32, 0xa1b2_3c4d])
  func bothByteOrdersAndBothClocksAreRead(_ swapped: Bool, _ magic: UInt32) throws {
    #expect(try PcapFile.parse(capture(frames, magic: magic, swapped: swapped), path: "x") == frames)
  }

  @Test func aFileCutAnywhereIsRefusedUnlessTheCutIsBetweenRecords() {
    let whole = capture(frames)
    let between = 24 + 16 + frames[0].count
    for length in 0..<whole.count where length != between {
      #expect(throws: PcapError.self, "cut to \(length)") { try PcapFile.parse(Array(whole.prefix(length)), path: "x") }
    }
  }

  @Test func aRecordThatLiesAboutItsLengthIsRefused() {
    for lie: UInt32 in [0, 13, 9217, 0x7fff_ffff, 0xffff_ffff] {
      var bytes = capture(frames)
      bytes.replaceSubrange(32..<36, with: word(lie, swapped: false))
      #expect(message(bytes).contains("the record at byte 24 has \(lie) bytes"))
    }
  }

  @Test func aFrameThatWasNotCapturedWholeIsRefused() {
    var bytes = capture(frames)
    bytes.replaceSubrange(36..<40, with: word(1500, swapped: false))
    #expect(message(bytes).contains("captured whole"))
  }

  @Test func otherFormatsAreNamed() {
    #expect(message(capture(frames, magic: 0x0a0d_0d0a)).contains("pcapng is not read"))
    #expect(message(capture(frames, linkType: 113)).contains("link type 113"))
    #expect(message(capture([])).contains("no frames"))
  }

  @Test func randomBytesNeverCrash() {
    var generator = SeededGenerator.fresh()
    for _ in 0..<3000 {
      var bytes = capture(frames)
      for _ in 0..<(1 + generator.next() % 8) {
        bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next())
      }
      _ = try? PcapFile.parse(bytes, path: "x")
    }
  }

  @Test func theTraceOfAFileHasItsFramesInOrder() throws {
    var path = Array("/tmp/sluice-pcap-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    let bytes = capture(frames)
    #expect(write(descriptor, bytes, bytes.count) == bytes.count)
    close(descriptor)
    let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(name) }
    let trace = try PcapFile.trace(path: name)
    #expect(trace.count == 2 && trace.longestFrame == frames.map(\.count).max())
    #expect((0..<2).map { Array(trace.frame($0)) } == frames)
  }

  @Test func whatIsNoFileIsSaidSo() {
    #expect(throws: PcapError.self) { try PcapFile.trace(path: "/nonexistent.pcap") }
    #expect(throws: PcapError.self) { try PcapFile.trace(path: "/") }
    #expect(throws: PcapError.self) { try PcapFile.trace(path: "/dev/null") }
  }
}
