"""Groups: every kind with real frames, failover when a port goes down, changes, refusals."""

import time

import pytest
from agent import eventually
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from wire import Tap, checksums_are_right, with_payload

MARK = b"a frame through a group"


def udp(first, second, sport=1111, **ip):
    return Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4, **ip) / UDP(sport=sport, dport=2222) / MARK


def spread(first, receivers, packets):
    """Sends packets and returns the ports (UDP sources) that each receiver got."""
    taps = [Tap(receiver.namespace) for receiver in receivers]
    try:
        with Tap(first.namespace) as sender:
            # Slowly: packets that come before the first one's flow is made take the way of misses, which has a budget.
            for packet in packets:
                sender.send(packet)
                time.sleep(0.002)
            return [{packet[UDP].sport for packet in tap.collect(with_payload(MARK), 0.7)} for tap in taps]
    finally:
        for tap in taps:
            tap.socket.close()


def test_all_sends_a_copy_through_every_bucket(agent, trio):
    first, second, third = trio
    agent.ctl(
        "group", "add", "group_id=1,type=all,bucket=actions=set_field:192.0.2.1->ip_dst,output:2,bucket=actions=output:3")
    agent.rules("in_port=1,udp,actions=group:1")
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        for _ in range(3):
            sender.send(udp(first, second))
            got = two.wait(with_payload(MARK))
            assert got is not None and got[IP].dst == "192.0.2.1" and checksums_are_right(got)
            got = three.wait(with_payload(MARK))
            assert got is not None and got[IP].dst == second.ip4
    group = eventually(lambda: [group for group in agent.json("group", "list") if group["packets"] == 3])[0]
    assert [bucket["packets"] for bucket in group["buckets"]] == [3, 3]
    assert "packet_count=3" in agent.ctl("group", "list", "--stats").stdout


def test_what_follows_a_group_sees_the_frame_as_it_was(agent, trio):
    first, second, third = trio
    agent.ctl("group", "add", "group_id=1,type=all,bucket=actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:2")
    agent.rules("in_port=1,udp,actions=group:1,output:3")
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        sender.send(udp(first, second))
        assert two.wait(with_payload(MARK))[Dot1Q].vlan == 10
        assert Dot1Q not in three.wait(with_payload(MARK))


def test_select_spreads_connections_by_weight_and_keeps_each(agent, trio):
    first, second, third = trio
    agent.ctl(
        "group", "add", "group_id=1,type=select,bucket=weight:3,actions=output:2,bucket=weight:1,actions=output:3")
    agent.rules("in_port=1,udp,actions=group:1")
    packets = [udp(first, second, sport=1000 + n) for n in range(400)]
    two, three = spread(first, [second, third], packets)
    assert not two & three and len(two | three) == 400
    assert 250 <= len(two) <= 350, (len(two), len(three))
    again = spread(first, [second, third], packets)
    assert again == [two, three]
    group = eventually(lambda: [group for group in agent.json("group", "list") if group["packets"] >= 800])[0]
    assert [bucket["packets"] for bucket in group["buckets"]] == [2 * len(two), 2 * len(three)]


def test_select_spreads_frames_that_differ_in_their_addresses_only(agent, trio):
    first, second, third = trio
    agent.ctl("group", "add", "group_id=1,type=select,bucket=output:2,bucket=output:3")
    agent.rules("in_port=1,dl_type=0x88b5,actions=group:1")
    frames = [Ether(dst=second.mac, src=f"02:11:22:33:44:{n:02x}", type=0x88B5) / MARK for n in range(100)]
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        sender.send(*frames)
        counts = len(two.collect(with_payload(MARK), 0.5)), len(three.collect(with_payload(MARK), 0.3))
    assert sum(counts) == 100 and min(counts) > 20, counts


