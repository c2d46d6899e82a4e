// Control.swift
//
// The agent's will: which ports, rules, groups, meters and early drop policy there are to be, and the carrying out of it. Desired state is
// the configuration file and the store; actual state is the kernel and the switch; this actor makes the second follow the
// first: at start, on request, on reload, and when the kernel says that something happened.
// What is executed in the kernel goes on there when the agent ends, and is taken over by the next one (ControlKernel).
//
// Order of changes:
//   - rules, groups, meters and the policy: checked, stored, then carried out, then answered; when carrying out fails, the store is
//     put back. A crash after the store leaves a change that the next start carries out; nobody was told that it failed.
//   - ports: carried out, stored, then answered, because most refusals come from the kernel. A crash before the store
//     leaves an XDP program (or a veth pair) that the next start recognises as a leftover and removes.
//   - deletions of ports: deleted from the store, then undone. A crash between leaves a leftover, too.
// Invariants: whatever an answer acknowledged is in the store. Methods do not suspend, so each runs from its start to its
//             end before the next one: there is no state between two states.
// Threads: an actor on the control thread (ControlThread), where blocking is allowed.

import AgentAPI
import CSluice
import Dataplane
import KernelTier
import Logging
import Netlink
import Pipeline
import Store

/// The agent's desired state and what keeps the actual one at it. Its parts are in ControlPorts, ControlRules,
/// RuleLoading, ControlPolicy and ControlReload.
actor Control {
  nonisolated var unownedExecutor: UnownedSerialExecutor { ControlThread.shared.asUnownedSerialExecutor() }

  let store: StateStore
  let plane: Switch
  /// nil until a port or an entry needs it (`openPolicy`).
  var policy: Policy?
  nonisolated let events = AgentEvents()
  let logger: Logger
  var configuration: AgentConfiguration
  /// By name.
  var ports: [String: ManagedPort] = [:]
  /// By worker.
  var budgets: [FrameBudget]
  /// Rules belong to the configuration until somebody changes them through the API.
  var rulesAreOperators = false
  /// The agent is about to end.
  var isDraining = false
  /// Every port that can be was opened once, so the kernel's table can be judged.
  var hasStarted = false
  /// nil until a port wants it.
  var kernel: KernelSide?
  /// What is to be put back on interfaces, as in the store, by `InterfaceChange.place`.
  var interfaceChanges: [String: [String]] = [:]
  /// No flow is placed in the kernel, whatever ports say.
  var isKernelDrained = false
  /// Trouble that a person has to look at, by the part of the agent that it is in.
  var troubles: [String: String] = [:]
  var sampling = DropSampling()
  /// A large call went by: what it took on its way is free by the second tick at the latest, and goes back to the kernel then.
  var ticksUntilTrim = 0
  private var ticks: UInt64 = 0

  /// Seconds between attempts to open ports that could not be opened.
  private static let retrySeconds: UInt64 = 5

  init(configuration: AgentConfiguration, store: StateStore, plane: Switch, logger: Logger) {
    self.configuration = configuration
    self.store = store
    self.plane = plane
    self.logger = logger
    budgets = plane.workers.map { FrameBudget(frames: $0.configuration.chunkCount) }
  }

  /// Makes actual what the configuration and the store say.
  ///
  /// - Throws: `StoreError` when the store cannot be read. A port that cannot be opened does not stop the agent: it is
  ///   shown as failed.
  func start() throws {
    try loadPolicy()
    let stored = try store.ports()
    openKernelAtStart()
    interfaceChanges = try store.interfaceChanges()
    removeLeftovers(stored: stored)
    try adoptPorts(stored: stored)
    // Rules may name ports, and are in force before the first packet comes.
    try loadRules()
    // Programs that an agent before left are replaced when every port can be sent to: what they let go of must find its way.
    for port in portsInOrder { bringUp(port, connects: false) }
    for port in portsInOrder where port.attachment != nil { connectAtStart(port) }
    hasStarted = true
    adoptKernelFlows()
    leaveKernel()
  }

  /// Takes everything down for the end of the agent, but what the kernel executes without it: the programs of ports whose flows are
  /// placed there stay, with their interfaces as they are. Desired state stays in the store.
  func stop() {
    isDraining = true
    for port in portsInOrder where port.attachment?.plan.flows == nil { detach(port) }
    leaveKernel()
    ports = [:]
    events.finish()
  }

  /// Looks after queues and ports; called every second.
  func tick() {
    if ticksUntilTrim > 0 {
      ticksUntilTrim -= 1
      if ticksUntilTrim == 0 {
        store.releaseMemory()
        sluice_trim_resident()
      }
    }
    ticks += 1
    for port in portsInOrder { restartIfStalled(port) }
    restartUpIfStalled()
    forgetEndedRules()
    guard ticks % Self.retrySeconds == 0 else { return }
    for port in portsInOrder where port.attachment == nil { bringUp(port) }
    reopenUpIfMissing()
    replaceLostTCPrograms()
    followPeers()
  }

  /// Reacts to what the kernel said. Each concerned interface is asked for anew.
  func handle(_ batch: [LinkEvent]) {
    guard !isDraining else { return }
    var concerned: [String: ManagedPort] = [:]
    for event in batch {
      let (index, name): (Int32, String?)
      switch event {
      case .linkChanged(let link): (index, name) = (link.index, link.name)
      case .linkRemoved(let removed, let its): (index, name) = (removed, its)
      case .addressesChanged(let changed): (index, name) = (changed, nil)
      case .overflow:
        concerned = ports
        followUp(index: nil)
        continue
      }
      followUp(index: index)
      for port in ports.values where port.isConcerned(index: index, name: name) { concerned[port.name] = port }
    }
    for port in concerned.values.sorted(by: { $0.number < $1.number }) { refresh(port) }
  }

  var portsInOrder: [ManagedPort] { ports.values.sorted { $0.number < $1.number } }

  /// Runs a closure on the pipeline thread and waits for it.
  func onPlane<Value: Sendable>(_ body: @escaping @Sendable (SwitchCore) throws -> Value) throws -> Value {
    try plane.performAndWait(body)
  }
}
