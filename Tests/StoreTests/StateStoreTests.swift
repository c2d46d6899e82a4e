// StateStoreTests.swift
//
// The store on real files in a temporary folder: what survives, what is refused and what is left untouched.

import Foundation
import Testing

@testable import Store

@Suite struct StateStoreTests {
  let folder = TemporaryFolder()
  var path: String { folder.path + "/deep/er/sluice.db" }

  static let web = StoredRule(key: RuleKey(high: 1, low: .max), text: "priority=100,tcp,tp_dst=80 actions=output:2")
  static let normal = StoredRule(key: RuleKey(high: 0, low: 2), text: "priority=0 actions=NORMAL", endUnixSeconds: 1_800_000_000)

  @Test func everythingIsThereAfterClosingAndOpeningAgain() throws {
    let port = StoredPort(name: "eth1", number: 7, kind: "netdev", interface: "ens3", mode: "shared", queues: [0, 3])
    do {
      let store = try StateStore.open(path: path)
      try store.putPort(port)
      try store.apply(
        StoredChange(
          rules: [Self.web, Self.normal], groups: StoredItemChange(put: [StoredItem(id: 7, text: "group_id=7")]),
          meters: StoredItemChange(put: [StoredItem(id: .max, text: "meter=4294967295")])))
      try store.changePolicy(
        add: StoredPolicy(
          prefixes: ["2001:db8::/32", "10.0.0.0/8"], tuples: ["dst=10.0.0.1"],
          limits: [StoredLimit(prefix: "10.0.0.0/8", packetsPerSecond: 9, burst: 1)]))
      try store.setConfiguredPortNumbers(["a": 1, "b": 2])
      store.close()
    }
    let store = try StateStore.open(path: path)
    #expect(try store.ports() == [port])
    #expect(try store.rules() == [Self.web, Self.normal])
    #expect(try store.groups() == [StoredItem(id: 7, text: "group_id=7")])
    #expect(try store.meters().map(\.id) == [.max])
    let policy = try store.policy()
    #expect(policy.prefixes == ["10.0.0.0/8", "2001:db8::/32"])
    #expect(policy.tuples == ["dst=10.0.0.1"])
    #expect(policy.limits == [StoredLimit(prefix: "10.0.0.0/8", packetsPerSecond: 9, burst: 1)])
    let changed = StoredLimit(prefix: "10.0.0.0/8", packetsPerSecond: 10, burst: 2)
    try store.changePolicy(delete: StoredPolicy(prefixes: ["10.0.0.0/8", "11.0.0.0/8"]), add: StoredPolicy(limits: [changed]))
    #expect(try store.policy() == StoredPolicy(prefixes: ["2001:db8::/32"], tuples: ["dst=10.0.0.1"], limits: [changed]))
    #expect(try store.configuredPortNumbers() == ["a": 1, "b": 2])
    #expect(try store.rulesAreOperators())
  }

  @Test func rulesBelongToTheConfigurationUntilTheFirstChange() throws {
    let store = try StateStore.open(path: path)
    #expect(try store.rulesAreOperators() == false)
    try store.apply(StoredChange(deletedRules: [Self.normal.key]), alsoKeeping: [Self.normal, Self.web])
    #expect(try store.rulesAreOperators())
    #expect(try store.rules() == [Self.web])
    // From then on the configuration's rules are not mixed in again.
    try store.apply(StoredChange(rules: [Self.web]), alsoKeeping: [Self.normal])
    #expect(try store.rules() == [Self.web])
  }

  @Test func aRuleOfTheSameKeyReplacesTheText() throws {
    let store = try StateStore.open(path: path)
    try store.apply(StoredChange(rules: [Self.web, Self.normal]))
    var other = Self.web
    other.text = "priority=100,tcp,tp_dst=80 actions=drop"
    try store.apply(StoredChange(rules: [other]))
    #expect(try store.rules() == [other, Self.normal])
  }

  @Test func undoPutsBackWhatAChangeReplaced() throws {
    let store = try StateStore.open(path: path)
    let first = try store.apply(StoredChange(rules: [Self.web]), alsoKeeping: [Self.normal])
    let before = try store.rules()
    let group = StoredItem(id: 1, text: "one")
    try store.apply(StoredChange(groups: StoredItemChange(put: [group])))
    var (second, third) = (Self.web, Self.web)
    (second.text, third.text) = ("second", "third")
    let new = StoredRule(key: RuleKey(high: 9, low: 9), text: "new")
    let change = try store.apply(
      StoredChange(
        rules: [second, new, third, Self.normal], deletedRules: [Self.normal.key],
        groups: StoredItemChange(put: [StoredItem(id: 1, text: "two"), StoredItem(id: 2, text: "new")])))
    #expect(try store.rules().map(\.text) == ["third", "new", Self.normal.text])
    try store.undo(change)
    #expect(try store.rules() == before)
    #expect(try store.groups() == [group])
    try store.undo(first)
    #expect(try store.rules() == [])
    #expect(try store.rulesAreOperators() == false)
  }

