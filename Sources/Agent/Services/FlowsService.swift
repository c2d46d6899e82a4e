// FlowsService.swift
//
// gRPC service sluice.v1.Flows: what the workers hold, and what would happen to a packet.
// Threads: gRPC's tasks; snapshots are made on the pipeline thread, text here.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline

struct FlowsService: Sluice_V1_Flows.SimpleServiceProtocol {
  let context: AgentServiceContext

  func list(
    request: Sluice_V1_ListFlowsRequest, response: RPCWriter<Sluice_V1_ListFlowsReply>, context call: ServerContext
  ) async throws {
    try await context.answer {
      let filter = try FlowMatch(text: request.match, names: await context.control.portNames())
      let inPort: UInt32? = request.port.isEmpty ? nil : try await number(of: request.port)
      guard !request.hasTable || request.table <= UInt32(Rule.lastTable) else {
        throw RPCError(code: .invalidArgument, message: "there is no table \(request.table); tables are 0 to \(Rule.lastTable)")
      }
      let (flows, ports) = try await context.plane.perform { core in
        let flows = core.flows(
          overlapping: filter, inPort: inPort, table: request.hasTable ? UInt8(request.table) : nil, cookie: request.cookie,
          cookieMask: request.cookieMask)
        return (flows.filter { $0.match.isWithin(filter) }, core.ports)
      }
      let shown = request.limit == 0 ? flows[...] : flows.prefix(Int(clamping: request.limit))
      for batch in shown.inBatches() {
        var reply = Sluice_V1_ListFlowsReply()
        reply.flows = batch.map { Sluice_V1_Flow($0, ports: ports) }
        try await response.write(reply)
      }
    }
  }

  func get(request: Sluice_V1_GetFlowRequest, context call: ServerContext) async throws -> Sluice_V1_GetFlowReply {
    try await context.answer {
      let id = request.id
      let (found, ports) = try await context.plane.perform { core in (core.flow(id), core.ports) }
      guard let flow = found else {
        throw RPCError(
          code: .notFound, message: "there is no flow \(id) any more; the flows that there are, with their numbers: sluicectl flow list")
      }
      var reply = Sluice_V1_GetFlowReply()
      reply.flow = Sluice_V1_Flow(flow, ports: ports)
      reply.rule = flow.rule?.text(names: .none) ?? ""
      reply.tiers = flow.tiers.map(Sluice_V1_FlowPlacement.init)
      return reply
    }
  }

  func trace(request: Sluice_V1_TraceRequest, context call: ServerContext) async throws -> Sluice_V1_TraceReply {
    try await context.answer {
      let inPort: UInt32? = request.inPort.isEmpty ? nil : try await number(of: request.inPort)
      var key: FlowKey
      var bytes: [UInt8]?
      switch request.packet {
      case .description_p(let text)?:
        let match = try FlowMatch(text: text, names: await context.control.portNames())
        key = match.key
        if let inPort { key[.inPort] = UInt128(inPort) }
        guard inPort != nil || match.mask(of: .inPort) != 0 else {
          throw RPCError(
            code: .invalidArgument,
            message: "the packet's description has no in_port; expected one, such as in_port=1,\(text)")
        }
      case .frame(let frame)?:
        guard let inPort else {
          throw RPCError(
            code: .invalidArgument, message: "a frame says not by which port it comes in; expected in_port as well")
        }
        let whole = Array(frame)
        let parsed = parseFrame(whole, inPort: inPort)
        if let problem = Malformation(rawValue: parsed.layout.problem) {
          throw RPCError(
            code: .invalidArgument,
            message: "the workers would drop this frame of \(frame.count) bytes as malformed: \(problem.name)")
        }
        key = parsed.key
        bytes = whole
      case nil:
        throw RPCError(
          code: .invalidArgument, message: "no packet is given; expected a description in rule syntax, or a frame in hex")
      }
      let (packet, frame) = (key, bytes)
      let trace = try await context.plane.perform { core in
        core.explain(packet, frame: frame)
      }
      return Sluice_V1_TraceReply(trace)
    }
  }

  func summary(
    request: Sluice_V1_FlowSummaryRequest, context call: ServerContext
  ) async throws -> Sluice_V1_FlowSummaryReply {
    try await context.answer {
      try await context.plane.perform { core in Sluice_V1_FlowSummaryReply(core) }
    }
  }

  func purge(request: Sluice_V1_PurgeFlowsRequest, context call: ServerContext) async throws -> Sluice_V1_PurgeFlowsReply {
    try await context.answer {
      var reply = Sluice_V1_PurgeFlowsReply()
      reply.purged = UInt64(try await context.plane.perform { core in core.purgeFlows() })
      return reply
    }
  }

