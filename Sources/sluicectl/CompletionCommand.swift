// CompletionCommand.swift: `sluicectl completion`, what teaches a shell this program's words.

import ArgumentParser

struct Completion: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the completion script of a shell.",
    discussion: """
      EXAMPLES:
        sluicectl completion bash > /etc/bash_completion.d/sluicectl
        sluicectl completion zsh > /usr/share/zsh/vendor-completions/_sluicectl
        sluicectl completion fish > ~/.config/fish/completions/sluicectl.fish
      """)

  enum Shell: String, ExpressibleByArgument, CaseIterable {
    case bash, zsh, fish

    var completionShell: CompletionShell {
      switch self {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    }
  }

  @Argument(help: "bash, zsh or fish.")
  var shell: Shell

  func run() throws {
    try Terminal.print(Sluicectl.completionScript(for: shell.completionShell))
  }
}
