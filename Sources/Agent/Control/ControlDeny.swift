// ControlDeny.swift
//
// The deny list: prefixes whose packets the XDP programs of all ports drop first.
// Invariant: the kernel's list is the store's.
// Threads: the control thread (see Control.swift).

import AgentAPI
import KernelTier
import Logging
import Store

/// Why the deny list was not changed.
struct DenyFailure: Error, CustomStringConvertible {
  var description: String
}

extension Control {
  /// Adds prefixes, all or none.
  func addDeny(_ prefixes: [IPPrefix]) throws -> (added: Int, present: Int) {
    try checkDraining()
    let distinct = Set(prefixes)
    let absent = try distinct.filter { prefix in try !denyList.contains(prefix) }.sorted()
    try store.addDenyPrefixes(absent.map(\.description))
    do {
      try denyList.add(contentsOf: absent)
    } catch {
      try store.deleteDenyPrefixes(absent.map(\.description))
      throw error
    }
    return (absent.count, prefixes.count - absent.count)
  }

  /// Deletes prefixes, all or none.
  func deleteDeny(_ prefixes: [IPPrefix], ifExists: Bool) throws -> Int {
    try checkDraining()
    let distinct = Set(prefixes).sorted()
    let present = try distinct.filter { prefix in try denyList.contains(prefix) }
    if !ifExists, let absent = distinct.first(where: { !present.contains($0) }) {
      throw DenyFailure(description: "\(absent) is not on the deny list; nothing was deleted")
    }
    try store.deleteDenyPrefixes(present.map(\.description))
    do {
      return try denyList.remove(contentsOf: present)
    } catch {
      try store.addDenyPrefixes(present.map(\.description))
      throw error
    }
  }

  func listDeny() throws -> [DenyEntry] { try denyList.entries() }

  /// Gives the kernel the store's list.
  func loadDenyList() throws {
    let prefixes = try store.denyPrefixes().compactMap { text -> IPPrefix? in
      do {
        return try IPPrefix(text)
      } catch {
        logger.error("a deny prefix in the store is not understood", metadata: ["prefix": "\(text)", "reason": "\(error)"])
        troubles["deny list"] = "a prefix in the store is not understood: \(error)"
        return nil
      }
    }
    try denyList.add(contentsOf: prefixes)
  }
}
