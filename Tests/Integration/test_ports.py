"""Ports: what is refused at the door, and what happens when interfaces come, go and flap under the agent."""

import json
import os
import shutil
import subprocess
import time

import pytest
from agent import eventually
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from wire import Tap, with_payload


def test_an_added_port_is_listed_with_its_facts(agent, net):
    container = net.container("c1")
    agent.ctl("port", "add", "c1", "--number", "7")
    port = agent.port("c1")
    assert (port["name"], port["number"], port["kind"], port["mode"], port["state"]) == ("c1", 7, "netdev", "dedicated", "up")
    assert port["mtu"] == 1500 and port["maxMtu"] >= 3498 and port["xdpMode"] == "native"
    assert port["queues"][0]["zeroCopy"] is False and port["queues"][0]["copyReason"]
    assert net.node.has_xdp("c1")
    assert [row["name"] for row in agent.json("port", "list")] == ["c1"]
    assert container.port in agent.ctl("port", "show", "7").stdout


def test_deleting_a_port_leaves_the_interface_as_it_was(agent, net):
    net.container("c1")
    before = net.node.ip("-d", "link", "show", "c1").stdout
    agent.ctl("port", "add", "c1")
    agent.ctl("port", "del", "c1")
    assert not net.node.has_xdp("c1")
    assert net.node.ip("-d", "link", "show", "c1").stdout == before
    assert agent.json("port", "list") == []


def test_adding_the_same_port_again_changes_nothing(agent, net):
    net.container("c1")
    agent.ctl("port", "add", "c1", "--number", "3")
    assert agent.json("port", "add", "c1", "--number", "3")["alreadyPresent"] is True
    assert len(agent.json("port", "list")) == 1


def test_a_different_port_of_the_same_name_or_number_is_refused(agent, net):
    net.container("c1"), net.container("c2")
    agent.ctl("port", "add", "c1", "--number", "3")
    assert "c1" in agent.refusal("port", "add", "c1", "--number", "4")
    assert "3" in agent.refusal("port", "add", "c2", "--number", "3")
    assert "c1" in agent.refusal("port", "add", "other", "--interface", "c1")
    assert len(agent.json("port", "list")) == 1


def test_a_port_that_is_not_there_is_deleted_only_with_if_exists(agent):
    assert "ghost" in agent.refusal("port", "del", "ghost")
    assert agent.json("port", "del", "--if-exists", "ghost")["deleted"] is False


def test_an_interface_that_does_not_exist_is_refused_by_name(agent):
    assert "nosuch0" in agent.refusal("port", "add", "nosuch0")
    assert agent.json("port", "list") == []


def test_an_mtu_beyond_the_limit_is_refused_with_the_limit_and_the_remedy(agent, net):
    net.container("big", mtu=9000)
    message = agent.refusal("port", "add", "big")
    assert "9000" in message and "mtu" in message.lower() and "ip link set" in message
    limit = int(message.split("ip link set", 1)[1].split("mtu", 1)[1].split()[0].strip(".)`'\""))
    assert not net.node.has_xdp("big")
    net.node.ip("link", "set", "big", "mtu", str(limit))
    agent.ctl("port", "add", "big")


def test_a_veth_that_takes_no_program_in_its_driver_is_degraded_and_says_what_to_do(agent, net):
    # Fewer receive queues here than transmit queues there: the veth driver refuses XDP, the stack does not.
    end = net.namespace("odd")
    one, two = (("numtxqueues", n, "numrxqueues", n) for n in (1, 2))
    net.node.ip("link", "add", "odd", *one, "type", "veth", "peer", "name", "eth0", *two, "netns", end.name)
    net.node.ip("link", "set", "odd", "up")
    end.ip("link", "set", "eth0", "up")
    agent.ctl("port", "add", "odd")
    port = agent.json("port", "show", "odd")
    assert port["state"] == "degraded" and "ethtool -K" in port["stateMessage"], port
    assert not any("switched segmentation offload" in note for note in port["offloadNotes"]), port


def test_the_largest_frames_pass(agent, net):
    first, second = net.container("c1", mtu=3490), net.container("c2", mtu=3490)
    agent.add(first, second)
    first.ping(second.ip4, size=3490 - 28)


@pytest.mark.timeout(300)
def test_two_hundred_ports(agent, net):
    containers = [net.container(f"c{n}") for n in range(1, 201)]
    started = time.monotonic()
    agent.add(*containers)
    assert time.monotonic() - started < 90
    ports = agent.json("port", "list")
    assert len(ports) == 200 and all(port["state"] == "up" for port in ports)
    for first, second in ((0, 199), (57, 58), (120, 3), (199, 100)):
        containers[first].ping(containers[second].ip4)
    agent.ctl("port", "del", "c100")
    assert len(agent.json("port", "list")) == 199
    containers[0].ping(containers[198].ip4)


