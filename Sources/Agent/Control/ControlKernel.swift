// ControlKernel.swift
//
// The kernel tier as the agent keeps it: made when the first port wants it, taken over from the agent before, drained.
// Invariants: what is in the kernel stays there when the agent ends, however it ends, unless no port uses it any more. A new agent replaces
//             programs only when the way up is open, so that whatever the old ones knew and the new ones do not is answered by a worker.
// Threads: the control thread (see Control.swift).

import AgentAPI
import Dataplane
import KernelTier
import Logging
import Netlink
import Pipeline

extension Control {
  // MARK: - How a port is served

  func wantedPlacement(of port: ManagedPort) -> PortPlacement { port.request.placement ?? configuration.kernel.placement }

  /// How a port is to be served. Opens the kernel tier when this is the first port that wants it.
  func plan(for port: ManagedPort, link: Link) throws(PortFailure) -> HookPlan {
    let request = port.request
    let wanted = wantedPlacement(of: port)
    var plan = HookPlan()
    guard wanted != .off || request.hook == .tc || kernel != nil else { return plan }
    do {
      let side = try openKernel()
      plan.placement = wanted
      let fits = link.mtu <= UpcallPair.largestPortMTU
      let suits = link.kind == "veth" && wanted != .off && request.mode == .dedicated && request.queues.isEmpty && fits
      plan.hook = request.hook == .tc || (request.hook == .auto && suits) ? .tc : .xdp
      guard plan.hook == .xdp || fits else {
        throw PortFailure.refused(
          "port \(port.name): interface \(link.name) has MTU \(link.mtu), the way up for tc carries \(UpcallPair.largestPortMTU); lower it with: "
            + "ip link set dev \(link.name) mtu \(UpcallPair.largestPortMTU)")
      }
      // Making room for the way up opens other ports again, so it comes before the choice of an index that must be free.
      let up: Result<UpcallPath, any Error>? = plan.hook == .tc || wanted != .off ? Result { try openUp(side) } : nil
      let taken = Set(ports.values.compactMap { $0 === port ? nil : $0.attachment?.index })
      guard let index = side.index(forInterface: UInt32(link.index), taken: taken) else {
        throw PortFailure.limit("port \(port.name): there are \(WorkerCounters.portCapacity) ports already, which is the limit")
      }
      plan.index = index
      plan.inherited = side.claim(interface: UInt32(link.index), index: index)
      if let up = try up?.get() {
        plan.flows = FlowHookSpec(maps: side.maps, port: index, upInterfaceIndex: up.entryIndex, isWithTC: plan.hook == .xdp)
      }
      troubles["kernel tier"] = nil
    } catch {
      if request.hook == .tc, let inherited = plan.inherited { kernel?.unclaim(inherited) }
      if let failure = error as? PortFailure, request.hook == .tc { throw failure }
      if request.hook == .tc { throw .refused("port \(port.name): \(error)") }
      let reason = "flows stay in user space: \(error)"
      troubles["kernel tier"] = reason
      plan = HookPlan(index: plan.index, inherited: plan.inherited, shortcoming: request.placement == nil ? nil : reason)
    }
    return plan
  }

  // MARK: - Its life

  /// Opens the kernel tier at start, when an agent before left something. Else it waits for a port that wants it: its maps are resident as a
  /// whole as soon as they are there.
  func openKernelAtStart() {
    guard PinDirectory.isInUse(configuration.kernel.directory) else { return }
    do {
      _ = try openKernel()
    } catch {
      logger.error("the kernel tier is not available", metadata: ["reason": "\(error)"])
      troubles["kernel tier"] = "flows stay in user space: \(error)"
    }
  }

  private func openKernel() throws -> KernelSide {
    if let kernel { return kernel }
    let side = try KernelSide(root: configuration.kernel.directory, flows: configuration.kernel.flows)
    let box = side.tier
    let stamps = DrainStamps((0..<plane.workers.count).map { side.maps.drainStamp(worker: $0) })
    try onPlane { core in core.setKernel(box.tier, drainStamps: stamps.places) }
    kernel = side
    // Ports that are there already can be sent to from now on.
    for port in portsInOrder {
      guard var attachment = port.attachment else { continue }
      try enterInKernel(&attachment, number: port.number)
      port.attachment = attachment
    }
    if let discarded = side.discarded { logger.notice("a new flow table was made: \(discarded)") }
    logger.notice(
      "the kernel tier is there",
      metadata: [
        "directory": "\(side.directory.current)", "slots": "\(side.maps.slots)",
        "ports of the agent before": "\(side.inherited.count)",
      ])
    // At start the ports come first.
    if hasStarted { adoptKernelFlows() }
    return side
  }

