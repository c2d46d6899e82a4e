// MetricsServer.swift
//
// The pages for monitoring: /metrics (Prometheus), /healthz (the process answers), /readyz (it forwards as configured).
// Invariants: it listens on a loopback address only (see LoopbackAddress). A page is made when it is asked for; nothing
//             is sampled between. Requests other than GET and HEAD are refused. A connection that says nothing for a
//             while is closed.
// Threads: NIO's event loops; the closures that make pages are called from tasks.
// Cost: nothing while nobody asks.

import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// A page.
struct MetricsAnswer: Sendable {
  var status: HTTPResponseStatus
  var contentType = "text/plain; charset=utf-8"
  var body: String
}

/// Why the pages cannot be served.
struct MetricsServerError: Error, CustomStringConvertible {
  let address: LoopbackAddress
  let reason: String

  var description: String {
    "metrics.address \(address): cannot listen there: \(reason); is another program (or another agent) using the port?"
  }
}

/// Serves the pages until the agent stops.
struct MetricsServer: Service {
  private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

  let address: LoopbackAddress
  /// The page of a path; nil for 404.
  private let page: @Sendable (String) async -> MetricsAnswer?
  private let listener: NIOAsyncChannel<Connection, Never>
  private let logger: Logger

  /// Seconds of silence after which a connection is closed.
  private static let idleSeconds: Int64 = 30

  /// Starts to listen.
  ///
  /// - Throws: `MetricsServerError`.
  init(
    address: LoopbackAddress, logger: Logger, page: @escaping @Sendable (String) async -> MetricsAnswer?
  ) async throws(MetricsServerError) {
    self.address = address
    self.page = page
    self.logger = logger
    do {
      listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .bind(host: address.host, port: address.port) { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(IdleStateHandler(allTimeout: .seconds(Self.idleSeconds)))
            try channel.pipeline.syncOperations.addHandler(IdleCloser())
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
            return try Connection(wrappingChannelSynchronously: channel)
          }
        }
    } catch let error as IOError {
      throw MetricsServerError(address: address, reason: String(cString: strerror(error.errnoCode)))
    } catch {
      throw MetricsServerError(address: address, reason: "\(error)")
    }
  }

  func run() async throws {
    try await cancelWhenGracefulShutdown {
      try await listener.executeThenClose { connections in
        await withDiscardingTaskGroup { group in
          do {
            for try await connection in connections {
              group.addTask { await serve(connection) }
            }
          } catch is CancellationError {
          } catch {
            logger.error("the metrics server stopped accepting connections", metadata: ["reason": "\(error)"])
          }
          group.cancelAll()
        }
      }
    }
  }

  private func serve(_ connection: Connection) async {
    do {
      try await connection.executeThenClose { inbound, outbound in
        var request: HTTPRequestHead?
        for try await part in inbound {
          switch part {
          case .head(let head): request = head
          case .body: break
          case .end:
            guard let head = request else { return }
            request = nil
            try await answer(head, outbound)
            if !head.isKeepAlive { return }
          }
        }
      }
    } catch {
      // A client that goes away in the middle is its own business.
      logger.debug("a metrics connection ended", metadata: ["reason": "\(error)"])
    }
  }

  private func answer(
    _ request: HTTPRequestHead, _ outbound: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>
  ) async throws {
    let answer: MetricsAnswer
    if request.method == .GET || request.method == .HEAD {
      let path = String(request.uri.prefix { $0 != "?" })
      answer =
        await page(path) ?? MetricsAnswer(status: .notFound, body: "no such page; try /metrics, /healthz or /readyz\n")
    } else {
      answer = MetricsAnswer(status: .methodNotAllowed, body: "only GET and HEAD\n")
    }
    let bytes = ByteBuffer(string: answer.body)
    var headers = HTTPHeaders([
      ("content-type", answer.contentType), ("content-length", "\(bytes.readableBytes)"), ("cache-control", "no-store"),
    ])
    if !request.isKeepAlive { headers.add(name: "connection", value: "close") }
    try await outbound.write(.head(HTTPResponseHead(version: request.version, status: answer.status, headers: headers)))
    if request.method != .HEAD { try await outbound.write(.body(.byteBuffer(bytes))) }
    try await outbound.write(.end(nil))
  }
}

/// Closes a connection that has been idle.
private final class IdleCloser: ChannelInboundHandler {
  typealias InboundIn = NIOAny

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent {
      context.close(promise: nil)
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }
}