def test_a_port_that_flaps_forwards_again(agent, net, pair):
    first, second = pair
    for _ in range(3):
        net.node.ip("link", "set", "c2", "down")
        eventually(lambda: agent.port("c2")["state"] == "down")
        assert not first.reaches(second.ip4)
        net.node.ip("link", "set", "c2", "up")
        eventually(lambda: agent.port("c2")["state"] == "up")
        eventually(lambda: first.reaches(second.ip4), 5)


def test_a_peer_that_loses_its_link_is_shown_as_down(agent, pair):
    _, second = pair
    second.namespace.ip("link", "set", "eth0", "down")
    eventually(lambda: agent.port("c2")["state"] == "down")
    second.namespace.ip("link", "set", "eth0", "up")
    eventually(lambda: agent.port("c2")["state"] == "up")


def test_an_interface_deleted_under_the_agent_is_missing_and_comes_back(agent, net, pair):
    first, second = pair
    first.ping(second.ip4)
    net.node.ip("link", "del", "c2")
    gone = eventually(lambda: (port := agent.port("c2"))["state"] == "missing" and port)
    assert gone["stateMessage"]
    assert agent.alive and first.namespace.interfaces() == ["eth0"]
    net.veth("c2", second.namespace, mac=second.mac)
    second.namespace.ip("addr", "add", f"{second.ip4}/16", "dev", "eth0")
    eventually(lambda: agent.port("c2")["state"] == "up")
    eventually(lambda: first.reaches(second.ip4), 5)


def test_a_namespace_deleted_under_load_harms_nobody_else(agent, net, trio):
    first, second, third = trio
    flood = first.start("ping", "-f", "-q", "-w", "5", third.ip4)
    time.sleep(0.5)
    third.namespace.delete()
    eventually(lambda: agent.port("c3")["state"] == "missing", 10)
    flood.kill()
    flood.wait()
    first.ping(second.ip4)


