"""`normal` is a learning switch: what two containers on one network expect of it."""

import json
import time

from agent import eventually
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from wire import Tap, with_payload


def iperf(client, server, *arguments):
    """Runs iperf3 between two containers and returns its JSON document's "end"."""
    listener = server.start("iperf3", "-s", "-1")
    try:
        eventually(lambda: ":5201" in server.run("ss", "-ltn").stdout, 5)
        done = client.run("iperf3", "-c", server.ip4, "-J", *arguments, check=False, timeout=60)
        document = json.loads(done.stdout)
        assert "error" not in document, document["error"]
        return document["end"]
    finally:
        listener.kill()
        listener.wait()


def test_ping_over_ipv4(pair):
    first, second = pair
    first.ping(second.ip4, count=20)
    second.ping(first.ip4, count=20)


def test_ping_over_ipv6(pair):
    first, second = pair
    first.ping(second.ip6, count=20)
    second.ping(first.ip6, count=20)


def test_arp_is_answered_by_the_container_asked_for(trio):
    first, second, _ = trio
    with Tap(first.namespace) as tap:
        tap.send(
            Ether(dst="ff:ff:ff:ff:ff:ff", src=first.mac) /
            ARP(op="who-has", hwsrc=first.mac, psrc=first.ip4, pdst=second.ip4))
        answer = tap.wait(lambda packet: ARP in packet and packet[ARP].op == 2)
    assert answer is not None and answer[ARP].hwsrc == second.mac


def test_broadcast_reaches_every_other_port_once_and_not_its_own(trio):
    first, second, third = trio
    with Tap(first.namespace) as own, Tap(second.namespace) as two, Tap(third.namespace) as three:
        own.send(Ether(dst="ff:ff:ff:ff:ff:ff", src=first.mac) / IP(src=first.ip4, dst="255.255.255.255") / UDP(dport=9) / b"hear all")
        assert len(two.collect(with_payload(b"hear all"), 0.5)) == 1
        assert len(three.collect(with_payload(b"hear all"), 0.1)) == 1
        assert own.collect(with_payload(b"hear all"), 0.1) == []


def test_a_learned_address_is_not_flooded(trio):
    first, second, third = trio
    first.ping(second.ip4)
    with Tap(third.namespace) as tap:
        first.ping(second.ip4, count=5)
        assert tap.collect(lambda packet: ICMP in packet, 0.3) == []


def test_learned_addresses_are_listed_and_can_be_flushed(agent, pair):
    first, second = pair
    first.ping(second.ip4)
    learned = {(entry["mac"], entry["port"]) for entry in agent.json("fdb", "list")}
    assert {(first.mac, first.port), (second.mac, second.port)} <= learned
    # The containers' own stacks may speak at any moment; a visitor speaks once.
    visitor = "02:aa:00:00:00:09"
    with Tap(first.namespace) as tap:
        tap.send(Ether(dst="ff:ff:ff:ff:ff:ff", src=visitor) / ARP())
    eventually(lambda: visitor in {entry["mac"] for entry in agent.json("fdb", "list")})
    agent.ctl("fdb", "flush")
    assert visitor not in {entry["mac"] for entry in agent.json("fdb", "list")}
    first.ping(second.ip4)


def test_traffic_follows_an_address_that_moves(trio):
    first, second, third = trio
    # The old place must be silent: what its IPv6 stack says by itself (MLD, neighbour discovery) would move the address back.
    second.namespace.write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1")
    first.ping(second.ip4)
    frame = Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / b"where are you"
    with Tap(first.namespace) as sender, Tap(third.namespace) as tap:
        # The second container's address appears behind the third port, as it does when a virtual machine migrates.
        tap.send(Ether(dst="ff:ff:ff:ff:ff:ff", src=second.mac) / ARP(op=2, hwsrc=second.mac, psrc=second.ip4, pdst=second.ip4))
        time.sleep(0.3)
        sender.send(frame)
        assert tap.wait(with_payload(b"where are you")) is not None


# What the offload trap leaves of TCP is far below a megabit; what a busy machine leaves is far above this.
LEAST_TCP = 50e6


