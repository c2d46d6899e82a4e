// RuleLoading.swift
//
// Rules, groups and meters at the start and at a reload: from the store, or else from the configuration.
// Invariant: what the store holds and the switch does not take stays in the store and is reported: a version that understands it
//            may come back.
// Threads: the control thread (see Control.swift).
// Cost: a million rules take some seconds.

import Dataplane
import Logging
import Pipeline
import Store

extension Control {
  /// Rules that are given to the switch at a time: a whole million would need twice its memory at once.
  private static let loadedAtOnce = 16384

  /// Gives the switch the rules of the store, or else those of the configuration.
  func loadRules() throws {
    rulesAreOperators = try store.rulesAreOperators()
    guard rulesAreOperators else {
      // The keys of the rules that will come are this build's: without the note the next start would make them all anew.
      if try store.ruleKeyScheme() != RuleKey.scheme { try store.setRuleKeys([], scheme: RuleKey.scheme) }
      load(configuredRules().map { .add($0) }, what: "a rule of the configuration")
      return
    }
    if configuration.rules != nil {
      logger.notice("the rules in the configuration are not used: rules were changed through the API and are in the store")
    }
    try loadMeters()
    try loadGroups()
    try loadStoredRules()
  }

  /// Puts the configuration's rules in force after a reload, if rules are still the configuration's.
  func reloadRules() throws {
    guard !rulesAreOperators else {
      logger.notice(
        "the configuration's rules changed, but rules were changed through the API: those in the store stay in force")
      return
    }
    let wanted = RuleBundle(configuredRules().map { .add($0) })
    _ = try onPlane { core in try core.apply(RuleReplacement(wanted: wanted, core: core).bundle.requests) }
  }

  private func loadStoredRules() throws {
    let scheme = RuleKey.scheme
    let keysAreOurs = try store.ruleKeyScheme() == scheme
    let now = Int64(WallClock.nanoseconds() / 1_000_000_000)
    var keys: [RuleKey?] = []
    var ended: [RuleKey] = []
    var batch: [RuleChangeRequest] = []
    try store.forEachRule { stored in
      if let end = stored.endUnixSeconds, end <= now {
        ended.append(stored.key)
        if !keysAreOurs { keys.append(nil) }
        return
      }
      do throws(SyntaxError) {
        var rule = try Rule(text: String(stored.text), names: .none)
        // What was asked of the addition was answered then.
        rule.flags.formIntersection(.kept)
        if !keysAreOurs { keys.append(RuleKey(rule)) }
        batch.append(.add(rule))
      } catch {
        if !keysAreOurs { keys.append(nil) }
        report("a rule in the store", text: String(stored.text), error)
      }
      if batch.count == Self.loadedAtOnce {
        load(batch, what: "a rule in the store")
        batch.removeAll(keepingCapacity: true)
      }
    }
    load(batch, what: "a rule in the store")
    noteCall(rules: try onPlane { core in core.rules.count })
    if !ended.isEmpty { try store.apply(StoredChange(deletedRules: ended)) }
    if !keysAreOurs { try store.setRuleKeys(keys, scheme: scheme) }
  }

  private func loadMeters() throws {
    for item in try store.meters() {
      do {
        try addAtStart(.addMeter(try MeterSpec(text: item.text)))
      } catch {
        report("a meter in the store", text: item.text, error)
      }
    }
  }

  private func loadGroups() throws {
    var waiting: [(text: String, group: Group)] = []
    for item in try store.groups() {
      do throws(SyntaxError) {
        waiting.append((item.text, try Group(text: item.text, names: .none)))
      } catch {
        report("a group in the store", text: item.text, error)
      }
    }
    // A group can only be added after those that it refers to, whose numbers may be larger.
    var wasAdded = true
    while wasAdded, !waiting.isEmpty {
      wasAdded = false
      waiting.removeAll { item in
        guard (try? addAtStart(.addGroup(item.group))) != nil else { return false }
        wasAdded = true
        return true
      }
    }
    for item in waiting {
      do { try addAtStart(.addGroup(item.group)) } catch { report("a group in the store", text: item.text, error) }
    }
  }

  /// Adds rules; those that the switch refuses are reported.
  private func load(_ requests: [RuleChangeRequest], what: String) {
    guard !requests.isEmpty else { return }
    // All at once is quick; one by one finds out which it is that is refused.
    guard (try? onPlane { core in try core.apply(requests) }) == nil else { return }
    for request in requests {
      guard case .add(let rule) = request else { continue }
      do { try addAtStart(request) } catch { report(what, text: rule.text(names: .none), error) }
    }
  }

  private func addAtStart(_ request: RuleChangeRequest) throws {
    _ = try onPlane { core in try core.apply([request]) }
  }

  private func configuredRules() -> [Rule] {
    (configuration.rules ?? AgentConfiguration.defaultRules).compactMap { text in
      do {
        return try Rule(text: text, names: portNames())
      } catch {
        // The configuration was checked when it was read, so this is the name of a port that was left out.
        report("a rule of the configuration", text: text, error)
        return nil
      }
    }
  }

  private func report(_ what: String, text: String, _ error: any Error) {
    logger.error("\(what) is not in force", metadata: ["text": "\(text)", "reason": "\(error)"])
    troubles["rules"] = "\(what) is not in force: \(text): \(error)"
  }
}
