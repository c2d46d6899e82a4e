// BPFSystem.swift
//
// The only file that calls libbpf, with its extensions BPFSystem+Pins, BPFSystem+TC and BPFSystem+Facts. Everything else in this module is
// written in terms of what is here.
// Invariants: a call that fails throws with the error number and with the words that libbpf and the kernel printed meanwhile;
//       nothing here retries or decides. Descriptors are owned by exactly one BPFDescriptor.
// Threads: every function may be called from any thread. Interface indices mean those of the calling thread's network
//       namespace.
// Cost: one system call each, but for `occupantIDs` (a netlink dump of all links) and `BPFObject.load` (milliseconds: the verifier).

import CLibbpf
import CSluice
import Glibc

/// Owns a file descriptor of a BPF map or program.
struct BPFDescriptor: ~Copyable, Sendable {
  let number: Int32

  /// Takes over a descriptor.
  init(owning number: Int32) { self.number = number }

  /// Another descriptor of the map or program that one names.
  init(duplicating number: Int32, name: String) throws(KernelTierError) {
    let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw .system(operation: "take over \(name)", code: errno, detail: "") }
    self.number = copy
  }

  deinit { close(number) }
}

enum BPFSystem {
  // MARK: Errors

  /// From the first call on, libbpf's messages go to the calling thread's text instead of standard error.
  private static let messagesAreKept: Void = {
    _ = libbpf_set_print { level, format, arguments in
      guard let arguments else { return 0 }
      return sluice_bpf_message(level.rawValue, format, arguments)
    }
  }()

  /// Makes one call of libbpf and returns its result, which is not negative.
  /// - Throws: `.system` with the error number, and the kernel's explanation when it gave one.
  @discardableResult
  static func call(
    _ operation: @autoclosure () -> String, _ body: () -> Int32
  ) throws(KernelTierError) -> Int32 {
    _ = messagesAreKept
    sluice_bpf_clear_messages()
    let result = body()
    guard result < 0 else { return result }
    // libbpf sets errno in all versions; its return value is -errno only since 1.0.
    let code = errno
    throw .system(operation: operation(), code: code, detail: kernelExplanation() ?? "")
  }

  /// Netlink's extended acknowledgement, which libbpf prints.
  private static func kernelExplanation() -> String? {
    let mark = "Kernel error message: "
    return messages().split(separator: "\n").last { $0.contains(mark) }.flatMap { line in
      line.firstRange(of: mark).map { String(line[$0.upperBound...]) }
    }
  }

  /// What libbpf printed during the last call, without the prefix that it gives its lines.
  static func messages() -> String {
    String(cString: sluice_bpf_messages()).split(separator: "\n", omittingEmptySubsequences: true)
      .map { $0.hasPrefix("libbpf: ") ? $0.dropFirst("libbpf: ".count) : $0 }.joined(separator: "\n")
  }

  // MARK: Maps

  /// `// bpftool map create`
  static func createMap(
    type: bpf_map_type, name: String, keySize: Int, valueSize: Int, entries: Int, flags: UInt32
  ) throws(KernelTierError) -> BPFDescriptor {
    var options = bpf_map_create_opts()
    options.sz = libbpfSize(through: \bpf_map_create_opts.map_ifindex)
    options.map_flags = flags
    let number = try call("create the BPF map \(name)") {
      bpf_map_create(type, name, UInt32(keySize), UInt32(valueSize), UInt32(entries), &options)
    }
    return BPFDescriptor(owning: number)
  }

  /// Sets the value of a key.
  /// - Throws: `.system` with ENOSPC or E2BIG when the map is full.
  static func update(
    _ map: borrowing BPFDescriptor, key: UnsafeRawPointer, value: UnsafeRawPointer, name: StaticString
  ) throws(KernelTierError) {
    let fd = map.number
    try call("change the BPF map \(name)") { bpf_map_update_elem(fd, key, value, UInt64(BPF_ANY)) }
  }

  /// Reads the value of a key, for per-CPU maps one value for each possible CPU; false when there is no such key.
  static func lookup(
    _ map: borrowing BPFDescriptor, key: UnsafeRawPointer, value: UnsafeMutableRawPointer, name: StaticString
  ) throws(KernelTierError) -> Bool {
    let fd = map.number
    return try found { () throws(KernelTierError) in
      try call("read the BPF map \(name)") { bpf_map_lookup_elem(fd, key, value) }
    }
  }

