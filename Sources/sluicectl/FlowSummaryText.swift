// FlowSummaryText.swift: what `sluicectl flow summary` prints.

import AgentAPI

extension Sluice_V1_FlowSummaryReply: Document {
  var document: JSON {
    [
      "flows": .unsigned(flows), "plans": .unsigned(plans), "masks": .unsigned(masks), "dropping": .unsigned(dropping),
      "memoryBytes": .unsigned(memoryBytes), "setUps": .unsigned(setUps), "uncached": .unsigned(uncached),
      "widened": .unsigned(widened), "byTier": byTier.counts,
      "tables": .array(
        tables.map {
          [
            "table": .of($0.table), "rules": .unsigned($0.rules), "ruleMasks": .unsigned($0.ruleMasks),
            "flows": .unsigned($0.flows),
          ]
        }),
      "ports": .array(
        ports.map {
          [
            "port": .string($0.port), "number": .of($0.number), "flows": .unsigned($0.flows), "masks": .unsigned($0.masks),
          ]
        }),
      "workers": .array(
        workers.map {
          [
            "worker": .of($0.worker), "flows": .unsigned($0.flows), "masks": .unsigned($0.masks), "limit": .unsigned($0.limit),
            "capacity": .unsigned($0.capacity), "idleSeconds": .number($0.idleSeconds),
          ]
        }),
    ]
  }

  var text: String {
    let each = flows == 0 ? "" : ", \(memoryBytes / flows) B a flow"
    let dropped = dropping == 0 ? "" : ", \(dropping) of them drop"
    var lines = [
      "Flows:    \(flows)\(dropped), with \(Human.count(plans, "different answer"))",
      "Masks:    \(masks)" + (widened == 0 ? "" : ", \(Human.count(widened, "flow")) widened to keep them few"),
      "Memory:   \(Human.bytes(memoryBytes))\(each)",
      "Made:     \(setUps) since the agent started"
        + (uncached == 0 ? "" : ", \(Human.count(uncached, "packet")) answered without one for lack of room"),
      "Tier:     " + (byTier.isEmpty ? "none in use" : byTier.words),
    ]
    let bold = Terminal.takesColour
    if !tables.isEmpty {
      var table = Table([">table", ">rules", ">rule masks", ">flows"])
      for entry in tables { table.add(["\(entry.table)", "\(entry.rules)", "\(entry.ruleMasks)", "\(entry.flows)"]) }
      lines += ["", table.text(bold: bold)]
    }
    if !ports.isEmpty {
      var table = Table([">port", "name", ">flows", ">masks"])
      for entry in ports { table.add(["\(entry.number)", entry.port, "\(entry.flows)", "\(entry.masks)"]) }
      lines += ["", table.text(bold: bold)]
    }
    var table = Table([">worker", ">flows", ">masks", ">limit", ">capacity", ">idle"])
    for entry in workers {
      table.add([
        "\(entry.worker)", "\(entry.flows)", "\(entry.masks)", "\(entry.limit)", "\(entry.capacity)",
        Human.decimal(entry.idleSeconds, places: 1) + "s",
      ])
    }
    lines += ["", table.text(bold: bold)]
    return lines.joined(separator: "\n")
  }
}
