// FlowLine+Kernel.swift
//
// Lines of keys and masks as the programs have them: whole, and as the words that packets in the kernel can have (hash.h).

import CSluice
import Dataplane

/// Words of a line as an array of C.
typealias KernelWords = (UInt64, UInt64, UInt64, UInt64, UInt64)

extension FlowLine {
  /// The words of line 0 that the programs look at.
  var kernelWords: KernelWords { (w0, w1, w2, w3, w4) }

  /// The words of line 1 that the programs look at.
  var kernelWords1: KernelWords { (w0, w1, w2, w3, w6) }

  /// A line 0 whose other words are zero.
  init(words: KernelWords) {
    self.init()
    (w0, w1, w2, w3, w4) = words
  }

  /// The same bytes.
  init(_ line: sluice_line) { self = unsafeBitCast(line, to: FlowLine.self) }
}

extension sluice_line {
  /// The same bytes.
  init(_ line: FlowLine) { self = unsafeBitCast(line, to: sluice_line.self) }
}
