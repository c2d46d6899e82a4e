// Mailbox.swift
//
// What: what the pipeline thread says to a worker, and what a worker says to the pipeline thread.
// Invariants: commands are carried out in order, between batches; a fence after a command means that no batch can see the state before it.
// Threads: the pipeline thread produces commands and consumes upcalls; the worker the other way round.

import Glibc

/// What a worker is told.
enum CommandCode: UInt8 {
  /// Start using the filled slot.
  case installFlow
  /// Stop using a slot.
  case removeFlow
  /// Receive from a queue, as a port.
  case attachReceiver
  /// Send what goes to a port through a queue.
  case attachTransmitter
  /// Forget a port: close its queues, drop what waits for it.
  case detachPort
  /// Change the longest frame that goes out of a port.
  case setMaxFrame
  /// A miss is resolved: treat the frame as the flow in `slot` says; without a slot run the program (nil: drop the frame).
  case resume
  /// The pipeline is done with a frame that it only looked at.
  case releaseFrame
  case stop
}

/// A command, as it lies in the ring.
struct WorkerCommand: BitwiseCopyable {
  var code: CommandCode
  var port: PortIndex = 0
  var slot: UInt32 = 0
  var number: UInt32 = 0
  var frame = FrameDescriptor(address: 0, length: 0)
  var queue: UnsafeRawPointer?
  var program: UnsafePointer<ActionProgram>?
}

/// A packet that a worker hands to the pipeline: a miss that waits for an answer, or a copy for the controller.
public struct Upcall: BitwiseCopyable {
  public enum Kind: UInt8, Sendable, BitwiseCopyable { case miss, controller }
  public var line0: FlowLine
  public var line1: FlowLine
  public var frame: FrameDescriptor
  public var layout: FrameLayout
  public var cookie: UInt64
  public var port: PortIndex
  public var kind: Kind
  /// Bytes of the frame that the controller asked for.
  public var maxLength: UInt16

  /// The packet's key; its pipeline fields are zero, and do not travel.
  public var key: FlowKey { FlowKey(line0: line0, line1: line1) }
}
