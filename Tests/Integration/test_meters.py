"""Meters: what passes is at the rate, what does not is counted, rules and meters come and go together."""

import threading
import time

import pytest
from agent import eventually
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from wire import Tap, with_payload

MARK = b"a metered frame"


def udp(first, second, size=100, **ip):
    head = Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4, **ip) / UDP(sport=1, dport=2)
    return bytes(head / (MARK + b"." * (size - len(head) - len(MARK))))


def passed(first, second, frame, seconds, rate):
    """Sends a frame at a rate for some seconds; (sent, received)."""
    sent = 0
    received = []
    with Tap(first.namespace) as sender, Tap(second.namespace) as tap:
        counting = threading.Thread(
            target=lambda: received.extend(1 for frame in tap.frames(seconds + 0.5) if MARK in frame))
        counting.start()
        started = time.monotonic()
        while (now := time.monotonic() - started) < seconds:
            while sent < now * rate:
                sender.socket.send(frame)
                sent += 1
            time.sleep(0.001)
        counting.join()
    return sent, len(received)


# A second's worth of burst: a machine that looks away for less loses nothing of the rate.
def test_what_passes_over_ten_seconds_is_the_rate_within_one_percent(agent, pair):
    first, second = pair
    # 4,000 kbit/s are 500 packets of 1,000 bytes a second.
    meters = {1: "pktps burst bands=type=drop rate=500 burst_size=500", 2: "kbps burst bands=type=drop rate=4000 burst_size=4000"}
    for number, text in meters.items():
        agent.ctl("meter", "add", f"meter={number} {text}")
    agent.rules("in_port=1,udp,actions=meter:1,output:2", "in_port=2,udp,actions=meter:2,output:1")
    results = {}

    def measure(number, sender, receiver, frame):
        results[number] = passed(sender, receiver, frame, 10, 1500)

    runs = [
        threading.Thread(target=measure, args=(1, first, second, udp(first, second))),
        threading.Thread(target=measure, args=(2, second, first, udp(second, first, size=1000))),
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    sizes = {1: 100, 2: 1000}
    for number, (sent, got) in results.items():
        assert sent > 14000
        assert abs(got - (10 * 500 + 500)) <= 0.01 * 5500, (number, sent, got)
        meter = eventually(lambda: [meter for meter in agent.json("meter", "list", str(number)) if meter["packets"] == sent])[0]
        assert meter["bands"][0]["packets"] == sent - got and meter["references"] == 1
        assert meter["bytes"] == sizes[number] * sent
        assert f"packet_count:{sent - got}" in agent.ctl("meter", "list", str(number), "--stats").stdout
    assert agent.drops().get("meter") == sum(sent - got for sent, got in results.values())


def test_traffic_below_the_rate_passes_whole(agent, pair):
    first, second = pair
    agent.ctl("meter", "add", "meter=1 pktps burst bands=type=drop rate=2000 burst_size=200")
    agent.rules("in_port=1,udp,actions=meter:1,output:2")
    sent, got = passed(first, second, udp(first, second), 1.5, 500)
    assert sent == got
    assert agent.json("meter", "list")[0]["bands"][0]["packets"] == 0


def test_a_remark_band_raises_the_drop_precedence(agent, pair):
    first, second = pair
    agent.ctl("meter", "add", "meter=1 pktps burst bands=type=dscp_remark rate=1 burst_size=1 prec_level=1")
    agent.rules("in_port=1,udp,actions=meter:1,output:2")
    # AF11 (DSCP 10) becomes AF12 (DSCP 12).
    frame = udp(first, second, tos=10 << 2)
    with Tap(first.namespace) as sender, Tap(second.namespace) as tap:
        for _ in range(10):
            sender.send(frame)
        marks = [packet[IP].tos >> 2 for packet in tap.collect(with_payload(MARK), 0.7)]
    assert len(marks) == 10 and set(marks) == {10, 12} and marks.count(12) >= 8


def test_a_modified_meter_works_at_its_new_rate(agent, pair):
    first, second = pair
    agent.ctl("meter", "add", "meter=1 pktps burst bands=type=drop rate=100 burst_size=10")
    agent.rules("in_port=1,udp,actions=meter:1,output:2")
    assert passed(first, second, udp(first, second), 1, 1000)[1] < 200
    assert agent.json("meter", "mod", "meter=1 pktps burst bands=type=drop rate=5000 burst_size=500") == {"modified": 1, "unchanged": 0}
    sent, got = passed(first, second, udp(first, second), 1, 1000)
    assert sent == got


def test_a_meter_that_is_deleted_takes_its_rules_along(agent, pair):
    agent.ctl("meter", "add", "meter=1 kbps bands=type=drop rate=1000", "meter=2 pktps bands=type=drop rate=1000")
    agent.rules("priority=1,ip,actions=meter:1,output:2", "priority=2,tcp,actions=meter:2,output:2")
    assert agent.json("meter", "del", "1") == {"deleted": 1, "deletedRules": 1}
    assert [rule["priority"] for rule in agent.json("rule", "list")] == [2]
    agent.restart()
    assert [meter["id"] for meter in agent.json("meter", "list")] == [2]
    assert agent.json("meter", "del", "--all") == {"deleted": 1, "deletedRules": 1}


def test_adding_what_is_there_says_so_and_lists_can_be_added_again(agent):
    text = "meter=1 kbps burst stats bands=type=drop rate=1000 burst_size=100"
    assert agent.json("meter", "add", text) == {"added": 1, "alreadyPresent": 0}
    assert agent.json("meter", "add", text) == {"added": 0, "alreadyPresent": 1}
    assert "there already" in agent.refusal("meter", "add", "meter=1 kbps bands=type=drop rate=7")
    agent.ctl("meter", "add", "meter=2 pktps bands=type=dscp_remark rate=5 prec_level=2,type=drop rate=9")
    listed = agent.ctl("meter", "list", "--plain").stdout
    agent.ctl("meter", "del", "--all")
    agent.ctl("meter", "add", "-", input=listed)
    assert agent.ctl("meter", "list", "--plain").stdout == listed


BAD = [
    ("meter=0 kbps bands=type=drop rate=1", "meter"), ("kbps bands=type=drop rate=1", "meter"), ("meter=1 kbps", "band"),
    ("meter=1 kbps bands=type=drop", "rate"), ("meter=1 kbps bands=type=drop rate=0", "rate"), ("meter=1 kbps bands=type=fly rate=1", "fly"),
    ("meter=1 mbps bands=type=drop rate=1", "mbps"), ("meter=x kbps bands=type=drop rate=1", "meter"),
    ("meter=1 kbps bands=type=drop rate=x", "rate"),
]


@pytest.mark.parametrize("text, named", BAD, ids=[text for text, _ in BAD])
def test_a_bad_meter_is_refused_with_what_is_wrong(agent, text, named):
    assert named in agent.refusal("meter", "add", text)
    assert agent.json("meter", "list") == []


def test_a_meter_that_is_not_there_is_named(agent):
    assert "meter 7" in agent.refusal("meter", "del", "7")
    assert "meter 7" in agent.refusal("meter", "list", "7")
    assert "meter 7" in agent.refusal("meter", "mod", "meter=7 kbps bands=type=drop rate=1")
