// PortWords.swift
//
// A port request in the words of the store and of the API, and back.
// Invariant: what is written to the store is read back as the same request.
// Threads: values.

import AgentAPI
import Store

extension PortRequest {
  /// - Returns: nil when the store's words are not of this version.
  init?(_ port: StoredPort) {
    guard let kind = PortKind(rawValue: port.kind), let mode = PortMode(rawValue: port.mode),
      let hook = PortHook(rawValue: port.hook)
    else { return nil }
    let placement = PortPlacement(rawValue: port.placement)
    guard placement != nil || port.placement.isEmpty else { return nil }
    self.init(
      name: port.name, kind: kind, interface: port.interface, mode: mode, number: port.number, queues: port.queues,
      placement: placement, hook: hook)
  }

  /// - Throws: `PortFailure.invalid` with what was expected.
  init(_ request: Sluice_V1_AddPortRequest) throws(PortFailure) {
    if let flaw = Self.flaw(ofName: request.name) { throw .invalid("\"\(request.name)\" cannot name a port: \(flaw)") }
    self.init(name: request.name, number: request.number == 0 ? nil : request.number)
    switch request.kind {
    case .unspecified, .netdev: kind = .netdev
    case .internal: kind = .internal
    case .UNRECOGNIZED(let value): throw .invalid("port kind \(value) is not known to this version")
    }
    switch request.mode {
    case .unspecified, .dedicated: mode = .dedicated
    case .shared: mode = .shared
    case .UNRECOGNIZED(let value): throw .invalid("port mode \(value) is not known to this version")
    }
    if !request.interface.isEmpty {
      if let flaw = Self.flaw(ofName: request.interface) {
        throw .invalid("\"\(request.interface)\" cannot name an interface: \(flaw)")
      }
      interface = request.interface
    }
    if kind == .internal {
      guard interface == name else {
        throw .invalid(
          "port \(name): an internal port makes its own interface, which is named like the port; leave the interface out")
      }
      guard mode == .dedicated else {
        throw .invalid("port \(name): an internal port is always dedicated; leave the mode out")
      }
      guard name.utf8.count <= Self.longestInternalName else {
        throw .invalid(
          "\"\(name)\" has \(name.utf8.count) characters; an internal port's name may have \(Self.longestInternalName), because its other end is named \(name)\(InternalPair.suffix)"
        )
      }
    }
    if let number, !Self.numbers.contains(number) {
      throw .invalid("port number \(number): expected \(Self.numbers.lowerBound) to \(Self.numbers.upperBound)")
    }
    let distinct = Set(request.queues)
    guard distinct.count == request.queues.count else { throw .invalid("port \(name): a queue is given twice") }
    queues = distinct.sorted()
    switch request.placement {
    case .unspecified: break
    case .off: placement = .off
    case .auto: placement = .auto
    case .eager: placement = .eager
    case .UNRECOGNIZED(let value): throw .invalid("placement \(value) is not known to this version")
    }
    switch request.hook {
    case .unspecified: break
    case .xdp: hook = .xdp
    case .tc: hook = .tc
    case .UNRECOGNIZED(let value): throw .invalid("port hook \(value) is not known to this version")
    }
    if let flawOfTC { throw .invalid("port \(name): \(flawOfTC)") }
  }
}

extension ManagedPort {
  /// As the store keeps it.
  var stored: StoredPort {
    StoredPort(
      name: name, number: number, kind: request.kind.rawValue, interface: request.interface, mode: request.mode.rawValue,
      queues: request.queues, placement: request.placement?.rawValue ?? "", hook: request.hook.rawValue)
  }

  /// True when the port is exactly what is asked for; a request without a number takes any.
  func isAsAsked(_ asked: PortRequest) -> Bool {
    asked.kind == request.kind && asked.interface == request.interface && asked.mode == request.mode
      && asked.queues == request.queues && asked.placement == request.placement && asked.hook == request.hook
      && (asked.number == nil || asked.number == number)
  }

  /// What it is, for a message about a conflict.
  var summary: String {
    var words = "number \(number), \(request.kind.rawValue) on \(request.interface), \(request.mode.rawValue)"
    if !request.queues.isEmpty { words += ", queues \(request.queues.map(String.init).joined(separator: ","))" }
    if let placement = request.placement { words += ", kernel \(placement.rawValue)" }
    if request.hook != .auto { words += ", hook \(request.hook.rawValue)" }
    return words
  }
}
