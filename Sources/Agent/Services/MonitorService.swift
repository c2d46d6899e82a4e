// MonitorService.swift
//
// gRPC service sluice.v1.Monitor: what happens, live. Two sources are merged: the switch (flows, drops, packets to the
// controller) and the control thread (ports, rules).
// Invariants: the subscription is in place before the reply's headers go out. A slow client loses events and is told how
//             many.
// Threads: gRPC's tasks, two per watcher.
// Cost: nothing while nobody watches.

import AgentAPI
import Dataplane
import GRPCCore
import Pipeline
import Synchronization

struct MonitorService: Sluice_V1_Monitor.ServiceProtocol {
  let context: AgentServiceContext

  func watch(
    request: ServerRequest<Sluice_V1_WatchRequest>, context call: ServerContext
  ) async throws -> StreamingServerResponse<Sluice_V1_Event> {
    let kinds = Set(request.message.kinds.filter { $0 != .unspecified })
    let oneIn = request.message.sample
    let sampling = try await context.answer { oneIn == 0 ? nil : try await context.control.beginSampling(oneIn: oneIn) }
    let fromSwitch = context.plane.watch()
    let fromAgent = context.control.events.watch()
    return StreamingServerResponse { writer in
      let feed = EventFeed(kinds: kinds, wantsSamples: sampling != nil)
      context.logger.debug("somebody watches events")
      // A reply does not end by itself when the client goes away, and a quiet agent has nothing to write that would fail.
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await forward(fromSwitch, feed, writer) }
        group.addTask { await forward(fromAgent, feed, writer) }
        group.addTask { try? await call.cancellation.cancelled }
        if sampling != nil {
          group.addTask {
            while !Task.isCancelled {
              try? await Task.sleep(for: .milliseconds(100))
              await context.control.publishSamples()
            }
          }
        }
        await group.next()
        group.cancelAll()
      }
      if let sampling { await context.control.endSampling(sampling) }
      context.logger.debug("somebody stopped watching events", metadata: ["lost": "\(feed.lost)"])
      return [:]
    }
  }

  private func forward(
    _ events: AsyncStream<WatchedEvent>, _ feed: EventFeed, _ writer: RPCWriter<Sluice_V1_Event>
  ) async {
    for await watched in events {
      feed.count(lost: watched.lostBefore)
      guard feed.wants(watched.event.kind), let event = await describe(watched.event) else { continue }
      guard await send(event, feed, writer) else { return }
    }
  }

  private func forward(
    _ events: AsyncStream<WatchedAgentEvent>, _ feed: EventFeed, _ writer: RPCWriter<Sluice_V1_Event>
  ) async {
    for await watched in events {
      feed.count(lost: watched.lostBefore)
      guard feed.wants(watched.event.kind) else { continue }
      guard await send(watched.event, feed, writer) else { return }
    }
  }

  private func send(_ event: Sluice_V1_Event, _ feed: EventFeed, _ writer: RPCWriter<Sluice_V1_Event>) async -> Bool {
    var event = event
    event.lost = feed.lost
    do {
      try await writer.write(event)
      return true
    } catch {
      return false
    }
  }

  private func describe(_ event: SwitchEvent) async -> Sluice_V1_Event? {
    var message = Sluice_V1_Event()
    message.unixNanoseconds = WallClock.nanoseconds()
    switch event {
    case .flowAdded(let flow):
      message.flowAdded = Sluice_V1_Flow(flow, ports: await ports())
    case .flowRemoved(let flow, let end):
      message.flowRemoved.flow = Sluice_V1_Flow(flow, ports: await ports())
      message.flowRemoved.reason = end.rawValue
    case .dropped(let port, let reason, let packets):
      message.drop.port = port.name
      message.drop.reason = reason
      message.drop.packets = packets
    case .packetIn(let port, let cookie, let length, let bytes):
      message.packetIn.port = port?.name ?? ""
      message.packetIn.reason = "action"
      message.packetIn.cookie = cookie
      message.packetIn.length = UInt32(clamping: length)
      message.packetIn.frame = .init(bytes)
    case .ruleRemoved(let rule, let end):
      message.rule.change = .deleted
      message.rule.rule = Sluice_V1_Rule(rule)
      message.rule.reason = end.rawValue
    case .portAdded, .portRemoved, .portChanged, .rulesChanged:
      // The control thread tells these, with more to say about them.
      return nil
    }
    return message
  }

  private func ports() async -> PortSet {
    (try? await context.plane.perform { core in core.ports }) ?? PortSet()
  }
}

/// What one watcher wants and has lost.
private final class EventFeed: Sendable {
  private let kinds: Set<Sluice_V1_EventKind>
  private let wantsSamples: Bool
  private let lostEvents = Atomic<UInt64>(0)

  init(kinds: Set<Sluice_V1_EventKind>, wantsSamples: Bool) {
    self.kinds = kinds
    self.wantsSamples = wantsSamples
  }

  func wants(_ kind: Sluice_V1_EventKind) -> Bool {
    (kinds.isEmpty || kinds.contains(kind)) && (wantsSamples || kind != .samples)
  }

  func count(lost: UInt64) { if lost > 0 { lostEvents.add(lost, ordering: .relaxed) } }

  var lost: UInt64 { lostEvents.load(ordering: .relaxed) }
}

extension SwitchEvent {
  fileprivate var kind: Sluice_V1_EventKind {
    switch self {
    case .flowAdded, .flowRemoved: .flows
    case .portAdded, .portRemoved, .portChanged: .ports
    case .rulesChanged, .ruleRemoved: .rules
    case .dropped: .drops
    case .packetIn: .packets
    }
  }
}

extension Sluice_V1_Event {
  fileprivate var kind: Sluice_V1_EventKind {
    switch event {
    case .drop: .drops
    case .flowAdded, .flowRemoved: .flows
    case .port: .ports
    case .packetIn: .packets
    case .rule: .rules
    case .dropSample: .samples
    case nil: .unspecified
    }
  }
}
