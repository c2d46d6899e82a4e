// ControlPorts.swift
//
// Ports: adding and deleting them on request, keeping them at what was asked for while interfaces come, go and change.
// Invariants: an interface is the port of at most one name; a number belongs to at most one port, the ones whose interface is missing included.
// Threads: the control thread (see Control.swift).

import AgentAPI
import Dataplane
import KernelTier
import Logging
import Netlink
import Pipeline
import Store

extension Control {
  // MARK: - On request

  /// Adds a port for the operator and returns when it forwards.
  ///
  /// - Returns: the port, and whether it was there before, exactly so.
  /// - Throws: `PortFailure` or `StoreError`; nothing has changed then.
  func addPort(_ request: PortRequest) throws -> (port: Sluice_V1_Port, wasThere: Bool) {
    try checkDraining()
    if let present = ports[request.name] {
      guard present.isAsAsked(request) else {
        throw PortFailure.conflict(
          "port \(request.name) is there already, but different (\(present.summary)); delete it first to change it")
      }
      return (describe(present), true)
    }
    if let owner = ports.values.first(where: { $0.request.interface == request.interface }) {
      throw PortFailure.conflict("interface \(request.interface) is port \(owner.name)'s already")
    }
    if let number = request.number, let owner = ports.values.first(where: { $0.number == number }) {
      throw PortFailure.conflict("port number \(number) is port \(owner.name)'s already; choose another or leave it to the agent")
    }
    let port = ManagedPort(request: request, number: try request.number ?? lowestFreeNumber(), origin: .operator)
    do {
      try attach(port)
    } catch {
      removePair(of: port)
      throw error
    }
    do {
      try store.putPort(port.stored)
    } catch {
      detach(port)
      removePair(of: port)
      throw error
    }
    // Its condition is part of the news that it was added, so it is settled before the port is known.
    settle(port)
    ports[port.name] = port
    announce(port, .added, "port \(port.name) was added")
    return (describe(port), false)
  }

  /// Deletes a port of the operator's and returns when its interface is as it was.
  ///
  /// - Parameter name: its name or number.
  /// - Returns: false when there is none and `ifExists` allows that.
  func deletePort(_ name: String, ifExists: Bool) throws -> Bool {
    try checkDraining()
    guard let port = findPort(name) else {
      if ifExists { return false }
      throw PortFailure.missing("there is no port \(name)")
    }
    guard port.origin == .operator else {
      throw PortFailure.refused(
        "port \(port.name) is in the configuration file; remove it there and reload (systemctl reload sluiced, or SIGHUP)")
    }
    try store.deletePort(named: port.name)
    forget(port)
    return true
  }

  /// The port with a name or a number.
  func findPort(_ name: String) -> ManagedPort? {
    if let port = ports[name] { return port }
    guard let number = UInt32(name) else { return nil }
    return ports.values.first { $0.number == number }
  }

  func listPorts() -> [Sluice_V1_Port] { portsInOrder.map(describe) }

  func showPort(_ name: String) throws -> Sluice_V1_Port {
    guard let port = findPort(name) else { throw PortFailure.missing("there is no port \(name)") }
    return describe(port)
  }

  func checkDraining() throws(PortFailure) {
    if isDraining { throw .refused("the agent is stopping") }
  }

  // MARK: - At start and on reload

  /// Makes the list of wanted ports from the configuration and the store. Opens none.
  func adoptPorts(stored: [StoredPort]) throws {
    for port in stored {
      guard let request = PortRequest(port) else {
        logger.error("the store holds a port that this version does not understand; it is left out", metadata: ["port": "\(port.name)"])
        troubles["store"] = "port \(port.name) in the store is not understood by this version"
        continue
      }
      if configuration.ports.contains(where: { $0.name == port.name }) {
        logger.notice("a port is both in the configuration and in the store; the configuration counts", metadata: ["port": "\(port.name)"])
        try store.deletePort(named: port.name)
        continue
      }
      ports[port.name] = ManagedPort(request: request, number: port.number, origin: .operator)
    }
    try adoptConfigured(configuration.ports)
  }

