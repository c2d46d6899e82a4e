// Main.swift
//
// The program's frame: which commands there are, and how an error becomes a sentence and an exit code.
// Invariant: exit codes are 0 it worked, 1 the operation failed, 2 the command line is wrong.

import AgentAPI
import ArgumentParser
import Glibc

struct Sluicectl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluicectl",
    abstract: "Controls the Sluice data plane of this machine.",
    discussion: """
      EXAMPLES:
        sluicectl status
        sluicectl port add eth1
        sluicectl rule add 'priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2'
        sluicectl trace 'in_port=1,tcp,nw_dst=10.0.0.2,tp_dst=80'
        sluicectl flow list -o json

      The agent is reached at --socket, else at $SLUICE_SOCKET, else at /run/sluice/sluice.sock.
      Exit codes: 0 it worked, 1 the operation failed, 2 the command line is wrong.
      """,
    version: SluiceVersion.current,
    subcommands: [
      Status.self, AgentCommand.self, PortCommand.self, RuleCommand.self, GroupCommand.self, MeterCommand.self, FlowCommand.self,
      TopCommand.self, Trace.self, KernelCommand.self, DoctorCommand.self, MonitorCommand.self, DenyCommand.self, LimitCommand.self,
      WorkerCommand.self, FdbCommand.self, Version.self, Completion.self,
    ])
}

@main
enum Main {
  static func main() async {
    do {
      var command = try Sluicectl.parseAsRoot(GlobalOptions.movedBehindCommand(Array(CommandLine.arguments.dropFirst())))
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      exit(report(error))
    }
  }

  /// Prints why the command ended, and returns the exit code for it.
  private static func report(_ error: any Error) -> CInt {
    if let failure = error as? CommandFailure {
      for sentence in failure.sentences { Terminal.complain(sentence) }
      return 1
    }
    if let error = error as? ClientError {
      Terminal.complain(error.description)
      return 1
    }
    switch Sluicectl.exitCode(for: error) {
    case .success:
      // Help, the version and completion scripts arrive as errors that are none.
      _ = Terminal.printLine(Sluicectl.fullMessage(for: error))
      return 0
    case .validationFailure:
      let message = Sluicectl.fullMessage(for: error)
      let prefix = "Error: "
      Terminal.complain(message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message)
      return 2
    default:
      Terminal.complain("\(error)")
      return 1
    }
  }
}

/// A failure that this program found itself, in sentences.
struct CommandFailure: Error {
  var sentences: [String]

  init(_ sentences: String...) { self.sentences = sentences }
  init(sentences: [String]) { self.sentences = sentences }
}
