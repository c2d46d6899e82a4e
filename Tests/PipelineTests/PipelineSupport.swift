// PipelineSupport.swift
//
// What: what the pipeline's tests share: packets described in rule text, tables built from rule lines.

import Dataplane
import Pipeline
import Testing

/// The key of a packet described in rule text: `in_port=1,tcp,nw_src=10.0.0.1`.
func packet(_ text: String) throws -> FlowKey { try FlowMatch(text: text).key }

/// A table of rules, each a line.
func table(_ lines: String...) throws -> RuleTables {
  let table = RuleTables()
  for line in lines { table.add(try Rule(text: line)) }
  return table
}

/// Ports 1 to `count`, all up, named eth1 and so on, with the indices 11 and so on.
func portSet(_ count: UInt32, down: Set<UInt32> = [], noFlood: Set<UInt32> = []) -> PortSet {
  var ports = PortSet()
  for number in 1...count {
    let port = SwitchPort(
      number: number, index: PortIndex(10 + number), name: "eth\(number)", isUp: !down.contains(number),
      noFlood: noFlood.contains(number))
    do { try ports.insert(port) } catch { Issue.record("\(error)") }
  }
  return ports
}

/// The fields that a translation looked at, in rule text.
func looked(_ translation: Translation, _ key: FlowKey) -> String { FlowMatch(key, translation.mask).text() }
