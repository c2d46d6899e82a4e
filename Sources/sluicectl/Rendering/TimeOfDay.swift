import Glibc

/// Points in time as text.
enum TimeOfDay {
  /// "2026-11-21T09:23:33.123456Z" (RFC 3339).
  static func utc(_ unixNanoseconds: UInt64) -> String {
    var seconds = time_t(clamping: unixNanoseconds / 1_000_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return format(parts, "%Y-%m-%dT%H:%M:%S") + "." + digits(unixNanoseconds / 1000 % 1_000_000, 6) + "Z"
  }

  /// "09:23:33.123", in the time zone of this machine.
  static func local(_ unixNanoseconds: UInt64) -> String {
    var seconds = time_t(clamping: unixNanoseconds / 1_000_000_000)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return format(parts, "%H:%M:%S") + "." + digits(unixNanoseconds / 1_000_000 % 1000, 3)
  }

  private static func format(_ parts: tm, _ pattern: String) -> String {
    var parts = parts
    return String(unsafeUninitializedCapacity: 64) { buffer in
      buffer.withMemoryRebound(to: CChar.self) { strftime($0.baseAddress, $0.count, pattern, &parts) }
    }
  }

  private static func digits(_ value: UInt64, _ count: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: count - text.count) + text
  }
}
