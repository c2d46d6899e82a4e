// RuleTextTests.swift
//
// What: whole rules, actions and filters as text: what is read, what is written, what is refused and how the refusal reads.

import Dataplane
import Pipeline
import TestSupport
import Testing

private let names = portSet(3).names()

private func message(_ text: String) -> String {
  do {
    _ = try Rule(text: text, names: names)
    return "accepted"
  } catch { return error.description }
}

private func filterMessage(_ text: String, isStrict: Bool = false) -> String {
  do {
    _ = try RuleFilter(text: text, isStrict: isStrict, names: names)
    return "accepted"
  } catch { return error.description }
}

@Suite struct RuleTextTests {
  /// What is written in the first column is printed as the second.
  static let canonical: [(String, String)] = [
    ("actions=drop", "cookie=0x0, priority=32768 actions=drop"),
    ("priority=0 actions=NORMAL", "cookie=0x0, priority=0 actions=NORMAL"),
    ("cookie=0x1f,priority=100,ip,nw_dst=10.0.0.0/8,actions=output:2", "cookie=0x1f, priority=100,ip,nw_dst=10.0.0.0/8 actions=output:2"),
    ("table=0,idle_timeout=0,in_port=eth1 actions=eth2", "cookie=0x0, priority=32768,in_port=1 actions=output:2"),
    (
      " cookie=0x0, duration=3.5s, table=0, n_packets=7, n_bytes=700, idle_age=3, priority=5,arp actions=FLOOD",
      "cookie=0x0, priority=5,arp actions=FLOOD"
    ),
    ("actions=2,output:3,output=1,output(2)", "cookie=0x0, priority=32768 actions=output:2,output:3,output:1,output:2"),
    ("actions=in_port,all,flood,Normal", "cookie=0x0, priority=32768 actions=IN_PORT,ALL,FLOOD,NORMAL"),
    ("actions=output:in_port,output:65531,LOCAL,output:local", "cookie=0x0, priority=32768 actions=IN_PORT,FLOOD,output:LOCAL,output:LOCAL"),
    ("actions=controller,controller:128,CONTROLLER(max_len=64)", "cookie=0x0, priority=32768 actions=CONTROLLER:65535,CONTROLLER:128,CONTROLLER:64"),
    ("actions=mod_dl_src:1:2:3:4:5:6,mod_dl_dst:ff:ff:ff:ff:ff:ff,1", "cookie=0x0, priority=32768 actions=set_field:01:02:03:04:05:06->eth_src,set_field:ff:ff:ff:ff:ff:ff->eth_dst,output:1"),
    ("ip,actions=mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,mod_nw_tos:184,mod_nw_ecn:1,mod_nw_ttl:9,dec_ttl,1", "cookie=0x0, priority=32768,ip actions=set_field:10.0.0.1->ip_src,set_field:10.0.0.2->ip_dst,set_field:46->ip_dscp,set_field:1->nw_ecn,set_field:9->nw_ttl,dec_ttl,output:1"),
    ("tcp6,actions=mod_tp_src:1,mod_tp_dst:2,1", "cookie=0x0, priority=32768,tcp6 actions=set_field:1->tcp_src,set_field:2->tcp_dst,output:1"),
    ("udp,actions=set_field:5->tp_dst,1", "cookie=0x0, priority=32768,udp actions=set_field:5->udp_dst,output:1"),
    ("sctp,actions=set_field:0x50/0xf0->sctp_dst,1", "cookie=0x0, priority=32768,sctp actions=set_field:0x50/0xf0->sctp_dst,output:1"),
    ("ipv6,actions=set_field:2001:db8::1->ipv6_src,set_field:2001:db8::/64->ipv6_dst,1", "cookie=0x0, priority=32768,ipv6 actions=set_field:2001:db8::1->ipv6_src,set_field:2001:db8::/64->ipv6_dst,output:1"),
    ("ip,actions=set_field:10.0.0.0/8->nw_src,1", "cookie=0x0, priority=32768,ip actions=set_field:10.0.0.0/8->ip_src,output:1"),
    ("ip,actions=set_field:184->nw_tos,set_field:3/3->nw_tos,1", "cookie=0x0, priority=32768,ip actions=set_field:46->ip_dscp,set_field:0x3/0x3->nw_tos,output:1"),
    ("actions=set_field:01:00:00:00:00:00/01:00:00:00:00:00->eth_dst,1", "cookie=0x0, priority=32768 actions=set_field:01:00:00:00:00:00/01:00:00:00:00:00->eth_dst,output:1"),
    ("actions=mod_vlan_vid:10,mod_vlan_pcp:3,1", "cookie=0x0, priority=32768 actions=mod_vlan_vid:10,mod_vlan_pcp:3,output:1"),
    ("dl_vlan=5,actions=strip_vlan,1", "cookie=0x0, priority=32768,dl_vlan=5 actions=pop_vlan,output:1"),
    ("actions=push_vlan:0x88a8,set_field:10->vlan_vid,set_field:4->vlan_pcp,1", "cookie=0x0, priority=32768 actions=push_vlan:0x88a8,set_field:4106->vlan_vid,set_field:4->vlan_pcp,output:1"),
    ("dl_vlan=5,actions=set_field:4106->vlan_vid,1", "cookie=0x0, priority=32768,dl_vlan=5 actions=set_field:4106->vlan_vid,output:1"),
    ("vlan_tci=0x1000/0x1000,actions=set_field:0x10/0xf0->vlan_vid,1", "cookie=0x0, priority=32768,vlan_tci=0x1000/0x1000 actions=set_field:0x10/0xf0->vlan_vid,output:1"),
    ("table=1,actions=drop", "cookie=0x0, table=1, priority=32768 actions=drop"),
    (
      "cookie=0x5, duration=3s, table=7, n_packets=1, idle_timeout=10, hard_timeout=60, send_flow_rem check_overlap,reset_counts no_packet_counts no_byte_counts priority=1,arp actions=goto_table:9",
      "cookie=0x5, table=7, idle_timeout=10, hard_timeout=60, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts priority=1,arp actions=goto_table:9"
    ),
    (
      "ip,actions=goto_table:200,write_metadata:0x1/0xf,clear_actions,meter:3,dec_ttl,output:2",
      "cookie=0x0, priority=32768,ip actions=meter:3,dec_ttl,output:2,clear_actions,write_metadata:0x1/0xf,goto_table:200"
    ),
    (
      "ip,actions=apply_actions(dec_ttl,1),write_actions(set_field:1.2.3.4->ip_dst,group:7),write_metadata:7",
      "cookie=0x0, priority=32768,ip actions=dec_ttl,output:1,write_actions(set_field:1.2.3.4->ip_dst,group:7),write_metadata:0x7"
    ),
    ("actions=write_actions(drop),goto_table:1", "cookie=0x0, priority=32768 actions=goto_table:1"),
    ("actions=set_queue:9,push_pbb:0x88e7,copy_ttl_in,copy_ttl_out,pop_pbb,1", "cookie=0x0, priority=32768 actions=set_queue:9,push_pbb:0x88e7,copy_ttl_in,copy_ttl_out,pop_pbb,output:1"),
    ("ip,actions=push_mpls:0x8847,dec_mpls_ttl,pop_mpls:0x800,dec_ttl,1", "cookie=0x0, priority=32768,ip actions=push_mpls:0x8847,dec_mpls_ttl,pop_mpls:0x0800,dec_ttl,output:1"),
    ("ip,actions=load:0x0a000001->NXM_OF_IP_SRC[],load:3->ip_dst[4..7],1", "cookie=0x0, priority=32768,ip actions=set_field:10.0.0.1->ip_src,set_field:0.0.0.48/0.0.0.240->ip_dst,output:1"),
    ("dl_vlan=1,actions=load:5->OXM_OF_VLAN_VID[0..11],1", "cookie=0x0, priority=32768,dl_vlan=1 actions=set_field:4101->vlan_vid,output:1"),
  ]

