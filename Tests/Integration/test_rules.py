"""Rules decide: each action is checked on the frames that leave, byte for byte and checksum for checksum."""

import time

import pytest
from agent import eventually
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from wire import Tap, checksums_are_right, with_payload

MARK = b"a frame to be rewritten"


def through(first, second, packet, seconds=2):
    """Sends a packet into the first container's port and returns what the second container gets, or None."""
    with Tap(first.namespace) as sender, Tap(second.namespace) as receiver:
        sender.send(packet)
        return receiver.wait(with_payload(MARK), seconds)


def udp(first, second, **ip):
    return Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4, **ip) / UDP(sport=1111, dport=2222) / MARK


def tcp(first, second):
    return Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / TCP(sport=1111, dport=2222) / MARK


def udp6(first, second):
    return Ether(dst=second.mac, src=first.mac) / IPv6(src=first.ip6, dst=second.ip6) / UDP(sport=1111, dport=2222) / MARK


def test_output_sends_to_the_named_port_only(agent, trio):
    first, second, third = trio
    agent.rules("in_port=1,actions=output:3")
    with Tap(second.namespace) as wrong:
        assert through(first, third, udp(first, second)) is not None
        assert wrong.collect(with_payload(MARK), 0.2) == []


def test_output_to_two_ports_copies_the_frame(agent, trio):
    first, second, third = trio
    agent.rules("in_port=1,actions=output:2,output:3")
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        sender.send(udp(first, second))
        assert two.wait(with_payload(MARK)) is not None
        assert three.wait(with_payload(MARK)) is not None


def test_a_change_between_two_outputs_touches_only_the_second_copy(agent, trio):
    first, second, third = trio
    agent.rules("in_port=1,ip,actions=output:2,set_field:10.1.2.3->ip_dst,output:3")
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        sender.send(udp(first, second))
        assert two.wait(with_payload(MARK))[IP].dst == second.ip4
        assert three.wait(with_payload(MARK))[IP].dst == "10.1.2.3"


