// GroupCommand.swift: `sluicectl group`, lists of buckets that rules send packets to.

import AgentAPI
import ArgumentParser

struct GroupCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "group", abstract: "Adds, changes, deletes and lists groups, in the syntax of ovs-ofctl -O OpenFlow13.",
    subcommands: [Add.self, Modify.self, Delete.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds groups, all or none.",
      discussion: """
        The types: all sends a copy through every bucket, select sends a packet through one of them (by weight, all \
        packets of a connection through the same), indirect has one bucket, fast_failover takes the first whose \
        watch_port or watch_group is up. A bucket may begin with weight:N, watch_port:PORT and watch_group:N, as in \
        bucket=watch_port:2,actions=output:2. Rules use a group with the action group:N.

        EXAMPLES:
          sluicectl group add 'group_id=1,type=select,bucket=output:2,bucket=output:3'
          sluicectl group add 'group_id=2,type=all,bucket=group:1,bucket=output:4'
          sluicectl group add groups.txt
        """)

    @Argument(help: "Groups, or the name of a file of groups, or - for standard input. What holds a '=' is a group.")
    var groups: [String]

    @OptionGroup var global: GlobalOptions

    func validate() throws { try RuleSource.check(groups) }

    func run() async throws {
      let reply = try await RuleSource(arguments: groups).send(with: global) { agent, input, _ in
        try await agent.addGroups(lines: input.lines)
      }
      try global.show(["added": .unsigned(reply.changed), "alreadyPresent": .unsigned(reply.unchanged)]) {
        "\(Human.count(reply.changed, "group")) added" + (reply.unchanged == 0 ? "" : ", \(reply.unchanged) already there")
      }
    }
  }

  struct Modify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "mod", abstract: "Changes groups that are there, all or none.",
      discussion: """
        Live connections keep their bucket as long as it is there and up.

        EXAMPLES:
          sluicectl group mod 'group_id=1,type=select,bucket=output:2,bucket=output:4'
        """,
      aliases: ["modify"])

    @Argument(help: "Groups, or the name of a file of groups, or - for standard input.")
    var groups: [String]

    @OptionGroup var global: GlobalOptions

    func validate() throws { try RuleSource.check(groups) }

    func run() async throws {
      let reply = try await RuleSource(arguments: groups).send(with: global) { agent, input, _ in
        try await agent.modifyGroups(lines: input.lines)
      }
      try global.show(["modified": .unsigned(reply.changed), "unchanged": .unsigned(reply.unchanged)]) {
        "\(Human.count(reply.changed, "group")) modified" + (reply.unchanged == 0 ? "" : ", \(reply.unchanged) unchanged")
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes groups, and the rules that send to them.",
      discussion: """
        EXAMPLES:
          sluicectl group del 1 2
          sluicectl group del --all
        """,
      aliases: ["delete"])

    @Argument(help: "Numbers of groups, plain or as group_id=N.")
    var ids: [GroupNumber] = []

    @Flag(help: "Every group.")
    var all = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if all, !ids.isEmpty { throw ValidationError("--all deletes every group; a number cannot stand beside it") }
      if !all, ids.isEmpty { throw ValidationError("which groups? give their numbers, or --all for every group") }
    }

    func run() async throws {
      let request = Sluice_V1_DeleteGroupsRequest.with {
        $0.ids = ids.map(\.number)
        $0.all = all
      }
      let reply = try await global.withAgent { try await $0.deleteGroups(request) }
      try global.show(["deleted": .unsigned(reply.deleted), "deletedRules": .unsigned(reply.deletedRules)]) {
        let rules = reply.deletedRules == 0 ? "" : ", and \(Human.count(reply.deletedRules, "rule")) with them"
        return "\(Human.count(reply.deleted, "group")) deleted\(rules)"
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists groups with their buckets and counters.",
      discussion: """
        EXAMPLES:
          sluicectl group list
          sluicectl group list 1 -o json
          sluicectl group list --plain > groups.txt
        """)

    @Argument(help: "Numbers of groups (default: all).")
    var ids: [GroupNumber] = []

    @Flag(help: "One group a line, without counters, as `group add` reads them.")
    var plain = false

    @Flag(help: "One group a line with counters, as `ovs-ofctl dump-group-stats` prints them.")
    var stats = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if plain, stats { throw ValidationError("--plain leaves counters out and --stats prints them; give one of them") }
    }

    func run() async throws {
      let groups = try await global.withAgent { [ids] agent in try await agent.groups(ids.map(\.number)) }
      if plain || stats, global.output == .table {
        let lines = groups.map { stats ? $0.statistics : $0.text }
        if !groups.isEmpty { try Terminal.print(lines.joined(separator: "\n")) }
        return
      }
      try global.show(groups.document, rows: groups.count, none: "no groups") { Self.table(groups) }
    }

    static func table(_ groups: [Sluice_V1_Group]) -> Table {
      var table = Table([">group", "type", ">uses", ">bucket", "live", ">weight", ">packets", ">bytes", "watches", "actions"])
      for group in groups {
        let head = ["\(group.id)", group.type, "\(group.references)"]
        if group.buckets.isEmpty {
          table.add(head + ["", "", "", "\(group.matched.packets)", Human.bytes(group.matched.bytes), "", "no buckets"])
        }
        for bucket in group.buckets {
          table.add(
            head + [
              "\(bucket.id)", bucket.live ? "yes" : "no", group.type == "select" ? "\(bucket.weight)" : "",
              "\(bucket.matched.packets)", Human.bytes(bucket.matched.bytes), bucket.watches, bucket.actions,
            ])
        }
      }
      return table
    }
  }
}

