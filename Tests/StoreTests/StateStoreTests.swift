// StateStoreTests.swift
//
// The store on real files in a temporary folder: what survives, what is refused and what is left untouched.

import Foundation
import Testing

@testable import Store

@Suite struct StateStoreTests {
  let folder = TemporaryFolder()
  var path: String { folder.path + "/deep/er/sluice.db" }

  static let web = StoredRule(priority: 100, cookie: .max, match: "tcp,tp_dst=80", actions: "output:2")
  static let normal = StoredRule(priority: 0, cookie: 0, match: "", actions: "NORMAL")

  @Test func everythingIsThereAfterClosingAndOpeningAgain() throws {
    let port = StoredPort(name: "eth1", number: 7, kind: "netdev", interface: "ens3", mode: "shared", queues: [0, 3])
    do {
      let store = try StateStore.open(path: path)
      try store.putPort(port)
      try store.putRules([Self.web, Self.normal])
      try store.addDenyPrefixes(["2001:db8::/32", "10.0.0.0/8"])
      try store.setConfiguredPortNumbers(["a": 1, "b": 2])
      store.close()
    }
    let store = try StateStore.open(path: path)
    #expect(try store.ports() == [port])
    #expect(try store.rules() == [Self.web, Self.normal])
    #expect(try store.denyPrefixes() == ["10.0.0.0/8", "2001:db8::/32"])
    #expect(try store.configuredPortNumbers() == ["a": 1, "b": 2])
    #expect(try store.rulesAreOperators())
  }

  @Test func rulesBelongToTheConfigurationUntilTheFirstChange() throws {
    let store = try StateStore.open(path: path)
    #expect(try store.rulesAreOperators() == false)
    try store.deleteRules([Self.normal.identity], alsoKeeping: [Self.normal, Self.web])
    #expect(try store.rulesAreOperators())
    #expect(try store.rules() == [Self.web])
    // From then on the configuration's rules are not mixed in again.
    try store.putRules([Self.web], alsoKeeping: [Self.normal])
    #expect(try store.rules() == [Self.web])
  }

  @Test func aRuleOfTheSameIdentityReplacesActionsAndCookie() throws {
    let store = try StateStore.open(path: path)
    try store.putRules([Self.web])
    var other = Self.web
    other.actions = "drop"
    other.cookie = 5
    try store.putRules([other])
    #expect(try store.rules() == [other])
  }

  @Test func undoPutsBackWhatAChangeReplaced() throws {
    let store = try StateStore.open(path: path)
    let first = try store.putRules([Self.web], alsoKeeping: [Self.normal])
    var other = Self.web
    other.actions = "drop"
    let change = try store.putRules([other, StoredRule(priority: 1, cookie: 0, match: "ip", actions: "drop")])
    try store.undo(change)
    #expect(try Set(store.rules()) == [Self.web, Self.normal])
    let deletion = try store.deleteRules([Self.web.identity])
    #expect(try store.rules() == [Self.normal])
    try store.undo(deletion)
    #expect(try Set(store.rules()) == [Self.web, Self.normal])
    try store.undo(first)
    #expect(try store.rules() == [])
    #expect(try store.rulesAreOperators() == false)
  }

  @Test func twoPortsCannotHaveOneNumber() throws {
    let store = try StateStore.open(path: path)
    try store.putPort(StoredPort(name: "a", number: 1, kind: "netdev", interface: "a", mode: "dedicated", queues: []))
    #expect(throws: StoreError.self) {
      try store.putPort(StoredPort(name: "b", number: 1, kind: "netdev", interface: "b", mode: "dedicated", queues: []))
    }
    #expect(try store.ports().map(\.name) == ["a"])
  }

  @Test func aForeignFileIsRefusedAndLeftUntouched() throws {
    for (name, bytes) in [("text", "not a database at all".utf8), ("long", String(repeating: "x", count: 500).utf8)] {
      let path = folder.path + "/" + name
      try Data(bytes).write(to: URL(filePath: path))
      #expect(throws: StoreError.foreign(path: path, what: "it is no SQLite database")) { try StateStore.open(path: path) }
      #expect(try Data(contentsOf: URL(filePath: path)) == Data(bytes))
    }
  }

  @Test func aDamagedFileIsRefusedAndLeftUntouched() throws {
    do {
      let store = try StateStore.open(path: path)
      try store.putRules((0..<500).map { StoredRule(priority: $0, cookie: 0, match: "m\($0)", actions: "drop") })
      store.close()
    }
    var bytes = try Data(contentsOf: URL(filePath: path))
    for offset in 4096..<bytes.count { bytes[offset] = 0xA5 }
    try bytes.write(to: URL(filePath: path))
    #expect { try StateStore.open(path: path) } throws: { error in
      guard case .damaged(let named, _)? = error as? StoreError else { return false }
      return named == path && "\(error)".contains("left untouched")
    }
    #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
  }

  @Test func aStoreInUseIsRefusedAndNamesTheProcess() throws {
    let store = try StateStore.open(path: path)
    #expect(throws: StoreError.inUse(path: path, processID: getpid())) { try StateStore.open(path: path) }
    _ = store
  }

  @Test func everyWriteIsOnTheDiskWhenTheCallReturns() throws {
    let store = try StateStore.open(path: path)
    try store.putRules([Self.web])
    // What a kill -9 leaves: the files as they are now, without a close.
    let copy = folder.path + "/copy.db"
    try FileManager.default.copyItem(atPath: path, toPath: copy)
    try FileManager.default.copyItem(atPath: path + "-wal", toPath: copy + "-wal")
    let after = try StateStore.open(path: copy)
    #expect(try after.rules() == [Self.web])
  }

  @Test func tenThousandRulesAreOneFastTransaction() throws {
    let store = try StateStore.open(path: path)
    let rules = (0..<10_000).map {
      StoredRule(priority: 100, cookie: UInt64($0), match: "ip,nw_dst=10.0.\($0 / 256).\($0 % 256)", actions: "output:2")
    }
    let time = try ContinuousClock().measure { _ = try store.putRules(rules) }
    #expect(try store.rules().count == 10_000)
    // A debug build on a busy machine; a release build takes a tenth.
    #expect(time < .seconds(10), "took \(time)")
  }
}

/// A folder that goes when the test ends.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    path = NSTemporaryDirectory() + "/sluice-store-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
