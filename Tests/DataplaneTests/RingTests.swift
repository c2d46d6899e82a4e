// RingTests.swift
//
// What: the ring between two threads loses, repeats and reorders nothing; the doorbell loses no wake-up.

import CSluice
import Glibc
import Synchronization
import Testing
import TestSupport

@testable import Dataplane

@Suite(.serialized) struct RingTests {
  @Test func aRingHoldsAsMuchAsItsCapacity() {
    let ring = SPSCRing<Int>(capacity: 4)
    for i in 0..<4 { #expect(ring.push(i)) }
    #expect(!ring.push(4))
    #expect(ring.peek()?.pointee == 0)
    ring.consume()
    #expect(ring.push(4))
    #expect(ring.pushedCount == 5)
    #expect(ring.consumedCount == 1)
    var rest: [Int] = []
    while let element = ring.peek() {
      rest.append(element.pointee)
      ring.consume()
    }
    #expect(rest == [1, 2, 3, 4])
    #expect(ring.isEmpty)
  }

  @Test func aPeekedElementStaysUntilItIsConsumed() {
    let ring = SPSCRing<Int>(capacity: 2)
    _ = ring.push(7)
    #expect(ring.peek()?.pointee == 7)
    #expect(ring.peek()?.pointee == 7)
    #expect(ring.consumedCount == 0)
  }

  @Test(arguments: [2, 64])
  func twoThreadsSeeEveryElementOnceAndInOrder(_ capacity: Int) {
    // Elements larger than a word: half of one would show.
    struct Wide: BitwiseCopyable { var a, b, c, d: UInt64 }
    let ring = SPSCRing<Wide>(capacity: capacity)
    let count: UInt64 = 100_000
    let producer = TestThread {
      var next: UInt64 = 0
      while next < count {
        if ring.push(Wide(a: next, b: ~next, c: next &* 3, d: next)) { next += 1 } else { sched_yield() }
      }
    }
    var expected: UInt64 = 0
    var isRight = true
    while expected < count {
      guard let element = ring.peek()?.pointee else {
        sched_yield()
        continue
      }
      if element.a != expected || element.b != ~expected || element.c != expected &* 3 || element.d != expected { isRight = false }
      ring.consume()
      expected += 1
    }
    producer.join()
    #expect(isRight)
    #expect(ring.isEmpty)
  }

  /// The sleeper waits up to five seconds; a lost wake-up is a wait that ended without a ring while there was work.
  @Test func noWakeUpIsLost() {
    let ring = SPSCRing<Int>(capacity: 8)
    let bell = Doorbell()
    let count = 30_000
    let producer = TestThread {
      var next = 0
      while next < count {
        if ring.push(next) { next += 1 } else { sched_yield() }
        bell.ring()
        // Pauses of all lengths, so that the sleeper is met at every step of falling asleep.
        for _ in 0..<(next % 97) { sluice_relax() }
      }
    }
    var taken = 0
    var lost = 0
    var sleeps = 0
    while taken < count {
      while ring.peek() != nil {
        ring.consume()
        taken += 1
      }
      if taken == count { break }
      bell.announceSleep()
      if ring.isEmpty {
        sleeps += 1
        var wait = pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&wait, 1, 5000) == 0, !ring.isEmpty { lost += 1 }
      }
      bell.awake()
    }
    producer.join()
    #expect(lost == 0)
    #expect(taken == count)
    #expect(!bell.isSleeping)
  }

  @Test func aRingWithoutASleeperWritesNothing() {
    let bell = Doorbell()
    bell.ring()
    var wait = pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0)
    #expect(poll(&wait, 1, 0) == 0)
    bell.announceSleep()
    bell.ring()
    #expect(poll(&wait, 1, 0) == 1)
    bell.awake()
    #expect(poll(&wait, 1, 0) == 0)
  }
}
