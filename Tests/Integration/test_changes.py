"""Changes of many rules as one: bundles, replace, diff, modify; what a crash leaves of them; a hundred thousand at a time."""

import subprocess
import time

import pytest
from agent import eventually
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from wire import Tap, with_payload


def texts(agent):
    return [rule["text"] for rule in agent.json("rule", "list")]


def bundle(agent, *lines):
    return agent.json("rule", "bundle", "-", input="\n".join(lines) + "\n")


def test_modify_changes_actions_and_nothing_else(agent, pair):
    first, second = pair
    agent.rules("priority=5,cookie=0x7,icmp,actions=normal", "priority=6,tcp,actions=normal", "priority=0,actions=normal")
    first.ping(second.ip4)
    before = eventually(lambda: [rule for rule in agent.json("rule", "list", "icmp") if rule["packets"] >= 6])[0]
    assert agent.json("rule", "mod", "icmp,actions=drop") == {"modified": 1}
    assert not first.reaches(second.ip4)
    after = agent.json("rule", "list", "icmp")[0]
    assert (after["cookie"], after["priority"], after["actions"]) == ("0x7", 5, "drop")
    assert after["packets"] > before["packets"]
    assert agent.json("rule", "mod", "--strict", "priority=4,icmp,actions=normal") == {"modified": 0}
    assert agent.json("rule", "mod", "ip,actions=normal") == {"modified": 2}
    first.ping(second.ip4)


def test_a_bundle_is_carried_out_in_order(agent):
    agent.rules("priority=1,ip,actions=drop", "priority=2,tcp,actions=drop")
    reply = bundle(
        agent, "# a remark", "delete tcp", "add priority=3,udp,actions=drop", "modify udp,actions=output:1",
        "flow add priority=4,arp,actions=drop", "delete_strict priority=4,arp", "table=2,priority=5,actions=drop")
    assert reply["rules"]["added"] == 3 and reply["rules"]["deleted"] == 2 and reply["rules"]["modified"] == 1
    listed = agent.json("rule", "list")
    assert [(rule["table"], rule["priority"], rule["actions"]) for rule in listed] == [
        (0, 3, "output:1"), (0, 1, "drop"), (2, 5, "drop")]


def test_a_bundle_changes_groups_meters_and_rules_together(agent):
    reply = bundle(
        agent, "group add group_id=1,type=indirect,bucket=output:1", "meter add meter=1 pktps bands=type=drop rate=100",
        "add priority=5,ip,actions=meter:1,group:1")
    assert reply["groups"]["added"] == reply["meters"]["added"] == reply["rules"]["added"] == 1
    # A rule goes with its group.
    reply = bundle(agent, "group delete group_id=1", "meter delete meter=1")
    assert reply["groups"]["deleted"] == 1 and reply["meters"]["deleted"] == 1 and reply["rules"]["deleted"] == 1
    assert agent.json("group", "list") == [] and agent.json("meter", "list") == []


BAD_BUNDLES = [
    (["add priority=1,ip,actions=drop", "delete nonsense"], 2), (["add priority=1,ip,actions=drop", "flow nonsense"], 2),
    (["priority=1,ip,actions=drop", "", "# x", "add priority=1,ip,actions=fly"], 4),
    (["priority=1,ip,actions=drop", "group add group_id=1,type=round,bucket=output:1"], 2),
    (["priority=1,ip,actions=drop", "meter delete meter=x"], 2),
    (["priority=1,ip,actions=drop", "group modify group_id=9,type=all,bucket=output:1"], 2),
    (["priority=1,ip,actions=drop", "priority=2,ip,actions=group:77"], 2),
]


@pytest.mark.parametrize("lines, line", BAD_BUNDLES, ids=[lines[-1] for lines, _ in BAD_BUNDLES])
def test_one_bad_line_of_a_bundle_changes_nothing_and_is_named(agent, lines, line):
    before = texts(agent)
    message = agent.refusal("rule", "bundle", "-", input="\n".join(lines) + "\n")
    assert f"standard input:{line}: " in message, message
    assert texts(agent) == before and agent.json("group", "list") == []
    agent.restart()
    assert texts(agent) == before


def test_no_packet_meets_half_of_a_bundle(agent, trio):
    first, second, third = trio
    # In either state exactly one of the two rules sends a packet on; a mixture would send both or none.
    states = [
        ["table=0,actions=goto_table:1", "table=1,actions=output:2"], ["table=0,actions=goto_table:2", "table=2,actions=output:3"]]
    agent.rules(*states[0])
    sent = 0
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        two.drain(), three.drain()
        for turn in range(40):
            for _ in range(25):
                sender.send(
                    Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / UDP(sport=sent % 7, dport=9) / b"half?")
                sent += 1
            bundle(agent, "delete", *states[(turn + 1) % 2])
        got = len(two.collect(with_payload(b"half?"), 1)) + len(three.collect(with_payload(b"half?"), 1))
    assert got == sent


