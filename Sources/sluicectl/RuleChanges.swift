// RuleChanges.swift: `sluicectl rule diff`, `replace` and `bundle`: many changes of rules as one.

import AgentAPI
import ArgumentParser

extension RuleCommand {
  struct Diff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "diff", abstract: "Shows what `rule replace` would change, and changes nothing.",
      discussion: """
        A line that begins with '-' is a rule that would go, one that begins with '+' a rule that would come; a rule that \
        would change has one of each. The exit code is 0 whether or not there is a difference.

        EXAMPLES:
          sluicectl rule diff rules.txt
          generate-rules | sluicectl rule diff -
          sluicectl rule diff rules.txt -o json
        """)

    @Argument(help: "A file of rules, or - for standard input.")
    var file: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let source = try RuleSource(file: file)
      let differences = try await source.send(with: global) { try await $0.diffRules($1, progress: $2) }
      try global.show(differences.document) {
        differences.isEmpty ? "no difference" : differences.flatMap(\.lines).joined(separator: "\n")
      }
    }
  }

  struct Replace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "replace", abstract: "Makes the rules of a file the only ones, in one change.",
      discussion: """
        Rules that stay as they are keep their counters. No packet meets a mixture of old and new rules. When a line is \
        wrong, nothing is changed. An empty file deletes every rule.

        EXAMPLES:
          sluicectl rule replace rules.txt
          generate-rules | sluicectl rule replace -
        """)

    @Argument(help: "A file of rules, or - for standard input.")
    var file: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let source = try RuleSource(file: file)
      let reply = try await source.send(with: global) { try await $0.replaceRules($1, progress: $2) }
      try global.show([
        "added": .unsigned(reply.added), "modified": .unsigned(reply.modified), "deleted": .unsigned(reply.deleted),
        "unchanged": .unsigned(reply.unchanged),
      ]) {
        "\(Human.count(reply.added, "rule")) added, \(reply.modified) modified, \(reply.deleted) deleted, "
          + "\(reply.unchanged) unchanged"
      }
    }
  }

  struct Bundle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "bundle", abstract: "Carries out a file of changes as one change, all or none.",
      discussion: """
        A line is one change, in the syntax of `ovs-ofctl bundle`:

          [flow] add|modify|modify_strict|delete|delete_strict RULE
          group add|modify|delete GROUP
          meter add|modify|delete METER

        A line without these words adds a rule. Changes are made in the order of the lines; no packet meets half of them. \
        When a line is wrong, nothing is changed.

        EXAMPLES:
          sluicectl rule bundle changes.txt
          printf 'delete table=1\\nadd table=1,actions=drop\\n' | sluicectl rule bundle -
        """)

    @Argument(help: "A file of changes, or - for standard input.")
    var file: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let source = try RuleSource(file: file)
      let reply = try await source.send(with: global) { try await $0.applyRules($1, progress: $2) }
      try global.show(reply.document) { reply.sentence }
    }
  }
}

extension Sluice_V1_RuleDifference: Document {
  var document: JSON {
    [
      "change": .string(change), "present": present.isEmpty ? nil : .string(present),
      "wanted": wanted.isEmpty ? nil : .string(wanted),
    ]
  }

  private var change: String {
    if present.isEmpty { return "add" }
    return wanted.isEmpty ? "delete" : "modify"
  }

  var lines: [String] {
    (present.isEmpty ? [] : ["-" + present]) + (wanted.isEmpty ? [] : ["+" + wanted])
  }
}

extension Sluice_V1_ApplyReply: Document {
  var document: JSON { ["rules": rules.document, "groups": groups.document, "meters": meters.document] }

  /// "2 rules added, 1 rule deleted, 1 group added"
  var sentence: String {
    let parts = [("rule", rules), ("group", groups), ("meter", meters)].flatMap { noun, counts in
      [("added", counts.added), ("modified", counts.modified), ("deleted", counts.deleted)].compactMap { verb, count in
        count == 0 ? nil : "\(Human.count(count, noun)) \(verb)"
      }
    }
    return parts.isEmpty ? "nothing to change" : parts.joined(separator: ", ")
  }
}

extension Sluice_V1_RuleCounts: Document {
  var document: JSON { ["added": .unsigned(added), "modified": .unsigned(modified), "deleted": .unsigned(deleted)] }
}
