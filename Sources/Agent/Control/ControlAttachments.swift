// ControlAttachments.swift
//
// The hold that ports have on their interfaces: taking it, letting go, following what happens to the interface, opening
// queues again that are stuck or have more frames than is fair.
// Invariant: the switch is told of every change of an attached interface that this actor knows of, so the two never
//            disagree on whether a port is up.
// Threads: the control thread (see Control.swift).
// Cost: some milliseconds per queue to attach; a few netlink requests to follow a change.

import AgentAPI
import Dataplane
import KernelTier
import Logging
import Netlink
import Pipeline

extension Control {
  /// Takes the interface and gives the port to the switch.
  /// - Parameter connects: let frames come; without it they come after `connect`.
  func attach(_ port: ManagedPort, connects: Bool = true) throws(PortFailure) {
    let link = try findLink(of: port)
    let plan = try plan(for: port, link: link)
    var taken: [(worker: Int, share: Int)] = []
    do {
      var attachment = try InterfaceAttachment.open(
        port.request, link: link, plan: plan, earlier: changesToPutBack(on: link), policy: { try openPolicy() },
        place: {
          let place = nextPlace(of: plan, besides: port)
          if place.share > 0 { taken.append((place.worker, place.share)) }
          return place
        })
      do {
        try giveToSwitch(&attachment, port)
      } catch {
        _ = try? attachment.detachPrograms()
        restore(attachment)
        throw error
      }
      remember(attachment.changes, on: attachment.link)
      port.attachment = attachment
      port.shortcoming = plan.shortcoming
    } catch {
      for place in taken { budgets[place.worker].giveBack(place.share) }
      // The next attempt is to know what the agent before left, too.
      if let inherited = plan.inherited { kernel?.unclaim(inherited) }
      throw Self.failure(error, port)
    }
    if connects { try connect(port) }
  }

  /// Lets frames come to a port that the switch has. On failure the port is detached.
  func connect(_ port: ManagedPort) throws(PortFailure) {
    guard var attachment = port.attachment else { return }
    do {
      try attachment.connect()
      if attachment.plan.flows != nil { try kernel?.ports.set(attachment.kernelPort(number: port.number)) }
      port.attachment = attachment
    } catch {
      // What is attached by now is known here only.
      port.attachment = attachment
      detach(port)
      throw Self.failure(error, port)
    }
    if case .generic(let reason)? = attachment.xdp?.attachMode {
      logger.notice(
        "the driver does not run the port's XDP program, the network stack does: slower",
        metadata: ["port": "\(port.name)", "reason": "\(reason)"])
    }
  }

  private static func failure(_ error: any Error, _ port: ManagedPort) -> PortFailure {
    if let failure = error as? PortFailure { return failure }
    if case .tooManyPorts? = error as? SwitchPortError { return .limit("port \(port.name): \(error)") }
    return .refused("port \(port.name): \(error)")
  }

  /// Makes an attached interface a port of the switch and of the kernel's table.
  private func giveToSwitch(_ attachment: inout InterfaceAttachment, _ port: ManagedPort) throws {
    let queues = attachment.queues.map { WorkerQueue(worker: $0.worker, queue: $0.queue) }
    let (name, number, maxFrame) = (port.name, port.number, attachment.maxFrame)
    let isUp = attachment.link.isRunning
    // Programs must know the port before the first flow can send to it.
    if let index = attachment.plan.index {
      attachment.index = index
      try enterInKernel(&attachment, number: number)
    }
    do {
      let (index, placement) = (attachment.plan.index, isKernelDrained ? .off : attachment.plan.placement.pipeline)
      let added = try onPlane { core in
        try core.addPort(
          name: name, number: number, index: index, queues: queues, maxFrame: maxFrame, isUp: isUp, placement: placement)
      }
      attachment.index = added.index
    } catch {
      if let index = attachment.plan.index { kernel?.remove(index) }
      throw error
    }
  }

