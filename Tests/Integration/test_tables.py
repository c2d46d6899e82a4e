"""Several tables: goto, metadata, the action set, timeouts, counters, and the explanation of all that."""

import time

import pytest
from agent import eventually
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from wire import Tap, checksums_are_right, with_payload

MARK = b"a frame through several tables"


def udp(first, second, port=2222, **ip):
    return Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4, **ip) / UDP(sport=1111, dport=port) / MARK


def through(first, second, packet, seconds=2):
    """Sends a packet into the first container's port and returns what the second container gets, or None."""
    with Tap(first.namespace) as sender, Tap(second.namespace) as receiver:
        sender.send(packet)
        return receiver.wait(with_payload(MARK), seconds)


def counters(agent, **wanted):
    """The packets of the rules with these values."""
    rules = agent.json("rule", "list")
    return [rule["packets"] for rule in rules if all(rule[key] == value for key, value in wanted.items())]


def test_a_packet_goes_through_the_tables_that_rules_send_it_to(agent, trio):
    first, second, third = trio
    agent.rules(
        "table=0,priority=10,udp,actions=goto_table:5", "table=0,priority=1,actions=drop",
        "table=5,priority=10,udp,tp_dst=2222,actions=output:2", "table=5,priority=1,actions=output:3")
    assert through(first, second, udp(first, second)) is not None
    assert through(first, third, udp(first, second, port=2223)) is not None
    eventually(lambda: counters(agent, table=0, priority=10) == [2])
    assert counters(agent, table=5, priority=10) == [1] and counters(agent, table=5, priority=1) == [1]


def test_actions_apply_before_the_next_table_looks(agent, pair):
    first, second = pair
    agent.rules(
        "table=0,udp,actions=set_field:192.0.2.7->ip_dst,goto_table:1", "table=1,priority=5,ip,nw_dst=192.0.2.7,actions=output:2",
        "table=1,priority=1,actions=drop")
    got = through(first, second, udp(first, second))
    assert got is not None and got[IP].dst == "192.0.2.7" and checksums_are_right(got)


def test_metadata_carries_a_mark_from_table_to_table(agent, trio):
    first, second, third = trio
    agent.rules(
        "table=0,priority=2,udp,tp_dst=2222,actions=write_metadata:0x5/0xf,goto_table:1",
        "table=0,priority=1,actions=write_metadata:0x6/0xf,goto_table:1",
        "table=1,metadata=0x5/0xf,actions=output:2", "table=1,metadata=0x6/0xf,actions=output:3")
    assert through(first, second, udp(first, second)) is not None
    assert through(first, third, udp(first, second, port=1)) is not None


def test_the_action_set_runs_at_the_end_and_can_be_cleared(agent, pair):
    first, second = pair
    agent.rules(
        "table=0,udp,actions=write_actions(set_field:192.0.2.7->ip_dst,output:2),goto_table:1",
        "table=1,priority=2,udp,tp_dst=9,actions=clear_actions", "table=1,priority=1,ip,actions=dec_ttl")
    got = through(first, second, udp(first, second, ttl=9))
    assert got is not None and got[IP].dst == "192.0.2.7" and got[IP].ttl == 8 and checksums_are_right(got)
    assert through(first, second, udp(first, second, port=9), 0.4) is None


def test_a_tag_is_pushed_in_one_table_and_matched_in_the_next(agent, pair):
    first, second = pair
    agent.rules(
        "table=0,in_port=1,actions=push_vlan:0x8100,set_field:4196->vlan_vid,goto_table:1", "table=1,dl_vlan=100,actions=output:2")
    got = through(first, second, udp(first, second))
    assert got is not None and got[Dot1Q].vlan == 100


def test_no_rule_in_a_later_table_drops_under_a_reason(agent, pair):
    first, second = pair
    agent.rules("table=0,actions=goto_table:1", "table=1,tcp,actions=output:2")
    before = sum(agent.drops().values())
    assert through(first, second, udp(first, second), 0.4) is None
    assert eventually(lambda: sum(agent.drops().values()) > before)


