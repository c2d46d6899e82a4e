// Documents.swift
//
// Which JSON keys and which words each message of sluice.v1 becomes. README.md lists the keys: they may be added, never
// renamed.

import AgentAPI

/// A message that has a JSON document of its own.
protocol Document {
  var document: JSON { get }
}

extension Sequence where Element: Document {
  var document: JSON { .array(map(\.document)) }
}

extension Sequence<Sluice_V1_NamedCount> {
  /// An object from names to counts.
  var counts: JSON { .object(map { .init(key: $0.name, value: .unsigned($0.count)) }) }

  /// "no rule matched 3, ttl expired 2"
  var words: String { map { "\($0.name) \($0.count)" }.joined(separator: ", ") }
}

extension Sluice_V1_GetStatusReply: Document {
  var document: JSON {
    [
      "ok": .bool(isOK), "version": .string(version), "gitCommit": .string(gitCommit), "pid": .of(pid),
      "uptimeSeconds": .unsigned(uptimeSeconds), "configFile": .string(configFile), "socket": .string(socket),
      "store": .string(store), "workers": .of(workers),
      "ports": .object(portsByState.map { .init(key: $0.state.word, value: .of($0.count)) }),
      "rules": .unsigned(rules), "groups": .unsigned(groups), "meters": .unsigned(meters), "flows": .unsigned(flows),
      "denyPrefixes": .unsigned(denyPrefixes), "denyTuples": .unsigned(denyTuples), "limits": .unsigned(limits),
      "rxPackets": .unsigned(received.packets), "rxBytes": .unsigned(received.bytes),
      "txPackets": .unsigned(transmitted.packets), "txBytes": .unsigned(transmitted.bytes),
      "dropped": .unsigned(droppedPackets), "drops": drops.counts, "rssBytes": .unsigned(rssBytes),
      "components": .array(
        components.map { ["name": .string($0.name), "ok": .bool($0.ok), "message": .string($0.message)] }),
    ]
  }

  /// Whether every component does its duty.
  var isOK: Bool { components.allSatisfy(\.ok) }
}

extension Sluice_V1_Port: Document {
  var document: JSON {
    [
      "name": .string(name), "number": .of(number), "kind": .string(kind.word), "interface": .string(interface),
      "ifindex": .of(ifindex), "mode": .string(mode.word), "state": .string(state.word),
      "stateMessage": .string(stateMessage), "linkUp": .bool(linkUp), "adminUp": .bool(adminUp), "mtu": .of(mtu),
      "maxMtu": .of(maxMtu), "mac": .string(mac),
      "xdpMode": xdpMode == .unspecified ? nil : .string(xdpMode.word), "xdpModeReason": .string(xdpModeReason),
      "queues": .array(queues.map(\.document)), "offloadNotes": .array(offloadNotes.map(JSON.string)),
      "rxPackets": .unsigned(counters.received.packets), "rxBytes": .unsigned(counters.received.bytes),
      "txPackets": .unsigned(counters.transmitted.packets), "txBytes": .unsigned(counters.transmitted.bytes),
      "dropped": .unsigned(counters.droppedPackets), "drops": counters.drops.counts, "xdpCounters": xdpCounters.counts,
      "hook": hook == .unspecified ? nil : .string(hook.word),
      "kernel": placement == .unspecified ? nil : .string(placement.word),
      "kernelRxPackets": .unsigned(kernelReceived.packets), "kernelRxBytes": .unsigned(kernelReceived.bytes),
      "kernelTxPackets": .unsigned(kernelTransmitted.packets), "kernelTxBytes": .unsigned(kernelTransmitted.bytes),
    ]
  }
}

extension Sluice_V1_PortQueue: Document {
  var document: JSON {
    [
      "queue": .of(queue), "worker": .of(worker), "zeroCopy": .bool(zeroCopy), "copyReason": .string(copyReason),
      "restarts": .unsigned(restarts), "counters": socketCounters.counts,
    ]
  }
}

