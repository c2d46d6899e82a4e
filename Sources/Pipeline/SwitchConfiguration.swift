// SwitchConfiguration.swift
//
// What: what a switch is made of and how long it remembers.

import Dataplane

/// How to build a Switch.
public struct SwitchConfiguration: Sendable {
  /// One element per worker.
  public var workers: [WorkerConfiguration]
  /// A flow that no packet used for so long is forgotten.
  public var flowIdleSeconds: Double
  /// A station not seen for so long is forgotten.
  public var macAgingSeconds: Double
  /// Stations to remember.
  public var macCapacity: Int
  /// Masks that the flows of one port may have on a worker before new ones are shared; see FlowMasks.
  public var masksPerPort: Int
  /// Makes the select groups of this switch choose otherwise than those of the switches before and behind it. The same after every start,
  /// or connections move when the agent is started anew.
  public var selectSeed: UInt64

  public init(
    workers: [WorkerConfiguration] = [WorkerConfiguration()], flowIdleSeconds: Double = 10,
    macAgingSeconds: Double = Double(MACTable.defaultAgingSeconds), macCapacity: Int = MACTable.defaultCapacity,
    masksPerPort: Int = 128, selectSeed: UInt64 = 0
  ) {
    self.workers = workers
    self.flowIdleSeconds = flowIdleSeconds
    self.macAgingSeconds = macAgingSeconds
    self.macCapacity = macCapacity
    self.masksPerPort = masksPerPort
    self.selectSeed = selectSeed
  }
}