def test_trace_shows_every_table(agent, pair):
    agent.rules(
        "table=0,priority=10,udp,actions=write_metadata:0x1,goto_table:1",
        "table=1,priority=7,metadata=0x1,udp,tp_dst=2222,actions=set_field:9->nw_ttl,goto_table:9", "table=9,actions=output:2")
    traced = agent.json("trace", "in_port=1,udp,nw_src=10.77.0.1,nw_dst=10.77.0.2,nw_ttl=64,tp_dst=2222")
    assert [step["table"] for step in traced["steps"]] == [0, 1, 9]
    assert "priority=7" in traced["steps"][1]["rule"]
    fields = {field["match"]: field["reason"] for field in traced["fields"]}
    assert any("table 1" in reason for match, reason in fields.items() if match.startswith("tp_dst=2222")), fields
    # What a rule wrote is no property of the packet.
    assert not any(match.startswith("metadata") for match in fields), fields
    assert "c2" in traced["verdict"]
    text = agent.ctl("trace", "in_port=1,udp,tp_dst=2222").stdout
    assert "table 0:" in text and "table 1:" in text and "table 9:" in text


def test_flows_are_listed_by_table_cookie_port_and_match(agent, pair):
    first, second = pair
    agent.rules(
        "table=0,priority=5,cookie=0x10,udp,actions=goto_table:3", "table=3,cookie=0x21,udp,actions=output:2",
        "table=0,priority=1,cookie=0x30,actions=normal")
    assert through(first, second, udp(first, second)) is not None
    first.ping(second.ip4)
    every = agent.json("flow", "list")
    of_table = agent.json("flow", "list", "--table", "3")
    assert 0 < len(of_table) < len(every)
    assert all([rule["table"] for rule in flow["rules"]] == [0, 3] for flow in of_table)
    assert agent.json("flow", "list", "--cookie", "0x20/0xf0") == of_table or len(of_table) == len(
        agent.json("flow", "list", "--cookie", "0x20/0xf0"))
    assert {flow["id"] for flow in agent.json("flow", "list", "udp")} == {flow["id"] for flow in of_table}
    assert agent.json("flow", "list", "--cookie", "0x99") == []
    assert 0 < len(agent.json("flow", "list", "--port", "c1")) < len(every)
    assert "tables are 0 to 254" in agent.refusal("flow", "list", "--table", "255")


def test_the_summary_counts_what_is_listed(agent, pair):
    first, second = pair
    agent.rules("table=0,priority=5,udp,actions=goto_table:3", "table=3,udp,actions=output:2", "table=0,priority=1,actions=normal")
    assert through(first, second, udp(first, second)) is not None
    first.ping(second.ip4)
    flows, summary = agent.json("flow", "list"), agent.json("flow", "summary")
    assert summary["flows"] == len(flows) > 0 and summary["byTier"] == {"user": len(flows)}
    assert 0 < summary["masks"] <= summary["flows"] and summary["memoryBytes"] > 0
    tables = {entry["table"]: entry for entry in summary["tables"]}
    assert tables[0]["rules"] == 2 and tables[3]["rules"] == 1
    assert tables[3]["flows"] == len(agent.json("flow", "list", "--table", "3"))
    assert sum(port["flows"] for port in summary["ports"]) == len(flows)
    assert sum(worker["flows"] for worker in summary["workers"]) == len(flows)
    text = agent.ctl("flow", "summary").stdout
    assert "Masks:" in text and "RULE MASKS" in text