  @Test func aChangeInPartsIsOneChange() throws {
    let store = try StateStore.open(path: path)
    defer { store.close() }
    var parts = [StoredChange(rules: [Self.web]), StoredChange(), StoredChange(rules: [Self.normal])]
    let undo = try #require(try store.apply(parts: { parts.isEmpty ? nil : parts.removeFirst() }))
    #expect(try store.rules() == [Self.web, Self.normal])
    try store.undo(undo)
    #expect(try store.rules().isEmpty)
    #expect(try !store.rulesAreOperators())
  }

  @Test func aPartThatIsRefusedLeavesNothing() throws {
    struct Refused: Error {}
    let store = try StateStore.open(path: path)
    defer { store.close() }
    var parts = [StoredChange(rules: [Self.web])]
    #expect(throws: Refused.self) {
      try store.apply(parts: {
        guard !parts.isEmpty else { throw Refused() }
        return parts.removeFirst()
      })
    }
    #expect(try store.rules().isEmpty)
    #expect(try !store.rulesAreOperators())
  }

  @Test func partsWithoutAnythingLeaveTheRulesWhoseTheyWere() throws {
    let store = try StateStore.open(path: path)
    defer { store.close() }
    #expect(try store.apply(alsoKeeping: [Self.normal], parts: { nil }) == nil)
    #expect(try !store.rulesAreOperators())
  }

  @Test func newKeysAreGivenByPosition() throws {
    let store = try StateStore.open(path: path)
    try store.apply(StoredChange(rules: [Self.web, Self.normal]))
    #expect(try store.ruleKeyScheme() == nil)
    try store.setRuleKeys([nil, RuleKey(high: 5, low: 6)], scheme: "a")
    #expect(try store.rules().map(\.key) == [Self.web.key, RuleKey(high: 5, low: 6)])
    #expect(try store.ruleKeyScheme() == "a")
  }

  @Test func rulesOfTheFirstSchemaAreKept() throws {
    do {
      let store = try StateStore.open(path: path)
      try store.write("the tables of the first version") { database in
        try database.execute(
          sql: """
            DROP TABLE rule; DROP TABLE ruleGroup; DROP TABLE meter;
            CREATE TABLE rule (
              id INTEGER PRIMARY KEY, tableID INTEGER NOT NULL, priority INTEGER NOT NULL, cookie INTEGER NOT NULL,
              match TEXT NOT NULL, actions TEXT NOT NULL, UNIQUE (tableID, priority, match)) STRICT;
            INSERT INTO rule VALUES (1, 0, 100, -1, 'tcp,tp_dst=80', 'output:2'), (2, 0, 0, 5, '', 'NORMAL');
            DELETE FROM grdb_migrations WHERE identifier LIKE '002%';
            """)
      }
      store.close()
    }
    let store = try StateStore.open(path: path)
    #expect(
      try store.rules().map(\.text) == [
        "cookie=0xffffffffffffffff,table=0,priority=100,tcp,tp_dst=80 actions=output:2",
        "cookie=0x5,table=0,priority=0 actions=NORMAL",
      ])
    #expect(try store.ruleKeyScheme() == nil)
  }

  @Test func whatIsToBePutBackOnInterfacesIsKeptUntilItIs() throws {
    do {
      let store = try StateStore.open(path: path)
      try store.setInterfaceChanges(["up", "off:rx-lro"], of: "run/1/7")
      try store.setInterfaceChanges(["promiscuous"], of: "run/1/8")
      try store.setInterfaceChanges(["up"], of: "run/1/9")
      try store.setInterfaceChanges([], of: "run/1/9")
      store.close()
    }
    #expect(try StateStore.open(path: path).interfaceChanges() == ["run/1/7": ["up", "off:rx-lro"], "run/1/8": ["promiscuous"]])
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
      try store.apply(
        StoredChange(rules: (0..<500).map { StoredRule(key: RuleKey(high: 0, low: $0), text: "priority=\($0) actions=drop") }))
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
    try store.apply(StoredChange(rules: [Self.web]))
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
      StoredRule(
        key: RuleKey(high: UInt64.random(in: 0 ... .max), low: $0), text: "priority=100,ip,nw_dst=10.0.0.0/24,tp_dst=\($0) actions=drop")
    }
    let time = try ContinuousClock().measure { _ = try store.apply(StoredChange(rules: rules)) }
    #expect(try store.rules().count == 10_000)
    // A debug build on a busy machine; a release build takes 40 ms.
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
