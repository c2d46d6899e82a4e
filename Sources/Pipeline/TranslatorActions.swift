// TranslatorActions.swift
//
// What: what each action of a rule does to a packet in translation: outputs, `normal`, and changes of headers.
// Invariants: an action whose header the packet does not have does nothing and is left out, so that a worker never meets it.
//             Which headers there are is looked at before it decides.
// Threads: part of a translation.
// Cost: see Translator.

import Dataplane

extension TranslationRun {
  /// Applies one action. Returns false when nothing more is done with the packet.
  mutating func apply(_ action: RuleAction) -> Bool {
    switch action {
    case .output(let number): output(to: number)
    case .inPort: sendIfUp(ingress)
    case .normal: normal()
    case .flood: flood(includingNoFlood: false)
    case .all: flood(includingNoFlood: true)
    case .controller(let maxLength):
      actions.append(.controller(maxLength: maxLength, cookie: cookie))
      keep()
      sendsSomething = true
    case .group(let id): group(id)
    case .setQueue(let queue): actions.append(.setQueue(queue))
    case .setField(let field, let value, let mask): set(field, value, mask)
    case .setVLAN(let vlan): return setTag(.vlanVID, value: UInt128(vlan), mask: 0x0fff)
    case .setVLANPriority(let priority): return setTag(.vlanPCP, value: UInt128(priority), mask: 7)
    case .pushVLAN(let tpid): return pushVLAN(tpid)
    case .popVLAN: popVLAN()
    case .pushMPLS(let type): pushMPLS(type)
    case .popMPLS(let type): popMPLS(type)
    case .pushPBB: pushPBB()
    case .popPBB: popPBB()
    case .decrementTTL: decrementTTL()
    case .decrementMPLSTTL: decrementMPLSTTL()
    case .copyTTLIn: copyTTL(.copyTTLIn)
    case .copyTTLOut: copyTTL(.copyTTLOut)
    }
    return true
  }

  // MARK: Outputs

  private mutating func send(to port: SwitchPort) {
    actions.append(.output(port.index))
    keep()
    sendsSomething = true
    note(.sent(to: port))
  }

  private mutating func output(to number: UInt32) {
    guard number != ingress else { return suppress(.outputToIngressPort, number) }
    sendIfUp(number)
  }

  private mutating func sendIfUp(_ number: UInt32) {
    guard let port = context.ports[number] else {
      result.floods = true
      return suppress(.noSuchPort, number)
    }
    guard port.isUp else {
      result.floods = true
      return suppress(.portDown, number)
    }
    send(to: port)
  }

  private mutating func flood(includingNoFlood: Bool) {
    result.floods = true
    note(.flooded)
    var sent = false
    for port in context.ports.ports where port.isUp && port.number != ingress && (includingNoFlood || !port.noFlood) {
      work += 1
      send(to: port)
      sent = true
    }
    if !sent { suppress(.noPortToFlood, ReservedPort.flood) }
  }

  /// Forwards as an 802.1Q bridge does: learn the source, then send to the port of the destination, or flood.
  private mutating func normal() {
    let source = UInt64(truncatingIfNeeded: read(.ethSrc, .learning))
    look(.vlanTCI, 0x1fff, .learning)
    let destinationMAC = UInt64(truncatingIfNeeded: read(.ethDst, .forwarding))
    guard !needsParsing else { return }
    let vlan = UInt16(truncatingIfNeeded: state.key[.vlanTCI] & 0x0fff)
    let destination = Station(vlan: vlan, mac: destinationMAC)
    let sender = Station(vlan: vlan, mac: source)
    if !sender.isMulticast, context.ports[ingress] != nil {
      let learning = Learning(station: sender, port: ingress)
      // Only the first source counts when a rule says `normal` twice with other addresses in between.
      if result.learns == nil { result.learns = learning }
      depend(on: sender)
      let previous = context.macs.port(of: sender)
      note(.learned(learning, previous: previous))
    }
    if destination.mac & ~0xf == 0x0180_c200_0000 {
      return suppress(.reservedMulticast, ReservedPort.normal)
    }
    guard !destination.isMulticast else { return flood(includingNoFlood: false) }
    // The packet itself has just taught where its sender is.
    let port = destination == sender ? ingress : context.macs.port(of: destination)
    depend(on: destination)
    note(.lookedUp(destination, port: port))
    guard let port else { return flood(includingNoFlood: false) }
    output(to: port)
  }

