// LimitCommand.swift: `sluicectl limit`, rates that sources are held to before anything else looks at their packets.

import AgentAPI
import ArgumentParser

struct LimitCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "limit", abstract: "Rates that sources are held to in XDP, before anything else looks at their packets.",
    subcommands: [Add.self, Delete.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds limits, all or none. One that is there takes the new rate.",
      discussion: """
        All addresses of a prefix share its rate; the longest limited prefix that holds a source decides. What is over the rate is \
        dropped and counted. Without --burst as much may come at once as the rate allows in a tenth of a second. A line of a file \
        is a prefix, a rate, and a burst if wanted.

        EXAMPLES:
          sluicectl limit add 192.0.2.0/24 --rate 1000pps --burst 100
          sluicectl limit add 0.0.0.0/0 ::/0 --rate 2m
          echo '198.51.100.7 500pps 50' | sluicectl limit add --file -
        """)

    @Argument(help: "IPv4 or IPv6 prefixes of sources; a bare address means that host.")
    var prefixes: [String] = []

    @Option(help: ArgumentHelp("Packets per second of all their sources together: 1000pps, 20k, 1m.", valueName: "rate"))
    var rate: PacketsPerSecond?

    @Option(help: ArgumentHelp("Packets that may come at once after a pause.", valueName: "packets"))
    var burst: UInt32?

    @Option(help: ArgumentHelp("A file with a limit on each line, or - for standard input.", valueName: "path"))
    var file: String?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if prefixes.isEmpty, file == nil { throw ValidationError("which? give prefixes with --rate, or --file") }
      if !prefixes.isEmpty, rate == nil { throw ValidationError("at which rate? give --rate, such as --rate 1000pps") }
      if prefixes.isEmpty, rate != nil || burst != nil { throw ValidationError("--rate and --burst belong to prefixes; a file has its own") }
      if burst == 0 { throw ValidationError("--burst must be 1 at least, or nothing would ever pass") }
    }

    func run() async throws {
      var limits = prefixes.map { Self.limit($0, rate?.value ?? 0, burst ?? 0) }
      if let file { limits += try Self.read(file) }
      let reply = try await global.withAgent { [limits] agent in try await agent.addLimits(limits) }
      try global.show(["added": .unsigned(reply.added), "alreadyPresent": .unsigned(reply.alreadyPresent)]) {
        let present = reply.alreadyPresent == 0 ? "" : ", \(reply.alreadyPresent) already there"
        return "\(Human.count(reply.added, "limit")) added\(present)"
      }
    }

    private static func read(_ path: String) throws(CommandFailure) -> [Sluice_V1_Limit] {
      let file = try PolicyFile(path)
      var limits: [Sluice_V1_Limit] = []
      for line in file.lines {
        let words = line.text.split(separator: " ").map(String.init)
        guard (2...3).contains(words.count) else {
          throw file.failure(line.number, "a limit is a prefix, a rate, and a burst if wanted, such as: 192.0.2.0/24 1000pps 100")
        }
        guard let rate = PacketsPerSecond(argument: words[1]) else {
          throw file.failure(line.number, "\(words[1]) is no rate: expected packets per second, such as 1000pps, 20k or 1m")
        }
        var burst: UInt32 = 0
        if words.count == 3 {
          guard let number = UInt32(words[2]), number > 0 else {
            throw file.failure(line.number, "\(words[2]) is no burst: expected a number of packets, 1 at least")
          }
          burst = number
        }
        limits.append(limit(words[0], rate.value, burst))
      }
      return limits
    }

    private static func limit(_ prefix: String, _ rate: UInt64, _ burst: UInt32) -> Sluice_V1_Limit {
      .with {
        $0.prefix = prefix
        $0.packetsPerSecond = rate
        $0.burst = burst
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes limits, all or none.",
      discussion: """
        EXAMPLES:
          sluicectl limit del 192.0.2.0/24
          sluicectl limit del 192.0.2.0/24 --if-exists
        """,
      aliases: ["delete"])

    @Argument(help: "Prefixes, as `limit list` shows them.")
    var prefixes: [String]

    @Flag(help: "Pass over limits that are not there.")
    var ifExists = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let deleted = try await global.withAgent { try await $0.deleteLimits(prefixes, ifExists: ifExists) }
      try global.show(["deleted": .unsigned(deleted)]) { "\(Human.count(deleted, "limit")) deleted" }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists limits, and what they let pass and dropped.",
      discussion: """
        EXAMPLES:
          sluicectl limit list
          sluicectl limit list -o json
          sluicectl limit list --plain > limits.txt
        """)

    @Flag(help: "One limit a line, without counters, as `limit add --file` reads them.")
    var plain = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let entries = try await global.withAgent { try await $0.limits() }
      if plain, global.output == .table {
        let lines = entries.map { "\($0.limit.prefix) \($0.limit.packetsPerSecond)pps \($0.limit.burst)" }
        if !entries.isEmpty { try Terminal.print(lines.joined(separator: "\n")) }
        return
      }
      try global.show(entries.document, rows: entries.count, none: "nothing is limited") {
        var table = Table(["prefix", ">rate", ">burst", ">passed", ">bytes", ">dropped", ">bytes dropped"])
        for entry in entries {
          table.add([
            entry.limit.prefix, "\(entry.limit.packetsPerSecond)pps", "\(entry.limit.burst)", "\(entry.passed.packets)",
            Human.bytes(entry.passed.bytes), "\(entry.dropped.packets)", Human.bytes(entry.dropped.bytes),
          ])
        }
        return table
      }
    }
  }
}
