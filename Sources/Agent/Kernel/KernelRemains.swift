// KernelRemains.swift
//
// What outlives an agent in the kernel, and its removal: programs on interfaces, pinned maps, interfaces that an agent made.
// Invariants: only what bears our name is touched: programs by their names, interfaces by their alias, maps by their directory. Every
//             removal is tried, whatever failed before.
// Threads: any, in the network namespace of the interfaces.

import Glibc
import KernelTier
import Netlink

/// What agents leave in a network namespace and under a directory of a BPF file system.
struct KernelRemains {
  /// The directory without the version.
  let root: String

  /// Removes everything.
  /// - Returns: what was removed, or could not be, one sentence each.
  func removeAll() -> [String] {
    var sentences = removeTC(except: []) { _ in false }
    do {
      var socket = try NetlinkSocket(.route)
      let links = try socket.links()
      for leftover in try removeLeftovers(interfaceIndices: links.filter { $0.xdp != nil }.map { UInt32($0.index) }) {
        sentences.append("removed the XDP program of \(Self.name(leftover.interfaceIndex, links))")
      }
      for name in InternalPair.removeLeftovers(wanted: [], links: links, &socket) {
        sentences.append("removed the interface pair of \(name)")
      }
    } catch {
      sentences.append("not everything could be removed: \(error)")
    }
    return sentences + removePinsAndPair()
  }

  /// Removes the pins, and the pair of the way up.
  func removePinsAndPair() -> [String] {
    var sentences: [String] = []
    do {
      var socket = try NetlinkSocket(.route)
      if try UpcallPair.remove(&socket) { sentences.append("removed the interface pair \(UpcallPair.entryName)") }
    } catch {
      sentences.append("the interface pair \(UpcallPair.entryName) could not be removed: \(error)")
    }
    for directory in PinDirectory.versions(in: root) {
      do {
        try FlowTableMaps.unpin(directory: directory)
        sentences.append("removed the maps in \(directory)")
      } catch {
        sentences.append("the maps in \(directory) could not be removed: \(error)")
      }
    }
    // Others may have pinned something beside ours; then it stays.
    rmdir(root)
    return sentences
  }

  /// Removes our tc programs.
  /// - Parameters:
  ///   - used: interfaces whose programs stay.
  ///   - madeQdisc: whether we made the qdisc of an interface, as far as the caller knows; the pinned ports are asked too.
  func removeTC(except used: Set<UInt32>, madeQdisc: (UInt32) -> Bool) -> [String] {
    do {
      var socket = try NetlinkSocket(.route)
      let links = try socket.links()
      let pinned = pinnedPorts()
      let indices = links.map { UInt32($0.index) }.filter { !used.contains($0) }
      let removed = try removeTCLeftovers(interfaceIndices: indices) { index in
        madeQdisc(index) || pinned.contains { $0.interfaceIndex == index && $0.hooks.contains(.clsact) }
      }
      return removed.map { "removed the tc program of \(Self.name($0.interfaceIndex, links))" }
    } catch {
      return ["not every tc program could be removed: \(error)"]
    }
  }

  private func pinnedPorts() -> [KernelPort] {
    guard let maps = try? FlowTableMaps.open(directory: FlowTableMaps.directory(in: root)) else { return [] }
    return KernelPorts(maps: maps).ports()
  }

  private static func name(_ index: UInt32, _ links: [Link]) -> String {
    links.first { UInt32($0.index) == index }?.name ?? "interface \(index)"
  }
}
