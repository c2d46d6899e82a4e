// BPFSystem+Pins.swift
//
// Maps that outlive the process: pinned in a BPF file system, mapped into memory; and the wait for programs that are under way.
// Invariants: as in BPFSystem.swift. A directory of pins appears whole or not at all, because it is renamed into its place.
// Threads: any.
// Cost: a system call each; `waitForPrograms` lasts a grace period of RCU, some milliseconds.

import CLibbpf
import CSluice
import Glibc

extension BPFSystem {
  // MARK: Pins

  /// `// bpftool map pin id ID PATH`
  static func pin(_ descriptor: borrowing BPFDescriptor, path: String) throws(KernelTierError) {
    let fd = descriptor.number
    try call("pin a BPF map as \(path)") { bpf_obj_pin(fd, path) }
  }

  /// What is pinned at a path; nil when nothing is.
  static func openPin(_ path: String) throws(KernelTierError) -> BPFDescriptor? {
    var fd: Int32 = -1
    let isThere = try found { () throws(KernelTierError) in
      fd = try call("open \(path)") { bpf_obj_get(path) }
      return fd
    }
    return isThere ? BPFDescriptor(owning: fd) : nil
  }

  /// Makes sure that a directory is there to pin in, and mounts the BPF file system where it is usually found when nobody has yet.
  /// - Throws: `.system` when the directory is, or would be, in another file system.
  static func makePinDirectory(_ path: String) throws(KernelTierError) {
    let usual = "/sys/fs/bpf"
    if path.hasPrefix(usual), sluice_is_bpf_filesystem(usual) == 0 {
      let code = sluice_mount_bpf_filesystem(usual)
      guard code == 0 else { throw .system(operation: "mount the BPF file system on \(usual)", code: code, detail: "") }
    }
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      if mkdir(made, 0o700) != 0, errno != EEXIST {
        throw .system(operation: "make the directory \(made)", code: errno, detail: "")
      }
    }
    guard sluice_is_bpf_filesystem(path) == 1 else {
      throw .system(operation: "pin BPF maps in \(path)", code: EINVAL, detail: "it is not in a BPF file system; mount one: mount -t bpf bpf \(usual)")
    }
  }

  /// Gives a directory of pins its name.
  static func renamePins(_ from: String, to: String) throws(KernelTierError) {
    if rename(from, to) != 0 { throw .system(operation: "rename \(from) to \(to)", code: errno, detail: "") }
  }

  /// Removes the pins of a directory, and the directory; what they name lives on as long as a program uses it.
  /// - Returns: false when there was none.
  static func removePins(_ path: String) throws(KernelTierError) -> Bool {
    guard let names = try entries(of: path) else { return false }
    for name in names where unlink("\(path)/\(name)") != 0 && errno != ENOENT {
      throw .system(operation: "remove \(path)/\(name)", code: errno, detail: "")
    }
    if rmdir(path) != 0, errno != ENOENT { throw .system(operation: "remove \(path)", code: errno, detail: "") }
    return true
  }

  /// The names in a directory, sorted; nil when there is none.
  static func entries(of path: String) throws(KernelTierError) -> [String]? {
    guard let directory = opendir(path) else {
      if errno == ENOENT { return nil }
      throw .system(operation: "read the directory \(path)", code: errno, detail: "")
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  // MARK: Memory

  /// Maps the values of an array into this process.
  /// - Parameter length: a multiple of the page size.
  static func mapMemory(of map: borrowing BPFDescriptor, length: Int, name: String) throws(KernelTierError) -> UnsafeMutableRawPointer {
    guard let memory = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, map.number, 0),
      memory != UnsafeMutableRawPointer(bitPattern: -1)
    else { throw .system(operation: "map \(name) into memory", code: errno, detail: "") }
    return memory
  }

  static func unmapMemory(_ memory: UnsafeMutableRawPointer, length: Int) { munmap(memory, length) }

  // MARK: Waiting for programs

  /// A map of one place for a map.
  static func createMapOfMaps(name: String, inner: borrowing BPFDescriptor) throws(KernelTierError) -> BPFDescriptor {
    var options = bpf_map_create_opts()
    options.sz = libbpfSize(through: \bpf_map_create_opts.map_ifindex)
    options.inner_map_fd = UInt32(inner.number)
    let number = try call("create the BPF map \(name)") {
      bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, name, 4, 4, 1, &options)
    }
    return BPFDescriptor(owning: number)
  }

  /// Returns when every run of a program that was under way at the call has ended.
  ///
  /// The kernel waits so after each change of a map of maps, because a program might still use the map that was there before.
  /// - Source: kernel/bpf/syscall.c, maybe_wait_bpf_programs.
  static func waitForPrograms(outer: borrowing BPFDescriptor, inner: borrowing BPFDescriptor) throws(KernelTierError) {
    let fd = outer.number
    var key: UInt32 = 0
    var value = UInt32(inner.number)
    try call("wait for the BPF programs that are running") { bpf_map_update_elem(fd, &key, &value, UInt64(BPF_ANY)) }
  }
}
