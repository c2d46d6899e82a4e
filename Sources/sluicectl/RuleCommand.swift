// RuleCommand.swift: `sluicectl rule`, what somebody asked for.

import AgentAPI
import ArgumentParser

struct RuleCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "rule", abstract: "Adds, changes, deletes and lists rules, in the syntax of ovs-ofctl -O OpenFlow13.",
    subcommands: [Add.self, Modify.self, Delete.self, List.self, Diff.self, Replace.self, Bundle.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds rules, all or none, and waits until every worker follows them.",
      discussion: """
        A rule with the table, priority and match of one that is there replaces it. A file has one rule a \
        line; empty lines and lines that begin with '#' are skipped. When a line is wrong, nothing is changed.

        EXAMPLES:
          sluicectl rule add 'priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2'
          sluicectl rule add 'dl_vlan=5,actions=pop_vlan,output:2' 'actions=normal'
          sluicectl rule add 'table=1,idle_timeout=60,tcp actions=dec_ttl,goto_table:2'
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
      let reply = try await source.send(with: global) { try await $0.addRules($1, progress: $2) }
      try global.show(["added": .unsigned(reply.added), "modified": .unsigned(reply.modified)]) {
        let modified = reply.modified == 0 ? "" : ", \(reply.modified) modified"
        return "\(Human.count(reply.added, "rule")) added\(modified)"
      }
    }
  }

  struct Modify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "mod", abstract: "Gives rules that are there other actions.",
      discussion: """
        Every rule whose match is at least as specific gets the actions; with --strict, only the one with exactly this \
        match and priority. Counters, cookies and timeouts stay. Where nothing is selected, nothing is changed. Several \
        changes are made as one.

        EXAMPLES:
          sluicectl rule mod 'ip,nw_dst=10.0.0.0/8 actions=output:3'
          sluicectl rule mod --strict 'table=1,priority=10,tcp,tp_dst=80 actions=group:2'
        """,
      aliases: ["modify"])

    @Argument(help: "Rules, or the name of a file of rules, or - for standard input.")
    var rules: [String]

    @Flag(help: "Only the rule with exactly this match and priority.")
    var strict = false

    @OptionGroup var global: GlobalOptions

    func validate() throws { try RuleSource.check(rules) }

    func run() async throws {
      let source = try RuleSource(arguments: rules).prefixed(by: strict ? "modify_strict" : "modify")
      let reply = try await source.send(with: global) { try await $0.applyRules($1, progress: $2) }
      try global.show(["modified": .unsigned(reply.rules.modified)]) {
        "\(Human.count(reply.rules.modified, "rule")) modified"
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
          sluicectl rule del table=3
          sluicectl rule del out_group=7
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
          sluicectl rule list table=1,tcp
          sluicectl rule list --stats
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

    @Flag(help: "One rule a line with counters and times, as `ovs-ofctl dump-flows` prints them.")
    var stats = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if plain, stats { throw ValidationError("--plain leaves counters out and --stats prints them; give one of them") }
    }

    func run() async throws {
      let selector = try Sluice_V1_RuleSelector(match: match ?? "", strict: strict, cookie: cookie)
      let rules = try await global.withAgent { try await $0.rules(selector) }
      if plain || stats, global.output == .table {
        let lines = rules.map { stats ? $0.statistics : $0.text }
        if !rules.isEmpty { try Terminal.print(lines.joined(separator: "\n")) }
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

extension Sluice_V1_Rule {
  /// The rule with counters and times on one line, as `ovs-ofctl dump-flows` prints it; the agent reads it back.
  var statistics: String {
    let idle = hasIdleSeconds ? ", idle_age=\(idleSeconds)" : ""
    let head = "duration=\(durationSeconds)s, n_packets=\(matched.packets), n_bytes=\(matched.bytes)\(idle), "
    return head + text
  }
}
