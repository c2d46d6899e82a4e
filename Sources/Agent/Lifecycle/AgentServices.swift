// AgentServices.swift
//
// The long-running parts of the agent, each a service of swift-service-lifecycle: the API, the following of interfaces,
// the talk with the service manager, reloads.
// Invariants: each ends by itself on graceful shutdown. None of them throws for what a running agent can live with.
// Threads: tasks; the work is the control actor's.

import AgentAPI
import CSluice
import GRPCCore
import GRPCNIOTransportHTTP2
import Logging
import ServiceLifecycle
import UnixSignals

/// Serves the API.
struct APIService: Service {
  let server: GRPCServer<HTTP2ServerTransport.Custom<CredentialListener>>
  let context: AgentServiceContext

  init(context: AgentServiceContext, socket: ControlSocket, admission: AdmissionRule) {
    self.context = context
    server = GRPCServer(
      transport: CredentialListener.transport(descriptor: socket.descriptor, admission: admission, logger: context.logger),
      services: [
        StatusService(context: context), PortsService(context: context), RulesService(context: context),
        GroupsService(context: context), MetersService(context: context), FlowsService(context: context), KernelService(context: context),
        DenyService(context: context), LimitsService(context: context), WorkersService(context: context),
        FdbService(context: context), MonitorService(context: context), HealthService(context: context),
      ])
  }

  func run() async throws {
    try await withGracefulShutdownHandler {
      try await server.serve()
    } onGracefulShutdown: {
      // Watchers would keep the server from ending.
      context.control.events.finish()
      server.beginGracefulShutdown()
    }
  }
}

/// Follows the kernel's interfaces and looks after queues.
struct PortKeeper: Service {
  let control: Control
  let watcher: LinkWatcher

  func run() async throws {
    watcher.start()
    await withGracefulShutdownHandler {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { for await batch in watcher.events { await control.handle(batch) } }
        group.addTask {
          await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
              try? await Task.sleep(for: .seconds(1))
              await control.tick()
            }
          }
        }
      }
    } onGracefulShutdown: {
      watcher.stop()
    }
  }
}

/// Tells the service manager that the agent is ready, alive, and about to stop.
struct ManagerTalk: Service {
  let manager: ServiceManager
  let context: AgentServiceContext

  func run() async throws {
    manager.ready(status: "forwarding")
    context.logger.notice("ready", metadata: ["socket": "\(context.socket)"])
    // Half of what is resident now is code that only starting up ran.
    sluice_trim_resident()
    await withGracefulShutdownHandler {
      await cancelWhenGracefulShutdown {
        guard let interval = manager.watchdogInterval else {
          try? await Task.sleep(for: .seconds(1 << 30))
          return
        }
        while !Task.isCancelled {
          // Half the interval, as sd_watchdog_enabled(3) recommends. The sign of life is given only after the control
          // thread and the pipeline thread have answered.
          try? await Task.sleep(for: interval / 2)
          _ = await context.control.readiness()
          _ = try? await context.plane.perform { core in core.flowCount }
          manager.alive()
        }
      }
    } onGracefulShutdown: {
      manager.stopping()
      context.logger.notice("stopping")
    }
  }
}

/// Reads the configuration again on SIGHUP.
struct Reloader: Service {
  let context: AgentServiceContext
  let manager: ServiceManager
  let options: AgentOptions
  /// nil when the agent runs on defaults.
  let file: String?

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    await cancelWhenGracefulShutdown {
      for await _ in signals { await reload() }
    }
  }

  private func reload() async {
    guard let file else {
      context.logger.notice("there is no configuration file to reload: the agent runs on its defaults")
      return
    }
    manager.reloading()
    do {
      try await context.control.reload(file: file, command: options)
    } catch {
      for line in "\(error)".split(separator: "\n") {
        context.logger.error("the reload changed nothing: \(line)")
      }
    }
    manager.ready(status: "forwarding")
  }
}
