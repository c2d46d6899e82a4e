// MappedArray.swift
//
// The values of a BPF array in this process' memory: what is written here the programs see, without a system call.
// Ownership: the pages are the kernel's; this object maps them for as long as it lives, and `base` is valid just so long. The programs write
//       some of them at any time, and so do user-space threads that agreed on it; who writes what is said where it is used.
// Cost: an array's whole size of address space; memory was taken when the map was made.

import Glibc

/// A mapped array of `count` values.
final class MappedArray<Value: BitwiseCopyable>: @unchecked Sendable {
  // Sendable: both fields are constants; see "Ownership" for what they lead to.
  let base: UnsafeMutablePointer<Value>
  let count: Int
  private let length: Int

  /// - Parameter map: an array made with BPF_F_MMAPABLE, whose values have the stride of `Value`.
  init(_ map: borrowing BPFDescriptor, name: String, count: Int) throws(KernelTierError) {
    // The kernel rounds values up to 8 bytes, and an array up to whole pages.
    let stride = (MemoryLayout<Value>.size + 7) & ~7
    precondition(stride == MemoryLayout<Value>.stride)
    let page = sysconf(Int32(_SC_PAGESIZE))
    length = (stride * count + page - 1) / page * page
    base = try BPFSystem.mapMemory(of: map, length: length, name: name).bindMemory(to: Value.self, capacity: count)
    self.count = count
  }

  deinit { BPFSystem.unmapMemory(base, length: length) }
}
