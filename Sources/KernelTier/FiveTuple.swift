// FiveTuple.swift
//
// Addresses, protocol and ports of the packets of a conversation, some of them left open: an entry of the early drop policy.
// Invariant: at least one address is named, and both are of one family; ports are named only with a protocol that has ports, or with none.
// Threads: values only.

import CSluice

/// Which packets a denied five-tuple means; nil stands for anything.
///
///     try FiveTuple("proto=tcp,src=192.0.2.1,dst=198.51.100.7,dport=80").description
public struct FiveTuple: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let source: IPAddress?
  public let destination: IPAddress?
  public let transport: UInt8?
  public let sourcePort: UInt16?
  public let destinationPort: UInt16?

  public var family: IPAddress.Family { (source ?? destination)?.family ?? .v4 }

  /// - Parameter transport: the protocol's number: 6 is TCP, 17 UDP.
  /// - Throws: `FiveTupleError`.
  public init(
    source: IPAddress? = nil, destination: IPAddress? = nil, transport: UInt8? = nil, sourcePort: UInt16? = nil,
    destinationPort: UInt16? = nil
  ) throws(FiveTupleError) {
    guard let family = (source ?? destination)?.family else { throw .noAddress }
    if let source, let destination, source.family != destination.family { throw .families(source: source, destination: destination) }
    if let transport {
      if sourcePort != nil || destinationPort != nil, !Self.withPorts.contains(transport) {
        throw .noPorts(transport: Self.name(of: transport))
      }
      if family == .v6, Self.extensions.contains(transport) { throw .extensionHeader(transport: transport) }
    }
    self.source = source
    self.destination = destination
    self.transport = transport
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
  }

  /// Reads `key=value` pieces separated by commas: `proto`, `src`, `dst`, `sport` and `dport`, each once at most.
  /// - Throws: `FiveTupleError`, which names the piece and what was expected.
  public init(_ text: String) throws(FiveTupleError) {
    var values: [String: String] = [:]
    for piece in text.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, Self.keys.contains(String(parts[0])) else { throw .notAPiece(value: String(piece)) }
      guard values.updateValue(String(parts[1]), forKey: String(parts[0])) == nil else { throw .twice(key: String(parts[0])) }
    }
    func address(_ key: String) throws(FiveTupleError) -> IPAddress? {
      guard let value = values[key] else { return nil }
      guard let address = IPAddress(value) else { throw .notAnAddress(key: key, value: value) }
      return address
    }
    func port(_ key: String) throws(FiveTupleError) -> UInt16? {
      guard let value = values[key] else { return nil }
      guard let port = Self.number(value, UInt16.self) else { throw .notAPort(key: key, value: value) }
      return port
    }
    var transport: UInt8?
    if let value = values["proto"] {
      guard let number = Self.names.first(where: { $0.name == value })?.number ?? Self.number(value, UInt8.self) else {
        throw .notAProtocol(value: value)
      }
      transport = number
    }
    try self.init(
      source: try address("src"), destination: try address("dst"), transport: transport, sourcePort: try port("sport"),
      destinationPort: try port("dport"))
  }

  /// The same text for equal tuples.
  public var description: String {
    var pieces: [String] = []
    if let transport { pieces.append("proto=\(Self.name(of: transport))") }
    if let source { pieces.append("src=\(source)") }
    if let destination { pieces.append("dst=\(destination)") }
    if let sourcePort { pieces.append("sport=\(sourcePort)") }
    if let destinationPort { pieces.append("dport=\(destinationPort)") }
    return pieces.joined(separator: ",")
  }

  /// IPv4 first, then by destination, source, protocol and ports; what is open comes before what is named.
  public static func < (left: FiveTuple, right: FiveTuple) -> Bool {
    guard left.family == right.family else { return left.family == .v4 }
    let zero = IPAddress.v4(0)
    if left.destination != right.destination { return (left.destination ?? zero) < (right.destination ?? zero) }
    if left.source != right.source { return (left.source ?? zero) < (right.source ?? zero) }
    func rest(_ tuple: FiveTuple) -> (Int, Int, Int) {
      (tuple.transport.map(Int.init) ?? -1, tuple.sourcePort.map(Int.init) ?? -1, tuple.destinationPort.map(Int.init) ?? -1)
    }
    return rest(left) < rest(right)
  }

  // MARK: Words

  static let keys: Set<String> = ["proto", "src", "dst", "sport", "dport"]
  private static let names: [(name: String, number: UInt8)] = [
    ("icmp", 1), ("tcp", 6), ("udp", 17), ("dccp", 33), ("gre", 47), ("esp", 50), ("icmp6", 58), ("sctp", 132), ("udplite", 136),
  ]
  /// As `sluice_protocol_has_ports` of BPF/policy.h.
  private static let withPorts: Set<UInt8> = [6, 17, 33, 132, 136]
  /// As `sluice_is_passed_over`: headers that are walked over to find the protocol.
  private static let extensions: Set<UInt8> = [0, 43, 44, 51, 60, 135, 139, 140]

  private static func name(of number: UInt8) -> String { names.first { $0.number == number }?.name ?? "\(number)" }

  /// Decimal digits alone; Int takes a sign, too.
  private static func number<Number: FixedWidthInteger>(_ text: String, _ type: Number.Type) -> Number? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Number(text) : nil
  }
}

/// Why a text or values are not a five-tuple; `description` is one sentence for a person.
public enum FiveTupleError: Error, Sendable, Equatable, CustomStringConvertible {
  case notAPiece(value: String)
  case twice(key: String)
  case notAnAddress(key: String, value: String)
  case notAPort(key: String, value: String)
  case notAProtocol(value: String)
  case noAddress
  case families(source: IPAddress, destination: IPAddress)
  case noPorts(transport: String)
  case extensionHeader(transport: UInt8)

  public var description: String {
    switch self {
    case .notAPiece(let value):
      "\(quotedForPeople(value)) is no piece of a five-tuple: expected proto=, src=, dst=, sport= or dport= with a value, such as "
        + "proto=tcp,src=192.0.2.1,dport=80"
    case .twice(let key): "a five-tuple names \(key) once at most"
    case .notAnAddress(let key, let value):
      "\(key)=\(quotedForPeople(value)) is no address: expected an IPv4 or IPv6 address without a length, such as 192.0.2.1"
    case .notAPort(let key, let value): "\(key)=\(quotedForPeople(value)) is no port: expected 0 to 65535"
    case .notAProtocol(let value):
      "proto=\(quotedForPeople(value)) is no protocol: expected tcp, udp, icmp, icmp6, sctp, dccp, udplite, gre, esp or a number from 0 to 255"
    case .noAddress: "a five-tuple needs src= or dst=: without an address it would drop the traffic of everybody"
    case .families(let source, let destination): "src=\(source) and dst=\(destination) are of different families: expected two of one"
    case .noPorts(let transport): "packets of protocol \(transport) have no ports: leave out sport= and dport=, or name tcp, udp or sctp"
    case .extensionHeader(let transport):
      "proto=\(transport) is an extension header of IPv6, which is passed over to find the protocol: name the protocol behind it"
    }
  }
}

/// A value as a person may see it on a terminal: no control characters, and not more than a line.
func quotedForPeople(_ value: String) -> String {
  let shown = value.unicodeScalars.prefix(64).map { $0.value >= 0x20 && $0.value < 0x7f ? String($0) : $0.escaped(asASCII: true) }
  return "\"" + shown.joined() + (value.unicodeScalars.count > 64 ? "..." : "") + "\""
}
