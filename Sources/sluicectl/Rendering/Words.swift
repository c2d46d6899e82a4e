// Words.swift
//
// The word of each enumeration's case, the same in tables, in JSON and, where they can be given, in options.
// A case of a newer agent than this program is shown as its number.

import AgentAPI

extension Sluice_V1_PortKind {
  var word: String {
    switch self {
    case .netdev: "netdev"
    case .internal: "internal"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "kind-\(number)"
    }
  }
}

extension Sluice_V1_PortMode {
  var word: String {
    switch self {
    case .dedicated: "dedicated"
    case .shared: "shared"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "mode-\(number)"
    }
  }
}

extension Sluice_V1_PortHook {
  var word: String {
    switch self {
    case .xdp: "xdp"
    case .tc: "tc"
    case .unspecified: "none"
    case .UNRECOGNIZED(let number): "hook-\(number)"
    }
  }
}

extension Sluice_V1_Placement {
  var word: String {
    switch self {
    case .off: "off"
    case .auto: "auto"
    case .eager: "eager"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "placement-\(number)"
    }
  }

  /// The word and what it means.
  var words: String {
    switch self {
    case .off: "off: the workers forward every packet"
    case .auto: "auto: busy flows are executed in the kernel"
    case .eager: "eager: every flow is executed in the kernel"
    default: word
    }
  }
}

extension Sluice_V1_XdpMode {
  var word: String {
    switch self {
    case .native: "native"
    case .generic: "generic"
    case .unspecified: "none"
    case .UNRECOGNIZED(let number): "mode-\(number)"
    }
  }
}

extension Sluice_V1_PortState {
  var word: String {
    switch self {
    case .up: "up"
    case .down: "down"
    case .degraded: "degraded"
    case .missing: "missing"
    case .failed: "failed"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "state-\(number)"
    }
  }
}

extension Sluice_V1_Tier {
  var word: String {
    switch self {
    case .user: "user"
    case .kernel: "kernel"
    case .nic: "nic"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "tier-\(number)"
    }
  }
}

extension Sluice_V1_WorkerState {
  var word: String {
    switch self {
    case .polling: "polling"
    case .sleeping: "sleeping"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "state-\(number)"
    }
  }
}

extension Sluice_V1_PortChange {
  var word: String {
    switch self {
    case .added: "added"
    case .deleted: "deleted"
    case .modified: "modified"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "change-\(number)"
    }
  }
}

extension Sluice_V1_RuleChange {
  var word: String {
    switch self {
    case .added: "added"
    case .deleted: "deleted"
    case .modified: "modified"
    case .unspecified: "unknown"
    case .UNRECOGNIZED(let number): "change-\(number)"
    }
  }
}