def test_a_bucket_that_is_added_moves_only_its_share(agent, net, trio):
    first, second, third = trio
    fourth = net.container("c4")
    agent.add(fourth)
    agent.ctl("group", "add", "group_id=1,type=select,bucket=bucket_id:1,output:2,bucket=bucket_id:2,output:3")
    agent.rules("in_port=1,udp,actions=group:1")
    packets = [udp(first, second, sport=1000 + n) for n in range(300)]
    before = spread(first, [second, third], packets)
    agent.ctl(
        "group", "mod", "group_id=1,type=select,bucket=bucket_id:1,output:2,bucket=bucket_id:2,output:3,bucket=bucket_id:3,output:4")
    after = spread(first, [second, third, fourth], packets)
    moved = len((before[0] | before[1]) - (after[0] & before[0]) - (after[1] & before[1]))
    assert moved == len(after[2]) and 60 <= moved <= 140, moved


def test_indirect_is_changed_in_one_place_for_all_rules(agent, trio):
    first, second, third = trio
    agent.ctl("group", "add", "group_id=9,type=indirect,bucket=output:2")
    agent.rules("priority=1,in_port=1,udp,actions=group:9", "priority=2,in_port=1,udp,tp_src=7,actions=group:9")
    assert spread(first, [second, third], [udp(first, second, sport=7), udp(first, second, sport=8)]) == [{7, 8}, set()]
    agent.ctl("group", "mod", "group_id=9,type=indirect,bucket=output:3")
    assert spread(first, [second, third], [udp(first, second, sport=7), udp(first, second, sport=8)]) == [set(), {7, 8}]


def test_fast_failover_takes_the_next_bucket_when_a_port_goes_down(agent, net, trio):
    first, second, third = trio
    agent.ctl(
        "group", "add",
        "group_id=1,type=fast_failover,bucket=watch_port:2,actions=output:2,bucket=watch_port:c3,actions=output:3")
    agent.rules("in_port=1,udp,actions=group:1")
    assert spread(first, [second, third], [udp(first, second)]) == [{1111}, set()]
    net.node.ip("link", "set", "c2", "down")
    eventually(lambda: agent.port("c2")["state"] == "down")
    assert [bucket["live"] for bucket in agent.json("group", "list")[0]["buckets"]] == [False, True]
    with Tap(first.namespace) as sender, Tap(third.namespace) as three:
        sender.send(udp(first, second))
        assert three.wait(with_payload(MARK)) is not None
    net.node.ip("link", "set", "c2", "up")
    eventually(lambda: agent.port("c2")["state"] == "up")
    assert spread(first, [second, third], [udp(first, second)]) == [{1111}, set()]


def test_a_select_group_leaves_out_a_bucket_whose_port_is_down(agent, net, trio):
    first, second, third = trio
    agent.ctl(
        "group", "add", "group_id=1,type=select,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=output:3")
    agent.rules("in_port=1,udp,actions=group:1")
    packets = [udp(first, second, sport=1000 + n) for n in range(60)]
    two, three = spread(first, [second, third], packets)
    assert two and three
    net.node.ip("link", "set", "c2", "down")
    eventually(lambda: agent.port("c2")["state"] == "down")
    with Tap(first.namespace) as sender, Tap(third.namespace) as tap:
        sender.send(*packets)
        assert {packet[UDP].sport for packet in tap.collect(with_payload(MARK), 0.7)} == two | three


def test_groups_send_to_groups(agent, trio):
    first, second, third = trio
    agent.ctl(
        "group", "add", "group_id=5,type=indirect,bucket=output:3", "group_id=1,type=all,bucket=output:2,bucket=group:5")
    agent.rules("in_port=1,udp,actions=group:1")
    assert spread(first, [second, third], [udp(first, second)]) == [{1111}, {1111}]
    traced = agent.json("trace", "in_port=1,udp")
    assert any("group" in note for step in traced["steps"] for note in step["notes"]), traced


