// PipelineSupport.swift
//
// What: what the pipeline's tests share: a seeded generator, packets described in rule text, tables built from rule lines.

import Dataplane
import Pipeline
import Testing

/// SplitMix64: a seed printed by a failing test replays it.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

/// The key of a packet described in rule text: `in_port=1,tcp,nw_src=10.0.0.1`.
func packet(_ text: String) throws -> FlowKey { try FlowMatch(text: text).key }

/// A table of rules, each a line.
func table(_ lines: String...) throws -> RuleTable {
  let table = RuleTable()
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
