// FlowSummaryText.swift: what `sluicectl flow summary` prints.

import AgentAPI

extension Sluice_V1_FlowSummaryReply: Document {
  var document: JSON {
    [
      "flows": .unsigned(flows), "limit": .unsigned(limit), "masks": .unsigned(masks), "byTier": byTier.counts,
      "byTable": .array(byTable.map { ["table": .of($0.table), "flows": .unsigned($0.flows)] }),
      "byPort": .array(byPort.map { ["port": $0.name.isEmpty ? nil : .string($0.name), "flows": .unsigned($0.count)] }),
      "rulesByTable": .array(
        rulesByTable.map { ["table": .of($0.table), "rules": .unsigned($0.rules), "masks": .unsigned($0.masks)] }),
      "memoryBytes": .unsigned(memoryBytes), "idleSeconds": .number(idleSeconds),
      "masksInUse": .array(
        masksInUse.map { ["worker": .of($0.worker), "fields": .string($0.fields), "flows": .unsigned($0.flows)] }),
    ]
  }

  /// Masks that are shown to people; programs get all.
  private static let shownMasks = 16

  var text: String {
    let share = limit == 0 ? "" : " of at most \(limit) (\(Human.percent(Double(flows) / Double(limit))))"
    let each = flows == 0 ? "" : ", \(memoryBytes / flows) B a flow"
    var lines = [
      "Flows:    \(flows)\(share)" + (byTier.isEmpty ? "" : ": \(byTier.words)"),
      "Masks:    \(masks)",
      "Memory:   \(Human.bytes(memoryBytes))\(each)",
      "Idle:     forgotten after \(Human.decimal(idleSeconds, places: 1)) s without a packet",
    ]
    if !rulesByTable.isEmpty {
      let flowsOf = Dictionary(byTable.map { ($0.table, $0.flows) }, uniquingKeysWith: +)
      var table = Table([">table", ">rules", ">rule masks", ">flows"])
      for entry in rulesByTable {
        table.add(["\(entry.table)", "\(entry.rules)", "\(entry.masks)", "\(flowsOf[entry.table] ?? 0)"])
      }
      lines += ["", table.text(bold: Terminal.takesColour)]
    }
    if !byPort.isEmpty {
      var table = Table(["port", ">flows"])
      for entry in byPort { table.add([entry.name.isEmpty ? "any" : entry.name, "\(entry.count)"]) }
      lines += ["", table.text(bold: Terminal.takesColour)]
    }
    if !masksInUse.isEmpty {
      let busiest = masksInUse.sorted { ($1.flows, $0.worker, $0.fields) < ($0.flows, $1.worker, $1.fields) }
      var table = Table([">worker", ">flows", "mask"])
      for mask in busiest.prefix(Self.shownMasks) {
        table.add(["\(mask.worker)", "\(mask.flows)", mask.fields.isEmpty ? "any" : mask.fields])
      }
      lines += ["", table.text(bold: Terminal.takesColour)]
      if busiest.count > Self.shownMasks { lines.append("and \(Human.count(UInt64(busiest.count - Self.shownMasks), "mask")) more") }
    }
    return lines.joined(separator: "\n")
  }
}
