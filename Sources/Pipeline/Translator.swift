// Translator.swift
//
// What: the oracle: computes from the rules, the ports and the MAC table what happens to a packet, and which bits of the packet
//       that depends on. All tiers execute what this says.
// Invariants: changes nothing: learning is returned, so `trace` and a real miss run the same code. A bit that decides anything is
//             in the mask before it decides, except a bit that an earlier action wrote. Modifications that no output follows
//             are left out.
// Threads: pure; runs on the pipeline thread.
// Cost: one search of the rule table, then a few stores per action; a flood costs a step per port.

import Dataplane

/// Translates packets into flows.
public enum Translator {
  /// Computes what happens to the packets that look like one.
  ///
  /// - Parameters:
  ///   - packet: the key of a packet that the parser found nothing wrong with.
  ///   - explains: fill in `steps` and `looks`.
  public static func translate(
    key packet: FlowKey, ports: PortSet, rules: RuleTables, macs: MACTable, explains: Bool = false
  ) -> Translation {
    var run = Run(packet: packet, ports: ports, macs: macs, explains: explains)
    run.start(rules)
    return run.result
  }
}

/// One translation under way.
private struct Run {
  /// The packet as it came in; never changed.
  let key: FlowKey
  let ports: PortSet
  let macs: MACTable
  let explains: Bool
  let ingress: UInt32
  let etherType: UInt16
  var result = Translation()
  /// Values that actions wrote, and the bits they wrote. VLAN tags are kept in `tags` instead.
  var written = FlowKey()
  var writtenMask = FlowMask()
  var tags = TagStack()
  /// Actions up to the last output: what follows it changes nothing that anybody sees.
  var lengthUpToOutput = 0
  /// The first reason for which an output was left out.
  var firstSuppression: TranslationDrop?

  init(packet: FlowKey, ports: PortSet, macs: MACTable, explains: Bool) {
    etherType = UInt16(truncatingIfNeeded: packet[.ethType])
    var key = packet
    // The parser does not write line 1 for other packets; whatever is in it is not theirs.
    if etherType != EtherType.ipv6 { key.line1 = FlowLine() }
    self.key = key
    self.ports = ports
    self.macs = macs
    self.explains = explains
    ingress = UInt32(truncatingIfNeeded: packet[.inPort])
  }

  mutating func start(_ rules: RuleTables) {
    look(.always) { mask in
      mask.include(.inPort)
      mask.include(.ethType)
    }
    var looked = FlowMask()
    let entry = rules.lookup(table: 0, key, looked: &looked)
    look(.rules) { $0 = $0 | looked }
    result.rule = entry
    note(.matched(entry))
    guard let entry else { return finish(.noRule) }
    for action in entry.instructions.apply {
      note(.action(action))
      guard apply(action, cookie: entry.cookie) else { break }
    }
    finish(firstSuppression ?? .ruleDrops)
  }

  /// Applies one action. Returns false when nothing more is done with the packet.
  private mutating func apply(_ action: RuleAction, cookie: UInt64) -> Bool {
    switch action {
    case .output(let number): output(to: number)
    case .inPort: outputToIngress()
    case .normal: normal()
    case .flood: flood(includingNoFlood: false)
    case .all: flood(includingNoFlood: true)
    case .controller(let maxLength):
      result.actions.append(.controller(maxLength: maxLength, cookie: cookie))
      lengthUpToOutput = result.actions.count
    case .setField(let field, let value, let mask): set(field, value, mask)
    case .setVLAN(let vlan): return setTag(.vlanVID, bits: 0x0fff, value: vlan)
    case .setVLANPriority(let priority): return setTag(.vlanPCP, bits: 0xe000, value: UInt16(priority) << 13)
    case .pushVLAN(let tpid): return push(tpid)
    case .popVLAN: pop()
    case .decrementTTL: decrementTTL()
    case .group, .setQueue, .pushMPLS, .popMPLS, .pushPBB, .popPBB, .decrementMPLSTTL, .copyTTLIn, .copyTTLOut:
      note(.noEffect("the translator does not carry this action out"))
    }
    return true
  }

  private mutating func finish(_ reason: TranslationDrop) {
    result.actions.removeSubrange(lengthUpToOutput...)
    guard result.actions.isEmpty else { return }
    result.drop = reason
    note(.ended(reason))
  }

  // MARK: Looking

  /// Adds bits to the mask.
  private mutating func look(_ reason: LookReason, _ widen: (inout FlowMask) -> Void) {
    let before = result.mask
    widen(&result.mask)
    guard explains, result.mask != before else { return }
    result.looks.append((result.mask.subtracting(before), reason))
  }

  private mutating func note(_ step: @autoclosure () -> TranslationStep) {
    if explains { result.steps.append(step()) }
  }

  /// Reads a whole field as the actions so far have left it; not for VLAN tags.
  private mutating func read(_ field: FlowField, _ reason: LookReason) -> UInt128 {
    let known = writtenMask[field]
    look(reason) { $0[field] |= field.allOnes & ~known }
    return key[field] & ~known | written[field] & known
  }

  // MARK: Outputs

  private mutating func send(to port: SwitchPort) {
    result.actions.append(.output(port.index))
    lengthUpToOutput = result.actions.count
    note(.sent(to: port))
  }

  private mutating func suppress(_ reason: TranslationDrop, _ number: UInt32) {
    if firstSuppression == nil { firstSuppression = reason }
    // A port that comes, or comes up, changes the answer.
    if reason == .noSuchPort || reason == .portDown { result.floods = true }
    note(.suppressed(reason, port: number))
  }