  private func openUp(_ side: KernelSide) throws -> UpcallPath {
    if let up = side.up { return up }
    let worker = UpcallPath.worker
    let share = UpcallPath.share(of: budgets[worker].frames)
    budgets[worker].reserved = share
    do {
      let up = try UpcallPath.open(memory: plane.workers[worker].memory, share: share)
      let queue = up.queue
      try onPlane { core in core.setUpcallQueue(queue, worker: UpcallPath.worker) }
      do {
        try up.connect()
      } catch {
        try onPlane { core in core.setUpcallQueue(nil) }
        throw error
      }
      side.up = up
      // Not before: ports that are opened again ask for the way up.
      if budgets[worker].isOverdrawn { shrinkShares(of: worker) }
      return up
    } catch {
      budgets[worker].reserved = 0
      throw error
    }
  }

  private func closeUp(_ side: KernelSide) {
    guard side.up != nil else { return }
    side.up = nil
    try? onPlane { core in core.setUpcallQueue(nil) }
    budgets[UpcallPath.worker].reserved = 0
  }

  /// Opens the way up again. What is on its way there is lost; what the kernel executes is not concerned.
  /// - Parameter isGone: the pair is another one now, so every program that names it is replaced too.
  private func reopenUp(_ side: KernelSide, because reason: String, isGone: Bool) {
    logger.notice("opening the way up for tc programs again", metadata: ["reason": "\(reason)"])
    closeUp(side)
    retryUp(side)
    guard isGone else { return }
    for port in portsInOrder where port.attachment?.plan.flows != nil {
      detach(port)
      bringUp(port)
    }
  }

  /// Opens the way up, or notes why it stays closed; a reason is logged once.
  private func retryUp(_ side: KernelSide) {
    do {
      _ = try openUp(side)
      troubles["kernel tier"] = nil
    } catch {
      let reason = "the way up for tc programs could not be opened: \(error)"
      guard troubles.updateValue(reason, forKey: "kernel tier") != reason else { return }
      logger.error("the way up for tc programs could not be opened", metadata: ["reason": "\(error)"])
    }
  }

  /// Tries again to open a way up that could not be opened again: until then whatever the kernel's table does not know is lost.
  func reopenUpIfMissing() {
    guard let kernel, kernel.up == nil, !isDraining else { return }
    let senders = portsInOrder.filter { $0.attachment?.plan.flows != nil }
    guard !senders.isEmpty else { return }
    retryUp(kernel)
    guard let up = kernel.up else { return }
    logger.notice("the way up for tc programs is open again")
    // The pair may be another one by now.
    for port in senders {
      guard let flows = port.attachment?.plan.flows, flows.upInterfaceIndex != up.entryIndex else { continue }
      detach(port)
      bringUp(port)
    }
  }

  /// Looks after the way up; called every second.
  func restartUpIfStalled() {
    guard let kernel, let up = kernel.up else { return }
    if let stall = up.queue.monitor.stall() { reopenUp(kernel, because: "its queue is stuck: \(stall)", isGone: false) }
  }

  /// Reacts when something happened to the pair.
  func followUp(index: Int32?) {
    guard let kernel, let up = kernel.up, index.map({ up.isConcerned(index: $0) }) ?? true else { return }
    guard var socket = try? NetlinkSocket(.route), !up.isThere(&socket) else { return }
    reopenUp(kernel, because: "somebody removed it", isGone: true)
  }

  // MARK: - Taking over

  /// Takes over the flows of the agent before, when all ports forward that can, and removes what else it left.
  func adoptKernelFlows() {
    let root = configuration.kernel.directory
    // What is pinned there may be another agent's, which has claimed it.
    guard kernel != nil || !PinDirectory.isInUse(root) else { return }
    if let kernel, !kernel.hasAdopted {
      kernel.hasAdopted = true
      let box = kernel.tier
      do {
        let report = try onPlane { core in core.adopt(box.tier.existingFlows()) }
        logger.notice(
          "took over the flows of the agent before",
          metadata: ["adopted": "\(report.adopted)", "withdrawn": "\(report.withdrawn)"])
      } catch {
        logger.error("the flows of the agent before could not be taken over", metadata: ["reason": "\(error)"])
      }
    }
    let gone = kernel?.dropInherited() ?? []
    let used = Set(ports.values.compactMap { $0.attachment }.filter { $0.tc != nil }.map { UInt32($0.link.index) })
    let remains = KernelRemains(root: root)
    for sentence in remains.removeTC(except: used, madeQdisc: { index in
      gone.contains { $0.interfaceIndex == index && $0.hooks.contains(.clsact) }
    }) {
      logger.notice("\(sentence)")
    }
    // Their programs were replaced; nothing reads those tables any more.
    for directory in (try? FlowTableMaps.otherVersions(root: root)) ?? [] {
      do {
        try FlowTableMaps.unpin(directory: directory)
        logger.notice("removed the flow table of another version", metadata: ["directory": "\(directory)"])
      } catch {
        logger.warning("the flow table of another version could not be removed", metadata: ["reason": "\(error)"])
      }
    }
  }

  /// Whether a port's packets meet the kernel's table.
  var usesKernel: Bool {
    ports.values.contains { port in
      port.attachment?.plan.flows != nil || (port.attachment == nil && (wantedPlacement(of: port) != .off || port.request.hook == .tc))
    }
  }