extension Sluice_V1_Rule: Document {
  var document: JSON {
    [
      "table": .of(table), "priority": .of(priority), "cookie": .string("0x" + Hex.text(cookie)), "match": .string(match),
      "actions": .string(actions), "packets": .unsigned(matched.packets), "bytes": .unsigned(matched.bytes),
      "durationSeconds": .unsigned(durationSeconds), "idleSeconds": hasIdleSeconds ? .unsigned(idleSeconds) : nil,
      "idleTimeoutSeconds": .of(idleTimeoutSeconds), "hardTimeoutSeconds": .of(hardTimeoutSeconds),
      "flags": .array(flags.map(JSON.string)), "text": .string(text),
    ]
  }
}

extension Sluice_V1_Flow: Document {
  var document: JSON {
    [
      "id": .unsigned(id), "worker": .of(worker), "match": .string(match), "actions": .string(actions),
      "packets": .unsigned(matched.packets), "bytes": .unsigned(matched.bytes),
      "ageMilliseconds": .unsigned(ageMilliseconds), "idleMilliseconds": .unsigned(idleMilliseconds),
      "tier": .string(tier.word),
      "rule": ruleFound
        ? ["priority": .of(rulePriority), "cookie": .string("0x" + Hex.text(ruleCookie))] : nil,
      "rules": .array(
        rules.map {
          ["table": .of($0.table), "priority": .of($0.priority), "cookie": .string("0x" + Hex.text($0.cookie))]
        }),
    ]
  }
}

extension Sluice_V1_TraceReply: Document {
  var document: JSON {
    [
      "packet": .string(packet),
      "steps": .array(
        steps.map {
          [
            "table": .of($0.table), "rule": $0.rule.isEmpty ? nil : .string($0.rule), "actions": .string($0.actions),
            "notes": .array($0.notes.map(JSON.string)),
          ]
        }),
      "fields": .array(fields.map { ["match": .string($0.match), "reason": .string($0.reason)] }),
      "actions": .string(actions), "flow": .string(flow), "verdict": .string(verdict),
    ]
  }
}

extension Sluice_V1_DenyEntry: Document {
  var document: JSON {
    [
      "prefix": prefix.isEmpty ? nil : .string(prefix), "tuple": tuple.isEmpty ? nil : .string(tuple),
      "packets": .unsigned(dropped.packets), "bytes": .unsigned(dropped.bytes),
    ]
  }
}

extension Sluice_V1_LimitEntry: Document {
  var document: JSON {
    [
      "prefix": .string(limit.prefix), "packetsPerSecond": .unsigned(limit.packetsPerSecond), "burst": .of(limit.burst),
      "passedPackets": .unsigned(passed.packets), "passedBytes": .unsigned(passed.bytes),
      "droppedPackets": .unsigned(dropped.packets), "droppedBytes": .unsigned(dropped.bytes),
    ]
  }
}

extension Sluice_V1_Worker: Document {
  var document: JSON {
    [
      "id": .of(id), "cpu": cpu < 0 ? nil : .integer(Int64(cpu)), "mode": .string(modeWord), "state": .string(state.word),
      "packets": .unsigned(packets), "batches": .unsigned(batches), "cyclesPerPacket": .number(cyclesPerPacket),
      "stages": .array(
        stages.map {
          [
            "name": .string($0.name), "cycles": .unsigned($0.cycles), "packets": .unsigned($0.packets),
            "cyclesPerPacket": .number($0.cyclesPerPacket),
          ]
        }),
      "exactHits": .unsigned(exactHits), "classifierHits": .unsigned(classifierHits), "misses": .unsigned(misses),
      "upcalls": .unsigned(upcalls), "masks": .of(masks), "flows": .of(flows), "framesFree": .of(framesFree),
      "framesTotal": .of(framesTotal), "sleeps": .unsigned(sleeps), "cpuShare": .number(cpuShare),
      "queues": .array(queues.map { ["port": .string($0.port), "queue": .of($0.queue)] }),
    ]
  }

  var modeWord: String { busy ? "busy" : "adaptive" }
}

extension Sluice_V1_FdbEntry: Document {
  var document: JSON {
    [
      "port": .string(port), "portNumber": .of(portNumber), "vlan": .of(vlan), "mac": .string(mac),
      "ageSeconds": .unsigned(ageSeconds),
    ]
  }
}
