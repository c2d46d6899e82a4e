// ClientCalls.swift
//
// Every call of sluice.v1, as a Swift function that returns plain messages. Streams of batches are collected into arrays,
// except the one that never ends.
// Threads: all may run side by side on one client.

import GRPCCore
import GRPCProtobuf

extension SluiceClient {
  // MARK: Agent

  public func status() async throws(ClientError) -> Sluice_V1_GetStatusReply {
    try await call("Agent.GetStatus", within: Self.readDeadline) { options in
      try await Sluice_V1_Agent.Client(wrapping: grpc).getStatus(.init(), options: options)
    }
  }

  public func version() async throws(ClientError) -> Sluice_V1_GetVersionReply {
    try await call("Agent.GetVersion", within: Self.readDeadline) { options in
      try await Sluice_V1_Agent.Client(wrapping: grpc).getVersion(.init(), options: options)
    }
  }

  /// Takes every flow out of the kernel and returns how many there were.
  public func drain() async throws(ClientError) -> UInt64 {
    try await call("Agent.Drain", within: Self.changeDeadline) { options in
      try await Sluice_V1_Agent.Client(wrapping: grpc).drain(.init(), options: options).withdrawn
    }
  }

  /// Lets flows be placed in the kernel again.
  public func resume() async throws(ClientError) {
    try await call("Agent.Resume", within: Self.changeDeadline) { options in
      _ = try await Sluice_V1_Agent.Client(wrapping: grpc).resume(.init(), options: options)
    }
  }

  /// Removes all that would outlive the agent, which ends then.
  ///
  /// - Returns: what was removed, one sentence each.
  public func uninstall() async throws(ClientError) -> [String] {
    try await call("Agent.Uninstall", within: Self.changeDeadline) { options in
      try await Sluice_V1_Agent.Client(wrapping: grpc).uninstall(.init(), options: options).removed
    }
  }

  /// Asks the standard health service.
  ///
  /// - Parameter service: a full name such as "sluice.v1.Ports"; empty asks for the agent as a whole.
  public func isServing(_ service: String = "") async throws(ClientError) -> Bool {
    try await call("Health.Check", within: Self.readDeadline) { options in
      let request = Grpc_Health_V1_HealthCheckRequest.with { $0.service = service }
      let reply = try await Grpc_Health_V1_Health.Client(wrapping: grpc).check(request, options: options)
      return reply.status == .serving
    }
  }

  // MARK: Ports

  public func addPort(_ request: Sluice_V1_AddPortRequest) async throws(ClientError) -> Sluice_V1_AddPortReply {
    try await call("Ports.Add", within: Self.changeDeadline) { options in
      try await Sluice_V1_Ports.Client(wrapping: grpc).add(request, options: options)
    }
  }

  /// - Parameters:
  ///   - port: a name or an OpenFlow port number.
  ///   - ifExists: a port that is not there is no error.
  /// - Returns: whether there was one.
  public func deletePort(_ port: String, ifExists: Bool = false) async throws(ClientError) -> Bool {
    try await call("Ports.Delete", within: Self.changeDeadline) { options in
      let request = Sluice_V1_DeletePortRequest.with {
        $0.port = port
        $0.ifExists = ifExists
      }
      return try await Sluice_V1_Ports.Client(wrapping: grpc).delete(request, options: options).deleted
    }
  }

  public func ports() async throws(ClientError) -> [Sluice_V1_Port] {
    try await call("Ports.List", within: Self.readDeadline) { options in
      try await Sluice_V1_Ports.Client(wrapping: grpc).list(.init(), options: options).ports
    }
  }

  public func port(_ port: String) async throws(ClientError) -> Sluice_V1_Port {
    try await call("Ports.Get", within: Self.readDeadline) { options in
      try await Sluice_V1_Ports.Client(wrapping: grpc).get(.with { $0.port = port }, options: options).port
    }
  }

  // MARK: Rules

  /// Adds rules, all or none.
  ///
  /// - Parameter progress: called with the number of lines sent so far, after each message.
  public func addRules(
    _ input: RuleInput, progress: @escaping @Sendable (Int) -> Void = { _ in }
  ) async throws(ClientError) -> Sluice_V1_AddRulesReply {
    try await call("Rules.Add", within: Self.changeDeadline) { options in
      try await Sluice_V1_Rules.Client(wrapping: grpc).add(
        options: options, requestProducer: { try await Self.send(input, to: $0, progress) })
    }
  }

