// ControlPolicy.swift
//
// The early drop policy: what the XDP programs of all ports drop or slow down first.
// Invariants: the kernel's policy is the store's. It is made when the first program or entry needs it, because it takes 21 MB whatever is in
//             it, which are resident here, too; while there is none, there is no entry.
// Threads: the control thread (see Control.swift).

import AgentAPI
import KernelTier
import Logging
import Store

/// Why entries of the policy were not deleted.
struct PolicyFailure: Error, CustomStringConvertible {
  var description: String
}

extension Control {
  /// Adds entries, all or none. A limit that is there takes the new rate.
  /// - Returns: how many were not there, and how many were.
  func addPolicy(_ rules: [PolicyRule]) throws -> (added: Int, present: Int) {
    try checkDraining()
    let policy = try openPolicy()
    // What was there before is what a failure goes back to: nothing, or a limit with its rate.
    let before = Set(rules.map(\.key)).filter { policy.contains($0) }
    let rates = before.contains { $0.isLimit } ? policy.entries().filter { before.contains($0.rule.key) }.map(\.rule) : []
    let new = rules.filter { $0.rate != nil || !before.contains($0.key) }
    try store.changePolicy(add: StoredPolicy(new))
    do {
      let added = try policy.add(new)
      return (added, rules.count - added)
    } catch {
      try store.changePolicy(
        delete: StoredPolicy(keys: new.map(\.key).filter { !before.contains($0) }), add: StoredPolicy(rates.filter { $0.rate != nil }))
      throw error
    }
  }

  /// Deletes entries, all or none.
  /// - Parameter list: what the entries are on, for people.
  func deletePolicy(_ keys: [PolicyKey], ifExists: Bool, list: String) throws -> Int {
    try checkDraining()
    let distinct = Set(keys)
    if !ifExists, let absent = distinct.filter({ policy?.contains($0) != true }).min() {
      throw PolicyFailure(description: "\(absent) is not on the \(list) list; nothing was deleted")
    }
    try store.changePolicy(delete: StoredPolicy(keys: Array(distinct)))
    return policy?.remove(Array(distinct)) ?? 0
  }

  func listPolicy() -> [PolicyEntry] { policy?.entries() ?? [] }

  var policyCounts: Policy.Counts { policy?.counts ?? Policy.Counts() }

  /// The policy, made if there is none yet.
  func openPolicy() throws -> Policy {
    if let policy { return policy }
    let made = try Policy()
    // Somebody may watch for drops already.
    if !sampling.wishes.isEmpty { sampling.reader = try made.dropEvents() }
    policy = made
    applySampling()
    return made
  }

  /// Gives the kernel the store's policy, before any port gets a program that asks for it.
  func loadPolicy() throws {
    let stored = try store.policy()
    var rules: [PolicyRule] = []
    func read(_ text: String, _ rule: () throws -> PolicyRule) {
      do {
        rules.append(try rule())
      } catch {
        logger.error("an entry of the policy in the store is not understood", metadata: ["entry": "\(text)", "reason": "\(error)"])
        troubles["policy"] = "an entry in the store is not understood: \(error)"
      }
    }
    for prefix in stored.prefixes { read(prefix) { .deny(try IPPrefix(prefix)) } }
    for tuple in stored.tuples { read(tuple) { .deny(try FiveTuple(tuple)) } }
    for limit in stored.limits {
      read(limit.prefix) {
        .limit(try IPPrefix(limit.prefix), to: try PacketRate(packetsPerSecond: limit.packetsPerSecond, burst: limit.burst))
      }
    }
    if !rules.isEmpty { try openPolicy().replace(with: rules) }
  }
}

extension PolicyKey {
  fileprivate var isLimit: Bool {
    if case .limit = self { true } else { false }
  }
}

extension StoredPolicy {
  init(_ rules: [PolicyRule]) {
    self.init(keys: rules.filter { $0.rate == nil }.map(\.key))
    limits = rules.compactMap { rule in
      rule.rate.map { StoredLimit(prefix: rule.key.description, packetsPerSecond: $0.packetsPerSecond, burst: $0.burst) }
    }
  }

  /// For deletion: rates mean nothing.
  init(keys: [PolicyKey]) {
    self.init()
    for key in keys {
      switch key {
      case .prefix(let prefix): prefixes.append(prefix.description)
      case .tuple(let tuple): tuples.append(tuple.description)
      case .limit(let prefix): limits.append(StoredLimit(prefix: prefix.description, packetsPerSecond: 0, burst: 0))
      }
    }
  }
}
