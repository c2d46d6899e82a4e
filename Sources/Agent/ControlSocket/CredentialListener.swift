// CredentialListener.swift
//
// Accepts gRPC connections on the control socket from those who may use it, and closes all others before they can say a
// word.
// Invariant: the check is of the kernel's credentials (SO_PEERCRED), beside the mode of the socket file: a path that
//            somebody made too open, or a descriptor that was handed on, does not let strangers in.
// Threads: NIO's event loops.

import GRPCCore
import GRPCNIOTransportHTTP2
import Logging
import NIOCore
import NIOPosix

/// gRPC's listener on a socket that is bound and listening.
struct CredentialListener: HTTP2ServerTransport.ListenerFactory {
  let descriptor: Int32
  let admission: AdmissionRule
  let logger: Logger

  var eventLoopGroup: any EventLoopGroup { .singletonMultiThreadedEventLoopGroup }

  /// Calls that one connection may have open. The default of 100 makes clients with more lose most of them to GOAWAY.
  private static let maxConcurrentStreams = 4096

  static func transport(
    descriptor: Int32, admission: AdmissionRule, logger: Logger
  ) -> HTTP2ServerTransport.Custom<CredentialListener> {
    var config = HTTP2ServerTransport.Custom<CredentialListener>.Config.defaults
    config.http2.maxConcurrentStreams = maxConcurrentStreams
    // One message holds all entries of the early drop policy that may be added at once: 131,072 five-tuples of 150 bytes.
    config.rpc.maxRequestPayloadSize = 24 << 20
    return HTTP2ServerTransport.Custom(
      listenerFactory: CredentialListener(descriptor: descriptor, admission: admission, logger: logger), config: config)
  }

  func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never> {
    try await ServerBootstrap(group: eventLoopGroup)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
      .bind(NIOBSDSocket.Handle(descriptor)) { channel in
        do {
          try check(channel)
        } catch {
          channel.close(promise: nil)
          return channel.eventLoop.makeFailedFuture(error)
        }
        return connectionConfigurator.configure(channel: channel, tls: .none)
      }
  }

  private struct NotAdmitted: Error {}

  private func check(_ channel: any Channel) throws {
    let peer = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
      PeerCredentials(of: $0)
    }
    guard let peer = peer ?? nil else {
      logger.warning("refused a connection whose peer the kernel does not name")
      throw NotAdmitted()
    }
    guard admission.admits(peer) else {
      logger.warning(
        "refused a connection: only root and members of the agent's group may use the API",
        metadata: ["uid": "\(peer.userID)", "gid": "\(peer.groupID)", "pid": "\(peer.processID)"])
      throw NotAdmitted()
    }
  }
}
