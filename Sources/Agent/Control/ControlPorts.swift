// ControlPorts.swift
//
// Ports: adding and deleting them on request, keeping them at what was asked for while interfaces come, go and change.
// Invariants: an interface is the port of at most one name; a number belongs to at most one port, the ones whose
//             interface is missing included.
// Threads: the control thread (see Control.swift).

import AgentAPI
import KernelTier
import Logging
import Netlink
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
      throw PortFailure.conflict(
        "port number \(number) is port \(owner.name)'s already; choose another or leave it to the agent")
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
        logger.error(
          "the store holds a port that this version does not understand; it is left out", metadata: ["port": "\(port.name)"]
        )
        troubles["store"] = "port \(port.name) in the store is not understood by this version"
        continue
      }
      if configuration.ports.contains(where: { $0.name == port.name }) {
        logger.notice(
          "a port is both in the configuration and in the store; the configuration counts",
          metadata: ["port": "\(port.name)"])
        try store.deletePort(named: port.name)
        continue
      }
      ports[port.name] = ManagedPort(request: request, number: port.number, origin: .operator)
    }
    try adoptConfigured(configuration.ports)
  }

  /// Adds ports of the configuration to the list, each with the number it says, the one it had before, or the lowest free
  /// one.
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
        troubles["configuration"] =
          "port \(request.name): number \(request.number ?? 0) is port \(owner)'s, which was added through the API"
        continue
      }
      if let owner = ports.values.first(where: { $0.request.interface == request.interface }) {
        logger.error(
          "a port of the configuration was left out: its interface belongs to another port",
          metadata: ["port": "\(request.name)", "interface": "\(request.interface)", "owner": "\(owner.name)"])
        troubles["configuration"] =
          "port \(request.name): interface \(request.interface) is port \(owner.name)'s, which was added through the API"
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
        !wantedInterfaces.contains(link.name) && link.alias != InternalPair.alias && link.alias != UpcallPair.alias
      }
      let programmed = strangers.filter { $0.xdp != nil }
      for leftover in try KernelTier.removeLeftovers(interfaceIndices: programmed.map { UInt32($0.index) }) {
        let name = links.first { UInt32($0.index) == leftover.interfaceIndex }?.name ?? "\(leftover.interfaceIndex)"
        logger.notice(
          "removed the XDP program that an earlier agent left",
          metadata: ["interface": "\(name)", "program": "\(leftover.program.id)"])
      }
      for link in strangers { putBack(on: link) }
      forgetChanges(except: links)
    } catch {
      logger.warning("looking for what an earlier agent left failed", metadata: ["reason": "\(error)"])
    }
  }

  /// Opens a port that is not open, if its interface is there; what stands in the way becomes its condition.
  func bringUp(_ port: ManagedPort, connects: Bool = true) {
    guard port.attachment == nil, !isDraining else { return }
    do {
      try attach(port, connects: connects)
      if connects { settle(port) }
    } catch {
      note(error, of: port)
    }
  }

  /// Lets frames come to a port that is open.
  func connectAtStart(_ port: ManagedPort) {
    do {
      try connect(port)
      settle(port)
    } catch {
      note(error, of: port)
    }
  }

  private func note(_ failure: PortFailure, of port: ManagedPort) {
    change(port, to: failure.kind == .missing ? .missing(failure.description) : .failed(failure.description))
  }

  /// Takes a port out of the list and off its interface.
  func forget(_ port: ManagedPort) {
    let last = events.isWatched ? describe(port) : nil
    if port.attachment == nil { putBack(onInterfaceOf: port) }
    detach(port)
    removePair(of: port)
    ports[port.name] = nil
    logger.info("port deleted", metadata: ["port": "\(port.name)", "number": "\(port.number)"])
    guard let last else { return }
    announce(last, .deleted, "port \(port.name) was deleted")
  }

  // MARK: - Pieces

  /// Removes the veth pair of an internal port that is not to be. One that is wanted keeps it, even while it cannot be
  /// opened, because the host may have put addresses on its end.
  func removePair(of port: ManagedPort) {
    guard port.request.kind == .internal else { return }
    do {
      var socket = try NetlinkSocket(.route)
      try InternalPair(hostName: port.name).remove(&socket)
    } catch {
      logger.warning(
        "the interface pair of an internal port could not be removed",
        metadata: ["port": "\(port.name)", "reason": "\(error)"])
    }
  }

  func announce(_ port: ManagedPort, _ kind: Sluice_V1_PortChange, _ message: String) {
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
