// RulesService.swift
//
// gRPC service sluice.v1.Rules: rule text in, rule text out.
// Invariant: rules are parsed here, off the control thread, with the ports' names as they are when the call begins; a
//            call with one bad line changes nothing.
// Threads: gRPC's tasks.
// Cost: a microsecond or two per line to parse, while the client still sends.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

struct RulesService: Sluice_V1_Rules.SimpleServiceProtocol {
  let context: AgentServiceContext

  /// Text that one call may add: some 500 bytes for each rule that the agent holds.
  private static let byteLimit = 1 << 30

  typealias Lines = RPCAsyncSequence<Sluice_V1_RuleText, any Error>

  func add(request: Lines, context call: ServerContext) async throws -> Sluice_V1_AddRulesReply {
    try await context.answer {
      let change = try await add(try await collect(request))
      var reply = Sluice_V1_AddRulesReply()
      reply.added = UInt64(change.added)
      reply.modified = UInt64(change.replaced)
      return reply
    }
  }

  func apply(request: Lines, context call: ServerContext) async throws -> Sluice_V1_ApplyReply {
    try await context.answer {
      let reader = try await read(request, as: .changes)
      let change = try await context.apply(reader)
      return Sluice_V1_ApplyReply(change, reader.bundle)
    }
  }

  func replace(request: Lines, context call: ServerContext) async throws -> Sluice_V1_ReplaceRulesReply {
    try await context.answer {
      let reader = try await read(request, as: .rules)
      do {
        let replacement = try await context.control.replaceRules(reader.bundle)
        var reply = Sluice_V1_ReplaceRulesReply()
        reply.added = UInt64(replacement.added)
        reply.modified = UInt64(replacement.modified)
        reply.deleted = UInt64(replacement.deleted)
        reply.unchanged = UInt64(replacement.unchanged)
        return reply
      } catch let refused as RefusedChange {
        throw reader.refusal(refused)
      }
    }
  }

  func diff(
    request: Lines, response: RPCWriter<Sluice_V1_DiffRulesReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let bundle = try await read(request, as: .rules).bundle
      let differences = try await context.plane.perform { core in
        RuleReplacement(wanted: bundle, core: core, listsDifferences: true).differences
      }
      for batch in differences.inBatches() {
        var reply = Sluice_V1_DiffRulesReply()
        reply.differences = batch.map { difference in
          var message = Sluice_V1_RuleDifference()
          message.present = difference.present?.text(names: .none) ?? ""
          message.wanted = difference.wanted?.text(names: .none) ?? ""
          return message
        }
        try await response.write(reply)
      }
    }
  }

  func delete(request: Sluice_V1_DeleteRulesRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteRulesReply
  {
    try await context.answer {
      let filter = try await filter(request.selector)
      var reply = Sluice_V1_DeleteRulesReply()
      reply.deleted = UInt64(try await context.control.apply(RuleBundle([.delete(filter)])).removed)
      return reply
    }
  }

  func list(
    request: Sluice_V1_ListRulesRequest, response: RPCWriter<Sluice_V1_ListRulesReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let rules = try await context.control.listRules(try await filter(request.selector))
      for batch in rules.inBatches() {
        var reply = Sluice_V1_ListRulesReply()
        reply.rules = batch.map { Sluice_V1_Rule($0) }
        try await response.write(reply)
      }
      await context.control.noteCall(rules: rules.count)
    }
  }

  /// Waits for all that a client sends: while it sends it must not keep others waiting.
  private func collect(_ request: Lines) async throws -> [Sluice_V1_RuleText] {
    var messages: [Sluice_V1_RuleText] = []
    var bytes = 0
    for try await message in request {
      bytes += message.text.count + message.lines.reduce(0) { $0 + $1.utf8.count }
      guard bytes <= Self.byteLimit else {
        throw RPCError(
          code: .resourceExhausted,
          message: "the rules are more than \(Self.byteLimit >> 20) MiB of text; add them in several calls; nothing was changed")
      }
      messages.append(message)
    }
    return messages
  }

  /// Reads rules while the control thread stores those before them.
  private func add(_ messages: [Sluice_V1_RuleText]) async throws -> RuleChange {
    var reader = RuleReader(.rules, ports: await context.control.portNumbers())
    let batches = RuleBatches()
    async let change = context.control.add(batches)
    let result = Result {
      for message in messages {
        try reader.read(message)
        let batch = reader.takeBundle()
        // After a bad line all that counts is how many there are.
        if !batch.isEmpty, !reader.hasErrors { batches.put(batch) }
      }
      try reader.check()
    }
    batches.end(result)
    await context.control.noteCall(rules: reader.requestCount)
    do {
      return try await change
    } catch let refused as RefusedChange {
      throw reader.refusal(refused)
    }
  }

  private func read(_ request: Lines, as syntax: RuleReader.Syntax) async throws -> RuleReader {
    var reader = RuleReader(syntax, ports: await context.control.portNumbers())
    for try await message in request { try reader.read(message) }
    await context.control.noteCall(rules: reader.requestCount)
    try reader.check()
    return reader
  }

  private func filter(_ selector: Sluice_V1_RuleSelector) async throws -> RuleFilter {
    var filter = try RuleFilter(text: selector.match, isStrict: selector.strict, names: await context.control.portNames())
    if selector.cookieMask != 0 {
      filter.cookie = selector.cookie
      filter.cookieMask = selector.cookieMask
    }
    return filter
  }
}

