// RuleFuzz.swift
//
// What: libFuzzer target for rule text. Whatever the bytes are, a line is either refused with one printable sentence or becomes a rule
//       that is printed and read back as itself; the same for filters and matches.
// Threads: libFuzzer calls from one thread.

import Dataplane
import Pipeline

private let names = PortNames(
  number: { $0 == "eth1" ? 1 : $0 == "eth2" ? 2 : nil }, name: { $0 == 1 ? "eth1" : nil })

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRuleText(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
  let text = String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self)
  do {
    let rule = try Rule(text: text, names: names)
    let printed = rule.text(names: names)
    guard let back = try? Rule(text: printed, names: names), back == rule, back.text(names: names) == printed else {
      fatalError("a rule changed by being printed: \(printed)")
    }
    guard RuleFilter.all.selects(rule), RuleFilter(match: rule.match).selects(rule) else {
      fatalError("a rule is not selected by its own match: \(printed)")
    }
  } catch {
    checkPrintable(error)
  }
  for isStrict in [false, true] {
    do {
      let filter = try RuleFilter(text: text, isStrict: isStrict, names: names)
      guard try FlowMatch(text: filter.match.text()) == filter.match else {
        fatalError("a filter's match changed by being printed: \(filter.match.text())")
      }
    } catch {
      checkPrintable(error)
    }
  }
  return 0
}

/// An error goes to terminals and logs: it must stay on one line and hold no control characters.
private func checkPrintable(_ error: SyntaxError) {
  let text = error.description
  let isPrintable = text.unicodeScalars.allSatisfy { $0.value >= 32 && !(127..<160).contains($0.value) }
  guard isPrintable, text.utf8.count < 4_000 else { fatalError("an error that cannot be printed: \(text.debugDescription)") }
}
