// BPFMap.swift
//
// A BPF map whose keys and values are Swift values, and the per-CPU array that counters live in.
// Invariants: key and value have the size that the map was made with; the map's name serves messages only.
// Threads: the kernel makes single operations atomic.
// Cost: one system call per element.

/// A map in the kernel, open as long as this value lives.
struct BPFMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: ~Copyable, Sendable {
  let descriptor: BPFDescriptor
  private let name: StaticString

  init(_ descriptor: consuming BPFDescriptor, name: StaticString) {
    self.descriptor = descriptor
    self.name = name
  }

  func set(_ key: Key, to value: Value) throws(KernelTierError) {
    var key = key
    var value = value
    try BPFSystem.update(descriptor, key: &key, value: &value, name: name)
  }

  /// False when the key was not there.
  @discardableResult
  func remove(_ key: Key) throws(KernelTierError) -> Bool {
    var key = key
    return try BPFSystem.remove(descriptor, key: &key, name: name)
  }
}

/// An array in the kernel with one value per CPU and index, which is read as a whole and summed by the caller.
struct BPFPerCPUArray<Value: BitwiseCopyable>: ~Copyable, Sendable {
  private let descriptor: BPFDescriptor
  private let name: StaticString
  private let cpus: Int

  /// - Parameter descriptor: of a per-CPU array whose values have a size that is a multiple of 8, as the kernel rounds up to it.
  init(_ descriptor: consuming BPFDescriptor, name: StaticString) throws(KernelTierError) {
    precondition(MemoryLayout<Value>.size % 8 == 0)
    self.cpus = try BPFSystem.possibleCPUs()
    self.name = name
    self.descriptor = descriptor
  }

  /// The value of every CPU that this machine can have.
  func values(at index: Int, blank: Value) throws(KernelTierError) -> [Value] {
    var key = UInt32(index)
    var values = [Value](repeating: blank, count: cpus)
    _ = try BPFSystem.lookup(descriptor, key: &key, value: &values, name: name)
    return values
  }
}
