// Client.swift
//
// One connection to the agent's Unix socket and what every call on it has in common: a deadline, and errors that a person
// can act on. The calls themselves are in ClientCalls.swift.
// Invariants: there is one connection and it is never made anew: a program that outlives the agent opens another client.
//             A path that nobody listens on fails at once, not after gRPC's reconnects.
// Threads: Sendable; calls may run side by side. The connection has one event loop thread of its own, which ends with it.
// Cost: opening and closing take about a millisecond; a call about as much.

import GRPCCore
import GRPCNIOTransportHTTP2
import NIOCore
import NIOPosix

/// A connection to a running agent.
///
///     let rules = try await SluiceClient.withConnection { agent in
///       try await agent.rules()
///     }
public struct SluiceClient: Sendable {
  public static let defaultSocket = "/run/sluice/sluice.sock"

  /// How long a call that only reads may take.
  public static let readDeadline = Duration.seconds(5)

  /// How long a call may take that lists what there may be a million of.
  public static let listDeadline = Duration.seconds(60)

  /// How long a call that changes something may take: it returns when every worker follows the change, and attaching
  /// to an interface may wait for its driver.
  public static let changeDeadline = Duration.seconds(60)

  /// The path of the socket this client is connected to.
  public let socket: String

  typealias Transport = HTTP2ClientTransport.WrappedChannel
  let grpc: GRPCClient<Transport>
  private let channel: any Channel
  private let deadline: Duration?

  /// Connects, runs `body`, and closes the connection.
  ///
  /// - Parameters:
  ///   - socket: path of the agent's Unix socket.
  ///   - deadline: the time each call may take; nil means `readDeadline`, `listDeadline` or `changeDeadline`, as the call needs.
  /// - Throws: `ClientError` when the agent cannot be reached, else what `body` throws.
  public static func withConnection<Result: Sendable>(
    to socket: String = defaultSocket, deadline: Duration? = nil,
    _ body: (SluiceClient) async throws -> Result
  ) async throws -> Result {
    let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    do {
      let (transport, channel) = try await open(socket, on: loops)
      let result = try await withGRPCClient(transport: transport) { grpc in
        try await body(SluiceClient(socket: socket, grpc: grpc, channel: channel, deadline: deadline))
      }
      try? await loops.shutdownGracefully()
      return result
    } catch {
      try? await loops.shutdownGracefully()
      throw error
    }
  }

  private static func open(
    _ socket: String, on loops: MultiThreadedEventLoopGroup
  ) async throws(ClientError) -> (Transport, any Channel) {
    // sun_path has 108 bytes, the last of which is zero.
    guard (1...107).contains(socket.utf8.count) else { throw .badSocketPath(socket) }
    let config = Transport.Config.defaults { $0.http2.authority = "localhost" }
    do {
      let opened = ChannelBox()
      let transport = try await Transport.wrapping(config: config) { configure in
        let configured = try await ClientBootstrap(group: loops).connect(unixDomainSocketPath: socket) { configure($0) }
        await opened.put(configured.channel)
        return configured
      }
      guard let channel = await opened.channel else { throw ClientError.connectionLost(socket: socket) }
      return (transport, channel)
    } catch let error as ClientError {
      throw error
    } catch let error as IOError {
      throw .cannotConnect(socket: socket, errno: error.errnoCode)
    } catch {
      throw .connectionLost(socket: socket)
    }
  }

  /// Runs one call under its deadline and turns what gRPC throws into a `ClientError`.
  func call<Result: Sendable>(
    _ method: String, within standard: Duration?, _ body: (CallOptions) async throws -> Result
  ) async throws(ClientError) -> Result {
    var options = CallOptions.defaults
    // A stream without an end (standard nil) has no deadline at all.
    if let standard { options.timeout = deadline ?? standard }
    do {
      return try await body(options)
    } catch let error as ClientError {
      throw error
    } catch let error as RPCError {
      throw explain(error, method: method, deadline: options.timeout, changes: standard == Self.changeDeadline)
    } catch {
      throw .connectionLost(socket: socket)
    }
  }

  private func explain(_ error: RPCError, method: String, deadline: Duration?, changes: Bool) -> ClientError {
    switch error.code {
    case .deadlineExceeded:
      return .deadlineExceeded(method: method, after: deadline ?? .zero, changes: changes)
    case .unimplemented:
      return .refused(
        .init(
          code: error.code,
          message: "the agent at \(socket) does not know \(method): "
            + "it is another version than this program (\(SluiceVersion.current)); restart it with: systemctl restart sluiced"))
    case .unavailable, .unknown, .cancelled, .internalError:
      // gRPC words a broken connection with these codes too, but in terms of its own parts.
      if !channel.isActive { return .connectionLost(socket: socket) }
      fallthrough
    default:
      return .refused(
        .init(code: error.code, message: error.message, ruleErrors: Sluice_V1_RuleErrors(of: error)))
    }
  }
}

/// Carries the channel out of the closure that makes it.
private actor ChannelBox {
  private(set) var channel: (any Channel)?

  func put(_ channel: any Channel) { self.channel = channel }
}
