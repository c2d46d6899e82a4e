"""The early drop policy: what the XDP program drops or slows down before anything else sees it."""

import json
import subprocess
import time

import pytest
from agent import CTL, eventually
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


# ---------------------------------------------------------------------------------------------------------------------
# Five-tuples, limits, files


def flood(first, second, count, source="192.0.2.1", sport=1000, dport=9):
    """Sends `count` datagrams at once; returns how many arrive."""
    packet = Ether(dst=second.mac, src=first.mac) / IP(src=source, dst=second.ip4) / UDP(sport=sport, dport=dport) / MARK
    with Tap(first.namespace) as sender, Tap(second.namespace) as tap:
        for _ in range(count):
            sender.send(packet)
        arrived = 0
        while tap.wait(with_payload(MARK), 0.5) is not None:
            arrived += 1
        return arrived


def test_a_denied_five_tuple_drops_its_conversation_and_no_other(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=output:2")
    tuple_ = f"proto=udp,src=192.0.2.1,dst={second.ip4},sport=1000,dport=9"
    assert agent.json("deny", "add", "--tuple", tuple_) == {"added": 1, "alreadyPresent": 0}
    assert flood(first, second, 3) == 0
    assert flood(first, second, 3, dport=10) == 3
    assert flood(first, second, 3, source="192.0.2.2") == 3
    (entry,) = agent.json("deny", "list")
    assert entry["tuple"] == tuple_ and entry["prefix"] is None and entry["packets"] == 3
    assert agent.port("c1")["xdpCounters"]["deny-tuple"] == 3
    assert agent.json("deny", "del", "--tuple", tuple_) == {"deleted": 1}
    assert flood(first, second, 3) == 3


@pytest.mark.parametrize("text", ["proto=tcp,dport=80", "src=10.0.0.1,proto=banana", "src=10.0.0.1,dst=::1", "src=10.0.0.0/8", "frog"])
def test_a_wrong_five_tuple_is_refused(agent, text):
    agent.refusal("deny", "add", "192.0.2.0/24", "--tuple", text)
    assert agent.json("deny", "list") == []


def test_a_limit_lets_the_burst_pass_and_counts_both_sides(agent, pair):
    first, second = pair
    agent.rules("in_port=1,actions=output:2")
    assert agent.json("limit", "add", "192.0.2.0/24", "--rate", "1pps", "--burst", "5") == {"added": 1, "alreadyPresent": 0}
    arrived = flood(first, second, 30)
    # One more for each second that the sending takes.
    assert 5 <= arrived <= 8
    assert flood(first, second, 5, source="198.51.100.1") == 5
    (entry,) = agent.json("limit", "list")
    assert entry["prefix"] == "192.0.2.0/24" and entry["packetsPerSecond"] == 1 and entry["burst"] == 5
    assert entry["passedPackets"] == arrived and entry["droppedPackets"] == 30 - arrived
    assert agent.json("limit", "add", "192.0.2.0/24", "--rate", "1m") == {"added": 0, "alreadyPresent": 1}
    assert agent.json("limit", "list")[0]["burst"] == 100_000
    assert flood(first, second, 20) == 20
    agent.ctl("limit", "del", "192.0.2.0/24")
    assert agent.json("limit", "list") == []
    assert "192.0.2.0/24" in agent.refusal("limit", "del", "192.0.2.0/24")
    agent.ctl("limit", "del", "192.0.2.0/24", "--if-exists")


@pytest.mark.parametrize("comes_first", ["port", "watcher"])
def test_samples_of_drops_are_shown_with_their_reason_and_first_bytes(agent, net, comes_first):
    first, second = net.container("c1"), net.container("c2")
    if comes_first == "port":
        agent.add(first, second)
    monitor = subprocess.Popen(
        [str(CTL), "--socket", agent.socket, "-o", "json", "monitor", "samples", "--count", "6"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    try:
        if comes_first == "watcher":
            time.sleep(0.5)
            agent.add(first, second)
        agent.rules("in_port=1,actions=output:2")
        agent.ctl("deny", "add", "192.0.2.0/24")
        # It says nothing when it is ready, so packets are sent until it has seen enough.
        for _ in range(40):
            flood(first, second, 1)
            if monitor.poll() is not None:
                break
        samples = [json.loads(line) for line in monitor.communicate(timeout=10)[0].splitlines()]
    finally:
        monitor.kill()
    assert len(samples) == 6
    # What the container says of itself while its port is being added, finds no socket.
    denied = [sample for sample in samples if sample["reason"] != "no-socket"]
    assert [(sample["event"], sample["port"], sample["reason"], sample["sample"]) for sample in denied] == [
        ("dropSample", "c1", "denied-prefix", 1)] * len(denied)
    assert len(denied) >= 2 if comes_first == "watcher" else denied == samples
    assert all(bytes.fromhex(sample["frame"])[26:30] == bytes([192, 0, 2, 1]) for sample in denied)


def test_the_whole_policy_survives_a_kill_9(agent, pair):
    first, second = pair
    agent.ctl("deny", "add", "192.0.2.0/24", "--tuple", "proto=udp,dst=198.51.100.7,dport=53")
    agent.ctl("limit", "add", "10.0.0.0/8", "2001:db8::/32", "--rate", "20k", "--burst", "7")
    agent.kill9()
    agent.restart()
    assert {entry["prefix"] or entry["tuple"] for entry in agent.json("deny", "list")} == {
        "192.0.2.0/24", "proto=udp,dst=198.51.100.7,dport=53"}
    assert [(entry["prefix"], entry["packetsPerSecond"], entry["burst"]) for entry in agent.json("limit", "list")] == [
        ("10.0.0.0/8", 20_000, 7), ("2001:db8::/32", 20_000, 7)]


def test_a_hundred_thousand_prefixes_come_and_go_by_file(agent, tmp_path):
    lines = [f"{10 + n // 65536}.{n // 256 % 256}.{n % 256}.0/24" for n in range(100_000)]
    blocklist = tmp_path / "blocklist"
    blocklist.write_text("# made up\n\n" + "\n".join(lines) + "\nproto=tcp,src=192.0.2.1,dport=80  # a tuple\n")
    assert agent.json("deny", "add", "--file", str(blocklist)) == {"added": 100_001, "alreadyPresent": 0}
    assert agent.json("status")["denyPrefixes"] == 100_000
    plain = agent.ctl("deny", "list", "--plain").stdout.splitlines()
    assert sorted(plain) == sorted(lines + ["proto=tcp,src=192.0.2.1,dport=80"])
    assert agent.json("deny", "add", "--file", str(blocklist)) == {"added": 0, "alreadyPresent": 100_001}
    assert agent.json("deny", "del", "--file", str(blocklist)) == {"deleted": 100_001}
    assert agent.json("deny", "list") == []


def test_limits_come_by_file_and_a_bad_line_is_named(agent, tmp_path):
    limits = tmp_path / "limits"
    limits.write_text("192.0.2.0/24 1000pps 100\n2001:db8::/32 20k\n")
    assert agent.json("limit", "add", "--file", str(limits))["added"] == 2
    assert agent.ctl("limit", "list", "--plain").stdout.splitlines() == ["192.0.2.0/24 1000pps 100", "2001:db8::/32 20000pps 2000"]
    limits.write_text("192.0.2.0/24 1000pps 100\n192.0.2.0/25 banana\n")
    assert ":2:" in agent.refusal("limit", "add", "--file", str(limits))
