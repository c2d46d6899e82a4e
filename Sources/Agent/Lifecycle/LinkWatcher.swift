// LinkWatcher.swift
//
// Waits for what happens to interfaces and hands it on. An event only says where to look: whoever gets it asks the kernel
// again, because events are older than the agent's own changes.
// Invariant: `overflow` is handed on like any other event; no event is dropped here.
// Threads: one of its own, which blocks in poll(2); the stream is read anywhere.
// Cost: nothing while nothing happens.

import CSluice
import Dataplane
import Glibc
import Logging
import Netlink
import Synchronization

/// A thread that reads a LinkMonitor.
final class LinkWatcher: Sendable {
  /// What happened, in the kernel's order.
  let events: AsyncStream<[LinkEvent]>
  private let continuation: AsyncStream<[LinkEvent]>.Continuation
  private let stopping = Atomic<Bool>(false)
  private let doorbell = Doorbell()
  private let monitor: Mutex<LinkMonitor>
  private let logger: Logger

  /// Subscribes; list the links after this, not before.
  init(logger: Logger) throws(NetlinkError) {
    monitor = Mutex(try LinkMonitor())
    (events, continuation) = AsyncStream.makeStream()
    self.logger = logger
  }

  /// Starts the thread, which holds this object until `stop`.
  func start() {
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<LinkWatcher>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard code == 0 else {
      Unmanaged.passUnretained(self).release()
      logger.error(
        "no thread to watch interfaces: ports will not follow their links",
        metadata: ["reason": "\(String(cString: strerror(code)))"])
      return
    }
    pthread_detach(thread)
  }

  func stop() {
    stopping.store(true, ordering: .releasing)
    doorbell.ring()
  }

  private func run() {
    sluice_name_thread("sluice-links")
    let descriptor = monitor.withLock { $0.fileDescriptor }
    while true {
      doorbell.announceSleep()
      if stopping.load(ordering: .acquiring) { break }
      var waits = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: doorbell.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waits, 2, -1)
      guard !stopping.load(ordering: .acquiring), waits[0].revents != 0 else { continue }
      do {
        let batch = try monitor.withLock { monitor throws(NetlinkError) in try monitor.read() }
        if !batch.isEmpty { continuation.yield(batch) }
      } catch {
        logger.error("reading the kernel's interface events failed", metadata: ["reason": "\(error)"])
        continuation.yield([.overflow])
        // A socket that fails at once every time must not cost a core.
        sleep(1)
      }
    }
    continuation.finish()
  }
}
