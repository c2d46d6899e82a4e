// HostTable.swift
//
// What the host calls its own on a shared port: the interface's MAC and its addresses, as the program looks them up.
// Invariant: the maps hold what the last successful `set` said. During a change the old and the new addresses are both known,
//       so that no frame of the host goes to the switch meanwhile.
// Threads: any; calls are serialised by a lock.
// Cost: a system call for each address that comes or goes.

import CSluice
import Synchronization

/// The maps of a shared port that tell the host's frames from the switch's.
final class HostTable: Sendable {
  private let macMap: BPFMap<UInt32, sluice_host_mac>
  private let v4: BPFMap<sluice_host_v4, UInt8>
  private let v6: BPFMap<sluice_host_v6, UInt8>
  private let known = Mutex(Set<IPAddress>())

  /// Takes the maps out of a loaded object.
  init(_ object: borrowing BPFObject) throws(KernelTierError) {
    macMap = BPFMap(try object.descriptor(ofMap: "sluice_host_mac"), name: "sluice_host_mac")
    v4 = BPFMap(try object.descriptor(ofMap: "sluice_host_v4"), name: "sluice_host_v4")
    v6 = BPFMap(try object.descriptor(ofMap: "sluice_host_v6"), name: "sluice_host_v6")
  }

  /// Replaces MAC and addresses.
  /// - Parameter mac: six bytes.
  /// - Throws: `.invalid` for a MAC of another length or more addresses than the program can know; nothing is changed then.
  func set(mac: [UInt8], addresses: [IPAddress]) throws(KernelTierError) {
    guard mac.count == 6 else {
      throw .invalid(what: "a MAC address", value: "of \(mac.count) bytes", expected: "6 bytes")
    }
    let wanted = Set(addresses)
    for family in [IPAddress.Family.v4, .v6] {
      let count = wanted.count { $0.family == family }
      guard count <= Int(SLUICE_HOST_ADDRESSES) else {
        throw .invalid(
          what: "a shared port with", value: "\(count) \(family) addresses", expected: "at most \(SLUICE_HOST_ADDRESSES)")
      }
    }
    try known.withLock { known throws(KernelTierError) in
      var entry = sluice_host_mac()
      withUnsafeMutableBytes(of: &entry.address) { $0.copyBytes(from: mac) }
      entry.known = 1
      try macMap.set(0, to: entry)
      // Old addresses go before new ones come only where both together would not fit.
      let gone = known.subtracting(wanted)
      let room = known.union(wanted).count <= Int(SLUICE_HOST_ADDRESSES)
      if !room { for address in gone { try forget(address, &known) } }
      for address in wanted.subtracting(known) { try learn(address, &known) }
      if room { for address in gone { try forget(address, &known) } }
    }
  }

  private func learn(_ address: IPAddress, _ known: inout Set<IPAddress>) throws(KernelTierError) {
    switch address.family {
    case .v4: try v4.set(Self.v4Key(address), to: 1)
    case .v6: try v6.set(Self.v6Key(address), to: 1)
    }
    known.insert(address)
  }

  private func forget(_ address: IPAddress, _ known: inout Set<IPAddress>) throws(KernelTierError) {
    switch address.family {
    case .v4: try v4.remove(Self.v4Key(address))
    case .v6: try v6.remove(Self.v6Key(address))
    }
    known.remove(address)
  }

  private static func v4Key(_ address: IPAddress) -> sluice_host_v4 {
    var key = sluice_host_v4()
    withUnsafeMutableBytes(of: &key.address) { $0.copyBytes(from: address.bytes) }
    return key
  }

  private static func v6Key(_ address: IPAddress) -> sluice_host_v6 {
    var key = sluice_host_v6()
    withUnsafeMutableBytes(of: &key.address) { $0.copyBytes(from: address.bytes) }
    return key
  }
}
