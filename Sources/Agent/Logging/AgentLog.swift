// AgentLog.swift
//
// The agent's log: one line per message on standard error, as text for people or JSON for programs. swift-log does the
// rest.
//
//     2026-11-21T09:30:00.123Z info  port up  port=eth1 queues=2
//     {"time":"2026-11-21T09:30:00.123Z","uptime":12.345,"level":"info","message":"port up","port":"eth1","queues":"2"}
//
// Invariants: a message is one line whatever it contains. Level and format can change while the agent runs.
// Threads: any; a line is one write call, so lines of several threads do not mix.
// Cost: a message under the level in force costs one atomic load.

import CSluice
import Glibc
import Logging
import Synchronization

/// What all loggers of the process share: the level and the format in force.
public final class AgentLog: Sendable {
  public static let shared = AgentLog()

  private let levelIndex = Atomic<Int>(2)
  private let isJSON = Atomic<Bool>(false)
  private let startNanoseconds = sluice_monotonic_nanoseconds()

  private init() {}

  public var level: Logger.Level {
    get {
      let index = levelIndex.load(ordering: .relaxed)
      return Logger.Level.allCases.indices.contains(index) ? Logger.Level.allCases[index] : .info
    }
    set { levelIndex.store(Logger.Level.allCases.firstIndex(of: newValue) ?? 2, ordering: .relaxed) }
  }

  public var format: LogFormat {
    get { isJSON.load(ordering: .relaxed) ? .json : .text }
    set { isJSON.store(newValue == .json, ordering: .relaxed) }
  }

  /// Makes every logger of the process write here. Call once, before the first logger is made.
  public static func install() {
    LoggingSystem.bootstrap { LineLogHandler(label: $0) }
  }

  fileprivate func write(level: Logger.Level, message: String, metadata: Logger.Metadata) {
    let uptime = Double(sluice_monotonic_nanoseconds() - startNanoseconds) / 1e9
    let line = LogLine(time: LogLine.now(), uptimeSeconds: uptime, level: level, message: message, metadata: metadata)
    let bytes = Array((format == .json ? line.json : line.text).utf8)
    // Nobody can be told that the log cannot be written.
    _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }
}

/// swift-log's side of AgentLog.
struct LineLogHandler: LogHandler {
  let label: String
  var metadata = Logger.Metadata()
  var metadataProvider: Logger.MetadataProvider?

  init(label: String) { self.label = label }

  var logLevel: Logger.Level {
    get { AgentLog.shared.level }
    // One level for the whole agent: it is the configuration's, and a reload changes it everywhere at once.
    set { AgentLog.shared.level = newValue }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var all = metadata
    if let extra = event.metadata { all.merge(extra) { $1 } }
    if let error = event.error { all["error"] = "\(error)" }
    AgentLog.shared.write(level: event.level, message: "\(event.message)", metadata: all)
  }
}

/// One message as it is written.
struct LogLine {
  /// RFC 3339, UTC, milliseconds.
  var time: String
  /// Since the agent started, by the monotonic clock.
  var uptimeSeconds: Double
  var level: Logger.Level
  var message: String
  var metadata: Logger.Metadata

  var text: String {
    var line = "\(time) \(level.rawValue)"
    line += String(repeating: " ", count: max(1, 8 - level.rawValue.count))
    line += Self.oneLine(message)
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      line += " \(key)=\(Self.quotedIfNeeded("\(value)"))"
    }
    return line + "\n"
  }

  var json: String {
    var line = "{\"time\":\"\(time)\",\"uptime\":\(Double(Int(uptimeSeconds * 1000)) / 1000)"
    line += ",\"level\":\"\(level.rawValue)\",\"message\":\(Self.jsonText(message))"
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      line += ",\(Self.jsonText(key)):\(Self.jsonText("\(value)"))"
    }
    return line + "}\n"
  }

  static func now() -> String {
    var instant = timespec()
    clock_gettime(CLOCK_REALTIME, &instant)
    var parts = tm()
    gmtime_r(&instant.tv_sec, &parts)
    func padded(_ value: Int, _ width: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date =
      "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
    let clock = "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
    return "\(date)T\(clock).\(padded(instant.tv_nsec / 1_000_000, 3))Z"
  }

  private static func oneLine(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
    return String(jsonText(text).dropFirst().dropLast())
  }

  private static func quotedIfNeeded(_ text: String) -> String {
    let plain =
      !text.isEmpty && text.unicodeScalars.allSatisfy { $0.value > 0x20 && $0 != "\"" && $0 != "=" && $0.value != 0x7F }
    return plain ? text : jsonText(text)
  }

  static func jsonText(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case "\r": quoted += "\\r"
      case let scalar where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
