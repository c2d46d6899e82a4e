// PortSection.swift
//
// A port as somebody asks for it, in the file (an element of `ports`) or through the API: the same words, the same rules.
// Invariants: name and interface name are valid; the number, when given, is an OpenFlow port number; queues are distinct
//             and ascending.
// Threads: values.

/// What a port is.
public enum PortKind: String, Sendable, CaseIterable {
  /// A network interface, reached over AF_XDP.
  case netdev
  /// An interface that gives the host itself a leg in the switch.
  case `internal`
}

/// Whose the frames of the interface are.
public enum PortMode: String, Sendable, CaseIterable {
  /// All of them the switch's.
  case dedicated
  /// Those for the host's own addresses are the host's.
  case shared
}

/// A port as asked for.
public struct PortRequest: Sendable, Hashable {
  public var name: String
  public var kind: PortKind
  public var interface: String
  public var mode: PortMode
  /// nil leaves the choice to the agent.
  public var number: UInt32?
  /// Empty means all queues of the interface.
  public var queues: [UInt32]
  /// nil means as the configuration says for all ports.
  public var placement: PortPlacement?
  public var hook: PortHook

  public init(
    name: String, kind: PortKind = .netdev, interface: String? = nil, mode: PortMode = .dedicated, number: UInt32? = nil,
    queues: [UInt32] = [], placement: PortPlacement? = nil, hook: PortHook = .auto
  ) {
    self.name = name
    self.kind = kind
    self.interface = interface ?? name
    self.mode = mode
    self.number = number
    self.queues = queues
    self.placement = placement
    self.hook = hook
  }

  /// Why a port cannot be served by tc, as the rest of a sentence; nil when it can.
  var flawOfTC: String? {
    guard hook == .tc else { return nil }
    if mode == .shared { return "a shared port is served by XDP; leave the hook out, or make the port dedicated" }
    if !queues.isEmpty { return "tc sees all queues; leave the queues out" }
    return nil
  }

  /// OpenFlow reserves what is above (OFPP_MAX is 0xff00; 0 is no port).
  public static let numbers: ClosedRange<UInt32> = 1...0xFEFF
  public static let longestName = 15
  /// An internal port's switch side is named NAME.sw, which must fit into an interface name too.
  public static let longestInternalName = 12

  /// What is wrong with a name, as the rest of a sentence that begins with the name; nil when nothing is.
  public static func flaw(ofName name: String) -> String? {
    let allowed = name.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || byte == 0x2D || byte == 0x5F || byte == 0x2E
    }
    guard allowed, (1...longestName).contains(name.utf8.count), name != ".", name != ".." else {
      return "expected 1 to \(longestName) characters out of letters, digits, '-', '_' and '.'"
    }
    // A number would be taken for a port number wherever a port can be named by either.
    guard name.utf8.contains(where: { !(0x30...0x39).contains($0) }) else {
      return "expected a name with at least one character that is no digit, because ports are also named by their number"
    }
    return nil
  }
}

extension PortRequest {
  static let keys = ["name", "interface", "kind", "mode", "number", "queues", "kernel", "hook"]

  /// Reads an element of `ports`; nil when it is too wrong to be a port.
  init?(_ node: ConfigurationNode) {
    guard let values = node.mapping(keys: Self.keys) else { return nil }
    guard let nameNode = values["name"] else {
      node.problem("key 'name' is missing; expected the name of the port")
      return nil
    }
    guard let name = nameNode.text() else { return nil }
    if let flaw = Self.flaw(ofName: name) { nameNode.problem("\"\(name)\" cannot name a port: \(flaw)") }
    self.init(name: name)

    if let value = values["kind"], let kind = value.choice(PortKind.self) { self.kind = kind }
    if let value = values["interface"], let text = value.text() {
      if let flaw = Self.flaw(ofName: text) { value.problem("\"\(text)\" cannot name an interface: \(flaw)") }
      if kind == .internal, text != name {
        value.problem("an internal port makes its own interface, which is named like the port; leave this key out")
      }
      interface = text
    }
    if kind == .internal, name.utf8.count > Self.longestInternalName {
      nameNode.problem(
        "\"\(name)\" has \(name.utf8.count) characters, an internal port's name may have \(Self.longestInternalName)")
    }
    if let value = values["mode"], let mode = value.choice(PortMode.self) {
      self.mode = mode
      if kind == .internal, mode == .shared {
        value.problem("an internal port is always dedicated; leave this key out")
      }
    }
    if let value = values["number"] {
      number = value.integer(in: Int(Self.numbers.lowerBound)...Int(Self.numbers.upperBound)).map(UInt32.init)
    }
    if let value = values["queues"], let elements = value.elements() {
      for element in elements {
        guard let queue = element.integer(in: 0...1023).map(UInt32.init) else { continue }
        if queues.contains(queue) { element.problem("queue \(queue) is given twice") } else { queues.append(queue) }
      }
      queues.sort()
    }
    if let value = values["kernel"], let placement = value.choice(PortPlacement.self) { self.placement = placement }
    if let value = values["hook"], let hook = value.choice(PortHook.self) {
      self.hook = hook
      if let flaw = flawOfTC { value.problem(flaw) }
    }
  }
}