  /// Takes the port from the switch and lets go of its interface, which becomes what it was. Counters are carried.
  func detach(_ port: ManagedPort) {
    guard let attachment = port.attachment else { return }
    if let counters = try? attachment.program?.counters() { port.carriedXDP.add(counters) }
    port.carriedKernel.add(kernelCounters(of: attachment))
    port.attachment = nil
    do {
      try attachment.detachPrograms()
    } catch {
      logger.warning("a program could not be taken off", metadata: ["port": "\(port.name)", "reason": "\(error)"])
    }
    let number = port.number
    do {
      let counters = try onPlane { core in
        let counters = core.counters(of: number)
        try core.removePort(number)
        return counters
      }
      port.carried.add(counters)
    } catch {
      logger.error("the switch did not let go of a port", metadata: ["port": "\(port.name)", "reason": "\(error)"])
    }
    // No flow names it any more.
    kernel?.remove(attachment.index)
    for queue in attachment.queues where queue.share > 0 { budgets[queue.worker].giveBack(queue.share) }
    restore(attachment)
  }

  private func findLink(of port: ManagedPort) throws(PortFailure) -> Link {
    do {
      var socket = try NetlinkSocket(.route)
      if port.request.kind == .internal {
        let pair = InternalPair(hostName: port.name)
        let link = try pair.ensure(&socket)
        port.hostEnd = pair.hostEnd(&socket)
        return link
      }
      return try socket.link(named: port.request.interface)
    } catch let failure as PortFailure {
      throw failure
    } catch let error as NetlinkError where error.isNotFound {
      throw .missing("port \(port.name): interface \(port.request.interface) does not exist in this network namespace")
    } catch {
      throw .refused("port \(port.name): \(error)")
    }
  }

  /// Where a queue of a port goes.
  private func nextPlace(of plan: HookPlan, besides newcomer: ManagedPort) -> QueuePlace {
    if plan.hook == .tc {
      return QueuePlace(worker: UpcallPath.worker, memory: plane.workers[UpcallPath.worker].memory, share: 0)
    }
    let worker = budgets.indices.min { budgets[$0].shares.count < budgets[$1].shares.count } ?? 0
    if budgets[worker].shareForOneMore() == nil { shrinkShares(of: worker, besides: newcomer) }
    let share = budgets[worker].shareForOneMore() ?? FrameBudget.smallestShare
    budgets[worker].take(share)
    return QueuePlace(worker: worker, memory: plane.workers[worker].memory, share: share)
  }

  /// Opens the queues of a worker again that have more frames than is fair by now. Their ports stand still for some
  /// milliseconds.
  func shrinkShares(of worker: Int, besides newcomer: ManagedPort? = nil) {
    let fair = budgets[worker].fairShare(queues: budgets[worker].shares.count + 1)
    for port in portsInOrder where port !== newcomer {
      guard let queues = port.attachment?.queues, queues.contains(where: { $0.worker == worker && $0.share > fair }) else {
        continue
      }
      reopen(port, because: "there are more queues now, so each gets fewer frames")
    }
  }

  // MARK: - Following the interface

  /// Looks at the interface again and follows what changed.
  func refresh(_ port: ManagedPort) {
    guard var attachment = port.attachment else { return bringUp(port) }
    do {
      var socket = try NetlinkSocket(.route)
      let link = try socket.link(index: attachment.link.index)
      if let xdp = attachment.xdp, !link.xdpPrograms.contains(where: { $0.programID == xdp.programID }) {
        logger.warning("somebody took the port's XDP program off; attaching again", metadata: ["port": "\(port.name)"])
        detach(port)
        return bringUp(port)
      }
      let before = attachment.link
      attachment.link = link
      if port.request.mode == .shared { try attachment.tellHost(&socket) }
      if port.request.kind == .internal { port.hostEnd = InternalPair(hostName: port.name).hostEnd(&socket) }
      try followInKernel(&attachment, number: port.number, &socket)
      port.attachment = attachment
      let (number, maxFrame, isUp) = (port.number, attachment.maxFrame, link.isRunning)
      if before.mtu != link.mtu { try onPlane { core in try core.setPort(number, maxFrame: maxFrame) } }
      if before.isRunning != link.isRunning { try onPlane { core in try core.setPort(number, isUp: isUp) } }
      settle(port)
    } catch let error as NetlinkError where error.isNotFound {
      detach(port)
      change(port, to: .missing("interface \(attachment.link.name) is gone; the port comes back with it"))
      // It may have come back under the same name already.
      bringUp(port)
    } catch {
      change(port, to: .degraded("following the interface failed: \(error)"))
    }
  }

