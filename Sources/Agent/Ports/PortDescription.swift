// PortDescription.swift
//
// A port as the API shows it.
// Threads: the control thread (see Control.swift).
// Cost: two system calls for the XDP counters, one per queue for the socket's; no netlink.

import AgentAPI
import Dataplane
import KernelTier
import Netlink
import Pipeline

extension Control {
  func describe(_ port: ManagedPort) -> Sluice_V1_Port {
    var message = Sluice_V1_Port()
    message.name = port.name
    message.number = port.number
    message.kind = port.request.kind == .internal ? .internal : .netdev
    message.interface = port.request.interface
    message.mode = port.request.mode == .shared ? .shared : .dedicated
    message.maxMtu = port.attachment?.largestMTU ?? InterfaceAttachment.largestMTU
    message.placement = port.attachment.map { $0.plan.placement.message } ?? wantedPlacement(of: port).message
    message.state = port.condition.state
    message.stateMessage = port.condition.message

    var counters = port.carried
    var xdp = port.carriedXDP
    var kernel = port.carriedKernel
    if let attachment = port.attachment {
      let number = port.number
      if let now = try? onPlane({ core in core.counters(of: number) }) { counters.add(now) }
      if let now = try? attachment.program?.counters() { xdp.add(now) }
      kernel.add(kernelCounters(of: attachment))
      describe(attachment, of: port, in: &message)
    }
    counters.add(kernel)
    message.counters = Sluice_V1_PortCounters(counters)
    message.kernelReceived = Sluice_V1_Traffic(packets: kernel.inPackets, bytes: kernel.inBytes)
    message.kernelTransmitted = Sluice_V1_Traffic(packets: kernel.outPackets, bytes: kernel.outBytes)
    // A port by tc has no XDP program that could have counted.
    guard port.attachment?.plan.hook != .tc else { return message }
    message.xdpCounters = xdp.named.map { .with($0.name, $0.counter.packets) }
    return message
  }

  private func describe(_ attachment: InterfaceAttachment, of port: ManagedPort, in message: inout Sluice_V1_Port) {
    // The operator of an internal port knows the host's end; the other one is the agent's own affair.
    let shown = port.hostEnd ?? attachment.link
    message.ifindex = UInt32(shown.index)
    message.mac = shown.macAddress.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    message.mtu = attachment.link.mtu
    message.linkUp = attachment.link.isRunning
    message.adminUp = attachment.link.isUp
    message.offloadNotes = attachment.offloadNotes
    message.hook = attachment.plan.hook == .tc ? .tc : .xdp
    switch attachment.xdp?.attachMode {
    case nil: break
    case .native?: message.xdpMode = .native
    case .generic(let reason)?:
      message.xdpMode = .generic
      message.xdpModeReason = reason
    }
    message.queues = attachment.queues.map { attached in
      var queue = Sluice_V1_PortQueue()
      queue.queue = attached.queue.queue
      queue.worker = UInt32(attached.worker)
      switch attached.queue.mode {
      case .zeroCopy: queue.zeroCopy = true
      case .copy(let reason): queue.copyReason = reason
      }
      queue.socketCounters = attached.queue.monitor.counters().named.filter { $0.count > 0 }
      queue.restarts = port.restarts[attached.queue.queue, default: 0]
      return queue
    }
  }
}

extension PortPlacement {
  var message: Sluice_V1_Placement {
    switch self {
    case .off: .off
    case .auto: .auto
    case .eager: .eager
    }
  }
}

extension PortCondition {
  var state: Sluice_V1_PortState {
    switch self {
    case .up: .up
    case .down: .down
    case .degraded: .degraded
    case .missing: .missing
    case .failed: .failed
    }
  }
}

extension Sluice_V1_NamedCount {
  static func with(_ name: String, _ count: UInt64) -> Self {
    var message = Self()
    message.name = name
    message.count = count
    return message
  }
}

extension Sluice_V1_Traffic {
  init(packets: UInt64, bytes: UInt64) {
    self.init()
    self.packets = packets
    self.bytes = bytes
  }
}

extension Sluice_V1_PortCounters {
  init(_ counters: PortCounters) {
    self.init()
    received = Sluice_V1_Traffic(packets: counters.receivedPackets, bytes: counters.receivedBytes)
    transmitted = Sluice_V1_Traffic(packets: counters.sentPackets, bytes: counters.sentBytes)
    droppedPackets = counters.dropped
    drops = counters.drops.filter { $0.value > 0 }.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      .with($0.key.name, $0.value)
    }
  }
}

extension AFXDPCounters {
  /// By their names in the API and in metrics.
  var named: [Sluice_V1_NamedCount] {
    [
      .with("received", received), .with("transmitted", transmitted), .with("completed", completed),
      .with("refused", refused),
      .with("malformed", malformed), .with("multi-buffer", multiBuffer), .with("memory-exhausted", memoryExhausted),
      .with("transmit-kicks", transmitKicks), .with("receive-kicks", receiveKicks), .with("kick-errors", kickErrors),
      .with("kernel-dropped", kernelDropped), .with("receive-ring-full", receiveRingFull),
      .with("fill-ring-empty", fillRingEmpty),
      .with("invalid-fill-entries", invalidFillEntries), .with("invalid-transmit-entries", invalidTransmitEntries),
    ]
  }
}