  /// Adds ports of the configuration to the list, each with the number it says, the one it had before, or the lowest free one.
  func adoptConfigured(_ requests: [PortRequest]) throws {
    let remembered = try store.configuredPortNumbers()
    let reserved = Set(configuration.ports.compactMap(\.number))
    for request in requests {
      let taken = Set(ports.values.map(\.number))
      let before = remembered[request.name].flatMap { taken.contains($0) || reserved.contains($0) ? nil : $0 }
      let lowest = PortRequest.numbers.first { !taken.contains($0) && !reserved.contains($0) }
      guard let number = request.number ?? before ?? lowest, !taken.contains(number) else {
        let owner = ports.values.first { $0.number == request.number }?.name ?? "another port"
        logger.error(
          "a port of the configuration was left out: its number belongs to another port",
          metadata: ["port": "\(request.name)", "number": "\(request.number ?? 0)", "owner": "\(owner)"])
        troubles["configuration"] = "port \(request.name): number \(request.number ?? 0) is port \(owner)'s, which was added through the API"
        continue
      }
      if let owner = ports.values.first(where: { $0.request.interface == request.interface }) {
        logger.error(
          "a port of the configuration was left out: its interface belongs to another port",
          metadata: ["port": "\(request.name)", "interface": "\(request.interface)", "owner": "\(owner.name)"])
        troubles["configuration"] = "port \(request.name): interface \(request.interface) is port \(owner.name)'s, which was added through the API"
        continue
      }
      ports[request.name] = ManagedPort(request: request, number: number, origin: .configuration)
    }
    let chosen = ports.values.filter { $0.origin == .configuration && $0.request.number == nil }
    let numbers = Dictionary(uniqueKeysWithValues: chosen.map { ($0.name, $0.number) })
    if numbers != remembered { try store.setConfiguredPortNumbers(numbers) }
  }

  /// Removes what an agent that died left on interfaces which are no ports any more.
  func removeLeftovers(stored: [StoredPort]) {
    do {
      var socket = try NetlinkSocket(.route)
      let wanted = Set(configuration.ports.map(\.name)).union(stored.map(\.name))
      let wantedInterfaces = Set(configuration.ports.map(\.interface)).union(stored.map(\.interface))
      let links = try socket.links()
      for name in InternalPair.removeLeftovers(wanted: wanted, links: links, &socket) {
        logger.notice("removed the interface pair of an internal port that is gone", metadata: ["interface": "\(name)"])
      }
      let strangers = links.filter { link in
        link.xdp != nil && !wantedInterfaces.contains(link.name) && link.alias != InternalPair.alias
      }
      for leftover in try KernelTier.removeLeftovers(interfaceIndices: strangers.map { UInt32($0.index) }) {
        let name = links.first { UInt32($0.index) == leftover.interfaceIndex }?.name ?? "\(leftover.interfaceIndex)"
        logger.notice(
          "removed the XDP program that an earlier agent left", metadata: ["interface": "\(name)", "program": "\(leftover.program.id)"])
      }
    } catch {
      logger.warning("looking for what an earlier agent left failed", metadata: ["reason": "\(error)"])
    }
  }

  /// Opens a port that is not open, if its interface is there; what stands in the way becomes its condition.
  func bringUp(_ port: ManagedPort) {
    guard port.attachment == nil, !isDraining else { return }
    do {
      try attach(port)
      settle(port)
    } catch {
      let failure = error
      change(port, to: failure.kind == .missing ? .missing(failure.description) : .failed(failure.description))
    }
  }

  /// Takes a port out of the list and off its interface.
  func forget(_ port: ManagedPort) {
    let last = events.isWatched ? describe(port) : nil
    detach(port)
    removePair(of: port)
    ports[port.name] = nil
    logger.info("port deleted", metadata: ["port": "\(port.name)", "number": "\(port.number)"])
    guard let last else { return }
    announce(last, .deleted, "port \(port.name) was deleted")
  }

  // MARK: - Attaching

  /// Takes the interface and gives the port to the switch.
  func attach(_ port: ManagedPort) throws(PortFailure) {
    let link = try findLink(of: port)
    var taken: [(worker: Int, share: Int)] = []
    do {
      let attachment = try InterfaceAttachment.open(port.request, link: link, denyList: denyList) {
        let place = nextPlace(besides: port)
        taken.append((place.worker, place.share))
        return place
      }
      do {
        let queues = attachment.queues.map { WorkerQueue(worker: $0.worker, queue: $0.queue) }
        let (name, number, maxFrame) = (port.name, port.number, attachment.maxFrame)
        let isUp = attachment.link.isRunning
        _ = try onPlane { core in
          try core.addPort(name: name, number: number, queues: queues, maxFrame: maxFrame, isUp: isUp)
        }
        do {
          try attachment.connectSockets()
        } catch {
          try onPlane { core in try core.removePort(number) }
          throw error
        }
      } catch {
        _ = try? attachment.xdp.detach()
        attachment.restore()
        throw error
      }
      port.attachment = attachment
      if case .generic(let reason) = attachment.xdp.attachMode {
        logger.notice(
          "the driver does not run the port's XDP program, the network stack does: slower",
          metadata: ["port": "\(port.name)", "reason": "\(reason)"])
      }
    } catch {
      for place in taken { budgets[place.worker].giveBack(place.share) }
      if let failure = error as? PortFailure { throw failure }
      if case .tooManyPorts? = error as? SwitchPortError { throw .limit("port \(port.name): \(error)") }
      throw .refused("port \(port.name): \(error)")
    }
  }

