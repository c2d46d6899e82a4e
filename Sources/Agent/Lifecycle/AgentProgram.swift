// AgentProgram.swift
//
// The agent from its start to its end.
//
// Start: configuration, socket, store, workers, ports, rules, metrics page, then READY=1. Whatever fails before
//        that is one line (a configuration: one per mistake) on standard error and exit status 1; what an agent before left in the kernel is as it was.
// End (SIGTERM, SIGINT): STOPPING=1, no new calls, calls under way finish, programs are taken off interfaces whose flows are not placed
//        in the kernel, workers end, the store is closed, the socket goes, exit status 0. The kernel tier goes on without the agent.
// Threads: a task; one process runs it once.

import AgentAPI
import Dataplane
import Glibc
import KernelTier
import Logging
import Netlink
import Pipeline
import ServiceLifecycle
import Store

public enum AgentProgram {
  /// Seconds that calls under way have to finish when the agent stops.
  private static let drainSeconds = 5

  /// Runs the agent.
  ///
  /// - Returns: the exit status of the program.
  public static func run(_ options: AgentOptions) async -> Int32 {
    // A client that goes away while it is answered must not end the agent.
    signal(SIGPIPE, SIG_IGN)
    AgentLog.install()
    do {
      if options.uninstalls { try uninstall(options) } else { try await serve(options) }
      return 0
    } catch {
      for line in "\(error)".split(separator: "\n") { complain(String(line)) }
      return 1
    }
  }

  /// Removes what an agent left in the kernel of this network namespace.
  private static func uninstall(_ options: AgentOptions) throws {
    let configuration = try options.configuration(file: options.file)
    let groupID = SystemGroup.identifier(of: configuration.agent.group)
    // Refuses while an agent lives.
    let socket = try ControlSocket.claim(path: configuration.agent.socket, groupID: groupID)
    defer { socket.removePath() }
    let claim = PinDirectory.isInUse(configuration.kernel.directory)
      ? try PinDirectory(claiming: configuration.kernel.directory) : nil
    let sentences = withExtendedLifetime(claim) { KernelRemains(root: configuration.kernel.directory).removeAll() }
    for line in sentences.isEmpty ? ["there was nothing to remove"] : sentences { print(line) }
  }

  private static func serve(_ options: AgentOptions) async throws {
    let file = options.file
    let configuration = try options.configuration(file: file)
    AgentLog.shared.level = configuration.agent.logLevel
    AgentLog.shared.format = configuration.agent.logFormat
    let logger = Logger(label: "sluiced")
    logger.notice(
      "starting",
      metadata: ["version": "\(SluiceVersion.current)", "pid": "\(getpid())", "configuration": "\(file ?? "defaults")"])

    let groupID = SystemGroup.identifier(of: configuration.agent.group)
    if groupID == nil {
      logger.notice(
        "the system has no such group: only root may use the API (make it with: groupadd --system GROUP)",
        metadata: ["group": "\(configuration.agent.group)"])
    }
    let socket = try ControlSocket.claim(path: configuration.agent.socket, groupID: groupID)
    defer { socket.removePath() }
    let store = try StateStore.open(path: configuration.agent.store)
    defer { store.close() }
    let plane = try Switch(configuration: switchConfiguration(configuration.workers))
    defer { plane.stop() }
    let watcher = try LinkWatcher(logger: logger)
    let control = Control(configuration: configuration, store: store, plane: plane, logger: logger)
    do {
      try await control.start()
      try await runServices(
        options: options, file: file, configuration: configuration, control: control, plane: plane, watcher: watcher,
        socket: socket,
        admission: AdmissionRule(groupID: groupID), logger: logger)
    } catch {
      await control.stop()
      throw error
    }
    await control.stop()
    logger.notice("stopped")
  }

  private static func runServices(
    options: AgentOptions, file: String?, configuration: AgentConfiguration, control: Control, plane: Switch,
    watcher: LinkWatcher,
    socket: ControlSocket, admission: AdmissionRule, logger: Logger
  ) async throws {
    let context = AgentServiceContext(
      control: control, plane: plane, logger: logger, configurationFile: file ?? "", socket: socket.path)
    let manager = ServiceManager()
    var services: [any Service] = [PortKeeper(control: control, watcher: watcher)]
    if let address = configuration.metrics.address {
      let pages = MetricsPages(context: context)
      services.append(try await MetricsServer(address: address, logger: logger) { await pages.page($0) })
    }
    services += [
      APIService(context: context, socket: socket, admission: admission),
      Reloader(context: context, manager: manager, options: options, file: file),
      ManagerTalk(manager: manager, context: context),
    ]
    // swift-service-lifecycle's own messages are about its services, not about the agent.
    var quiet = Logger(label: "services", factory: { _ in SwiftLogNoOpLogHandler() })
    quiet.logLevel = .critical
    var groupConfiguration = ServiceGroupConfiguration(
      services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
    groupConfiguration.maximumGracefulShutdownDuration = .seconds(drainSeconds)
    try await ServiceGroup(configuration: groupConfiguration).run()
  }

  private static func switchConfiguration(_ section: WorkersSection) -> SwitchConfiguration {
    // Without a choice the workers take the last CPUs: interrupts and everything else tend to be on the first ones.
    let allowed = ProcessFacts.allowedCPUs()
    let chosen = allowed.count > section.count ? Array(allowed.suffix(section.count)) : []
    let cpus = section.cpus.isEmpty ? chosen : section.cpus
    let workers = (0..<section.count).map { index in
      WorkerConfiguration(
        cpu: index < cpus.count ? cpus[index] : nil, mode: section.mode == .busy ? .busy : .adaptive,
        chunkCount: section.frames,
        flowLimit: section.flowLimit)
    }
    return SwitchConfiguration(workers: workers, selectSeed: ProcessFacts.machineSeed())
  }

  private static func complain(_ line: String) {
    let bytes = Array("sluiced: \(line)\n".utf8)
    // Nobody can be told that standard error is gone.
    _ = write(STDERR_FILENO, bytes, bytes.count)
  }
}
