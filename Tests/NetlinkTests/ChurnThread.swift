// ChurnThread.swift
//
// What: a thread that makes and removes links in a namespace until it is told to stop.

import Glibc
import Synchronization

@testable import Netlink

final class ChurnThread: Sendable {
  private let stopping = Atomic<Bool>(false)
  private let finished = Atomic<Bool>(false)

  /// - Parameter namespace: a descriptor of it, which the thread closes.
  init(namespace: Int32) throws {
    let state = Unmanaged.passRetained(Start(churn: self, namespace: namespace))
    var thread = pthread_t()
    let refused = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        start.churn.run(start.namespace)
        return nil
      }, state.toOpaque())
    guard refused == 0 else {
      state.release()
      throw NetlinkError.kernel(operation: "start a thread", errno: refused, extack: nil)
    }
    pthread_detach(thread)
  }

  func stop() {
    stopping.store(true, ordering: .releasing)
    while !finished.load(ordering: .acquiring) { usleep(1000) }
  }

  private func run(_ descriptor: Int32) {
    defer {
      close(descriptor)
      finished.store(true, ordering: .releasing)
    }
    guard let namespace = try? NetworkNamespace(path: "/proc/self/fd/\(descriptor)"),
      var netlink = try? NetlinkSocket(.route, in: namespace)
    else { return }
    while !stopping.load(ordering: .acquiring) {
      if let link = try? netlink.createVeth(name: "churn0", peer: "churn1") { try? netlink.deleteLink(index: link.index) }
      usleep(500)
    }
  }

  private final class Start {
    let churn: ChurnThread
    let namespace: Int32
    init(churn: ChurnThread, namespace: Int32) {
      self.churn = churn
      self.namespace = namespace
    }
  }
}