  private mutating func output(to number: UInt32) {
    guard number != ingress else { return suppress(.outputToIngressPort, number) }
    sendIfUp(number)
  }

  private mutating func outputToIngress() { sendIfUp(ingress) }

  private mutating func sendIfUp(_ number: UInt32) {
    guard let port = ports[number] else { return suppress(.noSuchPort, number) }
    guard port.isUp else { return suppress(.portDown, number) }
    send(to: port)
  }

  private mutating func flood(includingNoFlood: Bool) {
    result.floods = true
    note(.flooded)
    var sent = false
    for port in ports.ports where port.isUp && port.number != ingress && (includingNoFlood || !port.noFlood) {
      send(to: port)
      sent = true
    }
    if !sent { suppress(.noPortToFlood, ReservedPort.flood) }
  }

  /// Forwards as an 802.1Q bridge does: learn the source, then send to the port of the destination, or flood.
  private mutating func normal() {
    let source = UInt64(truncatingIfNeeded: read(.ethSrc, .learning))
    var looked = FlowMask()
    let vlan = tags.read(0x1fff, key, &looked) & 0x0fff
    look(.learning) { $0 = $0 | looked }
    let destination = Station(vlan: vlan, mac: UInt64(truncatingIfNeeded: read(.ethDst, .forwarding)))
    let sender = Station(vlan: vlan, mac: source)
    if !sender.isMulticast, ports[ingress] != nil {
      let learning = Learning(station: sender, port: ingress)
      // Only the first source counts when a rule says `normal` twice with other addresses in between.
      if result.learns == nil { result.learns = learning }
      depend(on: sender)
      let previous = macs.port(of: sender)
      note(.learned(learning, previous: previous))
    }
    if destination.mac & ~0xf == 0x0180_c200_0000 {
      return suppress(.reservedMulticast, ReservedPort.normal)
    }
    guard !destination.isMulticast else { return flood(includingNoFlood: false) }
    // The packet itself has just taught where its sender is.
    let port = destination == sender ? ingress : macs.port(of: destination)
    depend(on: destination)
    note(.lookedUp(destination, port: port))
    guard let port else { return flood(includingNoFlood: false) }
    output(to: port)
  }

  private mutating func depend(on station: Station) {
    if !result.dependencies.contains(station) { result.dependencies.append(station) }
  }

  // MARK: Modifications

  private mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128) {
    switch field {
    case .vlanVID, .vlanPCP:
      // The rule text makes sure that there is a tag; a rule that was made otherwise may not have.
      guard isTagged() else { return note(.noEffect("the packet has no VLAN tag")) }
      let shift = field == .vlanPCP ? 13 : 0
      let bits = UInt16(truncatingIfNeeded: mask & (field == .vlanPCP ? 7 : 0x0fff)) << shift
      writeTag(field, bits: bits, value: UInt16(truncatingIfNeeded: value) << shift)
    case .tcpSrc, .tcpDst, .udpSrc, .udpDst, .sctpSrc, .sctpDst:
      look(.fragment) { $0[.ipFrag] |= UInt128(FragmentBits.later) }
      guard key[.ipFrag] & UInt128(FragmentBits.later) == 0 else {
        return note(.noEffect("a later fragment has no ports"))
      }
      write(field, value, mask)
    default:
      write(field, value, mask)
    }
  }

  private mutating func write(_ field: FlowField, _ value: UInt128, _ mask: UInt128) {
    written[field] = written[field] & ~mask | value & mask
    writtenMask[field] |= mask
    result.actions.append(.setField(field, value: value & mask, mask: mask))
  }

  private mutating func isTagged() -> Bool {
    var looked = FlowMask()
    let answer = tags.isTagged(key, &looked)
    look(.tags) { $0 = $0 | looked }
    return answer
  }

  /// Writes the VID or the priority of the outermost tag, which is there.
  private mutating func writeTag(_ field: FlowField, bits: UInt16, value: UInt16) {
    tags.write(bits, value)
    let shift = field == .vlanPCP ? 13 : 0
    result.actions.append(.setField(field, value: UInt128(value & bits) >> shift, mask: UInt128(bits) >> shift))
  }

  /// Sets the VID or the priority; gives the packet a tag first when it has none.
  private mutating func setTag(_ field: FlowField, bits: UInt16, value: UInt16) -> Bool {
    if !isTagged() {
      guard push(EtherType.vlan) else { return false }
    }
    writeTag(field, bits: bits, value: value)
    return true
  }

  private mutating func push(_ tpid: UInt16) -> Bool {
    var looked = FlowMask()
    let fits = tags.push(key, &looked)
    look(.tags) { $0 = $0 | looked }
    guard fits else {
      suppress(.tooManyTags, ReservedPort.none)
      return false
    }
    result.actions.append(.pushVLAN(tpid: tpid))
    return true
  }

  private mutating func pop() {
    guard isTagged() else { return note(.noEffect("the packet has no VLAN tag")) }
    tags.pop()
    result.actions.append(.popVLAN)
  }

  private mutating func decrementTTL() {
    guard etherType == EtherType.ipv4 || etherType == EtherType.ipv6 else {
      return note(.noEffect("only IP packets have a TTL"))
    }
    // The tiers look at the TTL themselves: the flow serves packets of every TTL.
    result.actions.append(.decrementTTL)
  }
}