  /// Takes the port from the switch and lets go of its interface, which becomes what it was. Counters are carried.
  func detach(_ port: ManagedPort) {
    guard let attachment = port.attachment else { return }
    port.attachment = nil
    if let counters = try? attachment.xdp.counters() { port.carriedXDP.add(counters) }
    do {
      try attachment.xdp.detach()
    } catch {
      logger.warning("the XDP program could not be taken off", metadata: ["port": "\(port.name)", "reason": "\(error)"])
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
    for queue in attachment.queues { budgets[queue.worker].giveBack(queue.share) }
    attachment.restore()
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

  /// Removes the veth pair of an internal port that is not to be. One that is wanted keeps it, even while it cannot be opened, because the
  /// host may have put addresses on its end.
  private func removePair(of port: ManagedPort) {
    guard port.request.kind == .internal else { return }
    do {
      var socket = try NetlinkSocket(.route)
      try InternalPair(hostName: port.name).remove(&socket)
    } catch {
      logger.warning(
        "the interface pair of an internal port could not be removed", metadata: ["port": "\(port.name)", "reason": "\(error)"])
    }
  }

  /// The worker with the fewest queues, and a share of its frames.
  private func nextPlace(besides newcomer: ManagedPort) -> QueuePlace {
    let worker = budgets.indices.min { budgets[$0].shares.count < budgets[$1].shares.count } ?? 0
    if budgets[worker].shareForOneMore() == nil { shrinkShares(of: worker, besides: newcomer) }
    let share = budgets[worker].shareForOneMore() ?? FrameBudget.smallestShare
    budgets[worker].take(share)
    return QueuePlace(worker: worker, memory: plane.workers[worker].memory, share: share)
  }

  /// Opens the queues of a worker again that have more frames than is fair by now. Their ports stand still for some milliseconds.
  private func shrinkShares(of worker: Int, besides newcomer: ManagedPort) {
    let fair = budgets[worker].fairShare(queues: budgets[worker].shares.count + 1)
    for port in portsInOrder where port !== newcomer {
      guard let queues = port.attachment?.queues, queues.contains(where: { $0.worker == worker && $0.share > fair }) else { continue }
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
      guard link.xdpPrograms.contains(where: { $0.programID == attachment.xdp.programID }) else {
        logger.warning("somebody took the port's XDP program off; attaching again", metadata: ["port": "\(port.name)"])
        detach(port)
        return bringUp(port)
      }
      let before = attachment.link
      attachment.link = link
      if port.request.mode == .shared { try attachment.tellHost(&socket) }
      if port.request.kind == .internal { port.hostEnd = InternalPair(hostName: port.name).hostEnd(&socket) }
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

  /// Says how an attached port is doing.
  func settle(_ port: ManagedPort) {
    guard let attachment = port.attachment else { return }
    let link = attachment.link
    if !link.isUp {
      change(port, to: .down("interface \(link.name) is down; bring it up with: ip link set dev \(link.name) up"))
    } else if !link.isRunning {
      let end = port.request.kind == .internal ? "its host side is down; bring it up with: ip link set dev \(port.name) up" : "its other end is down or unplugged"
      change(port, to: .down("interface \(link.name) has no carrier: \(end)"))
    } else if link.mtu > InterfaceAttachment.largestMTU {
      change(
        port,
        to: .degraded(
          "the MTU became \(link.mtu), more than AF_XDP carries here (\(InterfaceAttachment.largestMTU)): larger packets are lost; "
            + "lower it with: ip link set \(link.name) mtu \(InterfaceAttachment.largestMTU)"))
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

  // MARK: - Pieces

  private func change(_ port: ManagedPort, to condition: PortCondition) {
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

  private func announce(_ port: ManagedPort, _ kind: Sluice_V1_PortChange, _ message: String) {
    guard events.isWatched else { return }
    announce(describe(port), kind, message)
  }

  private func announce(_ port: Sluice_V1_Port, _ kind: Sluice_V1_PortChange, _ message: String) {
    var event = Sluice_V1_Event()
    event.unixNanoseconds = WallClock.nanoseconds()
    event.port.change = kind
    event.port.port = port
    event.port.message = message
    events.publish(event)
  }

  private func lowestFreeNumber() throws(PortFailure) -> UInt32 {
    let taken = Set(ports.values.map(\.number))
    guard let number = PortRequest.numbers.first(where: { !taken.contains($0) }) else {
      throw .limit("every port number from 1 to \(PortRequest.numbers.upperBound) is taken")
    }
    return number
  }
}
