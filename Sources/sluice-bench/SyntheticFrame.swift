// SyntheticFrame.swift
//
// What: 60-byte UDP and TCP frames made from five-tuples, and a seeded source of random numbers for them.
// Invariants: the IPv4 header's checksum is right; the layer 4 checksum is 0, which in UDP means none.

/// An IPv4 five-tuple, in host byte order.
struct FiveTuple {
  var proto: UInt8 = 17
  var source: UInt32
  var destination: UInt32
  var sourcePort: UInt16
  var destinationPort: UInt16

  static let frameLength = 60

  /// Writes the frame's 60 bytes; what lies behind the headers stays as it is.
  @inline(__always)
  func write(to bytes: UnsafeMutableRawPointer) {
    func put(_ value: UInt16, _ offset: Int) { bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self) }
    func put(_ value: UInt32, _ offset: Int) { bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self) }
    let length: UInt16 = 46
    put(0x0200_0001 as UInt32, 0)
    put(0x0000_0200 as UInt32, 4)
    put(0x0000_0000 as UInt32, 8)
    put(0x0800 as UInt16, 12)
    put(0x4500 as UInt16, 14)
    put(length, 16)
    put(0 as UInt32, 18)
    put(0x4000 | UInt16(proto), 22)
    put(source, 26)
    put(destination, 30)
    var sum = UInt32(0x4500) + UInt32(length) + UInt32(0x4000 | UInt16(proto))
    sum += (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff)
    sum = (sum & 0xffff) + (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16)
    put(~UInt16(truncatingIfNeeded: sum), 24)
    put(sourcePort, 34)
    put(destinationPort, 36)
    if proto == 17 {
      put(UInt32(length - 20) << 16, 38)
    } else {
      put(1 as UInt32, 38)
      put(1 as UInt32, 42)
      put(0x5010_ffff as UInt32, 46)
      put(0 as UInt32, 50)
    }
  }
}

/// Seeded random numbers (splitmix64, public domain, S. Vigna): the same on every machine.
struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  @inline(__always)
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
