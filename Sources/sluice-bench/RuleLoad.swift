// RuleLoad.swift
//
// What: `sluice-bench rules`: how fast rules are read, loaded, changed and removed, and what a rule costs in memory, without the API.
// Method: the lines of a file, or of a synthetic access list, are parsed (timed by itself), added in one change (timed by itself), and
//         then single rules are added and removed while a worker forwards 1,000 flows; each change is waited for until no worker can
//         execute a flow that it made stale. Memory is the growth of the process's resident bytes over the load, with lines
//         and parsed rules let go of, over the rules.

import ArgumentParser
import Dataplane
import Foundation
import Pipeline

struct RuleLoad: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rules",
    abstract: "Measures loading, changing and removing rules, and bytes per rule.",
    discussion: """
      EXAMPLES
        sluice-bench rules
        sluice-bench rules --count 1000000 --json
        sluice-bench rules --rules acl.rules
      """)

  @Option(help: "Rules of the synthetic access list.")
  var count: Int = 100_000
  @Option(help: "Rules in ovs-ofctl's syntax, one a line, instead of the synthetic list.")
  var rules: String?
  @Option(help: "Changes of one rule each.")
  var changes: Int = 2000
  @Option(help: "The CPU of the worker. Default: the last.")
  var cpu: Int?
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard (1...4_000_000).contains(count) else { throw ValidationError("--count \(count): expected 1 to 4000000") }
    guard (1...1_000_000).contains(changes) else { throw ValidationError("--changes \(changes): expected 1 to 1000000") }
  }

  func run() throws {
    let bench = try BenchSwitch(.init(firstCPU: cpu))
    defer { bench.stop() }
    let before = ProcessMemory.heldBytes
    var result = try load(bench)
    // The pipeline thread lets go of the change that it has carried out before it answers the next question.
    _ = try bench.flows()
    result.bytesPerRule = Double(ProcessMemory.heldBytes - before) / Double(result.rules)
    result.rssBytes = ProcessMemory.residentBytes
    let frames = SyntheticFlows.udp(1000)
    try bench.addInput(1, [ReplayQueue(trace: frames)])
    bench.warmUp(limitSeconds: 5)
    try change(bench, &result)
    result.removesPerSecond = Double(result.rules) / (try timed { try bench.apply([.delete(.all)]) }).seconds
    print(json ? try jsonLine(result) : result.text)
  }

  /// Parses and loads; lines and parsed rules are gone when it returns.
  private func load(_ bench: BenchSwitch) throws -> RuleLoadResult {
    let lines = try rules.map { try RuleFile.lines(path: $0) } ?? SyntheticRules.lines(count)
    let parsed = try timed { try RuleFile.parse(lines, path: rules ?? "the synthetic list") }
    guard !parsed.value.isEmpty else { throw ValidationError("\(rules ?? "the list"): no rules") }
    let loaded = try timed { try bench.apply(parsed.value) }
    let count = Double(parsed.value.count)
    return RuleLoadResult(
      rules: parsed.value.count, parsesPerSecond: count / parsed.seconds, loadsPerSecond: count / loaded.seconds,
      parsesAndLoadsPerSecond: count / (parsed.seconds + loaded.seconds))
  }

  /// Adds and removes single rules for some of the flows.
  private func change(_ bench: BenchSwitch, _ result: inout RuleLoadResult) throws {
    var microseconds: [Double] = []
    microseconds.reserveCapacity(changes)
    var total = 0.0
    for number in 0..<changes {
      // Every rule is added by one change and removed by the next.
      let line = "priority=65535,ip,nw_dst=10.128.\(number / 2 % 256).0/24,actions=output:3"
      let rule = try Rule(text: line)
      let took = try timed {
        try bench.apply([number % 2 == 0 ? .add(rule) : .delete(RuleFilter(exactly: rule))])
      }.seconds
      microseconds.append(took * 1e6)
      total += took
    }
    microseconds.sort()
    result.changesPerSecond = Double(changes) / total
    result.changeMicrosecondsMedian = microseconds[changes / 2]
    result.changeMicrosecondsP99 = microseconds[changes * 99 / 100]
  }
}

/// What a run of `rules` prints.
struct RuleLoadResult: Encodable {
  var rules: Int
  var parsesPerSecond: Double
  var loadsPerSecond: Double
  var parsesAndLoadsPerSecond: Double
  var bytesPerRule = 0.0
  var rssBytes = 0
  var changesPerSecond = 0.0
  var changeMicrosecondsMedian = 0.0
  var changeMicrosecondsP99 = 0.0
  var removesPerSecond = 0.0

  var text: String {
    """
    \(rules) rules: \(Int(parsesPerSecond)) parsed/s, \(Int(loadsPerSecond)) loaded/s, \(Int(parsesAndLoadsPerSecond))/s in all, \
    \(Int(removesPerSecond)) removed/s
    \(Int(bytesPerRule)) bytes a rule, resident \(rssBytes / 1_048_576) MiB
    \(Int(changesPerSecond)) changes/s of one rule, each waited for: median \(Int(changeMicrosecondsMedian)) us, \
    99 % within \(Int(changeMicrosecondsP99)) us
    """
  }
}

/// A seeded access list: host and subnet pairs with ports, as in gen_rules.py, each rule with a match of its own.
enum SyntheticRules {
  static func lines(_ count: Int) -> [String] {
    var numbers = SeededNumbers(seed: 1)
    func dotted(_ address: UInt32) -> String { "10.\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)" }
    return (0..<count).map { number in
      let a = numbers.next()
      let b = numbers.next()
      // The low bits of the number make the source, and so the match, one of a kind.
      let source = UInt32(truncatingIfNeeded: number)
      let destination = UInt32(truncatingIfNeeded: a)
      let output = 2 + b % 3
      let port = 1024 + (b >> 8) % 8192
      switch a >> 60 {
      case 0..<9: return "priority=400,tcp,nw_src=\(dotted(source)),nw_dst=\(dotted(destination)),tp_dst=\(port),actions=output:\(output)"
      case 9..<12: return "priority=300,udp,nw_src=\(dotted(source)),nw_dst=\(dotted(destination)),tp_dst=\(port),actions=output:\(output)"
      case 12..<15:
        return "priority=200,tcp,nw_src=\(dotted(source)),nw_dst=\(dotted(destination & ~255))/24,tp_dst=\(port),actions=output:\(output)"
      default: return "priority=100,ip,nw_src=\(dotted(source)),nw_dst=\(dotted(destination & ~255))/24,actions=drop"
      }
    }
  }
}
