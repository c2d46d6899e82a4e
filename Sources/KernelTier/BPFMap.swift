// BPFMap.swift
//
// A BPF map whose keys and values are Swift values, and the per-CPU array that counters live in.
// Invariants: key and value have the size that the map was made with; the map's name serves messages only.
// Threads: the kernel makes single operations atomic; `entries` is a snapshot only as long as nobody else writes.
// Cost: one system call per element, one per 4,096 elements where the kernel has batch calls for the kind of map.

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

  /// Looks a key up in the kernel's way: in an LPM map that is the longest prefix of `key`.
  /// - Parameter blank: any value; its content is not used.
  func value(of key: Key, blank: Value) throws(KernelTierError) -> Value? {
    var key = key
    var value = blank
    return try BPFSystem.lookup(descriptor, key: &key, value: &value, name: name) ? value : nil
  }

  /// False when the key was not there.
  @discardableResult
  func remove(_ key: Key) throws(KernelTierError) -> Bool {
    var key = key
    return try BPFSystem.remove(descriptor, key: &key, name: name)
  }

  /// Sets all keys to one value, in as few calls as this kernel allows.
  func setAll(_ keys: [Key], values: [Value]) throws(KernelTierError) {
    precondition(keys.count == values.count)
    guard !keys.isEmpty else { return }
    do {
      try BPFSystem.updateBatch(descriptor, keys: keys, values: values, count: keys.count, name: name)
    } catch {
      guard BPFSystem.isUnsupportedBatch(error) else { throw error }
      for (key, value) in zip(keys, values) { try set(key, to: value) }
    }
  }

  /// Everything in the map, in the kernel's order.
  func entries(blankKey: Key, blank: Value) throws(KernelTierError) -> [(key: Key, value: Value)] {
    do {
      return try entriesByBatch(blankKey: blankKey, blank: blank)
    } catch {
      guard BPFSystem.isUnsupportedBatch(error) else { throw error }
      return try entriesOneByOne(blankKey: blankKey, blank: blank)
    }
  }

  private func entriesByBatch(blankKey: Key, blank: Value) throws(KernelTierError) -> [(key: Key, value: Value)] {
    let capacity = 4096
    var keys = [Key](repeating: blankKey, count: capacity)
    var values = [Value](repeating: blank, count: capacity)
    var all: [(key: Key, value: Value)] = []
    var position = blankKey
    var next = blankKey
    var isFirst = true
    while true {
      let batch =
        if isFirst {
          try BPFSystem.lookupBatch(
            descriptor, after: nil, next: &next, keys: &keys, values: &values, capacity: capacity, name: name)
        } else {
          try BPFSystem.lookupBatch(
            descriptor, after: &position, next: &next, keys: &keys, values: &values, capacity: capacity, name: name)
        }
      for index in 0..<batch.count { all.append((keys[index], values[index])) }
      if batch.isLast { return all }
      position = next
      isFirst = false
    }
  }

  /// The way of kernels without batch calls.
  func entriesOneByOne(blankKey: Key, blank: Value) throws(KernelTierError) -> [(key: Key, value: Value)] {
    var all: [(key: Key, value: Value)] = []
    var next = blankKey
    var found = try BPFSystem.nextKey(descriptor, after: nil, into: &next, name: name)
    while found {
      var key = next
      if let value = try value(of: key, blank: blank) { all.append((key, value)) }
      found = try BPFSystem.nextKey(descriptor, after: &key, into: &next, name: name)
    }
    return all
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
