// Human.swift
//
// Numbers in the words people use. Programs get the exact numbers by `-o json`.

enum Human {
  /// A number of bytes in decimal units: "999 B", "1.5 kB", "12.3 MB".
  static func bytes(_ count: UInt64) -> String {
    if count < 1000 { return "\(count) B" }
    var value = Double(count)
    var unit = 0
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    // 999.95 would round to "1000.0", which is what the next unit is for.
    while value >= 999.95, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return decimal(value, places: 1) + " " + units[unit]
  }

  /// Something a second in decimal units, without a word for it: "0.5", "999", "1.2 M".
  static func rate(_ value: Double) -> String {
    if value < 9.95 { return decimal(value, places: 1) }
    var (value, unit) = (value, 0)
    let units = ["", " k", " M", " G", " T"]
    while value >= 999.5, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    return decimal(value, places: unit > 0 && value < 99.95 ? 1 : 0) + units[unit]
  }

  /// A span of time with the two largest units that matter: "0.25s", "12s", "3m20s", "2h05m", "4d03h".
  static func duration(milliseconds: UInt64) -> String {
    if milliseconds < 10_000 { return decimal(Double(milliseconds) / 1000, places: 2) + "s" }
    return duration(seconds: milliseconds / 1000)
  }

  static func duration(seconds: UInt64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400)
    if days > 0 { return "\(days)d\(twoDigits(hours % 24))h" }
    if hours > 0 { return "\(hours)h\(twoDigits(minutes % 60))m" }
    if minutes > 0 { return "\(minutes)m\(twoDigits(seconds % 60))s" }
    return "\(seconds)s"
  }

  /// A share of a whole in percent: 0.0173 is "1.7%".
  static func percent(_ share: Double) -> String { decimal(share * 100, places: 1) + "%" }

  /// "1 rule", "2 rules".
  static func count(_ number: UInt64, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  /// A number rounded to a fixed number of places, with all of them written.
  static func decimal(_ value: Double, places: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    var scale: Int64 = 1
    for _ in 0..<places { scale *= 10 }
    let scaled = Int64((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard places > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
  }

  private static func twoDigits(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
