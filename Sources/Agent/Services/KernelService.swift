// KernelService.swift
//
// gRPC service sluice.v1.Kernel: what of the switch runs in the kernel.
// Threads: gRPC's tasks; the kernel is asked on the control thread.

import AgentAPI
import GRPCCore

struct KernelService: Sluice_V1_Kernel.SimpleServiceProtocol {
  let context: AgentServiceContext

  func get(request: Sluice_V1_GetKernelRequest, context call: ServerContext) async throws -> Sluice_V1_GetKernelReply {
    try await context.answer { try await context.control.kernelReport() }
  }
}
