// FrameFuzz.swift
//
// What: libFuzzer target for the frame parser and rewriter. The first byte of the input says how many rewriting actions follow (three bytes
//       each), the rest is the frame.
// Invariants checked: AddressSanitizer sees any read or write outside the frame, because each frame ends where its heap block ends (and,
//       for parsing, also begins where it begins). The fast path and the general parser agree. After every rewriting action
//       the frame parses again, to the layout that the rewriter keeps, and a field that was set has its new value. What a pop uncovers may be no
//       frame that can be parsed: then nothing more is done with it.
// Threads: libFuzzer calls from one thread.

import Glibc

@testable import Dataplane

/// What the rewriter may put in front of a frame: a service tag, labels, VLAN tags.
private let room = 40

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFrame(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
  guard size > 0 else { return 0 }
  let actionCount = min(Int(data[0] & 7), (size - 1) / 3)
  let frameStart = 1 + actionCount * 3
  let length = size - frameStart

  var key = FlowKey()
  let layout = parseExactly(data + frameStart, length, &key)
  guard layout.problem == 0 else {
    guard Malformation(rawValue: layout.problem) != nil else { fatalError("unknown problem \(layout.problem)") }
    return 0
  }
  guard Int(layout.l3) < max(length, 1), Int(layout.l4) < max(length, 1), layout.tags <= 2 else {
    fatalError("a layout outside the frame: \(layout)")
  }

  guard let block = malloc(room + length) else { return 0 }
  defer { free(block) }
  let bytes = block.assumingMemoryBound(to: UInt8.self) + room
  memcpy(bytes, data + frameStart, length)
  var frame = ActiveFrame(bytes: bytes, length: length, layout: layout, room: room)
  for i in 0..<actionCount {
    let op = data + 1 + i * 3
    guard rewrite(&frame, op[0], UInt16(op[1]) << 8 | UInt16(op[2])) else { break }
  }
  return 0
}

/// Parses a frame in a heap block of exactly its size, twice: the way workers do and the general way.
private func parseExactly(_ source: UnsafePointer<UInt8>, _ length: Int, _ key: inout FlowKey) -> FrameLayout {
  // malloc(0) may return a block that may be read: one byte, and the frame "begins" behind it.
  guard let block = malloc(max(length, 1)) else { fatalError("no memory for a frame of \(length) bytes") }
  defer { free(block) }
  let start = block.assumingMemoryBound(to: UInt8.self) + (length == 0 ? 1 : 0)
  memcpy(start, source, length)
  var generalKey = FlowKey()
  let fast = parse(start, length: length, inPortBigEndian: UInt32(7).bigEndian, into: &key)
  let general = parseGeneral(start, length: length, inPortBigEndian: UInt32(7).bigEndian, into: &generalKey)
  guard isSame(fast, general), key == generalKey else {
    fatalError("the two parsers disagree: \(fast) \(key) and \(general) \(generalKey)")
  }
  return fast
}

private func isSame(_ a: FrameLayout, _ b: FrameLayout) -> Bool {
  a.l3 == b.l3 && a.l4 == b.l4 && a.tags == b.tags && a.lines == b.lines && a.ipVersion == b.ipVersion && a.problem == b.problem
}

/// The fields that rules can set in a frame. Seeds name them by their number.
private let settable = FlowField.allCases.filter { $0.isSettable && !$0.isPipelineField }

/// Carries out one action. Returns false when nothing more is done with the frame.
private func rewrite(_ frame: inout ActiveFrame, _ code: UInt8, _ argument: UInt16) -> Bool {
  var before = FlowKey()
  let parsedBefore = parseExactly(frame.bytes, frame.length, &before)
  let outcome: ActiveFrame.Outcome
  var check: (field: FlowField, value: UInt128, mask: UInt128)?
  switch code & 63 {
  case 48: outcome = frame.pushVLAN(tpid: argument & 1 == 0 ? 0x8100 : 0x88a8)
  case 49: outcome = frame.popVLAN()
  case 50: outcome = frame.decrementTTL()
  case 51: outcome = frame.pushMPLS(etherType: argument & 1 == 0 ? 0x8847 : 0x8848)
  case 52: outcome = frame.popMPLS(etherType: [0x0800, 0x86dd, 0x8847, 0x0806, 0x8100, argument][Int(argument % 6)])
  case 53: outcome = frame.pushPBB()
  case 54: outcome = frame.popPBB()
  case 55: outcome = frame.decrementMPLSTTL()
  case 56: outcome = frame.copyTTLIn()
  case 57: outcome = frame.copyTTLOut()
  case let index where Int(index) < settable.count:
    let field = settable[Int(index)]
    // Only rules whose match names the protocol set the fields of a header.
    guard isApplicable(field, before) else { return true }
    let wide = UInt128(argument) * 0x0001_0001_0001_0001_0001_0001_0001_0001
    let mask = (code & 64 != 0 ? field.allOnes : wide >> 3 & field.allOnes) & (field == .vlanVID ? 0xfff : .max)
    outcome = frame.set(field, value: wide & field.allOnes, mask: mask)
    if isThere(field, before, frame.layout) { check = (field, wide & mask, mask) }
  default: return true
  }
  guard outcome == .done else { return false }

  var after = FlowKey()
  let parsed = parseExactly(frame.bytes, frame.length, &after)
  guard parsed.problem == 0 else {
    guard frame.layout.l3 == 0, frame.layout.l4 == 0, frame.layout.ipVersion == 0 else {
      fatalError("after action \(code) the frame cannot be parsed, but has the layout \(frame.layout) (before: \(parsedBefore))")
    }
    return false
  }
  guard isSame(parsed, frame.layout) else {
    fatalError("after action \(code) the layout is \(frame.layout), but the frame parses to \(parsed) (before: \(parsedBefore))")
  }
  if let check {
    guard after[check.field] & check.mask == check.value else {
      fatalError("\(check.field) was set to \(check.value) under \(check.mask), but is \(after[check.field])")
    }
  }
  return true
}

/// True when the packet surely has the field: a later fragment has no ports, a solicitation perhaps no link-layer address.
private func isThere(_ field: FlowField, _ before: FlowKey, _ layout: FrameLayout) -> Bool {
  switch field {
  case .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code: layout.l4 != 0
  // An opcode beyond 255 has no place in the key.
  case .ndTarget, .ndSLL, .ndTLL, .arpOp: before[field] != 0
  default: true
  }
}

private func isApplicable(_ field: FlowField, _ key: FlowKey) -> Bool {
  var mask = FlowMask()
  mask.include(.ethType)
  mask.include(.ipProto)
  mask.include(.icmpv6Type)
  return FieldRequirement(field).isMet(by: FlowMatch(key, mask))
}