  /// Carries out a bundle, all or nothing.
  public func applyRules(
    _ input: RuleInput, progress: @escaping @Sendable (Int) -> Void = { _ in }
  ) async throws(ClientError) -> Sluice_V1_ApplyReply {
    try await call("Rules.Apply", within: Self.changeDeadline) { options in
      try await Sluice_V1_Rules.Client(wrapping: grpc).apply(
        options: options, requestProducer: { try await Self.send(input, to: $0, progress) })
    }
  }

  /// Makes these rules the only ones.
  public func replaceRules(
    _ input: RuleInput, progress: @escaping @Sendable (Int) -> Void = { _ in }
  ) async throws(ClientError) -> Sluice_V1_ReplaceRulesReply {
    try await call("Rules.Replace", within: Self.changeDeadline) { options in
      try await Sluice_V1_Rules.Client(wrapping: grpc).replace(
        options: options, requestProducer: { try await Self.send(input, to: $0, progress) })
    }
  }

  /// What `replaceRules` would change.
  public func diffRules(
    _ input: RuleInput, progress: @escaping @Sendable (Int) -> Void = { _ in }
  ) async throws(ClientError) -> [Sluice_V1_RuleDifference] {
    try await call("Rules.Diff", within: Self.listDeadline) { options in
      try await Sluice_V1_Rules.Client(wrapping: grpc).diff(
        options: options, requestProducer: { try await Self.send(input, to: $0, progress) }
      ) { stream in
        var differences: [Sluice_V1_RuleDifference] = []
        for try await batch in stream.messages { differences += batch.differences }
        return differences
      }
    }
  }

  private static func send(
    _ input: RuleInput, to writer: RPCWriter<Sluice_V1_RuleText>, _ progress: @Sendable (Int) -> Void
  ) async throws {
    try await input.forEachMessage { message, linesSent in
      try await writer.write(message)
      progress(linesSent)
    }
  }

  public func deleteRules(_ selector: Sluice_V1_RuleSelector) async throws(ClientError) -> UInt64 {
    try await call("Rules.Delete", within: Self.changeDeadline) { options in
      try await Sluice_V1_Rules.Client(wrapping: grpc).delete(.with { $0.selector = selector }, options: options).deleted
    }
  }

  public func rules(_ selector: Sluice_V1_RuleSelector = .init()) async throws(ClientError) -> [Sluice_V1_Rule] {
    try await call("Rules.List", within: Self.listDeadline) { options in
      try await Sluice_V1_Rules.Client(wrapping: grpc).list(.with { $0.selector = selector }, options: options) { stream in
        var rules: [Sluice_V1_Rule] = []
        for try await batch in stream.messages { rules += batch.rules }
        return rules
      }
    }
  }

  // MARK: Groups and meters

  public func addGroups(lines: [String]) async throws(ClientError) -> Sluice_V1_ChangeGroupsReply {
    try await call("Groups.Add", within: Self.changeDeadline) { options in
      try await Sluice_V1_Groups.Client(wrapping: grpc).add(.with { $0.lines = lines }, options: options)
    }
  }

  public func modifyGroups(lines: [String]) async throws(ClientError) -> Sluice_V1_ChangeGroupsReply {
    try await call("Groups.Modify", within: Self.changeDeadline) { options in
      try await Sluice_V1_Groups.Client(wrapping: grpc).modify(.with { $0.lines = lines }, options: options)
    }
  }

  public func deleteGroups(_ request: Sluice_V1_DeleteGroupsRequest) async throws(ClientError) -> Sluice_V1_DeleteGroupsReply {
    try await call("Groups.Delete", within: Self.changeDeadline) { options in
      try await Sluice_V1_Groups.Client(wrapping: grpc).delete(request, options: options)
    }
  }

  /// - Parameter ids: empty means all.
  public func groups(_ ids: [UInt32] = []) async throws(ClientError) -> [Sluice_V1_Group] {
    try await call("Groups.List", within: Self.listDeadline) { options in
      try await Sluice_V1_Groups.Client(wrapping: grpc).list(.with { $0.ids = ids }, options: options) { stream in
        var groups: [Sluice_V1_Group] = []
        for try await batch in stream.messages { groups += batch.groups }
        return groups
      }
    }
  }

  public func addMeters(lines: [String]) async throws(ClientError) -> Sluice_V1_ChangeMetersReply {
    try await call("Meters.Add", within: Self.changeDeadline) { options in
      try await Sluice_V1_Meters.Client(wrapping: grpc).add(.with { $0.lines = lines }, options: options)
    }
  }

