// ServiceManager.swift
//
// Tells systemd (or whoever started the agent with NOTIFY_SOCKET) how it is: ready, reloading, stopping, alive.
// Invariant: without NOTIFY_SOCKET every call does nothing; a manager that does not listen never stops the agent.
// Threads: Sendable, any thread. Cost: one datagram.
// Source: sd_notify(3), "Notes" (the protocol), sd_watchdog_enabled(3).

import CSluice
import Glibc

/// The service manager that started this process.
public struct ServiceManager: Sendable {
  /// The path of the socket, "@" first for an abstract one; nil when there is no manager.
  private let socketPath: String?
  /// How often the manager wants a sign of life at least; nil when it does not.
  public let watchdogInterval: Duration?

  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  public init(environment: (String) -> String? = { getenv($0).map { String(cString: $0) } }) {
    socketPath = environment("NOTIFY_SOCKET").flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
    let isForUs = environment("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
    if isForUs, let text = environment("WATCHDOG_USEC"), let microseconds = Int64(text), microseconds > 0 {
      watchdogInterval = .microseconds(microseconds)
    } else {
      watchdogInterval = nil
    }
  }

  public func ready(status: String) { send("READY=1\nSTATUS=\(status)\nMAINPID=\(getpid())") }
  public func status(_ text: String) { send("STATUS=\(text)") }
  public func stopping() { send("STOPPING=1\nSTATUS=draining") }
  public func alive() { send("WATCHDOG=1") }

  /// systemd's `Type=notify-reload` wants the time at which the reload began.
  public func reloading() {
    send("RELOADING=1\nMONOTONIC_USEC=\(sluice_monotonic_nanoseconds() / 1000)")
  }

  private func send(_ text: String) {
    guard let socketPath else { return }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    guard let address = UnixAddress(socketPath) else { return }
    let bytes = Array(text.utf8)
    _ = address.withPointer { pointer, length in
      sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), pointer, length)
    }
  }
}
