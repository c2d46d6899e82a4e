"""The deny list: source prefixes that the XDP program drops before anything else sees them."""

import pytest
from agent import eventually
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from wire import Tap, with_payload

MARK = b"may I come in"


def arrives(first, second, source, tagged=False):
    tag = Dot1Q(vlan=5) if tagged else None
    packet = Ether(dst=second.mac, src=first.mac)
    packet = packet / tag if tag else packet
    with Tap(first.namespace) as sender, Tap(second.namespace) as tap:
        sender.send(packet / IP(src=source, dst=second.ip4) / UDP(dport=9) / MARK)
        return tap.wait(with_payload(MARK), 0.5) is not None


def test_denied_sources_are_dropped_and_counted_until_they_are_allowed_again(agent, pair):
    first, second = pair
    first.ping(second.ip4)
    first.ping(second.ip6)
    agent.ctl("deny", "add", f"{first.ip4}/32", "fd77::/64")
    assert not first.reaches(second.ip4)
    assert not first.reaches(second.ip6)
    counted = {entry["prefix"].split("/")[0]: entry["packets"] for entry in agent.json("deny", "list")}
    assert counted[first.ip4] >= 1 and counted["fd77::"] >= 1
    agent.ctl("deny", "del", f"{first.ip4}/32", "fd77::/64")
    assert agent.json("deny", "list") == []
    eventually(lambda: first.reaches(second.ip4))


def test_the_longest_prefix_is_what_counts_and_neighbours_pass(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=output:2")
    agent.ctl("deny", "add", "192.0.2.0/25")
    assert not arrives(first, second, "192.0.2.127")
    assert arrives(first, second, "192.0.2.128")


def test_a_denied_source_inside_a_vlan_is_dropped_too(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=output:2")
    agent.ctl("deny", "add", "192.0.2.0/24")
    assert not arrives(first, second, "192.0.2.1", tagged=True)
    assert arrives(first, second, "198.51.100.1", tagged=True)


def test_the_list_holds_for_ports_that_come_later(agent, net):
    agent.ctl("deny", "add", "10.77.0.1")
    first, second = net.container("c1"), net.container("c2")
    agent.add(first, second)
    assert not first.reaches(second.ip4)


def test_adding_twice_is_well_and_deleting_twice_needs_if_exists(agent):
    assert agent.json("deny", "add", "192.0.2.0/24") == {"added": 1, "alreadyPresent": 0}
    assert agent.json("deny", "add", "192.0.2.0/24") == {"added": 0, "alreadyPresent": 1}
    agent.ctl("deny", "del", "192.0.2.0/24")
    assert "192.0.2.0/24" in agent.refusal("deny", "del", "192.0.2.0/24")


@pytest.mark.parametrize("prefix", ["10.0.0.0/33", "10.0.0.300", "banana", "10.0.0.1/8", "::/129", "2001:db8::1/32", "10.0.0.0/", ""])
def test_a_wrong_prefix_is_refused_and_named(agent, prefix):
    assert prefix in agent.refusal("deny", "add", "192.0.2.0/24", prefix)
    assert agent.json("deny", "list") == []


def test_the_denied_packets_show_in_the_ports_xdp_counters(agent, pair):
    first, second = pair
    agent.ctl("deny", "add", first.ip4)
    first.reaches(second.ip4)
    counters = agent.port("c1")["xdpCounters"]
    assert any("den" in name.lower() and count > 0 for name, count in counters.items()), counters
