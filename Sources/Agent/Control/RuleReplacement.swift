// RuleReplacement.swift
//
// How the rules in force differ from a set of rules that somebody wants: for `rule diff`, `rule replace` and reloads.
// Invariant: carrying out `bundle` makes the wanted rules the only ones; rules that are the same are not touched.
// Threads: made on the pipeline thread, because it looks at the rules in force; a value then.
// Cost: a hash of every rule wanted and in force.

import AgentAPI
import Dataplane
import Pipeline
import Store

/// What makes some rules the only ones.
struct RuleReplacement: Sendable {
  var bundle = RuleBundle()
  var added = 0
  var modified = 0
  var deleted = 0
  var unchanged = 0
  /// By table, then falling priority; empty unless asked for.
  var differences: [(present: Rule?, wanted: Rule?)] = []

  /// - Parameters:
  ///   - wanted: additions; of two with one table, priority and match the later one counts.
  ///   - listsDifferences: fill `differences`, too.
  init(wanted additions: RuleBundle, core: SwitchCore, listsDifferences: Bool = false) {
    let wanted = additions.requests.compactMap { request in
      if case .add(let rule) = request { rule } else { nil }
    }
    var placeOfKey: [RuleKey: Int] = [:]
    placeOfKey.reserveCapacity(wanted.count)
    for (place, rule) in wanted.enumerated() { placeOfKey[RuleKey(rule)] = place }
    // The wanted rules that are in force already, changed or not.
    var isPresent = [Bool](repeating: false, count: wanted.count)
    var changed: [(present: Rule?, wanted: Rule?)] = []
    for entry in core.rules.entries(.all) {
      guard let place = placeOfKey[RuleKey(entry)] else {
        deleted += 1
        bundle.add(.delete(RuleFilter(exactly: entry.rule)))
        if listsDifferences { changed.append((entry.rule, nil)) }
        continue
      }
      isPresent[place] = true
      if Self.isSame(entry, wanted[place]) {
        unchanged += 1
        continue
      }
      modified += 1
      bundle.add(.add(wanted[place]), text: additions.texts[place], line: Int(additions.lines[place]))
      if listsDifferences { changed.append((entry.rule, wanted[place])) }
    }
    for (place, rule) in wanted.enumerated() where !isPresent[place] && placeOfKey[RuleKey(rule)] == place {
      added += 1
      bundle.add(.add(rule), text: additions.texts[place], line: Int(additions.lines[place]))
      if listsDifferences { changed.append((nil, rule)) }
    }
    differences = changed.sorted { Self.order($0) < Self.order($1) }
  }

  private static func isSame(_ entry: RuleEntry, _ rule: Rule) -> Bool {
    entry.cookie == rule.cookie && entry.idleTimeout == rule.idleTimeout && entry.hardTimeout == rule.hardTimeout
      && entry.flags == rule.flags.intersection(.kept) && entry.instructions == rule.instructions
  }

  private static func order(_ difference: (present: Rule?, wanted: Rule?)) -> (UInt8, Int) {
    let rule = difference.present ?? difference.wanted
    return (rule?.table ?? 0, -Int(rule?.priority ?? 0))
  }
}