  @Test(arguments: canonical)
  func aRuleIsPrintedInOneCanonicalForm(_ written: String, _ printed: String) throws {
    let rule = try Rule(text: written, names: names)
    #expect(rule.text() == printed)
    #expect(try Rule(text: printed) == rule)
  }

  /// Text that is refused, and the sentence that says why.
  static let refused: [(String, String)] = [
    ("ip,nw_dst=10.0.0.0/8", "column 1, 'ip,nw_dst=10.0.0.0/8': the rule has no actions; expected actions=... at its end, such as actions=output:2"),
    ("", "column 1: the rule has no actions; expected actions=... at its end, such as actions=output:2"),
    ("priority=65536 actions=1", "column 1, 'priority=65536': not a priority; expected priority=0 to priority=65535"),
    ("priorty=1 actions=1", "column 1, 'priorty': not a field that can be matched; expected priority"),
    ("cookie=x actions=1", "column 1, 'cookie=x': not a number; expected a number up to 64 bits, such as cookie=0x1f"),
    ("table=255 actions=1", "column 1, 'table=255': not a table; expected table=0 to table=254"),
    ("idle_timeout=65536 actions=1", "column 1, 'idle_timeout=65536': not a timeout; expected 0 to 65535 seconds; 0 is never"),
    ("send_flow_rem=1 actions=1", "column 1, 'send_flow_rem=1': this flag takes no value; expected send_flow_rem"),
    ("out_port=1 actions=1", "column 1, 'out_port=1': this selects rules, it is no part of one; expected the actions behind actions="),
    ("table=3 actions=goto_table:3", "column 17, 'goto_table:3': a packet only goes on to a later table; expected a later table: 4 to 254"),
    ("table=254 actions=goto_table:255", "column 19, 'goto_table:255': table 254 is the last one; expected no goto_table in it"),
    ("actions=meter:0,1", "column 9, 'meter:0': not a number for this instruction; expected a meter's number: meter:1"),
    ("actions=meter:1,meter:2,1", "column 17, 'meter:2': this instruction is given twice; expected each instruction once"),
    ("actions=drop,goto_table:1", "column 9, 'drop,goto_table:1': drop stands with other actions; expected drop alone"),
    ("actions=write_metadata:1/0", "column 9, 'write_metadata:1/0': the mask is zero: nothing would be written"),
    ("actions=write_actions(goto_table:1)", "column 23, 'goto_table:1': this is an instruction of a rule, not an action; expected actions only"),
    ("actions=1,write_actions(2),3", "column 28, '3': the actions that are applied do not stand together; expected all of them in front of write_actions"),
    ("actions=clear_actions:1", "column 9, 'clear_actions:1': this instruction takes no argument; expected clear_actions"),
    ("actions=output:table", "column 16, 'table': a rule cannot send a packet to the first table again; expected goto_table:N, N a later table"),
    ("actions=group:x", "column 9, 'group:x': not a value for this action; expected a group's number: group:1"),
    ("actions=push_mpls:0x800", "column 9, 'push_mpls:0x800': not an EtherType of MPLS; expected push_mpls:0x8847 or push_mpls:0x8848"),
    ("actions=pop_mpls:0x0800,1", "column 9, 'pop_mpls:0x0800': only MPLS packets have a label to pop; expected mpls or mplsm in the match, or push_mpls before it"),
    ("ip,actions=push_mpls:0x8847,dec_ttl,1", "column 29, 'dec_ttl': only IP packets have a TTL; expected ip or ipv6 in the match"),
    ("ip,actions=load:5->NXM_OF_IP_SRC[0..40],1", "column 34, '0..40': not bits of this field; expected FIRST..LAST within 0..31"),
    ("ip,actions=load:16->ip_src[0..3],1", "column 17, '16': not a number that fits into 4 bits; expected load:VALUE->FIELD[FIRST..LAST], such as load:1->NXM_NX_REG0[0..7]"),
    ("actions=drop,1", "column 9, 'drop,1': drop stands with other actions; expected drop alone"),
    ("actions=1,drop", "column 9, '1,drop': drop stands with other actions; expected drop alone"),
    ("actions=0", "column 9, '0': no port can have this number; expected 1 to 65279, LOCAL or a port's name"),
    ("actions=output:70000", "column 16, '70000': the port number is too large; expected a number from 0 to 65535, or a name"),
    ("actions=output:eth9", "column 16, 'eth9': there is no port of this name; expected a port's number or name, or LOCAL"),
    ("actions=output", "column 9, 'output': the action has no argument; expected a port: output:2 or output:eth1"),
    ("actions=dec_tll", "column 9, 'dec_tll': not an action that is supported, nor a port; expected dec_ttl"),
    ("actions=dec_ttl,1", "column 9, 'dec_ttl': only IP packets have a TTL; expected ip or ipv6 in the match"),
    ("actions=mod_nw_src:10.0.0.1,1", "column 9, 'mod_nw_src:10.0.0.1': setting ip_src needs ip in the match; expected the protocol to be matched"),
    ("arp,actions=set_field:10.0.0.1->nw_src,1", "column 13, 'set_field:10.0.0.1->nw_src': setting ip_src needs ip in the match; expected the protocol to be matched"),
    ("ip,actions=mod_tp_dst:80,1", "column 12, 'mod_tp_dst:80': setting ports needs tcp, udp or sctp (or tcp6, udp6, sctp6) in the match; expected the protocol to be matched"),
    ("tcp,actions=set_field:80->udp_dst,1", "column 13, 'set_field:80->udp_dst': setting udp_dst needs udp or udp6 in the match; expected the protocol to be matched"),
    ("actions=set_field:80,1", "column 9, 'set_field:80': set_field does not say which field; expected set_field:VALUE->FIELD or set_field:VALUE/MASK->FIELD"),
    ("actions=set_field:1->in_port,1", "column 22, 'in_port': not a field that can be set; expected eth_dst, eth_src, vlan_vid, vlan_pcp, nw_ttl, nw_tos, ip_dscp, nw_ecn, ip_src, ip_dst, ipv6_src, ipv6_dst, ipv6_label, tcp_src, tcp_dst, udp_src, udp_dst, sctp_src, sctp_dst, icmp_type, icmp_code, icmpv6_type, icmpv6_code, nd_target, nd_sll, nd_tll, arp_op, arp_spa, arp_tpa, arp_sha, arp_tha, metadata, mpls_label, mpls_tc, mpls_ttl, pbb_isid, tun_id, reg0, reg1, reg2, reg3, reg4, reg5, reg6, reg7"),
    ("actions=set_field:5->vlan_vid,1", "column 9, 'set_field:5->vlan_vid': packets of this match may have no VLAN tag; expected dl_vlan=... or vlan_vid=0x1000/0x1000 in the match, push_vlan before it, or mod_vlan_vid, which pushes one"),
    ("dl_vlan=5,actions=pop_vlan,set_field:5->vlan_vid,1", "column 28, 'set_field:5->vlan_vid': packets of this match may have no VLAN tag; expected dl_vlan=... or vlan_vid=0x1000/0x1000 in the match, push_vlan before it, or mod_vlan_vid, which pushes one"),
    ("actions=set_field:0/0->eth_dst,1", "column 21, '0': not a MAC address; expected six bytes such as 00:11:22:33:44:55"),
    ("ip,actions=set_field:0.0.0.0/0->nw_src,1", "column 12, 'set_field:0.0.0.0/0->nw_src': the mask is zero: nothing would be set"),
    ("actions=push_vlan:0x800", "column 9, 'push_vlan:0x800': not the EtherType of a VLAN tag; expected push_vlan:0x8100 or push_vlan:0x88a8"),
    ("dl_vlan=1,dl_vlan2=2,actions=push_vlan:0x8100", "column 30, 'push_vlan:0x8100': the packet has two VLAN tags already; expected at most two"),
    ("actions=mod_vlan_vid:4096", "column 9, 'mod_vlan_vid:4096': not a value for this action; expected a VLAN ID from 0 to 4095"),
    ("ip,actions=mod_nw_tos:3", "column 12, 'mod_nw_tos:3': the lowest two bits of the TOS are ECN; expected a multiple of 4; for ECN, mod_nw_ecn"),
    ("actions=controller(reason=no_match)", "column 9, 'controller(reason=no_match)': controller has no such option here; expected controller(max_len=BYTES)"),
    ("actions=controller(max_len=128", "column 9, 'controller(max_len=128': the parenthesis is not closed; expected ')'"),
    ("actions=normal:1", "column 9, 'normal:1': this action takes no argument; expected normal"),
  ]

