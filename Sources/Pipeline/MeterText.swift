// MeterText.swift
//
// What: reads and writes meters in ovs-ofctl's syntax: `meter=1 pktps burst bands=type=drop rate=100 burst_size=10`.
// Invariant: what `text` writes is read back as the same meter. Hostile text is refused with a SyntaxError, never a trap.
// Threads: pure.
// Source: ovs-ofctl(8), "Meter Syntax".

import Dataplane

extension MeterSpec {
  /// Reads a meter.
  public init(text: String) throws(SyntaxError) {
    let line = TextPiece(text)
    var items = TextItems(line)
    var id: UInt32?
    var unit: TextPiece?
    var hasBurst = false
    var hasStats = false
    var reader = BandReader()
    var isInBands = false
    var perPacket = false
    while let item = items.nextField() {
      if isInBands {
        try reader.read(item)
        continue
      }
      switch item.key.string {
      case "meter": id = try Self.id(item)
      case "kbps", "pktps":
        guard item.value == nil else { throw item.whole.error("this word takes no value", expected: item.key.string) }
        guard unit == nil else { throw item.whole.error("the unit is given twice", expected: "kbps or pktps") }
        unit = item.key
        perPacket = item.key.equals("pktps")
      case "burst": hasBurst = true
      case "stats": hasStats = true
      case "bands", "band":
        isInBands = true
        guard let value = item.value, !value.isEmpty else { continue }
        // `bands=type=drop`: the value is the first item of the first band.
        guard let (key, kind) = value.split(at: UInt8(ascii: "=")) else {
          throw value.error("not a band", expected: "bands=type=drop rate=1000")
        }
        try reader.read(TextItem(key: key, value: kind, whole: value))
      default:
        throw item.key.error("not a word of a meter", expected: "meter, kbps, pktps, burst, stats or bands")
      }
    }
    guard let id else { throw line.error("the meter has no number", expected: "meter=1") }
    self.init(id: id, perPacket: perPacket, hasBurst: hasBurst, hasStats: hasStats, bands: try reader.finish(line))
    if !hasBurst, let band = bands.first(where: { $0.burst != 0 }) {
      throw line.error("a band has burst_size=\(band.burst), but the meter does not say burst", expected: "burst in front of bands=")
    }
  }

  private static func id(_ item: TextItem) throws(SyntaxError) -> UInt32 {
    guard let number = item.value?.number, (1...UInt64(largestID)).contains(number) else {
      throw item.whole.error("not the number of a meter", expected: "meter=1 to meter=\(largestID)")
    }
    return UInt32(number)
  }

  /// Writes the meter on one line.
  public var text: String {
    var words = ["meter=\(id)", perPacket ? "pktps" : "kbps"]
    if hasBurst { words.append("burst") }
    if hasStats { words.append("stats") }
    if !bands.isEmpty { words.append("bands=" + bands.map { $0.text(hasBurst: hasBurst) }.joined(separator: " ")) }
    return words.joined(separator: " ")
  }
}

extension MeterBand {
  /// Writes the band as it stands in a meter.
  func text(hasBurst: Bool) -> String {
    var text: String
    switch kind {
    case .drop: text = "type=drop rate=\(rate)"
    case .remarkDSCP(let precedence): text = "type=dscp_remark rate=\(rate) prec_level=\(precedence)"
    }
    if hasBurst { text += " burst_size=\(burst)" }
    return text
  }
}

/// Reads the items behind `bands=`; each `type=` begins a band.
private struct BandReader {
  private var bands: [MeterBand] = []
  private var kind: TextPiece?
  private var rate: UInt32?
  private var burst: UInt32 = 0
  private var precedence: UInt8 = 0

  mutating func read(_ item: TextItem) throws(SyntaxError) {
    let key = item.key.string
    guard let value = item.value, !value.isEmpty else {
      throw item.whole.error("no value is given", expected: "\(item.key.printable)=VALUE")
    }
    if key == "type" {
      try finishBand()
      guard value.equals("drop") || value.equals("dscp_remark") else {
        throw value.error("not a type of a band", expected: "drop or dscp_remark")
      }
      kind = value
      return
    }
    guard kind != nil else { throw item.whole.error("the band has no type", expected: "type=drop or type=dscp_remark first") }
    switch key {
    case "rate": rate = try number(item, value)
    case "burst_size": burst = try number(item, value)
    case "prec_level":
      let level = try number(item, value)
      guard level <= 3 else { throw value.error("not a step of drop precedence", expected: "0 to 3") }
      precedence = UInt8(level)
    default: throw item.key.error("not a word of a band", expected: "type, rate, burst_size or prec_level")
    }
  }

  private func number(_ item: TextItem, _ value: TextPiece) throws(SyntaxError) -> UInt32 {
    guard let number = value.number, number <= UInt64(UInt32.max) else {
      throw item.whole.error("not a number", expected: "0 to \(UInt32.max)")
    }
    return UInt32(number)
  }

  private mutating func finishBand() throws(SyntaxError) {
    guard let type = kind else { return }
    guard let rate else { throw type.error("the band has no rate", expected: "rate=NUMBER") }
    bands.append(
      MeterBand(
        kind: type.equals("drop") ? .drop : .remarkDSCP(precedence: precedence), rate: rate, burst: burst))
    kind = nil
    self.rate = nil
    burst = 0
    precedence = 0
  }

  mutating func finish(_ line: TextPiece) throws(SyntaxError) -> [MeterBand] {
    try finishBand()
    return bands
  }
}
