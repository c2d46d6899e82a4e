// TracedPacket.swift
//
// What: the packet that `trace` follows through a flow's actions: its bytes when they were given, else its fields. It can be parsed again, as a
//       worker does when the actions say so.
// Invariants: `key` is the packet as it was when it was last looked up: what workers hash for select groups. Fields that were never given and come
//             to light are zero, a TTL 64.
// Threads: a value.
// Cost: for people.

import Dataplane

struct TracedPacket {
  private(set) var key: FlowKey
  private var frame: FrameCopy?
  /// The packet as the actions have left it, when its bytes are not known.
  private var state: PacketState

  init(key: FlowKey, frame: [UInt8]?) {
    self.key = key
    self.frame = frame.map { FrameCopy($0) }
    state = PacketState(key)
  }

  /// True when the actions have brought fields to light that nobody has given.
  var isGuessed: Bool { frame == nil && state.hasUnknown }

  /// Does to the packet what an action does. Returns why it goes no further, if it does not.
  mutating func apply(_ action: FlowAction) -> String? {
    if var frame {
      let ttl = frame.bytes
      let outcome = frame.apply(action)
      self.frame = frame
      switch outcome {
      case .done: return nil
      case .failed: return "an action needs a header, or room for one, that the frame does not have"
      case .ttlExpired:
        let now = parseFrame(ttl, inPort: 0).key
        return Self.expired(now[action == .decrementMPLSTTL ? .mplsTTL : .ipTTL])
      }
    }
    switch action {
    case .decrementTTL where state.key[.ipTTL] <= 1: return Self.expired(state.key[.ipTTL])
    case .decrementMPLSTTL where state.key[.mplsTTL] <= 1: return Self.expired(state.key[.mplsTTL])
    default: state.apply(action)
    }
    return nil
  }

  private static func expired(_ ttl: UInt128) -> String { "its TTL is \(ttl) and would be decremented" }

  /// The packet as a worker would look it up again under a number; nil when the frame is malformed by now.
  func parsedAgain(_ id: UInt16) -> TracedPacket? {
    var next: FlowKey
    if let frame {
      let parsed = parseFrame(frame.bytes, inPort: UInt32(truncatingIfNeeded: key[.inPort]))
      guard parsed.layout.problem == 0 else { return nil }
      next = parsed.key
    } else {
      next = state.keyWithGuesses
      next.line2 = FlowLine()
    }
    next[.recircID] = UInt128(id)
    return TracedPacket(key: next, frame: frame?.bytes)
  }
}

extension PacketState {
  /// Changes the packet as an action of a flow does.
  fileprivate mutating func apply(_ action: FlowAction) {
    let isTagged = key[.vlanTCI] & UInt128(vlanPresent) != 0
    switch action {
    case .setField(let field, let value, let mask): write(field, value, mask)
    case .pushVLAN: pushTag()
    case .popVLAN: popTag()
    case .pushMPLS(let etherType): pushMPLS(etherType, isTagged: isTagged)
    case .popMPLS(let etherType): popMPLS(etherType, isTagged: isTagged)
    case .pushPBB: pushPBB(isTagged: isTagged)
    case .popPBB: popPBB()
    case .decrementTTL: decrementTTL()
    case .decrementMPLSTTL: decrementMPLSTTL()
    case .copyTTLIn: _ = copyTTLIn()
    case .copyTTLOut: _ = copyTTLOut()
    case .output, .setQueue, .meter, .select, .clone, .recirculate, .controller: break
    }
  }
}