FOREIGN = """
__attribute__((section("xdp"), used)) int foreign(void *context) { return 2; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


@pytest.fixture
def foreign_program(tmp_path):
    """An object file with an XDP program that is not ours."""
    clang = shutil.which("clang") or "/opt/swift/usr/bin/clang"
    source, output = tmp_path / "foreign.c", tmp_path / "foreign.o"
    source.write_text(FOREIGN)
    subprocess.run([clang, "-O2", "-g", "-target", "bpf", "-c", source, "-o", output], check=True)
    return output


def test_a_foreign_xdp_program_is_refused_with_its_id_and_tag_and_left_alone(agent, net, foreign_program):
    net.container("c1")
    net.node.ip("link", "set", "dev", "c1", "xdp", "obj", foreign_program, "sec", "xdp")
    link = json.loads(net.node.ip("-j", "-d", "link", "show", "c1").stdout)[0]["xdp"]["prog"]
    message = agent.refusal("port", "add", "c1")
    assert str(link["id"]) in message and link["tag"] in message and "c1" in message
    again = json.loads(net.node.ip("-j", "-d", "link", "show", "c1").stdout)[0]["xdp"]["prog"]
    assert again["id"] == link["id"]
    net.node.ip("link", "set", "dev", "c1", "xdp", "off")
    agent.ctl("port", "add", "c1")


def test_a_shared_port_leaves_the_host_its_own_traffic(agent, net):
    outside, second = net.container("uplink"), net.container("c2")
    net.node.ip("addr", "add", "10.77.250.1/16", "dev", "uplink")
    net.node.ip("-6", "addr", "add", "fd77::fa01/64", "dev", "uplink")
    agent.ctl("port", "add", "uplink", "--mode", "shared", "--number", "1")
    agent.ctl("port", "add", "c2", "--number", "2")
    assert agent.port("uplink")["mode"] == "shared"
    # To the host itself, both families, and past it to a container.
    outside.ping("10.77.250.1")
    outside.ping("fd77::fa01")
    outside.ping(second.ip4)
    # The host's addresses may change while the port is there.
    net.node.ip("addr", "add", "10.77.250.2/16", "dev", "uplink")
    eventually(lambda: outside.reaches("10.77.250.2"), 5)


def test_an_internal_port_gives_the_host_a_leg_in_the_switch(agent, net, pair):
    first, _ = pair
    agent.ctl("port", "add", "host0", "--internal", "--number", "9")
    assert agent.port("host0")["kind"] == "internal"
    net.node.ip("addr", "add", "10.77.251.1/16", "dev", "host0")
    net.node.ip("link", "set", "host0", "up")
    eventually(lambda: first.reaches("10.77.251.1"), 5)
    net.node.run("ping", "-q", "-c", "3", "-i", "0.05", first.ip4)
    agent.ctl("port", "del", "host0")
    assert "host0" not in net.node.interfaces() and len(net.node.interfaces()) == 2


def test_several_queues_all_forward(agent, net):
    namespace = net.namespace("multi")
    net.veth("c1", namespace, mac="02:00:00:00:00:01", queues=2)
    second = net.container("c2")
    agent.ctl("port", "add", "c1")
    agent.ctl("port", "add", "c2")
    assert [queue["queue"] for queue in agent.port("c1")["queues"]] == [0, 1]
    agent.rules("in_port=1,actions=output:2")
    with Tap(namespace) as sender, Tap(second.namespace) as tap:
        for port in range(64):
            sender.send(Ether(dst=second.mac, src="02:00:00:00:00:01") / IP(src="10.1.0.1", dst="10.1.0.2") / UDP(sport=1000 + port, dport=9) / b"spread")
        assert len(tap.collect(with_payload(b"spread"), 1)) == 64


def test_a_queue_that_does_not_exist_is_refused(agent, net):
    net.container("c1")
    assert "7" in agent.refusal("port", "add", "c1", "--queues", "7")
    assert not net.node.has_xdp("c1")


def test_port_counters_count_frames_and_bytes(agent, pair):
    first, second = pair
    before = agent.port("c1"), agent.port("c2")
    with Tap(first.namespace) as tap:
        frame = bytes(Ether(dst=second.mac, src=first.mac) / IP(src=first.ip4, dst=second.ip4) / UDP(dport=9) / (b"x" * 58))
        assert len(frame) == 100
        for _ in range(50):
            tap.send(frame)

    def counted():
        """both ports counted the 50 frames"""
        after = agent.port("c1"), agent.port("c2")
        return after[0]["rxPackets"] - before[0]["rxPackets"] >= 50 and after[1]["txPackets"] - before[1]["txPackets"] >= 50 and after

    after = eventually(counted)
    assert after[0]["rxBytes"] - before[0]["rxBytes"] >= 5000


def test_adding_and_deleting_a_port_many_times_leaks_nothing(agent, net, pair):
    first, second = pair
    net.container("c3")
    descriptors = lambda: len(os.listdir(f"/proc/{agent.process.pid}/fd"))
    agent.ctl("port", "add", "c3"), agent.ctl("port", "del", "c3")
    free, open_files = agent.json("worker", "show")[0]["framesFree"], descriptors()
    for _ in range(20):
        agent.ctl("port", "add", "c3")
        agent.ctl("port", "del", "c3")
    assert descriptors() <= open_files + 2
    eventually(lambda: abs(agent.json("worker", "show")[0]["framesFree"] - free) <= 64)
    first.ping(second.ip4)


def flags(namespace, interface):
    words = namespace.ip("-d", "link", "show", "dev", interface).stdout
    return {word for word in ("UP", "PROMISC") if word in words.partition("<")[2].partition(">")[0].split(",")}


@pytest.mark.parametrize("end", ["none", "kill9", "stop"])
def test_an_interface_is_as_it_was_when_its_port_is_deleted_also_by_a_later_agent(agent, net, end):
    net.node.ip("tuntap", "add", "dev", "tap0", "mode", "tap")
    agent.ctl("port", "add", "tap0")
    assert flags(net.node, "tap0") == {"UP", "PROMISC"}
    if end != "none":
        getattr(agent, end)()
        agent.start()
        assert flags(net.node, "tap0") == {"UP", "PROMISC"}
    agent.ctl("port", "del", "tap0")
    assert flags(net.node, "tap0") == set()


def test_an_interface_that_is_no_port_any_more_after_a_crash_is_as_it_was(agent, net):
    net.node.ip("tuntap", "add", "dev", "tap0", "mode", "tap")
    agent.configure(ports=[{"name": "tap0"}])
    agent.restart()
    assert flags(net.node, "tap0") == {"UP", "PROMISC"}
    agent.kill9()
    agent.configure()
    agent.start()
    assert flags(net.node, "tap0") == set() and not net.node.has_xdp("tap0")
    # What a person does to it from now on is theirs.
    net.node.ip("link", "set", "dev", "tap0", "up", "promisc", "on")
    agent.restart()
    assert flags(net.node, "tap0") == {"UP", "PROMISC"}
