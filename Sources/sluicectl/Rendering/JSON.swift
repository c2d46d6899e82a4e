// JSON.swift
//
// A JSON document under construction. Keys stay in the order they were written, so that output is stable from run to run and
// from version to version; proto3's own JSON would quote 64-bit counters and leave out zeros.
// Threads: values only.

/// A JSON value.
///
///     let port: JSON = ["name": "eth1", "number": 1]
///     port.text(pretty: false)   // {"name":"eth1","number":1}
enum JSON: Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  struct Member: Equatable {
    var key: String
    var value: JSON
  }

  /// - Parameter pretty: one member a line, indented by two spaces; otherwise the whole value on one line.
  func text(pretty: Bool) -> String {
    var out = ""
    write(to: &out, indent: pretty ? 0 : nil)
    return out
  }

  /// This object with more members at its end; other values are returned as they are.
  func adding(_ members: JSON) -> JSON {
    guard case .object(let mine) = self, case .object(let more) = members else { return self }
    return .object(mine + more)
  }

  private func write(to out: inout String, indent: Int?) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .integer(let value): out += String(value)
    case .unsigned(let value): out += String(value)
    case .number(let value): out += value.isFinite ? String(value) : "null"
    case .string(let value): Self.write(value, to: &out)
    case .array(let values):
      Self.writeList("[", "]", values, to: &out, indent: indent) { value, out, indent in
        value.write(to: &out, indent: indent)
      }
    case .object(let members):
      Self.writeList("{", "}", members, to: &out, indent: indent) { member, out, indent in
        Self.write(member.key, to: &out)
        out += indent == nil ? ":" : ": "
        member.value.write(to: &out, indent: indent)
      }
    }
  }

  private static func writeList<Element>(
    _ open: String, _ close: String, _ elements: [Element], to out: inout String, indent: Int?,
    _ writeElement: (Element, inout String, Int?) -> Void
  ) {
    out += open
    let inner = indent.map { $0 + 2 }
    for (index, element) in elements.enumerated() {
      if index > 0 { out += "," }
      if let inner { out += "\n" + String(repeating: " ", count: inner) }
      writeElement(element, &out, inner)
    }
    if let indent, !elements.isEmpty { out += "\n" + String(repeating: " ", count: indent) }
    out += close
  }

  private static func write(_ string: String, to out: inout String) {
    out += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        out += "\\u" + Hex.text(UInt64(scalar.value), digits: 4)
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByIntegerLiteral
{
  init(stringLiteral value: String) { self = .string(value) }
  init(booleanLiteral value: Bool) { self = .bool(value) }
  init(nilLiteral: ()) { self = .null }
  init(integerLiteral value: Int64) { self = .integer(value) }
  init(arrayLiteral elements: JSON...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(elements.map { Member(key: $0.0, value: $0.1) })
  }

  static func of(_ value: UInt32) -> JSON { .unsigned(UInt64(value)) }
}