  private mutating func depend(on station: Station) {
    if !result.dependencies.contains(station) { result.dependencies.append(station) }
  }

  // MARK: Fields

  private mutating func set(_ field: FlowField, _ value: UInt128, _ mask: UInt128) {
    guard !field.isPipelineField else { return state.write(field, value, mask) }
    guard let lacking = lacking(field) else {
      guard !needsParsing else { return }
      return write(field, value, mask)
    }
    note(.noEffect(lacking))
  }

  private mutating func write(_ field: FlowField, _ value: UInt128, _ mask: UInt128) {
    // The present bit of a tag is nothing that could be written.
    let mask = field == .vlanVID ? mask & 0xfff : mask
    state.write(field, value, mask)
    actions.append(.setField(field, value: value & mask, mask: mask))
  }

  /// Why the packet does not have a field, or nil when it has it. Looks at what decides that.
  private mutating func lacking(_ field: FlowField) -> String? {
    switch field {
    case .ethDst, .ethSrc: return nil
    case .vlanVID, .vlanPCP, .vlanTCI: return isTagged() ? nil : "the packet has no VLAN tag"
    default: break
    }
    guard !state.isEtherTypeUnknown else {
      needsParsing = true
      return nil
    }
    let type = state.etherType
    switch field {
    case .mplsLabel, .mplsTC, .mplsTTL, .mplsBOS: return state.isMPLS ? nil : "the packet has no MPLS label"
    case .pbbISID: return state.isPBB ? nil : "the packet has no PBB header"
    case .ipTTL, .ipTOS, .ipDSCP, .ipECN: return state.isIP ? nil : "the packet is no IP packet"
    case .ipv4Src, .ipv4Dst: return type == EtherType.ipv4 ? nil : "the packet is no IPv4 packet"
    case .ipv6Src, .ipv6Dst, .ipv6Label: return type == EtherType.ipv6 ? nil : "the packet is no IPv6 packet"
    case .arpOp, .arpSPA, .arpTPA, .arpSHA, .arpTHA: return type == EtherType.arp ? nil : "the packet is no ARP packet"
    case .tcpSrc, .tcpDst: return lackingTransport(IPProtocol.tcp, isIP: state.isIP, "the packet is no TCP packet")
    case .udpSrc, .udpDst: return lackingTransport(IPProtocol.udp, isIP: state.isIP, "the packet is no UDP packet")
    case .sctpSrc, .sctpDst: return lackingTransport(IPProtocol.sctp, isIP: state.isIP, "the packet is no SCTP packet")
    case .icmpType, .icmpCode:
      let proto = type == EtherType.ipv4 ? IPProtocol.icmp : IPProtocol.icmpv6
      return lackingTransport(proto, isIP: state.isIP, "the packet is no ICMP packet")
    case .icmpv6Type, .icmpv6Code:
      return lackingTransport(IPProtocol.icmpv6, isIP: type == EtherType.ipv6, "the packet is no ICMPv6 packet")
    case .ndTarget, .ndSLL, .ndTLL:
      if let lacking = lackingTransport(IPProtocol.icmpv6, isIP: type == EtherType.ipv6, "the packet is no ICMPv6 packet") {
        return lacking
      }
      // The parser leaves them zero where they are not.
      return read(field, .headers) == 0 ? "the packet has no such neighbour discovery field" : nil
    default: return "the field cannot be set"
    }
  }