/// A group's or meter's number: `7`, `group_id=7`, `meter=7`.
struct GroupNumber: ExpressibleByArgument, Equatable {
  var number: UInt32

  init?(argument: String) {
    let digits = argument.split(separator: "=", omittingEmptySubsequences: false)
    guard let last = digits.last, digits.count == 1 || (digits.count == 2 && ["group_id", "meter"].contains(digits[0])) else {
      return nil
    }
    guard let number = last.hasPrefix("0x") ? UInt32(last.dropFirst(2), radix: 16) : UInt32(last) else { return nil }
    self.number = number
  }
}

extension Sluice_V1_Group: Document {
  var document: JSON {
    [
      "id": .of(id), "type": .string(type), "packets": .unsigned(matched.packets), "bytes": .unsigned(matched.bytes),
      "durationSeconds": .unsigned(durationSeconds), "references": .of(references),
      "buckets": .array(buckets.map(\.document)), "text": .string(text),
    ]
  }

  /// As `ovs-ofctl dump-group-stats` prints it.
  var statistics: String {
    let parts = buckets.enumerated().map { index, bucket in
      "bucket\(index):packet_count=\(bucket.matched.packets),byte_count=\(bucket.matched.bytes)"
    }
    let head =
      "group_id=\(id),duration=\(durationSeconds)s,ref_count=\(references),packet_count=\(matched.packets),"
      + "byte_count=\(matched.bytes)"
    return ([head] + parts).joined(separator: ",")
  }
}

extension Sluice_V1_GroupBucket: Document {
  var document: JSON {
    [
      "id": .of(id), "weight": .of(weight), "live": .bool(live), "actions": .string(actions),
      "packets": .unsigned(matched.packets), "bytes": .unsigned(matched.bytes),
      "watchPort": hasWatchPort ? .of(watchPort) : nil, "watchGroup": hasWatchGroup ? .of(watchGroup) : nil,
    ]
  }

  /// "port 2", "group 7"
  fileprivate var watches: String {
    let port = hasWatchPort ? ["port \(watchPort)"] : []
    let group = hasWatchGroup ? ["group \(watchGroup)"] : []
    return (port + group).joined(separator: ", ")
  }
}
