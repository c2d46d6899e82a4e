// Mailbox.swift
//
// What: what the pipeline thread says to a worker, and what a worker says to the pipeline thread.
// Invariants: commands are carried out in order, between batches; a fence after a command means that no batch can see the state before it.
//             The description of a flow travels beside its command, in the place of the same number, so it is the producer's until the push
//             and the worker's until the command is consumed. A list of changes belongs to the pipeline thread, which keeps it
//             unchanged until the command is consumed.
// Threads: the pipeline thread produces commands and consumes upcalls; the worker the other way round.
// Cost: a command is 64 bytes; the 176 bytes of a description are touched by installations only.

import Glibc

/// What a worker is told.
enum CommandCode: UInt8 {
  /// Begin to use a slot as the description says; then treat the frame, if there is one, as that flow says.
  case installFlow
  /// Carry out a list of changes of flows: all of it between two batches.
  case changeFlows
  /// Receive from a queue, as a port.
  case attachReceiver
  /// Send what goes to a port through a queue.
  case attachTransmitter
  /// Forget a port: close its queues, drop what waits for it.
  case detachPort
  /// Receive from a queue whose frames say which port they came in by, in a header in front.
  case attachUpcalls
  /// Close that queue.
  case detachUpcalls
  /// Write to a place in memory when the worker has nothing under way; to none when there is no place.
  case setDrainStamp
  /// Write it once more, later than now by the time that the way up takes.
  case attend
  /// Change the longest frame that goes out of a port.
  case setMaxFrame
  /// A miss is resolved: treat the frame as the flow in `slot` says; without slot run the program (nil: drop the frame).
  case resume
  /// The pipeline is done with a frame that it only looked at.
  case releaseFrame
  case stop
}

/// A command, as it lies in the ring.
struct WorkerCommand: BitwiseCopyable {
  var code: CommandCode
  /// Recirculations of the frame so far.
  var depth: UInt8 = 0
  var port: PortIndex = 0
  /// The recirculation that the frame is in; 0 for a frame as it came in.
  var recircID: UInt16 = 0
  var slot: UInt32 = 0
  var number: UInt32 = 0
  var frame = FrameDescriptor(address: 0, length: 0)
  /// The queue to attach, or the place of the drain stamp.
  var queue: UnsafeRawPointer?
  var program: UnsafePointer<ActionProgram>?
  var changes: UnsafePointer<FlowChange>?
}

/// A flow as the pipeline thread describes it to a worker.
public struct FlowDescription: BitwiseCopyable {
  /// The masked key.
  public var line0: FlowLine
  public var line1: FlowLine
  /// The hash of the masked key, by `HashSecrets.flowHash`.
  public var hash: UInt64
  /// The cycle stamp that counts as the first use.
  public var now: UInt64
  public var program: UnsafePointer<ActionProgram>?
  public var mask: UInt16
  public var output: PortIndex
  public var port: PortIndex
  public var kind: FlowKind

  /// - Parameters:
  ///   - key: the masked key.
  ///   - mask: the place of the mask in the slab.
  ///   - port: the index of the ingress port, which every mask looks at.
  public init(
    key: FlowKey, mask: UInt16, port: PortIndex, kind: FlowKind, output: PortIndex, program: UnsafePointer<ActionProgram>?,
    hash: UInt64, now: UInt64
  ) {
    line0 = key.line0
    line1 = key.line1
    self.hash = hash
    self.now = now
    self.program = program
    self.mask = mask
    self.output = output
    self.port = port
    self.kind = kind
  }
}

/// One element of a list of changes.
public struct FlowChange: BitwiseCopyable {
  public enum Code: UInt8, Sendable, BitwiseCopyable {
    /// Match nothing from now on.
    case remove
    /// The same packets, another answer.
    case replace
  }
  public var slot: UInt32
  public var code: Code
  public var kind: FlowKind
  public var output: PortIndex
  public var program: UnsafePointer<ActionProgram>?

  public static func remove(_ slot: UInt32) -> FlowChange {
    FlowChange(slot: slot, code: .remove, kind: .drop, output: 0, program: nil)
  }

  public static func replace(
    _ slot: UInt32, kind: FlowKind, output: PortIndex, program: UnsafePointer<ActionProgram>?
  ) -> FlowChange {
    FlowChange(slot: slot, code: .replace, kind: kind, output: output, program: program)
  }
}

/// A packet that a worker hands to the pipeline: a miss that waits for an answer, or a copy for the controller.
public struct Upcall: BitwiseCopyable {
  public enum Kind: UInt8, Sendable, BitwiseCopyable { case miss, controller }
  public var line0: FlowLine
  /// Zero for packets that have no line 1.
  public var line1: FlowLine
  public var frame: FrameDescriptor
  public var layout: FrameLayout
  public var cookie: UInt64
  /// Commands that the worker had carried out when the packet missed: what was installed later is news to it.
  public var seenCommands: UInt64
  public var port: PortIndex
  public var kind: Kind
  /// Recirculations so far.
  public var depth: UInt8 = 0
  /// The recirculation that the packet is in; 0 for a packet as it came in.
  public var recircID: UInt16 = 0
  /// Bytes of the frame that the controller asked for.
  public var maxLength: UInt16

  /// The packet's key; its pipeline fields are zero, as for every packet that comes in.
  public var key: FlowKey { FlowKey(line0: line0, line1: line1) }
}

/// The ring of commands, and beside it the descriptions of the flows that they install.
final class Mailbox: @unchecked Sendable {
  // Sendable: a description is handed over with the command of the same place.
  let commands: SPSCRing<WorkerCommand>
  private let descriptions: UnsafeMutablePointer<FlowDescription>
  private let indexMask: UInt64

  /// - Parameter capacity: commands that may wait; a power of two. A thousand fit into the caches of both threads.
  init(capacity: Int = 1024) {
    commands = SPSCRing(capacity: capacity)
    descriptions = .allocate(capacity: capacity)
    indexMask = UInt64(capacity - 1)
  }

  deinit { descriptions.deallocate() }

  /// Adds a command; false when the ring is full. Producer only.
  @inline(__always)
  func push(_ command: WorkerCommand) -> Bool { commands.push(command) }

  /// Adds a command with the description of a flow; false when the ring is full. Producer only.
  @inline(__always)
  func push(_ command: WorkerCommand, describing flow: FlowDescription) -> Bool {
    guard commands.hasRoom else { return false }
    descriptions[Int(truncatingIfNeeded: commands.pushedCount & indexMask)] = flow
    return commands.push(command)
  }

  /// The description that belongs to the oldest command. Consumer only.
  @inline(__always)
  var description: UnsafePointer<FlowDescription> {
    UnsafePointer(descriptions + Int(truncatingIfNeeded: commands.consumedCount & indexMask))
  }
}
