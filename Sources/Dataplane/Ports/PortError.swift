// PortError.swift
//
// What: why a port, or one queue of it, cannot be opened. It prints as one sentence that names the interface, gives
//       the kernel's words and says what to do.

import Glibc

/// Why a port cannot be used.
public enum PortError: Error, Equatable, CustomStringConvertible {
  /// What was asked of the kernel when it refused.
  public enum Step: String, Sendable {
    case socket = "opening an AF_XDP socket"
    case registerMemory = "registering the packet memory with AF_XDP"
    case makeRings = "making the AF_XDP rings"
    case mapRings = "mapping the AF_XDP rings"
    case bind = "binding the AF_XDP socket"
  }

  /// The kernel refused a step of opening a queue.
  case refused(step: Step, interface: String, queue: UInt32, errno: Int32)
  /// AF_XDP rings have a power of two of entries.
  case badRingSize(Int)
  /// The interface carries larger packets than the port can.
  case mtuTooLarge(interface: String, mtu: Int, limit: Int)

  public var description: String {
    switch self {
    case .refused(let step, let interface, let queue, let code):
      "port \(interface), queue \(queue): \(step.rawValue) failed: \(Self.explanation(step: step, errno: code))"
    case .badRingSize(let size):
      "AF_XDP ring size \(size): expected a power of two from 64 to 32768"
    case .mtuTooLarge(let interface, let mtu, let limit):
      "port \(interface): MTU \(mtu) is more than AF_XDP carries here (\(limit)); "
        + "lower it with: ip link set \(interface) mtu \(limit)"
    }
  }

  /// The kernel's words and, where the cause is known, what to do about it.
  private static func explanation(step: Step, errno code: Int32) -> String {
    let words = String(cString: strerror(code))
    let remedy: String? =
      switch (step, code) {
      case (.bind, EBUSY): "another AF_XDP socket is bound to this queue; stop the program that holds it (ss --xdp -ap)"
      case (.bind, EINVAL): "the interface has no such queue; see: ethtool -l"
      case (.bind, ENODEV): "the interface is gone or lives in another network namespace"
      case (.bind, ENETDOWN): "the interface is down; bring it up with: ip link set dev ... up"
      case (.bind, EOPNOTSUPP): "the driver cannot do AF_XDP on this queue"
      case (.registerMemory, ENOBUFS):
        "the locked-memory limit is too low; give the process CAP_IPC_LOCK or raise it (systemd: LimitMEMLOCK=infinity)"
      case (_, ENOMEM): "the node is out of memory; use fewer frames or smaller rings"
      case (.socket, EPERM), (.socket, EACCES): "AF_XDP needs CAP_NET_RAW; run as root or grant it"
      case (_, EPERM), (_, EACCES): "the process lacks CAP_NET_ADMIN or CAP_NET_RAW"
      case (.socket, EAFNOSUPPORT): "this kernel was built without CONFIG_XDP_SOCKETS"
      case (_, EMFILE), (_, ENFILE): "too many open files; raise the limit (systemd: LimitNOFILE=)"
      default: nil
      }
    guard let remedy else { return words }
    return "\(words): \(remedy)"
  }
}
