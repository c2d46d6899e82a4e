// StatusService.swift
//
// gRPC service sluice.v1.Agent: is the agent well, what is it, and what does it leave in the kernel?
// Threads: gRPC's tasks.

import AgentAPI
import GRPCCore
import Glibc

struct StatusService: Sluice_V1_Agent.SimpleServiceProtocol {
  let context: AgentServiceContext

  func getStatus(request: Sluice_V1_GetStatusRequest, context call: ServerContext) async throws -> Sluice_V1_GetStatusReply
  {
    try await context.answer {
      var reply = try await context.control.status()
      reply.version = SluiceVersion.current
      reply.pid = UInt32(getpid())
      reply.uptimeSeconds = context.clock.nanoseconds / 1_000_000_000
      reply.configFile = context.configurationFile
      reply.socket = context.socket
      reply.rssBytes = ProcessFacts.residentBytes()
      return reply
    }
  }

  func getVersion(request: Sluice_V1_GetVersionRequest, context call: ServerContext) async throws
    -> Sluice_V1_GetVersionReply
  {
    var reply = Sluice_V1_GetVersionReply()
    reply.version = SluiceVersion.current
    reply.swiftVersion = Self.swiftVersion
    reply.kernelRelease = ProcessFacts.kernelRelease()
    return reply
  }

  func drain(request: Sluice_V1_DrainRequest, context call: ServerContext) async throws -> Sluice_V1_DrainReply {
    try await context.answer {
      var reply = Sluice_V1_DrainReply()
      reply.withdrawn = UInt64(try await context.control.drain())
      return reply
    }
  }

  func resume(request: Sluice_V1_ResumeRequest, context call: ServerContext) async throws -> Sluice_V1_ResumeReply {
    try await context.answer {
      try await context.control.resume()
      return Sluice_V1_ResumeReply()
    }
  }

  func uninstall(
    request: Sluice_V1_UninstallRequest, context call: ServerContext
  ) async throws -> Sluice_V1_UninstallReply {
    try await context.answer {
      var reply = Sluice_V1_UninstallReply()
      reply.removed = try await context.control.uninstall()
      // The end is the ordinary one: this call is answered before it.
      kill(getpid(), SIGTERM)
      return reply
    }
  }

  /// The compiler's version; Swift has no way to ask for the patch level.
  static let swiftVersion: String = {
    #if compiler(>=6.4)
      "6.4 or later"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }()
}