extension AgentServiceContext {
  /// Carries out what a call has read.
  func apply(_ reader: RuleReader) async throws -> RuleChange {
    guard !reader.bundle.isEmpty else { return RuleChange() }
    do {
      return try await control.apply(reader.bundle)
    } catch let refused as RefusedChange {
      throw reader.refusal(refused)
    }
  }

  /// Carries out what a call has read, but for what is there exactly so: a client may ask twice.
  func applyDifferences(
    _ reader: RuleReader, isThere: @escaping @Sendable (RuleChangeRequest, SwitchCore) -> Bool
  ) async throws -> (changed: UInt64, unchanged: UInt64) {
    let requests = reader.bundle.requests
    let isSame = try await plane.perform { core in requests.map { isThere($0, core) } }
    var reader = reader
    reader.keepRequests { !isSame[$0] }
    _ = try await apply(reader)
    let changed = reader.bundle.requests.count
    return (UInt64(changed), UInt64(requests.count - changed))
  }

  /// Refuses a deletion of groups or meters that names none, or one that is not there.
  func checkDeletion(of ids: [UInt32], all: Bool, known: Set<UInt32>, what: String) throws(RPCError) {
    if let unknown = ids.first(where: { !known.contains($0) }) {
      throw RPCError(code: .notFound, message: "there is no \(what) \(unknown); nothing was deleted")
    }
    guard all || !ids.isEmpty else {
      throw RPCError(code: .invalidArgument, message: "no \(what) is named; expected ids, or all")
    }
  }
}

extension Sluice_V1_ApplyReply {
  fileprivate init(_ change: RuleChange, _ bundle: RuleBundle) {
    self.init()
    rules.added = UInt64(change.added)
    rules.modified = UInt64(change.replaced + change.modified)
    rules.deleted = UInt64(change.removed)
    for request in bundle.requests {
      switch request {
      case .addGroup: groups.added += 1
      case .modifyGroup: groups.modified += 1
      case .addMeter: meters.added += 1
      case .modifyMeter: meters.modified += 1
      default: break
      }
    }
    groups.deleted = UInt64(change.removedGroups)
    meters.deleted = UInt64(change.removedMeters)
  }
}

extension Sluice_V1_Rule {
  init(_ rule: Rule) {
    self.init()
    table = UInt32(rule.table)
    priority = UInt32(rule.priority)
    cookie = rule.cookie
    match = rule.match.text(names: .none)
    actions = rule.instructions.text(names: .none)
    idleTimeoutSeconds = UInt32(rule.idleTimeout)
    hardTimeoutSeconds = UInt32(rule.hardTimeout)
    flags = Self.flagWords.filter { rule.flags.contains($0.flag) }.map(\.word)
    text = rule.text(names: .none)
  }

  init(_ snapshot: RuleSnapshot) {
    self.init(snapshot.rule)
    matched = Sluice_V1_Traffic(packets: snapshot.packets, bytes: snapshot.bytes)
    durationSeconds = UInt64(max(0, snapshot.ageSeconds))
    if let idle = snapshot.idleSeconds { idleSeconds = UInt64(max(0, idle)) }
  }

  private static let flagWords: [(word: String, flag: RuleFlags)] = [
    ("send_flow_rem", .sendFlowRemoved), ("check_overlap", .checkOverlap), ("reset_counts", .resetCounts),
    ("no_packet_counts", .noPacketCounts), ("no_byte_counts", .noByteCounts),
  ]
}
