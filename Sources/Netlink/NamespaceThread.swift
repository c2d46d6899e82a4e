// NamespaceThread.swift
//
// What: a thread that lives for one call. Code that changes its thread's namespace runs here, because there is no way to be
//       sure to get a thread back to where it was.
// Invariants: `run` returns after the thread has ended, so the body may use everything of its caller, and is never used by two
//             threads at once.
// Threads: any may call it; the caller waits.
// Cost: 20 us.

import Glibc

enum NamespaceThread {
  /// Why there was no thread: EAGAIN when the system's limit is reached.
  struct StartFailure: Error {
    var errno: Int32
  }

  /// Runs `body` on a new thread and waits for it.
  static func run<Value: ~Copyable>(_ body: () -> Value) -> Result<Value, StartFailure> {
    withoutActuallyEscaping(body) { body in
      let call = TypedCall(body)
      var thread = pthread_t()
      // The thread holds no reference: this function does, until the thread has ended.
      let argument = Unmanaged.passUnretained(call as Call).toOpaque()
      let refused = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          Unmanaged<Call>.fromOpaque(argument).takeUnretainedValue().perform()
          return nil
        }, argument)
      guard refused == 0 else { return .failure(StartFailure(errno: refused)) }
      pthread_join(thread, nil)
      guard let value = call.takeValue() else { return .failure(StartFailure(errno: ECHILD)) }
      return .success(value)
    }
  }

  /// What the thread sees of a call: C function pointers cannot be generic.
  private class Call {
    func perform() {}
  }

  private final class TypedCall<Value: ~Copyable>: Call {
    private let body: () -> Value
    private var value: Value?

    init(_ body: @escaping () -> Value) { self.body = body }

    override func perform() { value = body() }

    func takeValue() -> Value? { value.take() }
  }
}