  public func modifyMeters(lines: [String]) async throws(ClientError) -> Sluice_V1_ChangeMetersReply {
    try await call("Meters.Modify", within: Self.changeDeadline) { options in
      try await Sluice_V1_Meters.Client(wrapping: grpc).modify(.with { $0.lines = lines }, options: options)
    }
  }

  public func deleteMeters(_ request: Sluice_V1_DeleteMetersRequest) async throws(ClientError) -> Sluice_V1_DeleteMetersReply {
    try await call("Meters.Delete", within: Self.changeDeadline) { options in
      try await Sluice_V1_Meters.Client(wrapping: grpc).delete(request, options: options)
    }
  }

  /// - Parameter ids: empty means all.
  public func meters(_ ids: [UInt32] = []) async throws(ClientError) -> [Sluice_V1_Meter] {
    try await call("Meters.List", within: Self.listDeadline) { options in
      try await Sluice_V1_Meters.Client(wrapping: grpc).list(.with { $0.ids = ids }, options: options) { stream in
        var meters: [Sluice_V1_Meter] = []
        for try await batch in stream.messages { meters += batch.meters }
        return meters
      }
    }
  }

  // MARK: Flows

  public func flows(_ request: Sluice_V1_ListFlowsRequest = .init()) async throws(ClientError) -> [Sluice_V1_Flow] {
    try await call("Flows.List", within: Self.listDeadline) { options in
      try await Sluice_V1_Flows.Client(wrapping: grpc).list(request, options: options) { stream in
        var flows: [Sluice_V1_Flow] = []
        for try await batch in stream.messages { flows += batch.flows }
        return flows
      }
    }
  }

  /// One flow, and where it stands with each tier.
  public func flow(_ id: UInt64) async throws(ClientError) -> Sluice_V1_GetFlowReply {
    try await call("Flows.Get", within: Self.readDeadline) { options in
      try await Sluice_V1_Flows.Client(wrapping: grpc).get(.with { $0.id = id }, options: options)
    }
  }

  /// Hands the flows with the highest rates to `receive`, interval by interval, until it says no or the task is cancelled.
  public func topFlows(
    _ request: Sluice_V1_TopFlowsRequest, receive: @escaping @Sendable (Sluice_V1_TopFlowsReply) -> Bool
  ) async throws(ClientError) {
    try await call("Flows.Top", within: nil) { options in
      try await Sluice_V1_Flows.Client(wrapping: grpc).top(request, options: options) { stream in
        for try await reply in stream.messages where !receive(reply) { return }
      }
    }
  }

  public func flowSummary() async throws(ClientError) -> Sluice_V1_FlowSummaryReply {
    try await call("Flows.Summary", within: Self.readDeadline) { options in
      try await Sluice_V1_Flows.Client(wrapping: grpc).summary(.init(), options: options)
    }
  }

  public func trace(_ request: Sluice_V1_TraceRequest) async throws(ClientError) -> Sluice_V1_TraceReply {
    try await call("Flows.Trace", within: Self.readDeadline) { options in
      try await Sluice_V1_Flows.Client(wrapping: grpc).trace(request, options: options)
    }
  }

  /// - Returns: how many flows were forgotten.
  public func purgeFlows() async throws(ClientError) -> UInt64 {
    try await call("Flows.Purge", within: Self.changeDeadline) { options in
      try await Sluice_V1_Flows.Client(wrapping: grpc).purge(.init(), options: options).purged
    }
  }

  // MARK: Kernel

  public func kernel() async throws(ClientError) -> Sluice_V1_GetKernelReply {
    try await call("Kernel.Get", within: Self.readDeadline) { options in
      try await Sluice_V1_Kernel.Client(wrapping: grpc).get(.init(), options: options)
    }
  }

  // MARK: Deny

  public func addDeny(_ prefixes: [String], tuples: [String] = []) async throws(ClientError) -> Sluice_V1_AddDenyReply {
    try await call("Deny.Add", within: Self.changeDeadline) { options in
      let request = Sluice_V1_AddDenyRequest.with {
        $0.prefixes = prefixes
        $0.tuples = tuples
      }
      return try await Sluice_V1_Deny.Client(wrapping: grpc).add(request, options: options)
    }
  }