def test_a_group_that_is_deleted_takes_its_rules_along(agent, pair):
    agent.ctl("group", "add", "group_id=1,type=indirect,bucket=output:2", "group_id=2,type=indirect,bucket=output:2")
    agent.rules("priority=1,ip,actions=group:1", "priority=2,tcp,actions=write_actions(group:1)", "priority=3,udp,actions=group:2")
    assert {group["id"]: group["references"] for group in agent.json("group", "list")} == {1: 2, 2: 1}
    assert len(agent.json("rule", "list", "out_group=1")) == 2
    assert agent.json("group", "del", "1") == {"deleted": 1, "deletedRules": 2}
    assert [rule["priority"] for rule in agent.json("rule", "list")] == [3]
    agent.restart()
    assert [rule["priority"] for rule in agent.json("rule", "list")] == [3]
    assert [group["id"] for group in agent.json("group", "list")] == [2]
    assert agent.json("group", "del", "--all")["deleted"] == 1


def test_adding_what_is_there_says_so(agent):
    text = "group_id=1,type=indirect,bucket=actions=output:2"
    assert agent.json("group", "add", text) == {"added": 1, "alreadyPresent": 0}
    assert agent.json("group", "add", text) == {"added": 0, "alreadyPresent": 1}
    assert "there already" in agent.refusal("group", "add", "group_id=1,type=all,bucket=output:2")


def test_a_listed_group_can_be_added_again(agent):
    agent.ctl(
        "group", "add", "group_id=7,type=fast_failover,bucket=watch_port:2,actions=output:2,bucket=watch_group:8,actions=group:8",
        check=False)
    agent.ctl("group", "add", "-", input=(
        "# some\ngroup_id=8,type=select,bucket=weight:100,actions=push_vlan:0x8100,set_field:4097->vlan_vid,output:2,"
        "bucket=weight:5,actions=output:3\n\ngroup_id=7,type=fast_failover,bucket=watch_port:2,actions=output:2,"
        "bucket=watch_group:8,actions=group:8\n"))
    listed = agent.ctl("group", "list", "--plain").stdout
    agent.ctl("group", "del", "--all")
    lines = sorted(listed.splitlines(), reverse=True)
    agent.ctl("group", "add", "-", input="\n".join(lines) + "\n")
    assert agent.ctl("group", "list", "--plain").stdout == listed


BAD = [
    ("type=all,bucket=output:1", "group_id"), ("group_id=1,bucket=output:1", "type"), ("group_id=1,type=round,bucket=output:1", "round"),
    ("group_id=x,type=all", "group_id"), ("group_id=4294967295,type=all", "group"), ("group_id=1,type=indirect", "one"),
    ("group_id=1,type=all,bucket=fly", "fly"), ("group_id=1,type=all,bucket=group:1", "itself"),
    ("group_id=1,type=all,bucket=group:2", "group 2"), ("group_id=1,type=fast_failover,bucket=output:1", "watch"),
    ("group_id=1,type=select,bucket=weight:70000,output:1", "weight"), ("group_id=1,colour=red", "colour"),
]


@pytest.mark.parametrize("text, named", BAD, ids=[text for text, _ in BAD])
def test_a_bad_group_is_refused_with_what_is_wrong(agent, text, named):
    assert named in agent.refusal("group", "add", text)
    assert agent.json("group", "list") == []


def test_a_group_that_is_not_there_is_named(agent):
    assert "group 7" in agent.refusal("group", "del", "7")
    assert "group 7" in agent.refusal("group", "list", "7")
    assert "group 7" in agent.refusal("group", "mod", "group_id=7,type=all,bucket=output:1")


def test_a_loop_made_by_a_change_is_refused(agent):
    agent.ctl("group", "add", "group_id=1,type=all,bucket=output:1", "group_id=2,type=all,bucket=group:1")
    before = agent.ctl("group", "list", "--plain").stdout
    agent.refusal("group", "mod", "group_id=1,type=all,bucket=group:2")
    assert agent.ctl("group", "list", "--plain").stdout == before
    assert "group 2" in agent.refusal("group", "del", "1")
