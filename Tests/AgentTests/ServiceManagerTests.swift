// ServiceManagerTests.swift
//
// What systemd is told.

import Foundation
import Testing

@testable import Agent

@Suite struct ServiceManagerTests {
  @Test func readinessArrivesAtTheNotifySocket() throws {
    let folder = TestFolder()
    let path = folder.path + "/notify"
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(descriptor) }
    let address = try #require(UnixAddress(path))
    #expect(address.withPointer { bind(descriptor, $0, $1) } == 0)
    let manager = ServiceManager { $0 == "NOTIFY_SOCKET" ? path : nil }
    manager.ready(status: "forwarding")
    var bytes = [UInt8](repeating: 0, count: 200)
    let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    #expect(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self) == "READY=1\nSTATUS=forwarding\nMAINPID=\(getpid())")
  }

  @Test func theWatchdogIsForThisProcessOnly() {
    let ours = ["WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "\(getpid())"]
    #expect(ServiceManager { ours[$0] }.watchdogInterval == .seconds(4))
    let others = ["WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"]
    #expect(ServiceManager { others[$0] }.watchdogInterval == nil)
    #expect(ServiceManager { _ in nil }.watchdogInterval == nil)
  }

  @Test func withoutAManagerNothingHappens() {
    ServiceManager { _ in nil }.ready(status: "x")
    ServiceManager { $0 == "NOTIFY_SOCKET" ? "/nonexistent/socket" : nil }.stopping()
  }
}
