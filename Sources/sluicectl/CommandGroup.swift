// CommandGroup.swift: a command that only holds others, such as `sluicectl port`.

import ArgumentParser

/// A group without one of its commands is an incomplete command line, and says which there are.
protocol CommandGroup: ParsableCommand {}

extension CommandGroup {
  mutating func run() throws {
    let names = Self.configuration.subcommands.compactMap { $0.configuration.commandName }
    throw ValidationError("'\(Self.configuration.commandName ?? "")' needs a command: \(names.joined(separator: ", "))")
  }
}
