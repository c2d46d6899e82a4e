// AgentCommand.swift: `sluicectl agent`, what the agent leaves in the kernel.

import AgentAPI
import ArgumentParser

struct AgentCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "agent", abstract: "Takes flows out of the kernel, or everything that would outlive the agent.",
    subcommands: [Drain.self, Resume.self, Uninstall.self])

  struct Drain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "drain", abstract: "Takes every flow out of the kernel; the workers forward all packets then.",
      discussion: """
        Forwarding goes on and no packet is lost. No flow is placed in the kernel again before `sluicectl agent resume`, or a \
        restart of the agent.

        EXAMPLES:
          sluicectl agent drain
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let withdrawn = try await global.withAgent { try await $0.drain() }
      try global.show(["withdrawn": .unsigned(withdrawn)]) {
        "\(Human.count(withdrawn, "flow")) came back from the kernel; let flows be placed again with: sluicectl agent resume"
      }
    }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "resume", abstract: "Lets flows be placed in the kernel again after a drain.",
      discussion: """
        EXAMPLES:
          sluicectl agent resume
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      try await global.withAgent { try await $0.resume() }
      try global.show([:]) { "flows are placed in the kernel again, as each port says" }
    }
  }

  struct Uninstall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "uninstall", abstract: "Removes from the kernel all that would outlive the agent, and ends the agent.",
      discussion: """
        Programs, pinned maps and the interfaces that the agent made are gone when this returns; forwarding ends. What was \
        asked for (ports, rules) stays in the store: the next start makes it again. When no agent runs: sluiced --uninstall

        EXAMPLES:
          sluicectl agent uninstall
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let removed = try await global.withAgent { try await $0.uninstall() }
      try global.show(["removed": .array(removed.map(JSON.string))]) {
        (removed + ["the agent is stopping"]).joined(separator: "\n")
      }
    }
  }
}