  /// Lets go of the kernel tier and removes what is pinned.
  private func closeKernel() {
    guard let side = kernel else { return }
    closeUp(side)
    try? onPlane { core in core.setKernel(nil) }
    kernel = nil
    // Until the directory is empty it is claimed.
    withExtendedLifetime(side) {
      for sentence in KernelRemains(root: side.directory.root).removePinsAndPair() { logger.notice("\(sentence)") }
    }
  }

  /// What no port uses any more goes, the rest stays. After a start that failed all stays: ports were not even looked at.
  func leaveKernel() {
    if hasStarted, kernel != nil, !usesKernel { closeKernel() }
  }

  // MARK: - Ports

  /// Makes a port known to the programs.
  func enterInKernel(_ attachment: inout InterfaceAttachment, number: UInt32) throws {
    guard let kernel else { return }
    var socket = try NetlinkSocket(.route)
    attachment.peer = VethPeer.look(at: attachment.link, redirects: attachment.program != nil, &socket)
    try kernel.ports.set(attachment.kernelPort(number: number))
    attachment.kernelBase = (try? kernel.ports.counters(of: attachment.index)) ?? KernelPortCounters()
  }

  /// Tells the programs what became of an interface.
  func followInKernel(_ attachment: inout InterfaceAttachment, number: UInt32, _ socket: inout NetlinkSocket) throws {
    guard let kernel else { return }
    attachment.peer = VethPeer.look(at: attachment.link, redirects: attachment.program != nil, &socket)
    try kernel.ports.set(attachment.kernelPort(number: number))
  }

  /// Looks again at what may change without a word: whether a veth's other end takes what XDP redirects to it.
  func followPeers() {
    guard let kernel, var socket = try? NetlinkSocket(.route) else { return }
    for port in portsInOrder {
      guard var attachment = port.attachment, attachment.link.kind == "veth" else { continue }
      let peer = VethPeer.look(at: attachment.link, redirects: attachment.program != nil, &socket)
      guard peer != attachment.peer else { continue }
      attachment.peer = peer
      port.attachment = attachment
      try? kernel.ports.set(attachment.kernelPort(number: port.number))
    }
  }

  /// What the kernel forwarded for a port since it was attached.
  func kernelCounters(of attachment: InterfaceAttachment) -> KernelPortCounters {
    guard let now = try? kernel?.ports.counters(of: attachment.index) else { return KernelPortCounters() }
    return now.since(attachment.kernelBase)
  }

  // MARK: - On request

  /// Takes every flow out of the kernel and keeps it so.
  /// - Returns: how many there were.
  func drain() throws -> Int {
    try checkDraining()
    isKernelDrained = true
    let count = try onPlane { core in core.drainTiers() }
    logger.notice("the kernel tier was drained", metadata: ["flows": "\(count)"])
    return count
  }

  /// Lets flows be placed again.
  func resume() throws {
    try checkDraining()
    isKernelDrained = false
    let wanted = ports.values.compactMap { port in
      port.attachment.map { (port.number, $0.plan.placement.pipeline) }
    }
    try onPlane { core in
      for (number, placement) in wanted { try core.setPort(number, placement: placement) }
    }
    logger.notice("flows are placed in the kernel again")
  }

  /// Removes all that would outlive the agent. The agent is to end then.
  func uninstall() throws -> [String] {
    try checkDraining()
    logger.notice("removing everything from the kernel")
    for port in portsInOrder { detach(port) }
    isDraining = true
    let root = kernel?.directory.root ?? configuration.kernel.directory
    let claim: PinDirectory?
    do {
      claim = try kernel?.directory ?? (PinDirectory.isInUse(root) ? PinDirectory(claiming: root) : nil)
    } catch {
      // What has our name may be the other agent's, so only what is known to be of this one's ports goes.
      logger.warning("what is in the kernel belongs to another agent and stays", metadata: ["reason": "\(error)"])
      for port in portsInOrder { removePair(of: port) }
      return ["this agent's ports let go of their interfaces; maps and programs that other agents left stay: \(error)"]
    }
    if let side = kernel {
      closeUp(side)
      try? onPlane { core in core.setKernel(nil) }
      kernel = nil
    }
    return withExtendedLifetime(claim) { KernelRemains(root: root).removeAll() }
  }

  /// For `status`.
  var kernelWords: String {
    guard let kernel else { return "not in use: no port wants it yet" }
    let box = kernel.tier
    let count = (try? onPlane { _ in box.tier.count }) ?? 0
    return "\(count) of \(kernel.maps.slots - 1) flows" + (isKernelDrained ? "; drained: none is placed before: sluicectl agent resume" : "")
  }
}

/// Carries places in mapped memory to the workers.
///
/// @unchecked Sendable: the memory is the kernel's map, mapped for as long as the agent has it; a worker alone writes its place.
struct DrainStamps: @unchecked Sendable {
  let places: [UnsafeMutablePointer<UInt64>]

  init(_ places: [UnsafeMutablePointer<UInt64>]) { self.places = places }
}

extension PortPlacement {
  /// As the pipeline names it.
  var pipeline: FlowPlacement {
    switch self {
    case .off: .off
    case .auto: .auto
    case .eager: .eager
    }
  }
}
