// RulesService.swift
//
// gRPC service sluice.v1.Rules: rule text in, rule text out.
// Invariant: rules are parsed here, off the control thread, with the ports' names as they are when the call begins; a
//            call with one bad line changes nothing.
// Threads: gRPC's tasks.
// Cost: a few microseconds per line to parse.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

struct RulesService: Sluice_V1_Rules.SimpleServiceProtocol {
  let context: AgentServiceContext

  func add(
    request: RPCAsyncSequence<Sluice_V1_AddRulesRequest, any Error>, context call: ServerContext
  ) async throws -> Sluice_V1_AddRulesReply {
    try await context.answer {
      let names = await context.control.portNames()
      var rules: [Rule] = []
      var errors: [Sluice_V1_RuleError] = []
      var bad = 0
      var number: UInt64 = 0
      for try await batch in request {
        for line in batch.lines {
          number += 1
          guard !Self.isBlank(line) else { continue }
          do throws(SyntaxError) {
            rules.append(try Rule(text: line, names: names))
          } catch {
            bad += 1
            if errors.count < Sluice_V1_RuleErrors.maxListed {
              errors.append(Self.describe(error, line: line, number: number))
            }
          }
        }
        guard rules.count <= Control.ruleLimit else {
          throw RuleFailure.tooMany(limit: Control.ruleLimit, wanted: rules.count)
        }
      }
      guard bad == 0 else { throw RPCError.refusedRules(errors, total: bad) }
      guard !rules.isEmpty else { return Sluice_V1_AddRulesReply() }
      let change = try await context.control.addRules(rules)
      var reply = Sluice_V1_AddRulesReply()
      reply.added = UInt64(change.added)
      reply.modified = UInt64(change.replaced)
      return reply
    }
  }

  func delete(request: Sluice_V1_DeleteRulesRequest, context call: ServerContext) async throws -> Sluice_V1_DeleteRulesReply
  {
    try await context.answer {
      let filter = try await filter(request.selector)
      var reply = Sluice_V1_DeleteRulesReply()
      reply.deleted = UInt64(try await context.control.deleteRules(filter))
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
    }
  }

  private func filter(_ selector: Sluice_V1_RuleSelector) async throws -> RuleFilter {
    var filter = try RuleFilter(text: selector.match, isStrict: selector.strict, names: await context.control.portNames())
    if selector.cookieMask != 0 {
      filter.cookie = selector.cookie
      filter.cookieMask = selector.cookieMask
    }
    return filter
  }

  /// True for an empty line and for a remark.
  private static func isBlank(_ line: String) -> Bool {
    guard let first = line.utf8.first(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D }) else { return true }
    return first == UInt8(ascii: "#")
  }

  private static func describe(_ error: SyntaxError, line: String, number: UInt64) -> Sluice_V1_RuleError {
    var described = Sluice_V1_RuleError()
    described.line = number
    described.text = line
    described.message =
      error.text.isEmpty ? error.message : "'\(error.text)' (column \(error.offset + 1)): \(error.message)"
    described.expected = error.expected
    return described
  }
}
