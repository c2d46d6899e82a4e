// PrometheusText.swift
//
// Writes Prometheus's text format, version 0.0.4: families with HELP and TYPE, samples with labels.
// Invariants: a family's lines are together and come once; label values are escaped, so a hostile interface name cannot
//             forge a line.
// Threads: a value. Cost: appends to one string.

/// A page of metrics in the making.
///
///     var page = PrometheusText()
///     page.family("sluice_rules", .gauge, "Rules in force.")
///     page.sample(12)
struct PrometheusText {
  enum Kind: String {
    case counter, gauge
  }

  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  private(set) var text = ""
  private var name = ""

  /// Begins a family; samples that follow belong to it. Names of counters end in "_total".
  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    self.name = name
    text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
  }

  mutating func sample(_ value: UInt64, _ labels: KeyValuePairs<String, String> = [:]) {
    append("\(value)", labels)
  }

  mutating func sample(_ value: Int, _ labels: KeyValuePairs<String, String> = [:]) {
    append("\(value)", labels)
  }

  mutating func sample(_ value: Double, _ labels: KeyValuePairs<String, String> = [:]) {
    append(value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Inf" : "+Inf") : "\(value)", labels)
  }

  private mutating func append(_ value: String, _ labels: KeyValuePairs<String, String>) {
    text += name
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }.joined(separator: ",") + "}"
    }
    text += " \(value)\n"
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    guard text.utf8.contains(where: { $0 == 0x5C || $0 == 0x0A || $0 == 0x22 }) else { return text }
    var escaped = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": escaped += "\\\\"
      case "\n": escaped += "\\n"
      case "\"" where quotes: escaped += "\\\""
      default: escaped.unicodeScalars.append(character)
      }
    }
    return escaped
  }
}
