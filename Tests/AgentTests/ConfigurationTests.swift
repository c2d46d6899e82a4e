// ConfigurationTests.swift
//
// The configuration file: what is read, what is refused, and with which words.

import Testing

@testable import Agent

@Suite struct ConfigurationTests {
  private func read(_ text: String) throws -> AgentConfiguration { try AgentConfiguration.read(text: text, file: "f.yaml") }

  /// The lines that a file is refused with.
  private func problems(_ text: String) -> [String] {
    do {
      _ = try read(text)
      return []
    } catch {
      return "\(error)".split(separator: "\n").map(String.init)
    }
  }

  @Test(arguments: ["", "# nothing\n", "---\n", "agent:\n", "{}"])
  func anEmptyFileMeansDefaults(text: String) throws {
    #expect(try read(text) == AgentConfiguration())
  }

  @Test func everyKeyIsRead() throws {
    let configuration = try read(
      """
      agent: {socket: /tmp/a.sock, group: ops, store: /tmp/a.db, logLevel: debug, logFormat: json}
      metrics: {address: "[::1]:9474"}
      workers: {count: 2, cpus: [1, 3], mode: busy, frames: 4096, flowLimit: 1000}
      kernel: {placement: auto, flows: 4096, directory: /sys/fs/bpf/other}
      ports:
        - {name: eth1, interface: ens3, mode: shared, number: 7, queues: [1, 0]}
        - {name: host0, kind: internal}
        - {name: veth1, kernel: eager, hook: tc}
      rules: ["priority=0,actions=normal"]
      """)
    #expect(configuration.agent.socket == "/tmp/a.sock")
    #expect(configuration.agent.group == "ops")
    #expect(configuration.agent.store == "/tmp/a.db")
    #expect(configuration.agent.logLevel == .debug)
    #expect(configuration.agent.logFormat == .json)
    #expect(configuration.metrics.address?.description == "[::1]:9474")
    #expect(configuration.workers.cpus == [1, 3] && configuration.workers.mode == .busy)
    #expect(configuration.workers.frames == 4096 && configuration.workers.flowLimit == 1000)
    #expect(
      configuration.ports == [
        PortRequest(name: "eth1", interface: "ens3", mode: .shared, number: 7, queues: [0, 1]),
        PortRequest(name: "host0", kind: .internal),
        PortRequest(name: "veth1", placement: .eager, hook: .tc),
      ])
    #expect(configuration.kernel.placement == .auto && configuration.kernel.flows == 4096)
    #expect(configuration.kernel.directory == "/sys/fs/bpf/other")
    #expect(configuration.rules == ["priority=0,actions=normal"])
  }

  @Test func theNumberOfWorkersFollowsTheirCPUs() throws {
    #expect(try read("workers: {cpus: [0, 1]}").workers.count == 2)
  }

  static let mistakes: [(text: String, expected: String)] = [
    ("kernel: {flows: 5000}", "f.yaml:1:17: key 'kernel.flows': expected a power of two, found the number 5000"),
    (
      "ports: [{name: a, mode: shared, hook: tc}]",
      "f.yaml:1:39: key 'ports[0].hook': a shared port is served by XDP; leave the hook out, or make the port dedicated"
    ),
    ("workers: {cuont: 1}", "f.yaml:1:11: key 'workers.cuont': unknown key; did you mean 'count'? (keys here: count, cpus, mode, frames, flowLimit)"),
    ("colour: red", "f.yaml:1:1: key 'colour': unknown key (keys here: agent, metrics, workers, kernel, ports, rules)"),
    ("workers:\n  count: two", "f.yaml:2:10: key 'workers.count': expected a whole number from 1 to 64, found the text \"two\""),
    ("workers: {count: \"1\"}", "f.yaml:1:18: key 'workers.count': expected a whole number from 1 to 64, found the text \"1\""),
    ("workers: {count: 0}", "f.yaml:1:18: key 'workers.count': expected a whole number from 1 to 64, found the number 0"),
    ("workers: {count: [1]}", "f.yaml:1:18: key 'workers.count': expected a whole number from 1 to 64, found a list"),
    ("workers: {mode: bussy}", "f.yaml:1:17: key 'workers.mode': expected one of adaptive, busy, found the text \"bussy\"; did you mean 'busy'?"),
    ("workers: {count: 1, cpus: [0, 1]}", "f.yaml:1:27: key 'workers.cpus': 2 CPUs for 1 workers; expected one CPU for each worker (workers.count)"),
    ("workers: {cpus: [1, 1], count: 2}", "f.yaml:1:21: key 'workers.cpus[1]': CPU 1 is given twice; expected one CPU for each worker"),
    ("agent: text", "f.yaml:1:8: key 'agent': expected a mapping with keys socket, group, store, logLevel, logFormat, found the text \"text\""),
    ("- a", "f.yaml:1:1: expected a mapping with keys agent, metrics, workers, kernel, ports, rules, found a list"),
    ("agent: {socket: sock}", "f.yaml:1:17: key 'agent.socket': expected an absolute path of a file, found the text \"sock\""),
    ("agent: {group: 5}", "f.yaml:1:16: key 'agent.group': expected text, found the number 5; put it in quotes"),
    ("ports: [{interface: eth0}]", "f.yaml:1:9: key 'ports[0]': key 'name' is missing; expected the name of the port"),
    ("ports: [{name: eth0, number: 65280}]", "f.yaml:1:30: key 'ports[0].number': expected a whole number from 1 to 65279, found the number 65280"),
    ("ports: [{name: a}, {name: a}]", "f.yaml:1:20: key 'ports[1]': a second port named a"),
    ("ports: [{name: a, number: 1}, {name: b, number: 1}]", "f.yaml:1:31: key 'ports[1]': number 1 is port a's already"),
    ("ports: [{name: a/b}]", "f.yaml:1:16: key 'ports[0].name': \"a/b\" cannot name a port: expected 1 to 15 characters out of letters, digits, '-', '_' and '.'"),
    ("ports: {name: a}", "f.yaml:1:8: key 'ports': expected a list, found a mapping (key: value)"),
    ("rules: [1]", "f.yaml:1:9: key 'rules[0]': expected text, found the number 1; put it in quotes"),
    ("agent:\n  socket: /a\n  socket: /b\n", "f.yaml:3:3: key 'socket': given twice in the same mapping (the first time in line 2)"),
  ]

  @Test(arguments: mistakes)
  func aMistakeIsNamedWithItsPlaceAndWhatWasExpected(text: String, expected: String) {
    #expect(problems(text) == [expected])
  }

  @Test func aWorkerOnACPUThatIsNotThereIsRefused() {
    let error = #expect(throws: ConfigurationError.self) {
      _ = try AgentConfiguration.read(text: "workers: {cpus: [9]}", file: "f.yaml", allowedCPUs: [0, 1])
    }
    #expect(
      error?.description == "f.yaml:1:18: key 'workers.cpus[0]': this process may not run on CPU 9; expected one of 0, 1")
  }

  @Test func allMistakesAreReportedInTheOrderOfTheFile() {
    let lines = problems("colour: red\nworkers:\n  count: many\n  mode: lazy\nagent: {logLevel: loud}\n")
    #expect(lines.map { $0.split(separator: ":")[1] } == ["1", "3", "4", "5"])
  }

  @Test(arguments: ["0.0.0.0:1", "10.0.0.1:9474", "[::]:9474", "example.org:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "127.1:80", "[::1]"])
  func anAddressThatOthersCanReachIsRefused(text: String) {
    #expect(LoopbackAddress(text) == nil)
    #expect(problems("metrics: {address: \"\(text)\"}").first?.contains("expected a loopback address") == true)
  }

  @Test(arguments: ["\u{0}", "a: [", "\t- x", "a: b: c", "*x", "!!binary x: y", "{a: 1, a: 2}", "\"", "%YAML 9"])
  func hostileTextIsRefusedWithoutACrash(text: String) {
    #expect(!problems(text).isEmpty)
  }

  @Test func aBadRuleIsNamedByItsPlace() {
    let error = #expect(throws: ConfigurationError.self) {
      _ = try AgentConfiguration.read(text: "ports: [{name: p}]\nrules:\n  - nonsense\n", file: "f.yaml") { text, names in
        names == ["p"] ? "no rule: \(text)" : nil
      }
    }
    #expect(error?.description == "f.yaml:3:5: key 'rules[0]': no rule: nonsense")
  }

  @Test func aChangeSaysWhatWaitsForARestart() throws {
    let old = try read("workers: {count: 1}\nports: [{name: a}, {name: b}]")
    let new = try read("workers: {count: 2}\nagent: {logLevel: debug}\nports: [{name: b, number: 3}, {name: c}]\nrules: []")
    let change = ConfigurationChange(from: old, to: new)
    #expect(change.needsRestart == ["workers.count"])
    #expect(change.addedPorts.map(\.name) == ["c"])
    #expect(change.changedPorts.map(\.name) == ["b"])
    #expect(change.removedPorts.map(\.name) == ["a"])
    #expect(change.rulesChanged && change.logChanged)
    #expect(ConfigurationChange(from: new, to: new).isEmpty)
  }
}