  /// - Returns: how many prefixes and five-tuples were deleted.
  public func deleteDeny(
    _ prefixes: [String], tuples: [String] = [], ifExists: Bool = false
  ) async throws(ClientError) -> UInt64 {
    try await call("Deny.Delete", within: Self.changeDeadline) { options in
      let request = Sluice_V1_DeleteDenyRequest.with {
        $0.prefixes = prefixes
        $0.tuples = tuples
        $0.ifExists = ifExists
      }
      return try await Sluice_V1_Deny.Client(wrapping: grpc).delete(request, options: options).deleted
    }
  }

  public func deny() async throws(ClientError) -> [Sluice_V1_DenyEntry] {
    try await call("Deny.List", within: Self.changeDeadline) { options in
      try await Sluice_V1_Deny.Client(wrapping: grpc).list(.init(), options: options) { stream in
        var entries: [Sluice_V1_DenyEntry] = []
        for try await batch in stream.messages { entries += batch.entries }
        return entries
      }
    }
  }

  // MARK: Limits

  public func addLimits(_ limits: [Sluice_V1_Limit]) async throws(ClientError) -> Sluice_V1_AddLimitsReply {
    try await call("Limits.Add", within: Self.changeDeadline) { options in
      try await Sluice_V1_Limits.Client(wrapping: grpc).add(.with { $0.limits = limits }, options: options)
    }
  }

  /// - Returns: how many limits were deleted.
  public func deleteLimits(_ prefixes: [String], ifExists: Bool = false) async throws(ClientError) -> UInt64 {
    try await call("Limits.Delete", within: Self.changeDeadline) { options in
      let request = Sluice_V1_DeleteLimitsRequest.with {
        $0.prefixes = prefixes
        $0.ifExists = ifExists
      }
      return try await Sluice_V1_Limits.Client(wrapping: grpc).delete(request, options: options).deleted
    }
  }

  public func limits() async throws(ClientError) -> [Sluice_V1_LimitEntry] {
    try await call("Limits.List", within: Self.changeDeadline) { options in
      try await Sluice_V1_Limits.Client(wrapping: grpc).list(.init(), options: options) { stream in
        var entries: [Sluice_V1_LimitEntry] = []
        for try await batch in stream.messages { entries += batch.entries }
        return entries
      }
    }
  }

  // MARK: Workers

  public func workers() async throws(ClientError) -> Sluice_V1_ListWorkersReply {
    try await call("Workers.List", within: Self.readDeadline) { options in
      try await Sluice_V1_Workers.Client(wrapping: grpc).list(.init(), options: options)
    }
  }

  // MARK: Fdb

  public func fdb() async throws(ClientError) -> [Sluice_V1_FdbEntry] {
    try await call("Fdb.List", within: Self.readDeadline) { options in
      try await Sluice_V1_Fdb.Client(wrapping: grpc).list(.init(), options: options) { stream in
        var entries: [Sluice_V1_FdbEntry] = []
        for try await batch in stream.messages { entries += batch.entries }
        return entries
      }
    }
  }

  /// - Parameter port: a name or number; empty means all ports.
  /// - Returns: how many addresses were forgotten.
  public func flushFdb(port: String = "") async throws(ClientError) -> UInt64 {
    try await call("Fdb.Flush", within: Self.changeDeadline) { options in
      try await Sluice_V1_Fdb.Client(wrapping: grpc).flush(.with { $0.port = port }, options: options).flushed
    }
  }

  // MARK: Monitor

  /// Hands every event to `receive` until it says no, or the task is cancelled.
  ///
  /// - Parameters:
  ///   - kinds: empty means every kind.
  ///   - sample: one of so many packets that the kernel drops becomes an event; 0: none.
  ///   - subscribed: called once, when the agent has confirmed the subscription: later events are not missed.
  ///   - receive: returns whether it wants another event.
  /// - Throws: `ClientError.connectionLost` when the agent goes away.
  public func watch(
    _ kinds: [Sluice_V1_EventKind], sample: UInt32 = 0, subscribed: @escaping @Sendable () -> Void = {},
    receive: @escaping @Sendable (Sluice_V1_Event) -> Bool
  ) async throws(ClientError) {
    try await call("Monitor.Watch", within: nil) { options in
      let request = Sluice_V1_WatchRequest.with {
        $0.kinds = kinds
        $0.sample = sample
      }
      try await Sluice_V1_Monitor.Client(wrapping: grpc).watch(request, options: options) { stream in
        if case .success = stream.accepted { subscribed() }
        for try await event in stream.messages where !receive(event) { return }
      }
    }
  }
}
