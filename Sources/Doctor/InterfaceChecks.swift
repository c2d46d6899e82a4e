// InterfaceChecks.swift
//
// What an interface has to be like to be a port: what was found is kept apart from what is made of it.
// Threads: any. Interfaces are those of the namespace that is named.
// Cost: some netlink requests for each interface.

import KernelTier
import Netlink

/// An interface, as far as a port depends on it.
public struct InterfaceFacts: Sendable, Equatable {
  public enum Hook: Sendable { case xdp, tc }

  public var name: String
  public var isUp = true
  public var hasCarrier = true
  public var mtu: UInt32 = 1500
  /// The largest MTU that the port can carry; nil when it is not known.
  public var largestMTU: UInt32?
  /// Receive queues; nil when the driver does not tell.
  public var queues: UInt32?
  /// Those that the port has; nil when it is no port.
  public var portQueues: UInt32?
  /// Where a port's packets meet the switch; nil when it is no port.
  public var hook: Hook?
  /// Offloads that are on.
  public var offloads: Set<String> = []
  public var foreign = ForeignPrograms()

  public init(name: String) { self.name = name }

  /// What hides from XDP what came in on the wire.
  private static let hiding = [
    ("rx-lro", "lro", "large receive offload joins frames"), ("rx-gro-hw", "rx-gro-hw", "the hardware joins frames"),
    ("rx-vlan-hw-parse", "rxvlan", "the hardware takes VLAN tags away"),
  ]

  /// - Parameter prefix: put before every command, such as "nsenter --net=/proc/1/ns/net ".
  public func findings(prefix: String = "") -> [Finding] {
    let subject = hook == nil ? "interface \(name)" : "port \(name)"
    var findings: [Finding] = []
    func add(_ verdict: Finding.Verdict, _ check: String, _ message: String, _ mend: String? = nil) {
      findings.append(Finding(verdict, subject, check, message, mend: mend.map { prefix + $0 }))
    }
    if !isUp {
      add(.warn, "link", "the interface is down", "ip link set dev \(name) up")
    } else if !hasCarrier {
      add(.warn, "link", "the interface has no carrier: the cable, or the other end of the pair, is down", "ip link show dev \(name)")
    } else {
      add(.ok, "link", "up")
    }
    if let largestMTU {
      if mtu > largestMTU {
        add(.fail, "mtu", "MTU \(mtu) is more than the port carries (\(largestMTU))", "ip link set dev \(name) mtu \(largestMTU)")
      } else {
        add(.ok, "mtu", "MTU \(mtu), up to \(largestMTU) is carried")
      }
    }
    if hook == .xdp, let queues, let portQueues {
      if portQueues < queues {
        add(
          .warn, "queues", "the interface has \(queues) receive queues and the port \(portQueues): frames of the others do not get to it",
          "ethtool -L \(name) combined \(portQueues)")
      } else {
        add(.ok, "queues", queues == 1 ? "its queue is the port's" : "all \(queues) queues are the port's")
      }
    }
    // The agent switches these off when an interface becomes a port; somebody may have switched them on again.
    if hook == .xdp {
      let bad = Self.hiding.filter { offloads.contains($0.0) }
      for (_, word, message) in bad { add(.warn, "offload", "\(message), so programs do not see them", "ethtool -K \(name) \(word) off") }
      if bad.isEmpty { add(.ok, "offload", "no offload hides frames or tags") }
    }
    if let program = foreign.xdp {
      let harm = hook == .tc ? "it sees packets before the switch does" : "the switch does not replace it"
      add(hook == .tc ? .warn : .fail, "foreign xdp", "the XDP program \(program) is not Sluice's: \(harm)", "ip link set dev \(name) xdp off")
    }
    if let filter = foreign.tc {
      add(
        hook == .xdp ? .warn : .fail, "foreign tc", "\(filter) has the place of Sluice's, which does not replace it",
        "tc filter del dev \(name) ingress prio 1")
    }
    if foreign == ForeignPrograms() { add(.ok, "foreign", "nobody else's program is on it") }
    return findings
  }
}

/// Looks at interfaces.
public struct InterfaceChecks: Sendable {
  /// The process in whose network namespace they are; nil for that of this process.
  let process: Int32?

  public init(process: Int32? = nil) { self.process = process }

  /// What is found of an interface.
  /// - Parameter known: what the agent says of it.
  /// - Returns: one finding that it is not there, or those of `InterfaceFacts`.
  public func findings(_ known: InterfaceFacts) -> [Finding] {
    do {
      return try inside { prefix in try Self.complete(known).findings(prefix: prefix) }
    } catch {
      let isGone = (error as? NetlinkError)?.isNotFound ?? false
      return [
        Finding(
          .fail, "\(known.hook == nil ? "interface" : "port") \(known.name)", "link",
          isGone ? "there is no interface \(known.name)" : "it could not be looked at: \(error)", mend: isGone ? "ip link show" : nil)
      ]
    }
  }

  /// Whether the pair that tc programs send into keeps silent.
  public func upcallPair(files: SystemFiles = SystemFiles()) -> [Finding] {
    let findings = try? inside { prefix in
      ["sluice-up0", "sluice-up1"].compactMap { name -> Finding? in
        let setting = "net.ipv6.conf.\(name).disable_ipv6"
        guard let value = files.number("/proc/sys/" + setting.split(separator: ".").joined(separator: "/")) else { return nil }
        return value == 1
          ? Finding(.ok, "way up", "ipv6", "the host's IPv6 keeps silent on \(name)")
          : Finding(.warn, "way up", "ipv6", "the host's IPv6 speaks on \(name), for workers to drop", mend: "\(prefix)sysctl -w \(setting)=1")
      }
    }
    return findings ?? []
  }

  /// Runs something in the namespace; what it gets goes in front of commands for people.
  private func inside<Value: Sendable>(_ body: (String) throws -> Value) throws -> Value {
    guard let process else { return try body("") }
    let theirs = try NetworkNamespace(process: process)
    if try theirs.identity() == NetworkNamespace.current().identity() { return try body("") }
    return try NetworkNamespace.run(in: theirs) { try body("nsenter --net=/proc/\(process)/ns/net ") }
  }

  private static func complete(_ known: InterfaceFacts) throws -> InterfaceFacts {
    var facts = known
    var socket = try NetlinkSocket(.route)
    let link = try socket.link(named: known.name)
    facts.isUp = link.isUp
    facts.hasCarrier = link.hasCarrier
    facts.mtu = link.mtu
    if var ethtool = try? Ethtool() {
      facts.queues = (try? ethtool.channels(of: link.index))?.receiveQueues ?? link.rxQueues
      if let features = try? ethtool.features(of: link.index) { facts.offloads = Set(features.active.filter(\.value).keys) }
    }
    facts.foreign = try ForeignPrograms.look(interfaceIndex: UInt32(link.index), interfaceName: link.name)
    return facts
  }
}