def test_diff_shows_what_replace_does(agent, tmp_path):
    agent.rules("priority=1,ip,actions=drop", "priority=2,tcp,actions=drop", "table=3,priority=3,actions=drop")
    wanted = tmp_path / "rules.txt"
    wanted.write_text("# the new ones\npriority=1,ip,actions=drop\npriority=2,tcp,actions=output:1\n\npriority=4,udp,actions=drop\n")
    before = texts(agent)
    lines = agent.ctl("rule", "diff", wanted).stdout.splitlines()
    assert sorted(line[0] for line in lines) == ["+", "+", "-", "-"]
    assert any(line.startswith("+") and "udp" in line for line in lines)
    assert any(line.startswith("-") and "table=3" in line for line in lines)
    assert {change["change"] for change in agent.json("rule", "diff", wanted)} == {"add", "modify", "delete"}
    assert texts(agent) == before
    assert agent.json("rule", "replace", wanted) == {"added": 1, "modified": 1, "deleted": 1, "unchanged": 1}
    assert agent.ctl("rule", "diff", wanted).stdout.strip() == "no difference"
    assert len(texts(agent)) == 3


def test_replace_keeps_the_counters_of_what_stays(agent, pair):
    first, second = pair
    agent.rules("priority=5,icmp,actions=normal", "priority=0,actions=normal")
    first.ping(second.ip4)
    eventually(lambda: agent.json("rule", "list", "icmp")[0]["packets"] >= 6)
    agent.ctl("rule", "replace", "-", input="priority=5,icmp,actions=normal\npriority=0,actions=normal\npriority=7,udp,actions=drop\n")
    assert agent.json("rule", "list", "icmp")[0]["packets"] >= 6


def test_a_bad_file_replaces_nothing(agent, tmp_path):
    before = texts(agent)
    wanted = tmp_path / "rules.txt"
    wanted.write_text("priority=1,ip,actions=drop\npriority=1,ip,nw_dst=10.0.0.300,actions=drop\n")
    for command in ("replace", "diff"):
        message = agent.refusal("rule", command, wanted)
        assert f"{wanted}:2: " in message and "10.0.0.300" in message
    assert texts(agent) == before
    assert "no-such-file" in agent.refusal("rule", "replace", tmp_path / "no-such-file")


def test_an_empty_file_replaces_everything_by_nothing(agent):
    agent.ctl("rule", "replace", "-", input="")
    assert texts(agent) == []
    agent.restart()
    assert texts(agent) == []


@pytest.mark.parametrize("end", ["restart", "kill9"])
def test_rules_of_all_tables_groups_and_meters_survive(agent, pair, end):
    first, second = pair
    bundle(
        agent, "group add group_id=5,type=indirect,bucket=output:2", "group add group_id=1,type=all,bucket=actions=group:5",
        "meter add meter=3 kbps burst bands=type=drop rate=100000 burst_size=1000", "delete",
        "table=0,priority=9,in_port=c1,ip,actions=meter:3,goto_table:200", "table=200,cookie=0xffffffffffffffff,actions=group:1",
        "priority=0,actions=normal")
    agent.ctl("rule", "mod", "--strict", "priority=0,actions=output:1")
    agent.ctl("rule", "add", "priority=1,arp,actions=normal", "priority=2,udp,actions=drop")
    agent.ctl("rule", "del", "udp")
    before = texts(agent), agent.ctl("group", "list", "--plain").stdout, agent.ctl("meter", "list", "--plain").stdout
    assert len(before[0]) == 4
    if end == "kill9":
        agent.kill9()
        agent.start()
    else:
        agent.restart()
    assert (texts(agent), agent.ctl("group", "list", "--plain").stdout, agent.ctl("meter", "list", "--plain").stdout) == before
    assert agent.json("status")["ok"]
    eventually(lambda: all(port["state"] == "up" for port in agent.json("port", "list")))
    agent.ctl("rule", "mod", "--strict", "priority=0,actions=normal")
    assert eventually(lambda: first.reaches(second.ip4))


def test_a_rule_that_names_a_port_keeps_its_number(agent, net, pair):
    agent.rules("priority=5,in_port=c1,actions=output:c2")
    assert "in_port=1" in texts(agent)[0] and "output:2" in texts(agent)[0]
    agent.restart()
    assert "in_port=1" in texts(agent)[0] and "output:2" in texts(agent)[0]


def test_a_hundred_thousand_rules_are_loaded_listed_and_replaced_quickly(agent, tmp_path):
    count = 100_000
    rules = tmp_path / "rules.txt"
    rules.write_text(
        "".join(
            f"table={n % 3},priority=100,tcp,nw_src=10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255},nw_dst=192.0.2.0/24,tp_dst={n % 1000},"
            "actions=drop\n" for n in range(count)))
    started = time.monotonic()
    assert agent.json("rule", "add", rules)["added"] == count
    seconds = time.monotonic() - started
    # The goal is 100,000 a second on an idle machine; tests share theirs.
    assert seconds < 10, f"{count / seconds:.0f} rules/s"
    print(f"{count / seconds:.0f} rules/s")
    assert agent.json("status")["rules"] == count + 1
    assert len(agent.ctl("rule", "list", "table=1", "--plain").stdout.splitlines()) == len(range(1, count, 3))
    agent.kill9()
    agent.start(timeout=60)
    assert agent.json("status")["rules"] == count + 1
    assert agent.json("rule", "replace", rules, timeout=60) == {"added": 0, "modified": 0, "deleted": 1, "unchanged": count}
    assert agent.json("rule", "del", "--all", timeout=60)["deleted"] == count
