// RulePriorities.swift
//
// What: the priorities of the rules of one subtable, and the highest of them.
// Invariant: `heap` holds every priority that has an entry in `counts` once; an entry whose count fell to 0 stays until it
//            surfaces.
// Threads: confined to its subtable.
// Cost: O(1) when the priority is there already, else O(log n) in the number of different priorities.

/// A multiset of priorities that knows its maximum.
struct RulePriorities {
  private var counts: [UInt16: Int] = [:]
  private var heap: [UInt16] = []

  /// The highest priority; nil when there is none.
  var highest: UInt16? { heap.first }

  func contains(_ priority: UInt16) -> Bool { (counts[priority] ?? 0) > 0 }

  mutating func insert(_ priority: UInt16) {
    if let count = counts[priority] {
      counts[priority] = count + 1
    } else {
      counts[priority] = 1
      heap.append(priority)
      siftUp(heap.count - 1)
    }
  }

  mutating func remove(_ priority: UInt16) {
    guard let count = counts[priority] else { return }
    counts[priority] = count - 1
    while let top = heap.first, counts[top] == 0 {
      counts[top] = nil
      heap.swapAt(0, heap.count - 1)
      heap.removeLast()
      siftDown(0)
    }
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child] > heap[parent] else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var largest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] > heap[largest] {
        largest = child
      }
      guard largest != parent else { return }
      heap.swapAt(parent, largest)
      parent = largest
    }
  }
}
