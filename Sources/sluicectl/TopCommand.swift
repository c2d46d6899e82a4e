// TopCommand.swift: `sluicectl top`, the flows with the highest rates, live.

import AgentAPI
import ArgumentParser

struct TopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Shows the flows with the highest rates, until interrupted.",
    discussion: """
      A terminal is refreshed each interval, or gets an object a line with -o json. With --once, and where the answer does not \
      go to a terminal, one interval is measured and printed.

      EXAMPLES:
        sluicectl top
        sluicectl top -n 5 --sort bytes --interval 0.5
        sluicectl top --once -o json | jq '.flows[0].match'
      """)

  enum Order: String, ExpressibleByArgument, CaseIterable {
    case packets, bytes
  }

  @Option(name: .short, help: ArgumentHelp("At most so many flows.", valueName: "count"))
  var n: UInt32 = 20

  @Option(help: "What a flow's place depends on.")
  var sort: Order = .packets

  @Option(help: ArgumentHelp("How long rates are measured.", valueName: "seconds"))
  var interval: Double = 1

  @Flag(help: "Print one interval and end.")
  var once = false

  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if n == 0 { throw ValidationError("-n must be 1 or more, not 0") }
    if !(0.1...3600 ~= interval) { throw ValidationError("--interval must be 0.1 to 3600 seconds, not \(interval)") }
  }

  func run() async throws {
    let request = Sluice_V1_TopFlowsRequest.with {
      $0.count = n
      $0.order = sort == .bytes ? .bytes : .packets
      $0.intervalMilliseconds = UInt32(interval * 1000)
    }
    let format = global.output
    let isLive = !once && Terminal.isScreen && format == .table
    let endsAtOnce = once || !Terminal.isScreen
    try await global.withAgent { agent in
      try await agent.topFlows(request) { reply in
        let text = format == .json ? reply.document.text(pretty: false) : reply.text(bold: Terminal.takesColour)
        let isRead = isLive ? Terminal.refresh(text) : Terminal.printLine(text)
        return isRead && !endsAtOnce
      }
    }
  }
}

extension Sluice_V1_TopFlowsReply: Document {
  var document: JSON {
    [
      "seconds": .number(seconds), "active": .unsigned(active), "total": .unsigned(total),
      "packetsPerSecond": .number(packetsPerSecond), "bytesPerSecond": .number(bytesPerSecond),
      "flows": .array(
        flows.map {
          $0.flow.document.adding([
            "port": $0.port.isEmpty ? nil : .string($0.port), "packetsPerSecond": .number($0.packetsPerSecond),
            "bytesPerSecond": .number($0.bytesPerSecond),
          ])
        }),
    ]
  }

  func text(bold: Bool) -> String {
    let head =
      "\(Human.rate(packetsPerSecond)) packets/s, \(Human.rate(bytesPerSecond))B/s by \(active) of \(Human.count(total, "flow")), "
      + "measured for \(Human.decimal(seconds, places: 1)) s"
    guard !flows.isEmpty else { return head }
    var table = Table([">id", ">packets/s", ">bytes/s", "tier", "port", "match", "actions"])
    for rate in flows {
      table.add([
        "\(rate.flow.id)", Human.rate(rate.packetsPerSecond), Human.rate(rate.bytesPerSecond), rate.flow.tier.word, rate.port,
        rate.flow.match.isEmpty ? "any" : rate.flow.match, rate.flow.actions,
      ])
    }
    return head + "\n\n" + table.text(bold: bold)
  }
}