def test_in_port_sends_back_where_it_came_from(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=in_port")
    assert through(first, first, udp(first, second)) is not None


@pytest.mark.parametrize("action", ["flood", "all"])
def test_flood_and_all_send_to_every_other_port(agent, trio, action):
    first, second, third = trio
    agent.rules(f"in_port=1,actions={action}")
    with Tap(first.namespace) as own, Tap(second.namespace) as two, Tap(third.namespace) as three:
        own.send(udp(first, second))
        assert two.wait(with_payload(MARK)) is not None
        assert three.wait(with_payload(MARK)) is not None
        assert own.collect(with_payload(MARK), 0.2) == []


def test_drop_drops_and_says_so(agent, pair):
    first, second = pair
    agent.rules("priority=10,udp,tp_dst=2222,actions=drop", "priority=0,actions=normal")
    before = sum(agent.drops().values())
    assert through(first, second, udp(first, second), 0.5) is None
    eventually(lambda: sum(agent.drops().values()) > before)
    first.ping(second.ip4)


def test_the_higher_priority_wins(agent, pair):
    first, second = pair
    agent.rules("priority=10,ip,actions=drop", "priority=20,udp,actions=output:2", "priority=0,actions=normal")
    assert through(first, second, udp(first, second)) is not None
    assert through(first, second, tcp(first, second), 0.5) is None


@pytest.mark.parametrize(
    "match, hits",
    [
        ("udp,tp_dst=2222", True), ("udp,tp_dst=2223", False), ("udp,tp_dst=0x8a0/0xfff0", True),
        ("ip,nw_src=10.77.0.0/16", True), ("ip,nw_src=10.78.0.0/16", False), ("dl_type=0x0800", True),
        ("ip,nw_proto=17", True), ("tcp", False), ("ipv6", False), ("arp", False), ("dl_vlan=5", False),
        ("vlan_tci=0/0x1000", True), ("ip,nw_tos=184", True), ("ip,nw_ttl=64", True), ("ip,nw_ttl=63", False),
        ("ip,ip_frag=no", True), ("ip,ip_frag=yes", False), ("dl_src=02:00:00:00:00:01", True),
        ("dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", False),
    ])
def test_a_match_selects_what_it_says(agent, pair, match, hits):
    first, second = pair
    agent.rules(f"priority=10,{match},actions=output:2")
    got = through(first, second, udp(first, second, tos=184), 2 if hits else 0.4)
    assert (got is not None) == hits


REWRITES = [
    ("set_field:02:aa:bb:cc:dd:ee->eth_dst", lambda p: p[Ether].dst == "02:aa:bb:cc:dd:ee"),
    ("set_field:02:aa:bb:cc:dd:ee->eth_src", lambda p: p[Ether].src == "02:aa:bb:cc:dd:ee"),
    ("mod_dl_dst:02:aa:bb:cc:dd:ee", lambda p: p[Ether].dst == "02:aa:bb:cc:dd:ee"),
    ("set_field:192.0.2.1->ip_src", lambda p: p[IP].src == "192.0.2.1"),
    ("set_field:192.0.2.2->ip_dst", lambda p: p[IP].dst == "192.0.2.2"),
    ("mod_nw_src:192.0.2.3", lambda p: p[IP].src == "192.0.2.3"),
    ("set_field:46->ip_dscp", lambda p: p[IP].tos >> 2 == 46),
    ("mod_nw_tos:184", lambda p: p[IP].tos & 0xFC == 184),
    ("set_field:9->nw_ttl", lambda p: p[IP].ttl == 9),
    ("mod_nw_ttl:9", lambda p: p[IP].ttl == 9),
    ("dec_ttl", lambda p: p[IP].ttl == 63),
]


@pytest.mark.parametrize("action, expected", REWRITES, ids=[action for action, _ in REWRITES])
@pytest.mark.parametrize("make", [udp, tcp], ids=["udp", "tcp"])
def test_a_rewrite_changes_its_field_and_keeps_checksums_right(agent, pair, make, action, expected):
    first, second = pair
    agent.rules(f"in_port=1,ip,actions={action},output:2")
    got = through(first, second, make(first, second))
    assert got is not None
    assert expected(got), got.show(dump=True)
    assert checksums_are_right(got), got.show(dump=True)


@pytest.mark.parametrize(
    "protocol, make, layer", [("tcp", tcp, TCP), ("udp", udp, UDP), ("udp6", udp6, UDP)], ids=["tcp", "udp", "udp6"])
def test_ports_are_rewritten_with_their_checksums(agent, pair, protocol, make, layer):
    first, second = pair
    name = protocol.rstrip("6")
    agent.rules(f"in_port=1,{protocol},actions=set_field:5353->{name}_src,set_field:8080->{name}_dst,output:2")
    got = through(first, second, make(first, second))
    assert got is not None
    assert (got[layer].sport, got[layer].dport) == (5353, 8080)
    assert checksums_are_right(got), got.show(dump=True)


def test_ipv6_addresses_and_hop_limit_are_rewritten(agent, pair):
    first, second = pair
    agent.rules("in_port=1,ipv6,actions=set_field:2001:db8::1->ipv6_src,set_field:2001:db8::2->ipv6_dst,dec_ttl,output:2")
    got = through(first, second, udp6(first, second))
    assert got is not None
    assert (got[IPv6].src, got[IPv6].dst, got[IPv6].hlim) == ("2001:db8::1", "2001:db8::2", 63)
    assert checksums_are_right(got), got.show(dump=True)


def test_a_udp_packet_without_checksum_stays_without(agent, pair):
    first, second = pair
    agent.rules("in_port=1,ip,actions=set_field:192.0.2.2->ip_dst,output:2")
    packet = Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / UDP(sport=1, dport=2, chksum=0) / MARK
    got = through(first, second, packet)
    assert got is not None and got[IP].dst == "192.0.2.2" and got[UDP].chksum == 0


def test_a_ttl_that_runs_out_is_dropped_under_its_own_reason(agent, pair):
    first, second = pair
    agent.rules("in_port=1,ip,actions=dec_ttl,output:2")
    assert through(first, second, udp(first, second, ttl=1), 0.5) is None
    reasons = eventually(lambda: {reason for reason, count in agent.drops().items() if count and "ttl" in reason.lower()})
    assert reasons


def test_push_vlan_adds_a_tag(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=push_vlan:0x8100,set_field:4196->vlan_vid,set_field:3->vlan_pcp,output:2")
    got = through(first, second, udp(first, second))
    assert got is not None
    # 4196 is VLAN 100 with OpenFlow's "a tag is there" bit.
    assert (got[Dot1Q].vlan, got[Dot1Q].prio, got[IP].dst) == (100, 3, second.ip4)


def test_push_vlan_adds_a_second_service_tag(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=push_vlan:0x88a8,set_field:4296->vlan_vid,output:2")
    packet = Ether(dst=second.mac, src=first.mac) / Dot1Q(vlan=7) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / MARK
    got = through(first, second, packet)
    assert got is not None
    assert got[Ether].type == 0x88A8
    outer = got[Dot1AD] if Dot1AD in got else got[Dot1Q]
    assert outer.vlan == 200 and outer.payload[Dot1Q].vlan == 7


def test_pop_vlan_takes_the_tag_off(agent, pair):
    first, second = pair
    agent.rules("in_port=1,dl_vlan=100,actions=pop_vlan,output:2")
    packet = Ether(dst=second.mac, src=first.mac) / Dot1Q(vlan=100) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / MARK
    got = through(first, second, packet)
    assert got is not None
    assert Dot1Q not in got and bytes(got)[:60] == bytes(Ether(dst=second.mac, src=first.mac) / packet[IP])[:60]


def test_mod_vlan_vid_retags(agent, pair):
    first, second = pair
    agent.rules("in_port=1,dl_vlan=100,actions=mod_vlan_vid:200,output:2")
    packet = Ether(dst=second.mac, src=first.mac) / Dot1Q(vlan=100, prio=2) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / MARK
    got = through(first, second, packet)
    assert got is not None and (got[Dot1Q].vlan, got[Dot1Q].prio) == (200, 2)


def labelled(first, second, *labels, ttl=7):
    """An IPv4 packet under MPLS labels, outermost first."""
    stack = Ether(dst=second.mac, src=first.mac, type=0x8847)
    for place, label in enumerate(labels):
        stack /= MPLS(label=label, s=int(place == len(labels) - 1), ttl=ttl)
    return stack / IP(src=first.ip4, dst=second.ip4) / UDP(sport=1111, dport=2222) / MARK


def test_push_mpls_puts_a_label_on(agent, pair):
    first, second = pair
    agent.rules("in_port=1,ip,actions=push_mpls:0x8847,set_field:100->mpls_label,set_field:5->mpls_tc,output:2")
    got = through(first, second, udp(first, second))
    assert got is not None and got[Ether].type == 0x8847
    label = MPLS(bytes(got)[14:18])
    # The TTL is that of the IP header.
    assert (label.label, label.cos, label.s, label.ttl) == (100, 5, 1, 64)
    assert IP(bytes(got)[18:]).dst == second.ip4


def test_labels_are_matched_changed_and_swapped(agent, pair):
    first, second = pair
    agent.rules(
        "priority=2,mpls,mpls_label=100,mpls_bos=0,actions=set_field:200->mpls_label,dec_mpls_ttl,output:2",
        "priority=1,mpls,actions=drop")
    got = through(first, second, labelled(first, second, 100, 300))
    assert got is not None
    outer, inner = MPLS(bytes(got)[14:18]), MPLS(bytes(got)[18:22])
    assert (outer.label, outer.ttl, outer.s) == (200, 6, 0) and (inner.label, inner.ttl, inner.s) == (300, 7, 1)
    assert through(first, second, labelled(first, second, 100), 0.4) is None


def test_what_is_under_a_label_is_matched_after_it_was_popped(agent, trio):
    first, second, third = trio
    agent.rules(
        "table=0,mpls,mpls_label=100,actions=pop_mpls:0x0800,goto_table:1", "table=1,priority=2,udp,tp_dst=2222,actions=dec_ttl,output:2",
        "table=1,priority=1,actions=output:3")
    got = through(first, second, labelled(first, second, 100))
    assert got is not None and got[Ether].type == 0x0800 and got[IP].ttl == 63 and got[UDP].dport == 2222
    assert checksums_are_right(got)


def test_pbb_is_pushed_and_popped(agent, pair):
    first, second = pair
    agent.rules(
        "in_port=1,ip,actions=push_pbb:0x88e7,set_field:0x123456->pbb_isid,output:2", "in_port=2,dl_type=0x88e7,pbb_isid=0x123456,actions=pop_pbb,output:1")
    with Tap(first.namespace) as customer, Tap(second.namespace) as backbone:
        sent = udp(first, second)
        customer.send(sent)
        framed = backbone.wait(with_payload(MARK))
        assert framed is not None and framed[Ether].type == 0x88E7
        assert bytes(framed)[15:18] == bytes.fromhex("123456") and bytes(framed)[18:] == bytes(sent)
        backbone.send(framed)
        back = customer.wait(with_payload(MARK))
        assert bytes(back) == bytes(sent)


def test_two_containers_in_different_vlans_talk_through_pushed_and_popped_tags(agent, trio):
    first, second, third = trio
    # Ports 1 and 2 are access ports of VLAN 10; port 3 is a trunk.
    agent.rules(
        "priority=10,in_port=1,actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:3",
        "priority=10,in_port=3,dl_vlan=10,actions=pop_vlan,output:1")
    with Tap(first.namespace) as access, Tap(third.namespace) as trunk:
        access.send(udp(first, third))
        tagged = trunk.wait(with_payload(MARK))
        assert tagged[Dot1Q].vlan == 10
        trunk.send(Ether(dst=first.mac, src=third.mac) / Dot1Q(vlan=10) / IP(src=third.ip4, dst=first.ip4) / UDP(dport=9) / MARK)
        back = access.wait(with_payload(MARK))
        assert back is not None and Dot1Q not in back


def test_after_rule_add_returns_the_next_packet_follows_it(agent, trio):
    first, second, third = trio
    agent.rules("priority=1,in_port=1,actions=output:2")
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        receivers = {2: two, 3: three}
        for turn in range(20):
            target = 2 + turn % 2
            other = 5 - target
            agent.ctl("rule", "add", f"priority=1,in_port=1,actions=output:{target}")
            mark = b"turn %04d" % turn
            sender.send(Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / mark)
            assert receivers[target].wait(with_payload(mark)) is not None, f"turn {turn}"
            assert receivers[other].collect(with_payload(mark), 0.02) == [], f"turn {turn} went to the old port"


def test_a_rule_change_under_load_is_a_fence(agent, pair):
    first, second = pair
    agent.rules("priority=0,actions=normal")
    first.ping(second.ip4)
    flood = first.start("ping", "-f", "-q", "-w", "10", second.ip4)
    try:
        time.sleep(0.5)
        with Tap(second.namespace) as tap:
            for _ in range(5):
                agent.ctl("rule", "add", "priority=9,icmp,actions=drop")
                # What is on its way through the receiver's own stack when the command returns was forwarded before.
                time.sleep(0.05)
                tap.drain()
                assert tap.collect(lambda packet: ICMP in packet and packet[ICMP].type == 8, 0.2) == []
                agent.ctl("rule", "del", "icmp")
                assert tap.wait(lambda packet: ICMP in packet) is not None
    finally:
        flood.kill()
        flood.wait()


def test_rules_count_their_packets(agent, pair):
    first, second = pair
    agent.rules("priority=10,icmp,cookie=0x2a,actions=normal", "priority=0,actions=normal")
    first.ping(second.ip4, count=10)

    def counted():
        """the rule counted 20 packets"""
        rule = next(rule for rule in agent.json("rule", "list") if rule["priority"] == 10)
        return rule if rule["packets"] == 20 else None

    rule = eventually(counted, 5)
    assert rule["bytes"] == 20 * 98 and rule["cookie"] == "0x2a"


def test_ten_thousand_rules_from_a_file(agent, pair, tmp_path):
    first, second = pair
    file = tmp_path / "rules"
    lines = [f"priority=100,ip,nw_dst=10.{60 + (n >> 8)}.{n & 255}.0/24,actions=drop" for n in range(10_000)]
    file.write_text("# ten thousand prefixes\n\n" + "\n".join(lines) + "\n")
    agent.ctl("rule", "del", "ip,nw_dst=10.77.0.0/24")
    started = time.monotonic()
    assert agent.json("rule", "add", str(file), timeout=60)["added"] == 10_000
    assert time.monotonic() - started < 20
    assert len(agent.json("rule", "list", timeout=60)) == 10_001
    assert not first.reaches(second.ip4)
    agent.ctl("rule", "del", "ip,nw_dst=10.77.0.0/24")
    first.ping(second.ip4)


def test_one_bad_line_of_a_file_changes_nothing_and_is_named(agent, pair):
    before = agent.json("rule", "list")
    message = agent.refusal("rule", "add", "-", input="priority=5,ip,actions=drop\npriority=6,ip,nw_dst=10.0.0.300,actions=drop\n")
    assert "2" in message and "10.0.0.300" in message
    assert [rule["text"] for rule in agent.json("rule", "list")] == [rule["text"] for rule in before]


@pytest.mark.parametrize(
    "rule, named",
    [
        ("priority=5", "actions"), ("actions=fly", "fly"), ("priority=70000,actions=drop", "70000"),
        ("colour=red,actions=drop", "colour"), ("ip,nw_dst=10.0.0.0/33,actions=drop", "33"),
        ("nw_dst=10.0.0.1,actions=drop", "nw_dst"), ("tp_dst=80,actions=drop", "tp_dst"),
        ("ip,actions=output:banana", "banana"), ("ip,actions=set_field:300->nw_ttl", "300"),
        ("dl_src=02:00:00,actions=drop", "02:00:00"), ("table=300,actions=drop", "300"),
        ("ip,ip,actions=set_field:1.2.3.4->ipv6_dst", "1.2.3.4"),
    ])
def test_a_wrong_rule_is_refused_with_what_is_wrong(agent, rule, named):
    before = agent.json("rule", "list")
    message = agent.refusal("rule", "add", "--", rule)
    assert named in message, message
    assert len(agent.json("rule", "list")) == len(before)


def test_rules_are_deleted_by_match_and_strictly_by_priority_too(agent):
    agent.rules("priority=1,ip,actions=drop", "priority=2,tcp,tp_dst=80,actions=drop", "priority=3,arp,actions=drop")
    assert agent.json("rule", "del", "--strict", "priority=9,ip")["deleted"] == 0
    assert agent.json("rule", "del", "tcp")["deleted"] == 1
    assert agent.json("rule", "del", "--strict", "priority=1,ip")["deleted"] == 1
    assert [rule["match"] for rule in agent.json("rule", "list")] == ["arp"]


def test_the_listed_text_of_a_rule_can_be_added_again(agent):
    texts = [
        "priority=7,cookie=0x1f,tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=0x1f90/0xfff0,actions=dec_ttl,output:2",
        "priority=8,udp6,ipv6_dst=2001:db8::/32,actions=drop",
        "priority=9,dl_vlan=5,actions=pop_vlan,normal",
    ]
    agent.rules(*texts)
    listed = [rule["text"] for rule in agent.json("rule", "list")]
    agent.rules(*listed)
    assert [rule["text"] for rule in agent.json("rule", "list")] == listed


def test_trace_says_which_rule_decides(agent, pair):
    agent.rules("priority=10,tcp,tp_dst=80,actions=output:2", "priority=0,actions=drop")
    traced = agent.json("trace", "in_port=1,tcp,nw_src=10.77.0.1,nw_dst=10.77.0.2,tp_dst=80")
    assert traced["actions"] in ("output:2", "output:c2")
    assert "tp_dst=80" in traced["steps"][0]["rule"]
    assert "c2" in traced["verdict"]
    dropped = agent.json("trace", "in_port=1,tcp,nw_src=10.77.0.1,nw_dst=10.77.0.2,tp_dst=81")
    assert dropped["actions"] == "drop"


def test_trace_takes_a_frame_in_hex_and_answers_as_the_switch_does(agent, pair):
    first, second = pair
    agent.rules("priority=10,udp,tp_dst=2222,actions=output:2", "priority=0,actions=drop")
    frame = bytes(udp(first, second))
    traced = agent.json("trace", "--in-port", "1", frame.hex())
    assert traced["actions"] in ("output:2", "output:c2")
    assert through(first, second, frame) is not None
