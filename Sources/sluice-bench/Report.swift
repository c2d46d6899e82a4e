// Report.swift
//
// What: what all measurements share when they print: one line of JSON, the memory of this process, a clock.

import CSluice
import Foundation

/// One JSON object on one line, keys in order.
func jsonLine<T: Encodable>(_ value: T) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

/// Runs something and says how many seconds it took.
func timed<T>(_ body: () throws -> T) rethrows -> (value: T, seconds: Double) {
  let began = ContinuousClock.now
  let value = try body()
  return (value, (ContinuousClock.now - began).seconds)
}

/// Memory of this process.
enum ProcessMemory {
  /// Resident bytes, from /proc/self/statm.
  static var residentBytes: Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(getpagesize()) : 0
  }

  /// Resident bytes without what can be had again for nothing (free heap, code), so that a difference counts what is held.
  static var heldBytes: Int {
    sluice_trim_resident()
    return residentBytes
  }
}
