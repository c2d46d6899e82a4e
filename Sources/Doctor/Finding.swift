// Finding.swift
//
// One thing that the doctor looked at: how it is, in a sentence, and what to do about it.
// Threads: a value; any.

/// The result of one check.
public struct Finding: Sendable, Equatable {
  public enum Verdict: String, Sendable, Comparable, CaseIterable {
    case ok, warn, fail

    private var rank: Int { self == .ok ? 0 : self == .warn ? 1 : 2 }

    public static func < (first: Verdict, second: Verdict) -> Bool { first.rank < second.rank }
  }

  /// What was looked at: "kernel", "port eth1". Findings of one subject stand together.
  public var subject: String
  /// What about it, in a word or two that stays the same: "jit", "mtu".
  public var check: String
  public var verdict: Verdict
  /// A sentence.
  public var message: String
  /// A command, or what else to do; nil when nothing is to be done.
  public var mend: String?

  public init(_ verdict: Verdict, _ subject: String, _ check: String, _ message: String, mend: String? = nil) {
    self.subject = subject
    self.check = check
    self.verdict = verdict
    self.message = message
    self.mend = mend
  }
}