  @Test(arguments: refused)
  func aWrongRuleIsRefusedInOneSentence(_ text: String, _ expected: String) {
    #expect(message(text) == expected)
  }

  @Test func anUnknownActionIsAnsweredWithTheOnesThereAre() {
    let text = message("actions=resubmit(,1)")
    #expect(text.hasPrefix("column 9, 'resubmit(,1)': not an action that is supported, nor a port; expected a port, output:PORT, drop"))
  }

  @Test func aRuleCannotHaveActionsWithoutEnd() {
    let text = "actions=" + Array(repeating: "1", count: 129).joined(separator: ",")
    #expect(message(text).hasSuffix("too many actions; expected at most 128"))
  }

  @Test func outputsArePrintedByNameWhenAsked() throws {
    let rule = try Rule(text: "in_port=eth1 actions=output:eth2", names: names)
    #expect(rule.text(names: portSet(3).names(printsNames: true)) == "cookie=0x0, priority=32768,in_port=eth1 actions=output:eth2")
  }

  @Test func aPortNamedLikeAReservedOneIsPrintedByNumber() throws {
    var ports = portSet(1)
    try ports.insert(SwitchPort(number: 9, index: 9, name: "normal"))
    #expect(ActionText.text([.output(9)], names: ports.names(printsNames: true)) == "output:9")
  }