  /// Removes a key; false when there is no such key.
  static func remove(
    _ map: borrowing BPFDescriptor, key: UnsafeRawPointer, name: StaticString
  ) throws(KernelTierError) -> Bool {
    let fd = map.number
    return try found { () throws(KernelTierError) in
      try call("remove from the BPF map \(name)") { bpf_map_delete_elem(fd, key) }
    }
  }

  static func found(_ body: () throws(KernelTierError) -> Int32) throws(KernelTierError) -> Bool {
    do {
      _ = try body()
      return true
    } catch {
      if error.code == ENOENT { return false }
      throw error
    }
  }

  /// How many values a per-CPU map holds for each key.
  static func possibleCPUs() throws(KernelTierError) -> Int {
    Int(try call("count the CPUs") { libbpf_num_possible_cpus() })
  }

  // MARK: Programs

  /// `// bpftool prog show id ID`
  /// - Throws: `.system` with ENOENT when the program is gone.
  static func openProgram(id: UInt32) throws(KernelTierError) -> BPFDescriptor {
    BPFDescriptor(owning: try call("open the BPF program with id \(id)") { bpf_prog_get_fd_by_id(id) })
  }

  static func identity(of program: borrowing BPFDescriptor) throws(KernelTierError) -> XDPProgramIdentity {
    let fd = program.number
    var info = bpf_prog_info()
    var length = UInt32(MemoryLayout<bpf_prog_info>.size)
    try call("read what a BPF program is") { bpf_obj_get_info_by_fd(fd, &info, &length) }
    let name = withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let tag = withUnsafeBytes(of: info.tag) { bytes in
      bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    return XDPProgramIdentity(id: info.id, name: name, tag: tag)
  }

  /// Runs an XDP program on one packet without any interface.
  /// - Returns: the program's return value, the packet after it, and the mean time of a run in nanoseconds.
  /// - Source: linux/bpf.h, BPF_PROG_TEST_RUN.
  static func testRun(
    _ program: borrowing BPFDescriptor, packet: [UInt8], repetitions: Int
  ) throws(KernelTierError) -> (value: UInt32, packet: [UInt8], nanoseconds: UInt32) {
    let fd = program.number
    // A program may grow a packet into its headroom of 256 bytes.
    var output = [UInt8](repeating: 0, count: packet.count + 256)
    var options = bpf_test_run_opts()
    options.sz = libbpfSize(through: \bpf_test_run_opts.batch_size)
    options.data_size_in = UInt32(packet.count)
    options.data_size_out = UInt32(output.count)
    options.repeat = Int32(repetitions)
    try call("run the BPF program on a packet of \(packet.count) bytes") {
      packet.withUnsafeBytes { input in
        output.withUnsafeMutableBytes { output in
          options.data_in = input.baseAddress.map { UnsafeRawPointer($0) }
          options.data_out = output.baseAddress
          return bpf_prog_test_run_opts(fd, &options)
        }
      }
    }
    return (options.retval, Array(output.prefix(Int(options.data_size_out))), options.duration)
  }

  // MARK: XDP hooks

  /// Ids of the programs on an interface, 0 for none; all 0 when there is no such interface.
  ///
  /// `// ip link show dev X`
  static func occupantIDs(
    interface: UInt32
  ) throws(KernelTierError) -> (native: UInt32, generic: UInt32, offloaded: UInt32) {
    var options = bpf_xdp_query_opts()
    options.sz = libbpfSize(through: \bpf_xdp_query_opts.attach_mode)
    try call("ask which XDP program interface \(interface) runs") { bpf_xdp_query(Int32(interface), 0, &options) }
    return (options.drv_prog_id, options.skb_prog_id, options.hw_prog_id)
  }

  /// Puts `program` on the interface's hook; nil takes away what is there.
  /// - Parameter expected: what must be there for the call to do anything; nil: the hook must be empty.
  /// - Throws: `.system` with EBUSY or EEXIST when something else is there, with the kernel's words when the driver refuses.
  static func setProgram(
    interface: UInt32, flags: UInt32, program: Int32?, expected: Int32?
  ) throws(KernelTierError) {
    var options = bpf_xdp_attach_opts()
    options.sz = libbpfSize(through: \bpf_xdp_attach_opts.old_prog_fd)
    options.old_prog_fd = expected ?? 0
    let mode = expected == nil ? flags | UInt32(XDP_FLAGS_UPDATE_IF_NOEXIST) : flags
    try call(program == nil ? "detach the XDP program" : "attach the XDP program") {
      bpf_xdp_attach(Int32(interface), program ?? -1, mode, &options)
    }
  }
}

/// A BPF object that is read but perhaps not loaded yet: set what is to be set, `load`, then take descriptors out of it.
///
/// Closing it closes only its own descriptors; those that were taken out live on.
struct BPFObject: ~Copyable {
  private let object: OpaquePointer
  private let name: String

