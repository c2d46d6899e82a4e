// TestThread.swift
//
// What: a thread that a test starts and waits for. Test code that blocks must not hold one of the few threads of Swift's
//       concurrency pool.

import Glibc

/// A running thread.
public final class TestThread: @unchecked Sendable {
  // Sendable: written by init, read by `join`.
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private var thread = pthread_t()

  public init(_ body: @escaping @Sendable () -> Void) {
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(Body(body)).toOpaque())
    precondition(code == 0, "cannot start a thread")
  }

  /// Waits for the end of the thread. Call once.
  public func join() { pthread_join(thread, nil) }
}
