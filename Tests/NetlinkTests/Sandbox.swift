// Sandbox.swift
//
// What: a network namespace of a test's own, without a name, so that nothing is left behind whatever happens: it ends with the
//       test. And the question whether such a namespace can be had here.

import Testing

@testable import Netlink

enum Sandbox {
  /// Why tests that need a namespace cannot run; nil when they can. Found out by trying.
  static let obstacle: String? = {
    do {
      _ = try NetworkNamespace.unnamed()
      return nil
    } catch {
      return "\(error)"
    }
  }()

  static let isAvailable = obstacle == nil
}

extension Trait where Self == ConditionTrait {
  /// Skips a test, with the kernel's reason, where network namespaces cannot be made.
  static var needsNamespace: ConditionTrait {
    .enabled(if: Sandbox.isAvailable, "no network namespace: \(Sandbox.obstacle ?? "")")
  }
}

extension NetlinkError {
  /// What a failing call threw; records an issue when it did not fail.
  static func from(
    _ body: () throws(NetlinkError) -> Void, sourceLocation: SourceLocation = #_sourceLocation
  ) -> NetlinkError? {
    do {
      try body()
      Issue.record("expected an error", sourceLocation: sourceLocation)
      return nil
    } catch {
      return error
    }
  }
}
