// Main.swift
//
// sluiced, the agent: its command line, and nothing else.
// Invariant: exit status 0 after a stop that was asked for, 1 when something failed, 2 when the command line is wrong.

import Agent
import AgentAPI
import ArgumentParser
import Glibc
import Logging

struct Sluiced: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluiced",
    abstract: "The Sluice agent: forwards packets between this machine's interfaces.",
    discussion: """
      Reads its configuration from --config, else from \(AgentConfiguration.defaultPath) if that exists, else uses defaults. It is
      controlled with sluicectl. SIGHUP reads the configuration again, SIGTERM stops it; what the kernel executes without it goes on.

      EXAMPLES:
        sluiced
        sluiced --config /etc/sluice/sluiced.yaml
        sluiced --socket /tmp/sluice.sock --log-level debug
        sluiced --uninstall
      """,
    version: SluiceVersion.current)

  @Option(name: [.short, .customLong("config")], help: ArgumentHelp("The configuration file.", valueName: "file"))
  var configurationFile: String?

  @Option(help: ArgumentHelp("The Unix socket of the API; wins over agent.socket.", valueName: "path"))
  var socket: String?

  @Option(help: "How much to log; wins over agent.logLevel. (values: trace, debug, info, notice, warning, error, critical)")
  var logLevel: Logger.Level?

  @Flag(
    help: "Remove programs, pinned maps and interfaces that an agent left in the kernel, and exit. For when none runs; else: sluicectl agent uninstall")
  var uninstall = false

  var options: AgentOptions {
    AgentOptions(configurationFile: configurationFile, socket: socket, logLevel: logLevel, uninstalls: uninstall)
  }

  func validate() throws {
    guard let socket else { return }
    guard socket.hasPrefix("/"), socket.utf8.count <= AgentSection.longestSocketPath else {
      throw ValidationError(
        "--socket \(socket): expected an absolute path of at most \(AgentSection.longestSocketPath) bytes")
    }
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}

@main
enum Main {
  static func main() async {
    do {
      let command = try Sluiced.parse()
      exit(await AgentProgram.run(command.options))
    } catch {
      let text = Sluiced.fullMessage(for: error)
      guard Sluiced.exitCode(for: error) != .success else {
        print(text)
        exit(0)
      }
      let bytes = Array((text + "\n").utf8)
      _ = write(STDERR_FILENO, bytes, bytes.count)
      exit(2)
    }
  }
}
