// VersionCommand.swift: `sluicectl version` of this program and of the agent.

import AgentAPI
import ArgumentParser

struct Version: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the versions of this program and of the running agent.",
    discussion: """
      Without a running agent it shows this program's version alone, and succeeds.

      EXAMPLES:
        sluicectl version
        sluicectl version -o json | jq -r .agent.version
      """)

  @OptionGroup var global: GlobalOptions

  func run() async throws {
    let client: JSON = ["version": .string(SluiceVersion.current)]
    do {
      let agent = try await global.withAgent { try await $0.version() }
      try global.show(["client": client, "agent": agent.document]) {
        let commit = agent.gitCommit.isEmpty ? "" : "commit \(agent.gitCommit), "
        return "sluicectl \(SluiceVersion.current)\nsluiced   \(agent.version) (\(commit)Swift \(agent.swiftVersion), "
          + "Linux \(agent.kernelRelease))"
      }
    } catch let error as ClientError {
      try global.show(["client": client, "agent": nil]) { "sluicectl \(SluiceVersion.current)\nsluiced   unknown: \(error)" }
    }
  }
}

extension Sluice_V1_GetVersionReply: Document {
  var document: JSON {
    [
      "version": .string(version), "gitCommit": .string(gitCommit), "swiftVersion": .string(swiftVersion),
      "kernelRelease": .string(kernelRelease),
    ]
  }
}