  @Test func aFilterSelectsByMatchCookieAndOutput() throws {
    let rule = try Rule(text: "cookie=0x12,priority=7,ip,nw_dst=10.1.0.0/16 actions=output:2,NORMAL")
    #expect(try RuleFilter(text: "").selects(rule))
    #expect(try RuleFilter(text: "ip").selects(rule))
    #expect(try RuleFilter(text: "ip,nw_dst=10.0.0.0/8,table=0").selects(rule))
    #expect(try !RuleFilter(text: "ip,nw_dst=10.1.1.0/24").selects(rule))
    #expect(try !RuleFilter(text: "ipv6").selects(rule))
    #expect(try RuleFilter(text: "cookie=0x12").selects(rule))
    #expect(try RuleFilter(text: "cookie=0x10/0xf0").selects(rule))
    #expect(try !RuleFilter(text: "cookie=0x10/-1").selects(rule))
    #expect(try RuleFilter(text: "out_port=2").selects(rule))
    #expect(try RuleFilter(text: "out_port=eth2", names: names).selects(rule))
    #expect(try RuleFilter(text: "out_port=normal").selects(rule))
    #expect(try !RuleFilter(text: "out_port=3").selects(rule))
    #expect(try RuleFilter(text: "ip,nw_dst=10.1.0.0/16,priority=7", isStrict: true).selects(rule))
    #expect(try !RuleFilter(text: "ip,nw_dst=10.1.0.0/16,priority=8", isStrict: true).selects(rule))
    #expect(try !RuleFilter(text: "ip,priority=7", isStrict: true).selects(rule))
    #expect(try RuleFilter(text: "table=255").selects(rule))
    #expect(try !RuleFilter(text: "table=1").selects(rule))
    let other = try Rule(text: "table=1,actions=write_actions(group:5,output:3)")
    #expect(try RuleFilter(text: "out_group=5,out_port=3,table=1").selects(other))
    #expect(try !RuleFilter(text: "out_group=6").selects(other))
    #expect(try !RuleFilter(text: "", isStrict: true).selects(other))
  }

