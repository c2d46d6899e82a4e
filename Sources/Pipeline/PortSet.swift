// PortSet.swift
//
// What: what the rules need to know of ports: number, index, name, and whether to send there.
// Invariants: numbers, names and indices are unique; an ordinary number is 1 to 65279, LOCAL is 65534.
// Threads: a value. The pipeline thread owns the current one; copies are given to those who parse rule text elsewhere.
// Cost: a look-up by number or name is one dictionary probe; flooding walks the ports in the order of their numbers.

import Dataplane

/// A port as the rules see it.
public struct SwitchPort: Hashable, Sendable {
  /// The OpenFlow number: what rules say.
  public let number: UInt32
  /// The index in the workers' tables: what flows say.
  public let index: PortIndex
  public let name: String
  /// False keeps every output away from the port.
  public var isUp: Bool
  /// True keeps `flood` and the flooding of `normal` away from the port; `all` still reaches it.
  public var noFlood: Bool

  public init(number: UInt32, index: PortIndex, name: String, isUp: Bool = true, noFlood: Bool = false) {
    self.number = number
    self.index = index
    self.name = name
    self.isUp = isUp
    self.noFlood = noFlood
  }
}

/// Why a port cannot be added.
public enum PortSetError: Error, Equatable, CustomStringConvertible {
  case badNumber(UInt32)
  case numberTaken(UInt32, by: String)
  case nameTaken(String)
  case indexTaken(PortIndex, by: String)

  public var description: String {
    switch self {
    case .badNumber(let number):
      "port number \(number): expected 1 to \(ReservedPort.largestOrdinary), or \(ReservedPort.local) for LOCAL"
    case .numberTaken(let number, let owner): "port number \(number) belongs to port \(owner) already; choose another"
    case .nameTaken(let name): "a port named \(name) is there already"
    case .indexTaken(let index, let owner): "port index \(index) belongs to port \(owner) already"
    }
  }
}

/// The ports of the switch.
public struct PortSet: Sendable {
  /// In the order of their numbers.
  public private(set) var ports: [SwitchPort] = []
  private var positionByNumber: [UInt32: Int] = [:]
  private var numberByName: [String: UInt32] = [:]

  public init() {}

  /// Adds a port.
  public mutating func insert(_ port: SwitchPort) throws(PortSetError) {
    guard (1...ReservedPort.largestOrdinary).contains(port.number) || port.number == ReservedPort.local else {
      throw .badNumber(port.number)
    }
    if let owner = self[port.number] { throw .numberTaken(port.number, by: owner.name) }
    guard numberByName[port.name] == nil else { throw .nameTaken(port.name) }
    if let owner = ports.first(where: { $0.index == port.index }) { throw .indexTaken(port.index, by: owner.name) }
    ports.insert(port, at: ports.firstIndex { $0.number > port.number } ?? ports.count)
    reindex()
  }

  /// Removes a port and returns it; nil when there is none of this number.
  @discardableResult
  public mutating func remove(_ number: UInt32) -> SwitchPort? {
    guard let position = positionByNumber[number] else { return nil }
    let port = ports.remove(at: position)
    reindex()
    return port
  }

  /// Says whether the port can be sent to. Does nothing when there is no such port.
  public mutating func setUp(_ number: UInt32, _ isUp: Bool) {
    guard let position = positionByNumber[number] else { return }
    ports[position].isUp = isUp
  }

  /// Says whether the port takes part in flooding. Does nothing when there is no such port.
  public mutating func setNoFlood(_ number: UInt32, _ noFlood: Bool) {
    guard let position = positionByNumber[number] else { return }
    ports[position].noFlood = noFlood
  }

  /// The port with a number.
  public subscript(number: UInt32) -> SwitchPort? { positionByNumber[number].map { ports[$0] } }

  /// The port with a name.
  public subscript(name: String) -> SwitchPort? { numberByName[name].flatMap { self[$0] } }

  /// The port with an index. Walks all ports.
  public func port(at index: PortIndex) -> SwitchPort? { ports.first { $0.index == index } }

  /// The lowest ordinary number that no port has; nil when all are taken.
  public var lowestFreeNumber: UInt32? {
    var candidate: UInt32 = 1
    for port in ports where port.number == candidate { candidate += 1 }
    return candidate <= ReservedPort.largestOrdinary ? candidate : nil
  }

  private mutating func reindex() {
    positionByNumber.removeAll(keepingCapacity: true)
    numberByName.removeAll(keepingCapacity: true)
    for (position, port) in ports.enumerated() {
      positionByNumber[port.number] = position
      numberByName[port.name] = port.number
    }
  }
}
