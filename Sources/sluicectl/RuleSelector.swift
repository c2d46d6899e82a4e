// RuleSelector.swift: which rules a command means, from its match and its cookie.

import AgentAPI
import ArgumentParser

/// A cookie and the bits of it that count: `42`, `0x2a`, `0x20/0xf0`, `0x2a/-1`.
struct CookieSelector: ExpressibleByArgument, Equatable {
  var cookie: UInt64
  var mask: UInt64

  init?(argument: String) {
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let cookie = Self.number(parts[0]) else { return nil }
    guard let mask = parts.count == 1 || parts[1] == "-1" ? UInt64.max : Self.number(parts[1]), mask != 0 else { return nil }
    self.cookie = cookie & mask
    self.mask = mask
  }

  private static func number(_ text: Substring) -> UInt64? {
    text.lowercased().hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }
}

extension Sluice_V1_RuleSelector {
  /// - Parameters:
  ///   - match: may hold `cookie=N/MASK`, as ovs-ofctl takes it; it counts like the option.
  /// - Throws: a usage error when the match's cookie cannot be read, or the option gives another.
  init(match: String, strict: Bool, cookie option: CookieSelector?) throws {
    var cookie = option
    var fields: [Substring] = []
    for field in match.split(separator: ",") {
      let trimmed = field.drop { $0 == " " }
      guard trimmed.hasPrefix("cookie=") else {
        fields.append(field)
        continue
      }
      let value = String(trimmed.dropFirst("cookie=".count))
      guard let selector = CookieSelector(argument: value) else {
        throw ValidationError("cookie=\(value) is not a cookie; expected a number with or without a mask, such as 0x2a/-1")
      }
      if let cookie, cookie != selector { throw ValidationError("two cookies are given; leave one of them out") }
      cookie = selector
    }
    self.init()
    self.match = fields.joined(separator: ",")
    self.strict = strict
    self.cookie = cookie?.cookie ?? 0
    self.cookieMask = cookie?.mask ?? 0
  }
}
