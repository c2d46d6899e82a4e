// MemoryPlacement.swift
//
// What: puts a worker's memory on the NUMA node of its CPU, so that a look-up or a frame never waits for another socket.
// Invariants: a preference, not a demand: where the node has no room, or the machine has one node, the memory is used where it is.
// Threads: called while a worker is made, before its memory is touched.
// Source: numa(3), mbind(2).

import CLibnuma
import CSluice

enum MemoryPlacement {
  /// Asks for pages on the node of a CPU. Pages that were touched before stay where they are.
  static func prefer(nodeOf cpu: Int?, _ memory: UnsafeMutableRawPointer, byteCount: Int) {
    guard let cpu, numa_available() >= 0, numa_max_node() > 0 else { return }
    let node = numa_node_of_cpu(Int32(cpu))
    guard node >= 0 else { return }
    numa_tonode_memory(memory, byteCount, node)
  }
}
