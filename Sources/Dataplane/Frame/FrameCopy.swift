// FrameCopy.swift
//
// What: a frame in memory of its own, on which a flow's actions are carried out one by one as a worker would: for `trace`, which has to
//       know what the frame looks like when it is parsed again.
// Invariants: has the room in front that a worker's frame has, so what a worker refuses to push is refused here.
// Threads: a value.
// Cost: a copy of the frame; for people.

/// A frame outside a worker.
public struct FrameCopy: Sendable {
  /// What came of an action.
  public enum Outcome: Sendable { case done, failed, ttlExpired }

  /// The room for headers, the frame, and a margin behind it.
  private var memory: [UInt8]
  private var begin = FrameMemory.headroom
  private var length: Int
  private var layout: FrameLayout
  private static let margin = 64

  /// - Parameter bytes: a frame that the parser finds nothing wrong with.
  public init(_ bytes: [UInt8]) {
    memory = [UInt8](repeating: 0, count: FrameMemory.headroom) + bytes + [UInt8](repeating: 0, count: Self.margin)
    length = bytes.count
    layout = parseFrame(bytes, inPort: 0).layout
  }

  /// The frame as the actions have left it.
  public var bytes: [UInt8] { Array(memory[begin..<(begin + length)]) }

  /// Carries out an action that changes the frame; any other changes nothing.
  public mutating func apply(_ action: FlowAction) -> Outcome {
    let (begin, length, layout) = (begin, length, layout)
    let (active, offset, outcome) = memory.withUnsafeMutableBufferPointer { memory -> (ActiveFrame?, Int, ActiveFrame.Outcome) in
      guard let base = memory.baseAddress else { return (nil, begin, .failed) }
      var active = ActiveFrame(bytes: base + begin, length: length, layout: layout, room: begin)
      let outcome = active.apply(action)
      return (active, active.bytes - base, outcome)
    }
    if let active { (self.begin, self.length, self.layout) = (offset, active.length, active.layout) }
    switch outcome {
    case .done: return .done
    case .failed: return .failed
    case .ttlExpired: return .ttlExpired
    }
  }
}

extension ActiveFrame {
  fileprivate mutating func apply(_ action: FlowAction) -> Outcome {
    switch action {
    case .setField(let field, let value, let mask): set(field, value: value & mask, mask: mask)
    case .pushVLAN(let tpid): pushVLAN(tpid: tpid)
    case .popVLAN: popVLAN()
    case .pushMPLS(let etherType): pushMPLS(etherType: etherType)
    case .popMPLS(let etherType): popMPLS(etherType: etherType)
    case .pushPBB: pushPBB()
    case .popPBB: popPBB()
    case .decrementTTL: decrementTTL()
    case .decrementMPLSTTL: decrementMPLSTTL()
    case .copyTTLIn: copyTTLIn()
    case .copyTTLOut: copyTTLOut()
    case .output, .setQueue, .meter, .select, .clone, .recirculate, .controller: .done
    }
  }
}
