// FlowHookSpec.swift
//
// What: what a program that looks flows up is specialised to, and how an object gets that before it is loaded.
// Threads: values only.

import CSluice
import Dataplane

/// A program's place in the flow table.
public struct FlowHookSpec: Sendable {
  public var maps: FlowTableMaps
  /// The index of the port that the program is on.
  public var port: PortIndex
  /// tc: the interface that leads to the worker; 0: there is none, and what would go there is dropped.
  public var upInterfaceIndex: UInt32
  /// Whether XDP and tc are both on the port: XDP leaves to tc what only tc can do, and tc touches nothing else.
  public var isWithTC: Bool

  public init(maps: FlowTableMaps, port: PortIndex, upInterfaceIndex: UInt32 = 0, isWithTC: Bool = false) {
    self.maps = maps
    self.port = port
    self.upInterfaceIndex = upInterfaceIndex
    self.isWithTC = isWithTC
  }

  /// Writes this into the constants of a program.
  func write(to configuration: inout sluice_port_config) {
    configuration.flows = 1
    configuration.port = UInt32(port)
    configuration.uplink = isWithTC ? 1 : 0
    configuration.up_ifindex = upInterfaceIndex
    configuration.bucket_mask = UInt32(maps.buckets.count - 1)
    configuration.hash = maps.hashKeys
  }
}

extension BPFObject {
  /// Gives the object its constants, and the maps of the policy and of the flow table, or leaves those out.
  /// - Parameter isDry: nothing is sent; outputs go to a ring buffer that the object has for that.
  func prepare(
    isShared: Bool = false, policy: Policy?, flows: FlowHookSpec?, isDry: Bool = false
  ) throws(KernelTierError) {
    var configuration = sluice_port_config()
    configuration.shared = isShared ? 1 : 0
    configuration.deny = policy == nil ? 0 : 1
    flows?.write(to: &configuration)
    configuration.dry = isDry ? 1 : 0
    try setConstants(section: ".rodata.config", to: configuration)
    if let policy { try policy.maps.share(with: self) } else { try PolicyMaps.omit(from: self) }
    if let flows { try flows.maps.share(with: self) } else { try FlowTableMaps.omit(from: self) }
    if !isDry, has("sluice_dry") { try omit("sluice_dry") }
  }
}