  /// Looks whether tc programs are where they were put; called every few seconds, because no event tells of it.
  func replaceLostTCPrograms() {
    for port in portsInOrder {
      guard let tc = port.attachment?.tc, (try? tc.isInPlace()) == false else { continue }
      logger.warning("somebody took the port's tc program off; attaching again", metadata: ["port": "\(port.name)"])
      detach(port)
      bringUp(port)
    }
  }

  /// Says how an attached port is doing.
  func settle(_ port: ManagedPort) {
    guard let attachment = port.attachment else { return }
    let link = attachment.link
    if !link.isUp {
      change(port, to: .down("interface \(link.name) is down; bring it up with: ip link set dev \(link.name) up"))
    } else if !link.isRunning {
      let end =
        port.request.kind == .internal
        ? "its host side is down; bring it up with: ip link set dev \(port.name) up" : "its other end is down or unplugged"
      change(port, to: .down("interface \(link.name) has no carrier: \(end)"))
    } else if link.mtu > attachment.largestMTU {
      change(
        port,
        to: .degraded(
          "the MTU became \(link.mtu), more than the port carries (\(attachment.largestMTU)): larger packets are lost; "
            + "lower it with: ip link set \(link.name) mtu \(attachment.largestMTU)"))
    } else if let reason = attachment.unsegmentedReason {
      change(
        port,
        to: .degraded(
          "the XDP program runs in generic mode (\(reason)), so packets that the other end of the veth leaves to hardware to segment are "
            + "dropped as too-big; give both ends the same number of queues, or switch it off there: ethtool -K DEV tso off gso off"))
    } else if let shortcoming = port.shortcoming {
      change(port, to: .degraded(shortcoming))
    } else {
      change(port, to: .up)
    }
  }

  /// Opens queues again that do not move although they should.
  func restartIfStalled(_ port: ManagedPort) {
    guard let attachment = port.attachment, attachment.link.isRunning else { return }
    for queue in attachment.queues {
      guard let stall = queue.queue.monitor.stall() else { continue }
      port.restarts[queue.queue.queue, default: 0] += 1
      return reopen(port, because: "queue \(queue.queue.queue) is stuck: \(stall)")
    }
  }

  private func reopen(_ port: ManagedPort, because reason: String) {
    logger.notice("opening the port's queues again", metadata: ["port": "\(port.name)", "reason": "\(reason)"])
    detach(port)
    bringUp(port)
  }

  /// Notes how a port is doing, logs it and tells watchers, if it is news.
  func change(_ port: ManagedPort, to condition: PortCondition) {
    guard port.condition != condition else { return }
    port.condition = condition
    let facts: Logger.Metadata = [
      "port": "\(port.name)", "number": "\(port.number)", "state": "\(condition.word)", "reason": "\(condition.message)",
    ]
    switch condition {
    case .up: logger.info("port is up", metadata: ["port": "\(port.name)", "number": "\(port.number)"])
    case .down, .missing: logger.notice("port changed", metadata: facts)
    case .degraded, .failed: logger.warning("port changed", metadata: facts)
    }
    guard ports[port.name] === port else { return }
    let words = condition.message.isEmpty ? "" : ": \(condition.message)"
    announce(port, .modified, "port \(port.name) is \(condition.word)\(words)")
  }
}
