// MACTableTests.swift
//
// What: learning, moving, aging and forgetting of stations; and the set of ports.

import Pipeline
import TestSupport
import Testing

private let a = Station(vlan: 0, mac: 0x0200_0000_000a)
private let b = Station(vlan: 0, mac: 0x0200_0000_000b)
private let c = Station(vlan: 0, mac: 0x0200_0000_000c)

@Suite struct MACTableTests {
  @Test func aStationIsLearnedMovedAndRefreshed() {
    let table = MACTable()
    #expect(table.learn(a, port: 1, nowNanoseconds: 1) == .added(evicted: nil))
    #expect(table.learn(a, port: 1, nowNanoseconds: 2) == .none)
    #expect(table.learn(a, port: 2, nowNanoseconds: 3) == .moved(from: 1))
    #expect(table.port(of: a) == 2)
    #expect(table.entries.map(\.station) == [a])
    #expect(table.entries.map(\.port) == [2])
    #expect(table.entries.map(\.lastSeenNanoseconds) == [3])
  }

  @Test func vlansAreApart() {
    let table = MACTable()
    let other = Station(vlan: 7, mac: a.mac)
    _ = table.learn(a, port: 1, nowNanoseconds: 1)
    #expect(table.port(of: other) == nil)
    #expect(table.learn(other, port: 2, nowNanoseconds: 2) == .added(evicted: nil))
    #expect(table.port(of: a) == 1)
  }

  @Test func multicastSourcesAreNotLearned() {
    let table = MACTable()
    #expect(table.learn(Station(vlan: 0, mac: 0xffff_ffff_ffff), port: 1, nowNanoseconds: 1) == .none)
    #expect(table.learn(Station(vlan: 0, mac: 0x0100_5e00_0001), port: 1, nowNanoseconds: 1) == .none)
    #expect(table.count == 0)
  }

  @Test func aFullTableForgetsTheStationSeenLongestAgo() {
    let table = MACTable(capacity: 2)
    _ = table.learn(a, port: 1, nowNanoseconds: 1)
    _ = table.learn(b, port: 1, nowNanoseconds: 2)
    _ = table.learn(a, port: 1, nowNanoseconds: 3)
    #expect(table.learn(c, port: 1, nowNanoseconds: 4) == .added(evicted: b))
    #expect(table.count == 2)
    #expect(table.port(of: b) == nil)
    #expect(table.port(of: a) == 1)
  }

  @Test func stationsNotSeenForLongAreForgotten() {
    let table = MACTable()
    _ = table.learn(a, port: 1, nowNanoseconds: 10)
    _ = table.learn(b, port: 1, nowNanoseconds: 20)
    _ = table.learn(a, port: 1, nowNanoseconds: 30)
    #expect(table.removeSeenBefore(25) == [b])
    #expect(table.removeSeenBefore(25) == [])
    #expect(table.removeSeenBefore(31) == [a])
    #expect(table.count == 0)
  }

  @Test func flushingTakesAPortAVlanOrAll() {
    let table = MACTable()
    let tagged = Station(vlan: 7, mac: a.mac)
    for (station, port) in [(a, UInt32(1)), (b, 2), (c, 2), (tagged, 1)] {
      _ = table.learn(station, port: port, nowNanoseconds: 1)
    }
    #expect(Set(table.flush(port: 2)) == [b, c])
    #expect(table.flush(port: 1, vlan: 7) == [tagged])
    #expect(table.flush() == [a])
    #expect(table.entries.isEmpty)
  }

  @Test func slotsAreUsedAgain() {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    let table = MACTable(capacity: 50)
    var model: [(Station, UInt64)] = []
    for now in UInt64(1)...5_000 {
      let station = Station(vlan: 0, mac: UInt64.random(in: 0..<80, using: &random))
      let change = table.learn(station, port: 1, nowNanoseconds: now)
      let known = model.contains { $0.0 == station }
      model.removeAll { $0.0 == station }
      model.append((station, now))
      if model.count > 50 {
        #expect(change == .added(evicted: model.removeFirst().0), "seed \(seed)")
      } else {
        #expect(change == (known ? .none : .added(evicted: nil)), "seed \(seed)")
      }
      if now % 97 == 0 {
        let gone = table.removeSeenBefore(now - 40)
        #expect(gone == model.filter { $0.1 < now - 40 }.map(\.0), "seed \(seed)")
        model.removeAll { $0.1 < now - 40 }
      }
    }
    #expect(table.count == model.count)
  }
}

@Suite struct PortSetTests {
  @Test func portsAreFoundByNumberNameAndIndex() {
    let ports = portSet(3)
    #expect(ports[2]?.name == "eth2")
    #expect(ports["eth3"]?.number == 3)
    #expect(ports.port(at: 11)?.number == 1)
    #expect(ports[4] == nil)
    #expect(ports["eth4"] == nil)
  }

  @Test func whatIsTakenIsRefused() {
    var ports = portSet(2)
    func message(_ number: UInt32, _ index: UInt16, _ name: String) -> String {
      do {
        try ports.insert(SwitchPort(number: number, index: index, name: name))
        return "accepted"
      } catch { return error.description }
    }
    #expect(message(1, 50, "x") == "port number 1 belongs to port eth1 already; choose another")
    #expect(message(9, 50, "eth2") == "a port named eth2 is there already")
    #expect(message(9, 12, "x") == "port index 12 belongs to port eth2 already")
    #expect(message(0, 50, "x") == "port number 0: expected 1 to 65279, or 65534 for LOCAL")
    #expect(message(65535, 50, "x") == "port number 65535: expected 1 to 65279, or 65534 for LOCAL")
    #expect(message(65534, 50, "x") == "accepted")
  }

  @Test func theLowestFreeNumberIsFound() {
    var ports = portSet(3)
    #expect(ports.lowestFreeNumber == 4)
    ports.remove(2)
    #expect(ports.lowestFreeNumber == 2)
    #expect(ports["eth2"] == nil)
    #expect(ports["eth3"]?.number == 3)
  }
}
