// RuleCommand.swift: `sluicectl rule`, what somebody asked for.

import AgentAPI
import ArgumentParser

struct RuleCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "rule", abstract: "Adds, deletes and lists rules, in the syntax of ovs-ofctl.",
    subcommands: [Add.self, Delete.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds rules, all or none, and waits until every worker follows them.",
      discussion: """
        A rule with the table, priority and match of one that is there replaces its actions. A file has one rule a \
        line; empty lines and lines that begin with '#' are skipped. When a line is wrong, nothing is changed.

        EXAMPLES:
          sluicectl rule add 'priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2'
          sluicectl rule add 'in_port=1,dl_vlan=5,actions=pop_vlan,output:2' 'priority=0,actions=normal'
          sluicectl rule add rules.txt
          generate-rules | sluicectl rule add -
        """)

    @Argument(
      help: "Rules, or the name of a file of rules, or - for standard input. What holds a '=' is a rule, anything else a file.")
    var rules: [String]

    @OptionGroup var global: GlobalOptions

    func validate() throws { try RuleSource.check(rules) }

    func run() async throws {
      let source = try RuleSource(arguments: rules)
      let total = source.lines.count
      let reply: Sluice_V1_AddRulesReply
      do {
        reply = try await global.withAgent { agent in
          try await agent.addRules(lines: source.lines) { sent in
            if total > RuleSource.linesWithoutProgress {
              Terminal.progress(
                sent < total ? "sent \(sent) of \(total) lines" : "sent all \(total) lines, waiting for the agent")
            }
          }
        }
        Terminal.progress("")
      } catch {
        Terminal.progress("")
        throw source.explain(error)
      }
      try global.show(["added": .unsigned(reply.added), "modified": .unsigned(reply.modified)]) {
        let modified = reply.modified == 0 ? "" : ", \(reply.modified) modified"
        return "\(Human.count(reply.added, "rule")) added\(modified)"
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes the rules that a match selects.",
      discussion: """
        Every rule whose match is at least as specific is deleted; with --strict, only the one with exactly this match \
        and priority.

        EXAMPLES:
          sluicectl rule del ip,nw_dst=10.0.0.0/8
          sluicectl rule del --strict priority=10,ip,nw_dst=10.0.0.0/8
          sluicectl rule del --cookie 0x2a
          sluicectl rule del --all
        """,
      aliases: ["delete"])

    @Argument(help: "A match in the syntax of ovs-ofctl, such as ip,nw_dst=10.0.0.0/8.")
    var match: String?

    @Flag(help: "Only the rule with exactly this match and priority.")
    var strict = false

    @Option(help: ArgumentHelp("Only rules with this cookie, in the bits of the mask when there is one.", valueName: "n[/mask]"))
    var cookie: CookieSelector?

    @Flag(help: "Every rule.")
    var all = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if all, match != nil || cookie != nil || strict {
        throw ValidationError("--all deletes every rule; a match, --cookie or --strict cannot stand beside it")
      }
      if !all, match == nil, cookie == nil {
        throw ValidationError("which rules? give a match such as ip,nw_dst=10.0.0.0/8, or --cookie N, or --all for every rule")
      }
    }

    func run() async throws {
      let selector = try Sluice_V1_RuleSelector(match: match ?? "", strict: strict, cookie: cookie)
      let deleted = try await global.withAgent { try await $0.deleteRules(selector) }
      try global.show(["deleted": .unsigned(deleted)]) { "\(Human.count(deleted, "rule")) deleted" }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists rules with their counters.",
      discussion: """
        EXAMPLES:
          sluicectl rule list
          sluicectl rule list tcp
          sluicectl rule list --plain > rules.txt
        """)

    @Argument(help: "Only rules whose match is at least as specific as this one.")
    var match: String?

    @Flag(help: "Only the rule with exactly this match and priority.")
    var strict = false

    @Option(help: ArgumentHelp("Only rules with this cookie, in the bits of the mask when there is one.", valueName: "n[/mask]"))
    var cookie: CookieSelector?

    @Flag(help: "One rule a line, without counters, as `rule add` reads them.")
    var plain = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let selector = try Sluice_V1_RuleSelector(match: match ?? "", strict: strict, cookie: cookie)
      let rules = try await global.withAgent { try await $0.rules(selector) }
      if plain, global.output == .table {
        if !rules.isEmpty { try Terminal.print(rules.map(\.text).joined(separator: "\n")) }
        return
      }
      try global.show(rules.document, rows: rules.count, none: "no rules") { Self.table(rules) }
    }

    static func table(_ rules: [Sluice_V1_Rule]) -> Table {
      var table = Table([">table", ">priority", ">packets", ">bytes", ">duration", "cookie", "match", "actions"])
      for rule in rules {
        table.add([
          "\(rule.table)", "\(rule.priority)", "\(rule.matched.packets)", Human.bytes(rule.matched.bytes),
          Human.duration(seconds: rule.durationSeconds), "0x" + Hex.text(rule.cookie),
          rule.match.isEmpty ? "any" : rule.match, rule.actions,
        ])
      }
      return table
    }
  }
}
