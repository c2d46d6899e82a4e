// Batch.swift
//
// What: the packets that a worker handles at one time, as columns: descriptors, keys, layouts, hashes, flow indices.
// Invariants: allocated once; row i of every column is packet i.
// Threads: confined to one worker.
// Cost: about 16 KiB for 64 packets, of which the keys' third lines (4 KiB) are never touched: it stays in the first-level cache.

struct Batch {
  let frames: UnsafeMutablePointer<FrameDescriptor>
  let keys: UnsafeMutablePointer<FlowKey>
  let layouts: UnsafeMutablePointer<FrameLayout>
  let hashes: UnsafeMutablePointer<UInt64>
  let flows: UnsafeMutablePointer<UInt32>
  let misses: UnsafeMutablePointer<Int32>

  init(capacity: Int) {
    func column<T: BitwiseCopyable>(_ type: T.Type) -> UnsafeMutablePointer<T> {
      let bytes = capacity * MemoryLayout<T>.stride
      let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
      memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
      return memory.assumingMemoryBound(to: T.self)
    }
    frames = column(FrameDescriptor.self)
    keys = column(FlowKey.self)
    layouts = column(FrameLayout.self)
    hashes = column(UInt64.self)
    flows = column(UInt32.self)
    misses = column(Int32.self)
  }

  func deallocate() {
    frames.deallocate()
    keys.deallocate()
    layouts.deallocate()
    hashes.deallocate()
    flows.deallocate()
    misses.deallocate()
  }
}