def test_rule_counters_are_exact_for_every_table(agent, pair):
    first, second = pair
    agent.rules(
        "table=0,priority=5,icmp,actions=goto_table:1", "table=1,icmp,actions=normal", "table=0,priority=1,actions=normal")
    first.neighbour(second)
    second.neighbour(first)
    first.ping(second.ip4, count=20)
    assert eventually(lambda: counters(agent, table=1) == [40])
    assert counters(agent, table=0, priority=5) == [40]
    agent.ctl("flow", "purge")
    assert counters(agent, table=1) == [40]
    line = agent.ctl("rule", "list", "--stats", "table=1").stdout
    assert "n_packets=40" in line and "n_bytes=3920" in line and "table=1" in line


def test_an_idle_timeout_waits_for_the_last_packet(agent, pair):
    first, second = pair
    agent.rules("priority=9,idle_timeout=2,udp,actions=output:2", "priority=0,actions=normal")
    for _ in range(5):
        assert through(first, second, udp(first, second)) is not None
        time.sleep(0.7)
    assert len(agent.json("rule", "list")) == 2
    time.sleep(1)
    eventually(lambda: [rule["priority"] for rule in agent.json("rule", "list")] == [0], 4)


def test_a_hard_timeout_ends_a_rule_that_is_in_use(agent, pair):
    first, second = pair
    agent.rules("priority=9,hard_timeout=2,udp,actions=output:2")
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        assert through(first, second, udp(first, second)) is not None
        time.sleep(0.1)
    eventually(lambda: agent.json("rule", "list") == [], 4)
    assert through(first, second, udp(first, second), 0.4) is None


def test_a_rule_that_timed_out_stays_away_after_a_kill_9(agent):
    agent.rules("priority=9,hard_timeout=1,udp,actions=drop", "priority=0,actions=normal")
    eventually(lambda: len(agent.json("rule", "list")) == 1, 4)
    time.sleep(1.5)
    agent.kill9()
    agent.start()
    assert [rule["priority"] for rule in agent.json("rule", "list")] == [0]


def test_tables_timeouts_and_flags_are_listed(agent):
    agent.rules("table=7,priority=3,idle_timeout=60,hard_timeout=600,send_flow_rem,cookie=0x5,ip,actions=goto_table:8")
    rule = agent.json("rule", "list")[0]
    assert (rule["table"], rule["idleTimeoutSeconds"], rule["hardTimeoutSeconds"]) == (7, 60, 600)
    assert rule["flags"] == ["send_flow_rem"] and "goto_table:8" in rule["actions"] and rule["idleSeconds"] is None
    agent.rules(rule["text"])
    assert agent.json("rule", "list")[0]["text"] == rule["text"]


BAD = [
    ("table=255,actions=drop", "table"), ("table=3,actions=goto_table:3", "table"), ("table=3,actions=goto_table:2", "table"),
    ("actions=goto_table:255", "table"), ("idle_timeout=65536,actions=drop", "idle_timeout"),
    ("actions=write_actions(fly)", "fly"), ("actions=set_field:1->tcp_dst,output:1", "tcp"), ("actions=group:1", "group 1"),
    ("actions=meter:1,output:1", "meter 1"), ("actions=write_metadata:x", "x"), ("udp,metadata=1/x,actions=drop", "metadata"),
    ("actions=push_mpls:0x0800", "mpls"), ("mpls_label=5,actions=drop", "mpls_label"), ("reg0=1/,actions=drop", "reg0"),
]


@pytest.mark.parametrize("rule, named", BAD, ids=[rule for rule, _ in BAD])
def test_a_bad_rule_is_refused_with_what_is_wrong(agent, rule, named):
    before = agent.json("rule", "list")
    assert named in agent.refusal("rule", "add", rule)
    assert [old["text"] for old in agent.json("rule", "list")] == [old["text"] for old in before]


def test_an_overlap_is_refused_when_the_rule_asks_for_it(agent):
    agent.rules("priority=5,ip,nw_dst=10.0.0.0/8,actions=drop")
    assert "overlap" in agent.refusal("rule", "add", "check_overlap,priority=5,tcp,actions=drop")
    agent.ctl("rule", "add", "check_overlap,priority=6,tcp,actions=drop")
    assert len(agent.json("rule", "list")) == 2
