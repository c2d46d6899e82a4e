// MetricsTests.swift
//
// Prometheus's text format, and the little web server.

import Foundation
import FoundationNetworking
import Logging
import ServiceLifecycle
import Testing

@testable import Agent

@Suite struct MetricsTests {
  @Test func aFamilyHasHelpTypeAndSamples() {
    var page = PrometheusText()
    page.family("sluice_drops_total", .counter, "Frames\ndropped.")
    page.sample(UInt64.max, ["port": "a\"b\\c\nd", "reason": "too-big"])
    page.sample(3)
    page.family("sluice_share", .gauge, "A share.")
    page.sample(0.25)
    #expect(
      page.text == """
        # HELP sluice_drops_total Frames\\ndropped.
        # TYPE sluice_drops_total counter
        sluice_drops_total{port="a\\"b\\\\c\\nd",reason="too-big"} 18446744073709551615
        sluice_drops_total 3
        # HELP sluice_share A share.
        # TYPE sluice_share gauge
        sluice_share 0.25

        """)
  }

  @Test(arguments: [("127.0.0.1:9474", "127.0.0.1"), ("[::1]:1", "::1"), ("localhost:80", "127.0.0.1"), ("127.255.0.9:65535", "127.255.0.9")])
  func loopbackAddressesAreRead(text: String, host: String) {
    #expect(LoopbackAddress(text)?.host == host)
  }

  @Test func pagesAreServedAndEverythingElseIsRefused() async throws {
    let address = try #require(LoopbackAddress("127.0.0.1:\(UInt16.random(in: 20000...30000))"))
    let server = try await MetricsServer(address: address, logger: Logger(label: "test")) { path in
      path == "/metrics" ? MetricsAnswer(status: .ok, contentType: PrometheusText.contentType, body: "sluice_x 1\n") : nil
    }
    let group = ServiceGroup(services: [server], logger: Logger(label: "test"))
    let running = Task { try await group.run() }
    func get(_ path: String, method: String = "GET") async throws -> (Int, String) {
      var request = URLRequest(url: try #require(URL(string: "http://\(address)\(path)")))
      request.httpMethod = method
      let (data, response) = try await URLSession.shared.data(for: request)
      return ((response as? HTTPURLResponse)?.statusCode ?? 0, String(decoding: data, as: UTF8.self))
    }
    #expect(try await get("/metrics?x=1") == (200, "sluice_x 1\n"))
    #expect(try await get("/else").0 == 404)
    #expect(try await get("/metrics", method: "DELETE").0 == 405)
    #expect(try await get("/metrics", method: "HEAD") == (200, ""))
    await #expect(throws: MetricsServerError.self) {
      _ = try await MetricsServer(address: address, logger: Logger(label: "test")) { _ in nil }
    }
    await group.triggerGracefulShutdown()
    try await running.value
  }
}