def test_tcp_runs_with_the_kernels_default_offloads(agent, pair):
    first, second = pair
    end = iperf(first, second, "-t", "3")
    rate = end["sum_received"]["bits_per_second"]
    assert rate > LEAST_TCP, f"TCP ran at {rate / 1e6:.0f} Mbit/s"
    back = iperf(first, second, "-t", "2", "-R")["sum_received"]["bits_per_second"]
    assert back > LEAST_TCP, f"TCP ran at {back / 1e6:.0f} Mbit/s in the other direction"
    assert agent.port(first.port)["offloadNotes"], "port show says nothing about checksum and segmentation offload"


def test_tcp_runs_over_ipv6(pair):
    first, second = pair
    listener = second.start("iperf3", "-s", "-1")
    try:
        eventually(lambda: ":5201" in second.run("ss", "-ltn").stdout, 5)
        done = first.run("iperf3", "-6", "-c", second.ip6, "-J", "-t", "1", check=False, timeout=60)
        end = json.loads(done.stdout)["end"]
        assert end["sum_received"]["bits_per_second"] > LEAST_TCP
    finally:
        listener.kill()
        listener.wait()


def test_udp_arrives_without_loss_at_a_modest_rate(pair):
    first, second = pair
    end = iperf(first, second, "-u", "-b", "20M", "-l", "1400", "-t", "2")
    assert end["sum"]["packets"] > 3000
    assert end["sum"]["lost_percent"] < 1, end["sum"]


def test_fragments_of_a_large_packet_arrive(pair):
    first, second = pair
    first.ping(second.ip4, size=4000)
    first.ping(second.ip6, size=4000)


def test_a_flow_appears_with_its_packets_and_bytes(agent, pair):
    first, second = pair
    first.ping(second.ip4, count=10)

    def flow():
        """a flow of the pings with at least 9 packets is listed"""
        for flow in agent.json("flow", "list"):
            if f"in_port={first.number}" in flow["match"] and flow["packets"] >= 9:
                return flow

    found = eventually(flow, 5)
    assert found["tier"] == "user"
    assert found["bytes"] >= 9 * 98
    assert found["actions"]


def test_vlans_are_kept_apart_and_their_tags_kept_whole(trio):
    first, second, third = trio
    with Tap(first.namespace) as sender, Tap(second.namespace) as two, Tap(third.namespace) as three:
        # The second container speaks in VLAN 100, the third in VLAN 200: each is learned in its own.
        two.send(Ether(dst="ff:ff:ff:ff:ff:ff", src="02:aa:00:00:00:01") / Dot1Q(vlan=100) / ARP())
        three.send(Ether(dst="ff:ff:ff:ff:ff:ff", src="02:aa:00:00:00:01") / Dot1Q(vlan=200) / ARP())
        time.sleep(0.3)
        for vlan in (100, 200):
            sender.send(
                Ether(dst="02:aa:00:00:00:01", src=first.mac) / Dot1Q(vlan=vlan, prio=5) / IP(src="10.9.0.1", dst="10.9.0.2") /
                UDP(dport=9) / b"tagged frame")
        at_two = two.collect(with_payload(b"tagged frame"), 0.7)
        at_three = three.collect(with_payload(b"tagged frame"), 0.2)
    assert [packet[Dot1Q].vlan for packet in at_two] == [100]
    assert [packet[Dot1Q].vlan for packet in at_three] == [200]
    assert at_two[0][Dot1Q].prio == 5


def test_two_tags_pass_unchanged(pair):
    first, second = pair
    frame = (Ether(dst=second.mac, src=first.mac, type=0x88A8) / Dot1Q(vlan=300) / Dot1Q(vlan=7) / IP(src="10.9.0.1", dst="10.9.0.2") /
             UDP(dport=9) / b"two tags")
    with Tap(first.namespace) as sender, Tap(second.namespace) as tap:
        sender.send(frame)
        got = tap.wait(with_payload(b"two tags"))
    assert bytes(got) == bytes(frame)
