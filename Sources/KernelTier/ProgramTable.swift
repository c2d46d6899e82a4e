// ProgramTable.swift
//
// What: the action programs in the kernel: one place for each different program, however many flows name it.
// Invariants: a program does not change while a flow names it; a place is used again only after the flow that named it last was released,
//       which is after a fence.
// Threads: the pipeline thread only.
// Cost: a look-up by the program's steps; no system call.

import CSluice
import Dataplane

/// The table of programs.
struct ProgramTable {
  private let places: UnsafeMutablePointer<sluice_program>
  private var numbers: [KernelProgram: UInt16] = [:]
  private var uses: [Int]
  private var free: [UInt16]

  init(maps: FlowTableMaps) {
    places = maps.programs.base
    uses = [Int](repeating: 0, count: maps.programs.count)
    // Place 0 is not used.
    free = (1..<UInt16(maps.programs.count)).reversed()
  }

  /// Programs in use.
  var count: Int { numbers.count }

  /// The place of a program, which is used once more from now on.
  mutating func use(_ program: KernelProgram) throws(TierRefusal) -> UInt16 {
    if let number = numbers[program] {
      uses[Int(number)] += 1
      return number
    }
    guard let number = free.popLast() else {
      throw .temporary("programs", "the kernel tier has \(uses.count - 1) different action lists, which is all it can hold")
    }
    places[Int(number)] = program.encoded
    numbers[program] = number
    uses[Int(number)] = 1
    return number
  }

  /// One use less.
  mutating func unuse(_ number: UInt16) {
    uses[Int(number)] -= 1
    guard uses[Int(number)] == 0 else { return }
    numbers[program(number)] = nil
    free.append(number)
  }

  func program(_ number: UInt16) -> KernelProgram { KernelProgram(places[Int(number)]) }

  /// Whether there can be a program in a place that an agent before this one wrote, and this version understands it.
  func isSound(_ number: UInt16) -> Bool {
    guard number > 0, Int(number) < uses.count else { return false }
    let program = places[Int(number)]
    guard program.count > 0, program.count <= UInt32(SLUICE_PROGRAM_OPS) else { return false }
    return KernelProgram(program).ops.count == Int(program.count)
  }

  /// Counts the uses of flows that are there already.
  mutating func takeIn(_ used: [UInt16]) {
    for number in used {
      if uses[Int(number)] == 0 { numbers[program(number)] = number }
      uses[Int(number)] += 1
    }
    free = (1..<UInt16(uses.count)).reversed().filter { uses[Int($0)] == 0 }
  }
}
