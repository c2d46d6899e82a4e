// BPFSystem+Facts.swift
//
// What programs and maps are, in the kernel's words, and the ring buffer that dry runs write.
// Invariants, threads, cost: as in BPFSystem.swift.

import CLibbpf
import CSluice
import Glibc

extension BPFSystem {
  /// `// bpftool prog show`
  static func facts(ofProgram program: borrowing BPFDescriptor) throws(KernelTierError) -> KernelProgramFacts {
    let fd = program.number
    var info = bpf_prog_info()
    var length = UInt32(MemoryLayout<bpf_prog_info>.size)
    try call("read what a BPF program is") { bpf_obj_get_info_by_fd(fd, &info, &length) }
    let identity = try identity(of: program)
    let type =
      switch bpf_prog_type(info.type) {
      case BPF_PROG_TYPE_XDP: "xdp"
      case BPF_PROG_TYPE_SCHED_CLS: "tc"
      default: "\(info.type)"
      }
    return KernelProgramFacts(
      id: identity.id, name: identity.name, tag: identity.tag, type: type, instructions: Int(info.xlated_prog_len) / 8,
      verifiedInstructions: Int(info.verified_insns), machineCodeBytes: Int(info.jited_prog_len),
      loadedSeconds: Double(info.load_time) / 1e9, runs: info.run_cnt, runNanoseconds: info.run_time_ns)
  }

  /// `// bpftool map show`
  static func facts(ofMap map: borrowing BPFDescriptor) throws(KernelTierError) -> KernelMapFacts {
    let fd = map.number
    var info = bpf_map_info()
    var length = UInt32(MemoryLayout<bpf_map_info>.size)
    try call("read what a BPF map is") { bpf_obj_get_info_by_fd(fd, &info, &length) }
    let name = withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return KernelMapFacts(
      id: info.id, name: name, type: info.type, entries: Int(info.max_entries), valueSize: Int(info.value_size), used: nil,
      bytes: memory(ofMap: fd))
  }

  /// What the kernel charges for a map; only its file says so.
  private static func memory(ofMap fd: Int32) -> Int {
    guard let file = fopen("/proc/self/fdinfo/\(fd)", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix("memlock:") { return Int(text.dropFirst(8).filter(\.isNumber)) ?? 0 }
    }
    return 0
  }
}

/// A ring buffer that a program writes and this process empties.
final class BPFRing {
  private let ring: OpaquePointer
  private let records: Records

  private final class Records {
    var all: [[UInt8]] = []
  }

  init(_ map: borrowing BPFDescriptor) throws(KernelTierError) {
    let records = Records()
    let fd = map.number
    var made: OpaquePointer?
    try BPFSystem.call("read a BPF ring buffer") {
      made = ring_buffer__new(
        fd,
        { context, data, size in
          guard let context, let data else { return 0 }
          Unmanaged<Records>.fromOpaque(context).takeUnretainedValue().all.append(
            Array(UnsafeRawBufferPointer(start: data, count: size)))
          return 0
        }, Unmanaged.passUnretained(records).toOpaque(), nil)
      return made == nil ? -1 : 0
    }
    guard let made else { throw .system(operation: "read a BPF ring buffer", code: EINVAL, detail: "") }
    ring = made
    self.records = records
  }

  deinit { ring_buffer__free(ring) }

  /// What was written since the last call.
  func drain() throws(KernelTierError) -> [[UInt8]] {
    let ring = self.ring
    try BPFSystem.call("empty a BPF ring buffer") { ring_buffer__consume(ring) }
    defer { records.all.removeAll(keepingCapacity: true) }
    return records.all
  }
}