  /// Reads an object file from memory; the bytes are not needed afterwards.
  init(bytes: [UInt8], name: String) throws(KernelTierError) {
    var options = bpf_object_open_opts()
    options.sz = libbpfSize(through: \bpf_object_open_opts.kernel_log_level)
    var opened: OpaquePointer?
    try BPFSystem.call("read the BPF object \(name)") {
      name.withCString { name in
        options.object_name = name
        opened = bytes.withUnsafeBytes { bpf_object__open_mem($0.baseAddress, $0.count, &options) }
      }
      return opened == nil ? -1 : 0
    }
    guard let opened else { throw .system(operation: "read the BPF object \(name)", code: EINVAL, detail: "") }
    self.object = opened
    self.name = name
  }

  deinit { bpf_object__close(object) }

  /// Sets the constants that the program is specialised to.
  func setConstants<Value: BitwiseCopyable>(section: String, to value: Value) throws(KernelTierError) {
    let map = try self.map(section)
    try BPFSystem.call("set \(section) of the BPF object \(name)") {
      withUnsafeBytes(of: value) { bpf_map__set_initial_value(map, $0.baseAddress, $0.count) }
    }
  }

  func setEntries(of name: String, to entries: Int) throws(KernelTierError) {
    let map = try self.map(name)
    try BPFSystem.call("size the BPF map \(name)") { bpf_map__set_max_entries(map, UInt32(entries)) }
  }

  /// Uses a map that exists already in place of the object's own.
  func reuse(_ descriptor: borrowing BPFDescriptor, as name: String) throws(KernelTierError) {
    let map = try self.map(name)
    let fd = descriptor.number
    try BPFSystem.call("share the BPF map \(name)") { bpf_map__reuse_fd(map, fd) }
  }

  /// Whether the object has a map of this name.
  func has(_ name: String) -> Bool { bpf_object__find_map_by_name(object, name) != nil }

  /// Leaves a map out. The program may mention it only in code that its constants rule out.
  func omit(_ name: String) throws(KernelTierError) {
    let map = try self.map(name)
    try BPFSystem.call("leave out the BPF map \(name)") { bpf_map__set_autocreate(map, false) }
  }

  /// Creates the maps and has the programs verified.
  /// - Throws: `.load` with the end of the verifier's log.
  func load() throws(KernelTierError) {
    let object = self.object
    do {
      try BPFSystem.call("load the BPF object \(name)") { bpf_object__load(object) }
    } catch {
      throw .load(program: name, code: error.code, log: BPFSystem.messages())
    }
  }

  /// A descriptor of its own for a loaded program.
  func program(_ name: String) throws(KernelTierError) -> BPFDescriptor {
    guard let program = bpf_object__find_program_by_name(object, name) else { throw missing("program", name) }
    return try BPFDescriptor(duplicating: bpf_program__fd(program), name: "\(name) of \(self.name)")
  }

  /// A descriptor of its own for a map that was loaded.
  func descriptor(ofMap name: String) throws(KernelTierError) -> BPFDescriptor {
    try BPFDescriptor(duplicating: bpf_map__fd(try map(name)), name: "\(name) of \(self.name)")
  }

  private func map(_ name: String) throws(KernelTierError) -> OpaquePointer {
    guard let map = bpf_object__find_map_by_name(object, name) else { throw missing("map", name) }
    return map
  }

  private func missing(_ kind: String, _ name: String) -> KernelTierError {
    .system(operation: "find the \(kind) \(name) in the BPF object \(self.name)", code: ENOENT, detail: "")
  }
}

/// The size to give libbpf for a structure of options: up to the end of the last field that this file knows.
///
/// Not its stride: libbpf refuses options with anything but zeros behind the last field it knows, and what Swift's initialiser
/// leaves in the padding at the end of a C structure is whatever was there before.
func libbpfSize<Options, Field>(through last: KeyPath<Options, Field>) -> Int {
  // An offset is missing only for computed properties; 0 makes libbpf refuse the call.
  (MemoryLayout<Options>.offset(of: last) ?? 0) + MemoryLayout<Field>.size
}
