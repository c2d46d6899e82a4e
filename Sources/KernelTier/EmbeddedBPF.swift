// EmbeddedBPF.swift
//
// The compiled BPF programs inside this executable. The build-tool plugin EmbedBPF adds one constant per BPF/*.bpf.c.
// Invariant: the text is an even number of lower-case hexadecimal digits.
// Cost: decoding takes some ten microseconds, once per program and process.

/// Namespace of the embedded object files.
enum EmbeddedBPF {
  /// The object file of the XDP program.
  static let uplinkObject: [UInt8] = bytes(of: uplink)
  /// Of the tc program.
  static let containerObject: [UInt8] = bytes(of: container)
  /// Of the program at the far end of the upcall pair.
  static let upObject: [UInt8] = bytes(of: up)

  private static func bytes(of text: StaticString) -> [UInt8] {
    text.withUTF8Buffer { digits in
      (0..<digits.count / 2).map { nibble(digits[2 * $0]) << 4 | nibble(digits[2 * $0 + 1]) }
    }
  }

  private static func nibble(_ digit: UInt8) -> UInt8 {
    digit < UInt8(ascii: "a") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10
  }
}