  @Test func aWrongFilterIsRefusedInOneSentence() {
    #expect(filterMessage("priority=7") == "column 1, 'priority=7': only a strict filter has a priority; expected no priority, or --strict")
    #expect(filterMessage("ip actions=1") == "column 4, 'actions=1': rules are not selected by their actions; expected a match, and perhaps out_port=PORT")
    #expect(filterMessage("cookie=1/x") == "column 1, 'cookie=1/x': not a cookie and mask; expected cookie=VALUE or cookie=VALUE/MASK, such as cookie=0x10/-1")
    #expect(filterMessage("out_prot=1") == "column 1, 'out_prot': not a field that can be matched; expected out_port")
    #expect(filterMessage("table=256") == "column 1, 'table=256': not a table; expected table=0 to table=254")
    #expect(filterMessage("idle_timeout=3").hasPrefix("column 1, 'idle_timeout': not a field that can be matched"))
  }

  @Test func brokenLinesNeverTrap() {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    let lines = Self.canonical.map(\.0) + Self.refused.map(\.0)
    for _ in 0..<5_000 {
      var bytes = Array((lines.randomElement(using: &random) ?? "").utf8)
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: at)
        default: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &random)], at: at)
        }
      }
      let text = String(decoding: bytes, as: UTF8.self)
      // Whatever is accepted must also survive being printed and read.
      guard let rule = try? Rule(text: text, names: names) else { continue }
      #expect((try? Rule(text: rule.text())) == rule, "seed \(seed): \(text)")
    }
  }
}
