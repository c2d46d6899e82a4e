// PortCommand.swift: `sluicectl port`, where frames come in and go out.

import AgentAPI
import ArgumentParser

struct PortCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "port", abstract: "Adds, deletes and shows ports.",
    subcommands: [Add.self, Delete.self, List.self, Show.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Adds a port and waits until it forwards.",
      discussion: """
        A port takes over an interface of this machine: every frame it receives goes to the switch. In shared mode, \
        frames for the host's own addresses go on to the host. With --kernel, known flows are executed in the kernel: a \
        container's veth is then served by a tc program, so its packets keep their offloads, any other interface by XDP. Adding a port that is there exactly so changes nothing and \
        succeeds.

        EXAMPLES:
          sluicectl port add eth1
          sluicectl port add uplink --interface enp3s0f0 --mode shared --number 1
          sluicectl port add eth1 --queues 0-3
          sluicectl port add host0 --internal
          sluicectl port add veth17 --kernel eager
        """)

    @Argument(help: "The port's name, and the interface's unless --interface says another.")
    var name: String

    @Option(help: ArgumentHelp("The interface to take over (default: the port's name).", valueName: "if"))
    var interface: String?

    @Flag(help: "Make an interface through which the host itself is in the switch.")
    var `internal` = false

    @Option(help: "What the port owns: every frame (dedicated), or those that are not for the host (shared).")
    var mode: PortMode = .dedicated

    @Option(help: ArgumentHelp("The OpenFlow port number (default: the lowest free one).", valueName: "n"))
    var number: UInt32?

    @Option(help: ArgumentHelp("The queues to bind, such as 0,1 or 0-3 (default: all).", valueName: "list"))
    var queues: QueueList?

    @Option(
      help: "Flows of this port that the kernel executes: none (off), the busy ones (auto), all (eager); default: as configured.")
    var kernel: PortPlacement?

    @Option(help: "Where the kernel runs the switch's program: tc for a veth with --kernel auto or eager, else xdp (auto).")
    var hook: PortHook = .auto

    @OptionGroup var global: GlobalOptions

    func validate() throws {
      if number == 0 { throw ValidationError("--number must be 1 to 65279, not 0") }
      if `internal`, queues != nil {
        throw ValidationError("--queues is for interfaces; a port with --internal has none to choose")
      }
      if hook == .tc, queues != nil { throw ValidationError("--queues is for XDP; tc sees all queues") }
      if hook == .tc, mode == .shared { throw ValidationError("--mode shared is for XDP; with --hook tc a port is dedicated") }
    }

    func run() async throws {
      let request = Sluice_V1_AddPortRequest.with {
        $0.name = name
        $0.kind = `internal` ? .internal : .netdev
        $0.interface = interface ?? ""
        $0.mode = mode.message
        $0.number = number ?? 0
        $0.queues = queues?.queues ?? []
        $0.placement = kernel?.message ?? .unspecified
        $0.hook = hook.message
      }
      let reply = try await global.withAgent { try await $0.addPort(request) }
      try global.show(reply.port.document.adding(["alreadyPresent": .bool(reply.alreadyPresent)])) {
        let news = reply.alreadyPresent ? "already there" : "added"
        return "port \(reply.port.name): \(news), number \(reply.port.number), \(Self.summary(reply.port))"
      }
    }

    private static func summary(_ port: Sluice_V1_Port) -> String {
      let why = port.stateMessage.isEmpty ? "" : " (\(port.stateMessage))"
      return "\(port.state.word)\(why), \(port.driverWords)"
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "del", abstract: "Deletes a port; its interface is as it was before.",
      discussion: """
        EXAMPLES:
          sluicectl port del eth1
          sluicectl port del eth1 --if-exists
        """,
      aliases: ["delete"])

    @Argument(help: "The port's name or number.")
    var port: String

    @Flag(help: "Succeed when there is no such port.")
    var ifExists = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let deleted = try await global.withAgent { try await $0.deletePort(port, ifExists: ifExists) }
      try global.show(["deleted": .bool(deleted)]) { "port \(port): \(deleted ? "deleted" : "was not there")" }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Lists ports with their states and counters.",
      discussion: """
        EXAMPLES:
          sluicectl port list
          sluicectl port list -o json | jq '.[] | select(.state != "up")'
        """)

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let ports = try await global.withAgent { try await $0.ports() }
      try global.show(ports.document, rows: ports.count, none: "no ports; add one with: sluicectl port add NAME") {
        Self.table(ports)
      }
    }

    static func table(_ ports: [Sluice_V1_Port]) -> Table {
      var table = Table([
        ">number", "name", "kind", "interface", "state", "mode", "driver", ">queues", ">mtu", ">rx packets", ">rx bytes",
        ">tx packets", ">tx bytes", ">dropped",
      ])
      for port in ports {
        let counters = port.counters
        table.add([
          "\(port.number)", port.name, port.kind.word, port.interface, port.state.word, port.mode.word, port.driverWords,
          "\(port.queues.count)", "\(port.mtu)", "\(counters.received.packets)", Human.bytes(counters.received.bytes),
          "\(counters.transmitted.packets)", Human.bytes(counters.transmitted.bytes), "\(counters.droppedPackets)",
        ])
      }
      return table
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Shows everything about one port.",
      discussion: """
        EXAMPLES:
          sluicectl port show eth1
          sluicectl port show 2 -o json | jq .drops
        """)

    @Argument(help: "The port's name or number.")
    var port: String

    @OptionGroup var global: GlobalOptions

    func run() async throws {
      let found = try await global.withAgent { try await $0.port(port) }
      try global.show(found.document) { Self.text(found) }
    }

    static func text(_ port: Sluice_V1_Port) -> String {
      let counters = port.counters
      let state = port.stateMessage.isEmpty ? port.state.word : "\(port.state.word): \(port.stateMessage)"
      var lines = ["\(port.number): \(port.name)  \(port.kind.word)  \(state)"]
      func add(_ title: String, _ text: String) {
        if !text.isEmpty { lines.append("    \(title) \(text)") }
      }
      let index = port.ifindex == 0 ? "" : " (ifindex \(port.ifindex))"
      add("interface", port.interface + index + ", mac \(port.mac.isEmpty ? "unknown" : port.mac)")
      add("mode", port.mode.word)
      add("link", "\(port.linkUp ? "up" : "down"), set \(port.adminUp ? "up" : "down")")
      add("mtu", port.maxMtu == 0 ? "\(port.mtu)" : "\(port.mtu), at most \(port.maxMtu)")
      if port.xdpMode != .unspecified {
        add("xdp", port.xdpModeReason.isEmpty ? port.xdpMode.word : "\(port.xdpMode.word): \(port.xdpModeReason)")
      }
      if port.hook != .unspecified { add("hook", port.hook.word) }
      if port.placement != .unspecified { add("kernel", port.placement.words) }
      for note in port.offloadNotes { add("offload", note) }
      for queue in port.queues {
        let copy = queue.copyReason.isEmpty ? "copy" : "copy (\(queue.copyReason))"
        let socket = queue.socketCounters.isEmpty ? "" : ", \(queue.socketCounters.words)"
        let restarts = queue.restarts == 0 ? "" : ", socket made anew \(Human.count(queue.restarts, "time"))"
        add("queue \(queue.queue)", "worker \(queue.worker), \(queue.zeroCopy ? "zero-copy" : copy)\(socket)\(restarts)")
      }
      add("received", "\(Human.count(counters.received.packets, "packet")), \(Human.bytes(counters.received.bytes))")
      add("sent", "\(Human.count(counters.transmitted.packets, "packet")), \(Human.bytes(counters.transmitted.bytes))")
      let drops = counters.drops.isEmpty ? "" : ": \(counters.drops.words)"
      add("dropped", Human.count(counters.droppedPackets, "packet") + drops)
      let (above, below) = (port.kernelReceived, port.kernelTransmitted)
      if above.packets + below.packets > 0 {
        add(
          "in the kernel",
          "\(above.packets) of the received, \(Human.bytes(above.bytes)); \(below.packets) of the sent, \(Human.bytes(below.bytes))")
      }
      add("xdp counters", port.xdpCounters.words)
      return lines.joined(separator: "\n")
    }
  }
}

