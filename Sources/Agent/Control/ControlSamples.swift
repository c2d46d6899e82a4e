// ControlSamples.swift
//
// Samples of what the programs in the kernel drop, for those who watch and asked for them.
// Invariant: sampling is on only while somebody wants it, as densely as the keenest of them wants; each event says how many drops it
//       stands for.
// Threads: the control thread (see Control.swift).

import AgentAPI
import KernelTier
import Logging

/// Who wants samples.
struct DropSampling {
  var reader: DropEvents?
  /// One in so many, by watcher.
  var wishes: [UInt64: UInt32] = [:]
  var lastID: UInt64 = 0
}

extension Control {
  /// Has one of so many drops published as an event until `endSampling`.
  /// - Parameter oneIn: 1 or more.
  /// - Returns: what `endSampling` takes.
  func beginSampling(oneIn: UInt32) throws -> UInt64 {
    // Without a policy no program drops; `openPolicy` makes the reader then.
    if sampling.reader == nil { sampling.reader = try policy?.dropEvents() }
    sampling.lastID += 1
    sampling.wishes[sampling.lastID] = max(1, oneIn)
    applySampling()
    return sampling.lastID
  }

  func endSampling(_ id: UInt64) {
    sampling.wishes[id] = nil
    applySampling()
    if sampling.wishes.isEmpty { sampling.reader = nil }
  }

  /// Publishes what was sampled since the last call.
  func publishSamples() {
    guard let reader = sampling.reader else { return }
    do {
      for sample in try reader.read() { events.publish(message(sample)) }
    } catch {
      logger.warning("samples of drops cannot be read", metadata: ["reason": "\(error)"])
    }
  }

  func applySampling() { policy?.sampleDrops(oneIn: sampling.wishes.values.min() ?? 0) }

  private func message(_ sample: DropEvent) -> Sluice_V1_Event {
    var event = Sluice_V1_Event()
    event.unixNanoseconds = WallClock.nanoseconds()
    let index = Int32(truncatingIfNeeded: sample.interfaceIndex)
    event.dropSample.port = portsInOrder.first { $0.isConcerned(index: index, name: nil) }?.name ?? ""
    event.dropSample.reason = sample.reason.description
    event.dropSample.length = UInt32(clamping: sample.length)
    event.dropSample.sample = sample.sample
    event.dropSample.frame = .init(sample.bytes)
    return event
  }
}
