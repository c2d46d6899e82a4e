"""Malformed frames: they never harm, and each is counted under a named reason."""

import random

from agent import eventually
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Dot1Q, Ether
from wire import Tap, with_payload

MARK = b"still standing"


def survives(agent, first, second):
    """The agent lives and still forwards a good frame."""
    assert agent.alive
    with Tap(first.namespace) as sender, Tap(second.namespace) as tap:
        sender.send(Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / MARK)
        assert tap.wait(with_payload(MARK)) is not None


def samples(first, second):
    base = Ether(dst=second.mac, src=first.mac)
    return [
        bytes(base / IP(src=first.ip4, dst=second.ip4) / TCP(options=[("MSS", 1460)]) / b"data"),
        bytes(base / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP(src=first.ip4, dst=second.ip4) / UDP() / b"data"),
        bytes(base / IPv6(src=first.ip6, dst=second.ip6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP() / b"data"),
    ]


def test_frames_truncated_at_every_byte_are_harmless(agent, pair):
    first, second = pair
    with Tap(first.namespace) as tap:
        for frame in samples(first, second):
            for length in range(14, len(frame)):
                tap.send(frame[:length])
    survives(agent, first, second)


def test_lengths_that_lie_are_counted_under_a_reason(agent, pair):
    first, second = pair
    agent.rules("ip,in_port=1,actions=output:2")
    before = agent.drops()
    base = Ether(dst=second.mac, src=first.mac)
    liars = [
        bytes(base / IP(src=first.ip4, dst=second.ip4, ihl=4) / UDP()),
        bytes(base / IP(src=first.ip4, dst=second.ip4, len=9000) / UDP()),
        bytes(base / IP(src=first.ip4, dst=second.ip4, len=10) / UDP()),
        bytes(base / IP(src=first.ip4, dst=second.ip4, version=6) / UDP()),
    ]
    with Tap(first.namespace) as tap:
        tap.send(*liars)

    def counted():
        """all four frames were dropped under a reason"""
        after = agent.drops()
        new = {reason: count - before.get(reason, 0) for reason, count in after.items()}
        return sum(new.values()) >= len(liars) and new

    assert all(reason for reason in eventually(counted))
    survives(agent, first, second)


def test_tags_nested_beyond_the_limit_are_harmless(agent, pair):
    first, second = pair
    frame = Ether(dst=second.mac, src=first.mac)
    for vlan in range(1, 30):
        frame = frame / Dot1Q(vlan=vlan)
    with Tap(first.namespace) as tap:
        tap.send(frame / IP(src=first.ip4, dst=second.ip4) / UDP())
    survives(agent, first, second)


def test_long_chains_of_extension_headers_are_harmless(agent, pair):
    first, second = pair
    frame = Ether(dst=second.mac, src=first.mac) / IPv6(src=first.ip6, dst=second.ip6)
    for _ in range(100):
        frame = frame / IPv6ExtHdrDestOpt()
    with Tap(first.namespace) as tap:
        tap.send(frame / UDP())
    survives(agent, first, second)


def test_random_bytes_are_harmless(agent, pair):
    first, second = pair
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    source = random.Random(seed)
    good = samples(first, second)
    with Tap(first.namespace) as tap:
        for _ in range(3000):
            frame = bytearray(source.choice(good))
            for _ in range(source.randrange(1, 6)):
                frame[source.randrange(12, len(frame))] = source.randrange(256)
            tap.send(bytes(frame))
    survives(agent, first, second)
