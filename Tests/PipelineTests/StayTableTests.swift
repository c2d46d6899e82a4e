// StayTableTests.swift
//
// What: the table of stays finds what was put into it, whatever came and went, as a dictionary does.

import Dataplane
import Testing

@testable import Pipeline

@Suite struct StayTableTests {
  @Test func aFlowWithoutAStayHasNone() {
    var table = StayTable()
    #expect(table[FlowHandle(worker: 3, slot: 70)] == nil)
    table[FlowHandle(worker: 3, slot: 70)] = nil
    #expect(table.entries.isEmpty)
  }

  @Test func itAnswersAsADictionaryDoes() throws {
    var random = SystemRandomNumberGenerator()
    var table = StayTable()
    var model: [FlowHandle: TierHandle] = [:]
    for step in 0..<20_000 {
      let flow = FlowHandle(worker: Int.random(in: 0..<3, using: &random), slot: UInt32.random(in: 1...200, using: &random))
      switch Int.random(in: 0..<3, using: &random) {
      case 0:
        table[flow] = nil
        model[flow] = nil
      default:
        let handle = TierHandle(rawValue: UInt32(step))
        table[flow] = TierStay(handle: handle, usedNanoseconds: 0)
        model[flow] = handle
      }
      let asked = FlowHandle(worker: Int.random(in: 0..<4, using: &random), slot: UInt32.random(in: 1...300, using: &random))
      #expect(table[asked]?.handle == model[asked])
    }
    #expect(table.entries.count == model.count)
    #expect(table.entries.allSatisfy { model[$0.flow] == $0.stay.handle })
  }
}
