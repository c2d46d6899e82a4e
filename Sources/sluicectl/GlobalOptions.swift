// GlobalOptions.swift
//
// What every command that talks to the agent takes, and the one way to reach the agent and to print its answer.

import AgentAPI
import ArgumentParser
import Glibc

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case table, json
}

struct GlobalOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The agent's Unix socket (default: $SLUICE_SOCKET, else \(SluiceClient.defaultSocket)).", valueName: "path"))
  var socket: String?

  @Option(name: [.short, .long], help: "How to print: for people (table) or for programs (json).")
  var output: OutputFormat = .table

  @Option(
    help: ArgumentHelp("How long the agent may take to answer (default: 5 to read, 60 to change).", valueName: "seconds"))
  var timeout: Double?

  func validate() throws {
    // A day is more than any call takes, and keeps the arithmetic of deadlines far from its limits.
    if let timeout, !(timeout > 0 && timeout <= 86400) {
      throw ValidationError("--timeout must be more than 0 and at most 86400 seconds, not \(timeout)")
    }
  }

  /// Connects to the agent for the time of `body`.
  func withAgent<Result: Sendable>(_ body: (SluiceClient) async throws -> Result) async throws -> Result {
    try await SluiceClient.withConnection(to: socketPath, deadline: timeout.map { .seconds($0) }, body)
  }

  private var socketPath: String {
    if let socket { return socket }
    if let path = getenv("SLUICE_SOCKET"), path.pointee != 0 { return String(cString: path) }
    return SluiceClient.defaultSocket
  }

  /// Prints an answer in the format that was asked for.
  func show(_ document: @autoclosure () -> JSON, or text: () -> String) throws(CommandFailure) {
    switch output {
    case .json: try Terminal.print(document().text(pretty: true))
    case .table: try Terminal.print(text())
    }
  }

  /// Prints rows, or says that there are none.
  func show(_ document: @autoclosure () -> JSON, rows: Int, none: String, or table: () -> Table) throws(CommandFailure) {
    try show(document()) { rows == 0 ? none : table().text(bold: Terminal.takesColour) }
  }
}

extension GlobalOptions {
  /// Lets global options stand before the command: `sluicectl -o json port list` is `sluicectl port list -o json`.
  ///
  /// Each command owns its options, as the parser wants it; so those in front are moved to right behind the command's words.
  static func movedBehindCommand(_ arguments: [String]) -> [String] {
    let takingValue: Set = ["--socket", "--output", "-o", "--timeout"]
    var leading: [String] = []
    var rest = arguments[...]
    while let first = rest.first {
      if takingValue.contains(first), rest.count > 1 {
        leading += rest.prefix(2)
        rest = rest.dropFirst(2)
      } else if takingValue.contains(where: { $0.hasPrefix("--") && first.hasPrefix($0 + "=") }) {
        leading.append(first)
        rest = rest.dropFirst()
      } else {
        break
      }
    }
    guard !leading.isEmpty, let command = rest.first, !command.hasPrefix("-") else { return arguments }
    let isGroup = Sluicectl.configuration.subcommands.contains {
      $0.configuration.commandName == command && !$0.configuration.subcommands.isEmpty
    }
    let words = isGroup && rest.count > 1 && !rest[rest.startIndex + 1].hasPrefix("-") ? 2 : 1
    return rest.prefix(words) + leading + rest.dropFirst(words)
  }
}
