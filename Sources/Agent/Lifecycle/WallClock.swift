// WallClock.swift
//
// The time of day, for people and events. Durations are measured with the monotonic clock instead.
// Threads: any.

import Glibc

enum WallClock {
  /// Nanoseconds since 1970-01-01 UTC.
  static func nanoseconds() -> UInt64 {
    var instant = timespec()
    clock_gettime(CLOCK_REALTIME, &instant)
    return UInt64(instant.tv_sec) * 1_000_000_000 + UInt64(instant.tv_nsec)
  }
}