/// The queues of an interface, as `0,1` or `0-3`.
struct QueueList: ExpressibleByArgument, Equatable {
  var queues: [UInt32]

  /// The most queues that a network card has, with room to spare; keeps `0-4000000000` from filling the memory.
  private static let maxQueue: UInt32 = 4095

  init?(argument: String) {
    var queues: [UInt32] = []
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard ends.count <= 2, let first = ends.first.flatMap({ UInt32($0) }), let last = ends.last.flatMap({ UInt32($0) }),
        first <= last, last <= Self.maxQueue
      else { return nil }
      queues += first...last
    }
    self.queues = queues
  }
}

/// `--mode`, as an option's value.
enum PortMode: String, ExpressibleByArgument, CaseIterable {
  case dedicated, shared

  var message: Sluice_V1_PortMode {
    switch self {
    case .dedicated: .dedicated
    case .shared: .shared
    }
  }
}

/// `--kernel`, as an option's value.
enum PortPlacement: String, ExpressibleByArgument, CaseIterable {
  case off, auto, eager

  var message: Sluice_V1_Placement {
    switch self {
    case .off: .off
    case .auto: .auto
    case .eager: .eager
    }
  }
}

/// `--hook`, as an option's value.
enum PortHook: String, ExpressibleByArgument, CaseIterable {
  case auto, xdp, tc

  var message: Sluice_V1_PortHook {
    switch self {
    case .auto: .unspecified
    case .xdp: .xdp
    case .tc: .tc
    }
  }
}

extension Sluice_V1_Port {
  /// How frames reach the switch: "AF_XDP native zero-copy".
  var driverWords: String {
    guard kind == .netdev else { return kind.word }
    if hook == .tc { return "tc" }
    let copy = !queues.isEmpty && queues.allSatisfy(\.zeroCopy) ? "zero-copy" : "copy"
    return xdpMode == .unspecified ? "AF_XDP" : "AF_XDP \(xdpMode.word) \(copy)"
  }
}