  private func number(of port: String) async throws -> UInt32 {
    if let number = await context.control.portNumber(port) { return number }
    throw PortFailure.missing("there is no port \(port)")
  }
}

extension Control {
  /// The number of the port with a name or number.
  func portNumber(_ name: String) -> UInt32? { findPort(name)?.number }
}

extension Sluice_V1_Tier {
  /// As the pipeline names it.
  init(named name: String) {
    switch name {
    case "kernel": self = .kernel
    case "nic": self = .nic
    default: self = .user
    }
  }
}

extension Sluice_V1_Flow {
  init(_ flow: FlowSnapshot, ports: PortSet) {
    self.init()
    id = flow.id
    worker = UInt32(flow.worker)
    match = flow.match.text(names: .none)
    actions = ports.text(flow.actions)
    matched = Sluice_V1_Traffic(packets: flow.packets, bytes: flow.bytes)
    ageMilliseconds = UInt64(max(0, flow.ageSeconds * 1000))
    // A flow that no packet has hit yet is idle since it was made.
    idleMilliseconds = UInt64(max(0, min(flow.idleSeconds, flow.ageSeconds) * 1000))
    tier = Sluice_V1_Tier(named: flow.tier)
    ruleFound = flow.rule != nil
    rulePriority = UInt32(flow.rule?.priority ?? 0)
    ruleCookie = flow.rule?.cookie ?? 0
    rules = flow.rules.map { met in
      var message = Sluice_V1_FlowRule()
      message.table = UInt32(met.table)
      message.priority = UInt32(met.priority)
      message.cookie = met.cookie
      return message
    }
  }
}

extension Sluice_V1_FlowPlacement {
  init(_ state: TierState) {
    self.init()
    tier = Sluice_V1_Tier(named: state.tier)
    held = state.placement == .held
    reason = held ? "" : state.placement.description
    matched = Sluice_V1_Traffic(packets: state.packets, bytes: state.bytes)
  }
}

extension Sluice_V1_FlowSummaryReply {
  init(_ core: SwitchCore) {
    self.init()
    let summary = core.flowSummary()
    flows = UInt64(summary.flows)
    plans = UInt64(summary.plans)
    masks = UInt64(summary.masks)
    dropping = UInt64(summary.dropping)
    memoryBytes = UInt64(summary.memoryBytes)
    setUps = UInt64(summary.setUps)
    uncached = UInt64(summary.uncached)
    widened = UInt64(summary.widened)
    // A flow is executed by the first tier that holds it.
    byTier = summary.tiers.map { .with($0.tier, UInt64($0.flows)) }
    // Tiers and flows are counted one after the other, so there may seem to be more placed than there are.
    byTier.append(.with(TierState.user, flows - min(flows, byTier.reduce(0) { $0 + $1.count })))
    byTier.removeAll { $0.count == 0 }
    let flowsOfTable = Dictionary(summary.byTable.map { ($0.table, $0.flows) }, uniquingKeysWith: +)
    tables = core.rules.inUse.map { table in
      var message = Sluice_V1_TableSummary()
      message.table = UInt32(table.number)
      message.rules = UInt64(table.count)
      message.ruleMasks = UInt64(table.maskCount)
      message.flows = UInt64(flowsOfTable[table.number] ?? 0)
      return message
    }
    ports = summary.byPort.map { entry in
      var message = Sluice_V1_PortSummary()
      message.port = core.ports[entry.number]?.name ?? ""
      message.number = entry.number
      message.flows = UInt64(entry.flows)
      message.masks = UInt64(entry.masks)
      return message
    }
    workers = summary.byWorker.map { entry in
      var message = Sluice_V1_WorkerSummary()
      message.worker = UInt32(entry.id)
      message.flows = UInt64(entry.flows)
      message.masks = UInt64(entry.masks)
      message.limit = UInt64(entry.limit)
      message.capacity = UInt64(entry.capacity)
      message.idleSeconds = entry.idleSeconds
      return message
    }
  }
}

extension Sluice_V1_TraceReply {
  init(_ trace: PacketTrace) {
    self.init()
    packet = trace.packet
    steps = trace.steps.map { step in
      var message = Sluice_V1_TraceStep()
      message.table = UInt32(step.table)
      message.rule = step.rule
      message.actions = step.actions
      message.notes = step.notes
      return message
    }
    fields = trace.fields.map { field in
      var message = Sluice_V1_TraceField()
      message.match = field.match
      message.reason = field.reason
      return message
    }
    actions = trace.actions
    flow = trace.flow
    verdict = trace.verdict
  }
}
