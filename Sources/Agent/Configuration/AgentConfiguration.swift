// AgentConfiguration.swift
//
// The whole configuration: what the file says, with good defaults for what it does not say. An empty file is a good file.
// Invariant: a value of this type was checked completely; `read` gives either one or every problem of the file.
// Threads: a value.
// Cost: reading is a few milliseconds; it happens at start and on SIGHUP.

import Yams

#if canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// What the configuration file says.
public struct AgentConfiguration: Sendable, Equatable {
  public var agent = AgentSection()
  public var metrics = MetricsSection()
  public var workers = WorkersSection()
  public var kernel = KernelSection()
  /// Ports that are there from the start.
  public var ports: [PortRequest] = []
  /// Rules in ovs-ofctl syntax, in force until rules are changed through the API. nil means `defaultRules`.
  public var rules: [String]?

  public init() {}

  /// Where the file is looked for when none is named.
  public static let defaultPath = "/etc/sluice/sluiced.yaml"
  /// The rules of a switch that was told nothing: it learns addresses and forwards.
  public static let defaultRules = ["priority=0,actions=normal"]

  static let keys = ["agent", "metrics", "workers", "kernel", "ports", "rules"]

  /// Reads a file.
  ///
  /// - Parameter allowedCPUs: those that workers may have; empty checks none.
  /// - Parameter checkRule: what is wrong with a rule's text, given the names of the ports in the file; nil when nothing
  ///   is.
  /// - Throws: `ConfigurationError` with every problem of the file.
  public static func read(
    file: String, allowedCPUs: [Int] = [], checkRule: (String, Set<String>) -> String? = { _, _ in nil }
  ) throws(ConfigurationError) -> AgentConfiguration {
    guard let bytes = contents(of: file) else {
      let reason = String(cString: strerror(errno))
      let problem = ConfigurationProblem(place: nil, key: "", message: "the configuration cannot be read: \(reason)")
      throw ConfigurationError(file: file, problems: [problem])
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      let problem = ConfigurationProblem(place: nil, key: "", message: "the configuration is not UTF-8 text")
      throw ConfigurationError(file: file, problems: [problem])
    }
    return try read(text: text, file: file, allowedCPUs: allowedCPUs, checkRule: checkRule)
  }

  /// Reads the text of a file; `file` is for messages.
  static func read(
    text: String, file: String, allowedCPUs: [Int] = [], checkRule: (String, Set<String>) -> String? = { _, _ in nil }
  ) throws(ConfigurationError) -> AgentConfiguration {
    let list = ProblemList()
    var configuration = AgentConfiguration()
    do {
      if let root = try Yams.Parser(yaml: text).singleRoot() {
        configuration.read(
          ConfigurationNode(node: root, key: "", list: list), allowedCPUs: allowedCPUs, checkRule: checkRule)
      }
    } catch {
      list.add(error, text: text)
    }
    guard list.problems.isEmpty else { throw ConfigurationError(file: file, problems: list.problems) }
    return configuration
  }

  private mutating func read(
    _ root: ConfigurationNode, allowedCPUs: [Int], checkRule: (String, Set<String>) -> String?
  ) {
    // A file of comments only is one node without a value.
    guard !root.isNull, let values = root.mapping(keys: Self.keys) else { return }
    if let node = values["agent"] { agent = AgentSection(node) }
    if let node = values["metrics"] { metrics = MetricsSection(node) }
    if let node = values["workers"] { workers = WorkersSection(node, allowedCPUs: allowedCPUs) }
    if let node = values["kernel"] { kernel = KernelSection(node) }
    if let node = values["ports"], let elements = node.elements() {
      for element in elements {
        guard let port = PortRequest(element) else { continue }
        if ports.contains(where: { $0.name == port.name }) { element.problem("a second port named \(port.name)") }
        if let other = ports.first(where: { $0.interface == port.interface && $0.name != port.name }) {
          element.problem("interface \(port.interface) is port \(other.name)'s already")
        }
        if let number = port.number, let other = ports.first(where: { $0.number == number }) {
          element.problem("number \(number) is port \(other.name)'s already")
        }
        ports.append(port)
      }
    }
    if let node = values["rules"], let elements = node.elements() {
      let names = Set(ports.map(\.name))
      rules = elements.compactMap { element in
        guard let text = element.text() else { return nil }
        if let flaw = checkRule(text, names) { element.problem(flaw) }
        return text
      }
    }
  }

  private static func contents(of file: String) -> [UInt8]? {
    let descriptor = open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = Glibc.read(descriptor, &piece, piece.count)
      guard count >= 0 else { return nil }
      if count == 0 { return bytes }
      bytes += piece[..<count]
    }
  }
}

extension ProblemList {
  /// Text that is no YAML, or has a key twice.
  fileprivate func add(_ error: any Error, text: String) {
    switch error as? YamlError {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      add("this is not YAML: \(problem)", key: "", at: mark)
    case .duplicatedKeysInMapping(let keys, let context):
      for key in keys { addDuplicate(key, first: context.mark, text: text) }
    case .reader(let problem, _, _, _):
      add("this is not YAML: \(problem)", key: "", at: nil)
    default:
      add("this is not YAML: \(error)", key: "", at: nil)
    }
  }

  /// Yams says where the first of two equal keys is; the one to look at is the second.
  private func addDuplicate(_ key: String, first: Mark, text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated().dropFirst(first.line) {
      let trimmed = line.drop { $0 == " " }
      guard trimmed.hasPrefix("\(key):"), line.count - trimmed.count == first.column - 1 else { continue }
      add(
        "given twice in the same mapping (the first time in line \(first.line))", key: key,
        place: ConfigurationPlace(line: index + 1, column: first.column))
      return
    }
    // In a mapping on one line, or with the key in quotes.
    add("given twice in the same mapping", key: key, at: first)
  }
}