  private mutating func lackingTransport(_ proto: UInt8, isIP: Bool, _ words: String) -> String? {
    guard isIP, read(.ipProto, .headers) == UInt128(proto) else { return words }
    look(.ipFrag, UInt128(FragmentBits.later), .fragment)
    return state.key[.ipFrag] & UInt128(FragmentBits.later) == 0 ? nil : "a later fragment has no ports"
  }

  // MARK: Tags

  private mutating func isTagged() -> Bool {
    look(.vlanTCI, UInt128(vlanPresent), .tags)
    return state.key[.vlanTCI] & UInt128(vlanPresent) != 0
  }

  /// Sets the VID or the priority; gives the packet a tag first when it has none.
  private mutating func setTag(_ field: FlowField, value: UInt128, mask: UInt128) -> Bool {
    if !isTagged() {
      guard pushVLAN(EtherType.vlan) else { return false }
    }
    guard !needsParsing else { return true }
    write(field, value, mask)
    return true
  }

  private mutating func pushVLAN(_ tpid: UInt16) -> Bool {
    look(.innerVLANTCI, UInt128(vlanPresent), .tags)
    guard !needsParsing else { return true }
    guard state.key[.innerVLANTCI] & UInt128(vlanPresent) == 0 else {
      suppress(.tooManyTags, ReservedPort.none)
      return false
    }
    state.pushTag()
    actions.append(.pushVLAN(tpid: tpid))
    return true
  }

  private mutating func popVLAN() {
    guard isTagged() else { return note(.noEffect("the packet has no VLAN tag")) }
    guard !needsParsing else { return }
    state.popTag()
    actions.append(.popVLAN)
  }

  // MARK: MPLS and PBB

  private mutating func knowsEtherType() -> Bool {
    if state.isEtherTypeUnknown { needsParsing = true }
    return !needsParsing
  }

  private mutating func pushMPLS(_ type: UInt16) {
    let isTagged = isTagged()
    guard knowsEtherType() else { return }
    state.pushMPLS(type, isTagged: isTagged)
    actions.append(.pushMPLS(etherType: type))
  }

  private mutating func popMPLS(_ type: UInt16) {
    guard knowsEtherType() else { return }
    guard state.isMPLS else { return note(.noEffect("the packet has no MPLS label")) }
    let isTagged = isTagged()
    guard !needsParsing else { return }
    state.popMPLS(type, isTagged: isTagged)
    actions.append(.popMPLS(etherType: type))
  }

  private mutating func pushPBB() {
    let isTagged = isTagged()
    guard knowsEtherType() else { return }
    state.pushPBB(isTagged: isTagged)
    actions.append(.pushPBB)
  }

  private mutating func popPBB() {
    guard knowsEtherType() else { return }
    guard state.isPBB else { return note(.noEffect("the packet has no PBB header")) }
    guard !isTagged() else { return note(.noEffect("a VLAN tag stands in front of the PBB header")) }
    guard !needsParsing else { return }
    state.popPBB()
    actions.append(.popPBB)
  }

  // MARK: TTL

  private mutating func decrementTTL() {
    guard knowsEtherType() else { return }
    guard state.isIP else { return note(.noEffect("only IP packets have a TTL")) }
    // The tiers look at the TTL themselves: the flow serves packets of every TTL.
    state.decrementTTL()
    actions.append(.decrementTTL)
  }

  private mutating func decrementMPLSTTL() {
    guard knowsEtherType() else { return }
    guard state.isMPLS else { return note(.noEffect("the packet has no MPLS label")) }
    state.decrementMPLSTTL()
    actions.append(.decrementMPLSTTL)
  }

  private mutating func copyTTL(_ action: FlowAction) {
    guard knowsEtherType() else { return }
    guard state.isMPLS else { return note(.noEffect("the packet has no MPLS label")) }
    let isCopied = action == .copyTTLIn ? state.copyTTLIn() : state.copyTTLOut()
    guard isCopied else { return note(.noEffect("the header below the label has no TTL")) }
    actions.append(action)
  }
}
