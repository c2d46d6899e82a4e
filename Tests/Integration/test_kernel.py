"""The kernel tier: flows that never leave the kernel, what becomes of them when rules change, and when the agent goes away."""

import json
import os
import pathlib
import socket
import subprocess
import time

import pytest
from agent import Agent, eventually
from streams import TcpStream, UdpStream

ACROSS = ["priority=5,in_port=1,actions=output:2", "priority=5,in_port=2,actions=output:1"]


@pytest.fixture
def sections():
    return {"kernel": {"placement": "eager"}}


@pytest.fixture
def pair(net, agent):
    """Two containers on ports 1 and 2 by tc, that know each other and send only what the test does."""
    first, second = net.container("c1"), net.container("c2")
    agent.add(first, second)
    first.neighbour(second)
    second.neighbour(first)
    return first, second


@pytest.fixture
def uplink(net, agent):
    """A container on port 1 by tc, and a host behind port 2, which is an uplink: by XDP."""
    first, second = net.container("c1"), net.container("wan")
    agent.add(first)
    agent.ctl("port", "add", "wan", "--number", 2, "--hook", "xdp")
    first.neighbour(second)
    second.neighbour(first)
    return first, second


def kernel_flows(agent, match=""):
    return [flow for flow in agent.json("flow", "list", *([match] if match else [])) if flow["tier"] == "kernel"]


def tc_programs(net, interface):
    """The names of the tc programs at an interface's ingress."""
    shown = net.node.run("tc", "filter", "show", "dev", interface, "ingress").stdout
    return [word for word in shown.split() if word.startswith("sluice_tc")]


def is_active(stream, agent, node):
    """Whether a stream's packets are forwarded without the agent: the worker sees no more of them."""
    before = worker_packets(agent)
    time.sleep(0.5)
    return worker_packets(agent) - before < 20


def worker_packets(agent):
    return sum(worker["packets"] for worker in agent.json("worker", "show"))


def wait_until_in_the_kernel(stream, agent):
    eventually(lambda: stream.arrived() > 50)
    eventually(lambda: is_active(stream, agent, agent.node), 10)


# --- forwarding ---------------------------------------------------------------------------------------------------------


def test_containers_talk_through_the_kernel_by_tc_and_keep_their_offloads(agent, net, pair):
    first, second = pair
    agent.rules(*ACROSS)
    assert tc_programs(net, "c1") and tc_programs(net, "c2")
    assert not net.node.has_xdp("c1") and not net.node.has_xdp("c2")
    assert "tcp-segmentation-offload: on" in first.run("ethtool", "-k", "eth0").stdout
    with UdpStream(first, second) as udp, TcpStream(first, second) as tcp:
        wait_until_in_the_kernel(udp, agent)
        flows = kernel_flows(agent)
        assert flows and all(flow["actions"].startswith("output:") for flow in flows)
    assert udp.lost() == []
    assert tcp.error is None and tcp.received == tcp.sent > 1_000_000


def test_port_show_says_hook_and_placement(agent, pair, net):
    net.container("x1")
    agent.ctl("port", "add", "x1", "--hook", "xdp", "--kernel", "off")
    shown = agent.port("c1")
    assert (shown["hook"], shown["kernel"], shown["state"]) == ("tc", "eager", "up")
    shown = agent.port("x1")
    assert (shown["hook"], shown["kernel"]) == ("xdp", "off")
    assert "kernel" in agent.ctl("port", "show", "c1").stdout


def test_counters_of_flows_rules_and_ports_hold_what_the_kernel_forwarded(agent, pair):
    first, second = pair
    agent.rules(*ACROSS)
    before = agent.port("c1")
    with UdpStream(first, second, size=100) as stream:
        eventually(lambda: stream.arrived() > 3000, 20)
    sent = stream.sent
    assert stream.lost() == []
    # The container may have looked for IPv6 routers, too.
    assert max(flow["packets"] for flow in kernel_flows(agent) if "in_port=1" in flow["match"]) >= sent
    port = agent.port("c1")
    assert port["rxPackets"] - before["rxPackets"] >= sent
    assert port["kernelRxPackets"] >= sent / 2
    # Ethernet, IPv4 and UDP headers, and 100 bytes.
    assert port["rxBytes"] - before["rxBytes"] >= sent * 142
    assert agent.port("c2")["kernelTxPackets"] >= sent / 2
    eventually(lambda: next(rule for rule in agent.json("rule", "list") if "in_port=1" in rule["text"])["packets"] >= sent)
    assert agent.json("status")["rxPackets"] >= sent
    assert agent.metric("sluice_port_kernel_receive_packets_total", port="c1") >= sent / 2
    assert agent.metric("sluice_port_kernel_transmit_packets_total", port="c2") >= sent / 2
    assert agent.metric("sluice_tier_flows", tier="kernel") >= 1 and agent.metric("sluice_tier_placed_total", tier="kernel") >= 1
    assert agent.metric("sluice_flow_setups_total") >= 1


def test_one_packet_of_a_new_connection_goes_up(agent, pair):
    first, second = pair
    ports = range(40000, 40100)
    agent.rules(
        "priority=1,actions=normal",
        *(f"priority=5,tcp,{field}={port},actions=normal" for port in ports for field in ("tp_src", "tp_dst")))
    first.ping(second.ip4)
    before = worker_packets(agent)
    with second.namespace.call(lambda: socket.create_server((second.ip4, 6000))) as listener:
        for port in ports:
            with first.namespace.call(socket.socket) as client:
                client.bind((first.ip4, port))
                client.connect((second.ip4, 6000))
                client.sendall(b"question")
                with listener.accept()[0] as server:
                    assert server.recv(100) == b"question"
                    server.sendall(b"answer")
                    assert client.recv(100) == b"answer"
    # Each has its two flows; the one of the answers is there before the first of them.
    assert len([flow for flow in kernel_flows(agent, "tcp") if "tp_" in flow["match"]]) >= 2 * len(ports)
    assert worker_packets(agent) - before < 1.5 * len(ports)


def test_a_container_and_an_uplink_talk_through_tc_and_xdp(agent, net, uplink):
    first, second = uplink
    agent.rules(*ACROSS)
    assert net.node.has_xdp("wan") and not net.node.has_xdp("c1")
    with UdpStream(first, second) as there, UdpStream(second, first, port=4001) as back, TcpStream(first, second) as tcp:
        wait_until_in_the_kernel(there, agent)
    assert there.lost() == [] and back.lost() == []
    assert tcp.error is None and tcp.received == tcp.sent
    assert agent.port("wan")["kernelRxPackets"] > 0 and agent.port("c1")["kernelRxPackets"] > 0


def test_normal_forwards_in_the_kernel_too(agent, pair):
    first, second = pair
    first.ping(second.ip4)
    with UdpStream(first, second) as stream:
        wait_until_in_the_kernel(stream, agent)
    assert stream.lost() == []


def test_a_rule_change_is_obeyed_at_once(agent, pair):
    first, second = pair
    agent.rules(*ACROSS)
    with UdpStream(first, second) as stream:
        wait_until_in_the_kernel(stream, agent)
        agent.ctl("rule", "add", "priority=9,udp,actions=drop")
        # What was received after the answer had left before it.
        time.sleep(0.05)
        count = stream.arrived()
        time.sleep(0.5)
        assert stream.arrived() == count
        agent.ctl("rule", "del", "--strict", "priority=9,udp")
        eventually(lambda: stream.arrived() > count + 100)


def test_a_port_that_goes_down_and_up_again_and_one_that_is_deleted(agent, net, pair):
    first, second = pair
    agent.rules(*ACROSS)
    with UdpStream(first, second) as stream:
        wait_until_in_the_kernel(stream, agent)
        net.node.ip("link", "set", "c2", "down")
        eventually(lambda: agent.port("c2")["state"] == "down")
        net.node.ip("link", "set", "c2", "up")
        second.neighbour(first)
        count = stream.arrived()
        eventually(lambda: stream.arrived() > count + 100)
        agent.ctl("port", "del", "c2")
        assert tc_programs(net, "c2") == []
        assert "clsact" not in net.node.run("tc", "qdisc", "show", "dev", "c2").stdout
        agent.ctl("port", "add", "c2", "--number", 2)
        count = stream.arrived()
        eventually(lambda: stream.arrived() > count + 100)


# --- survival -----------------------------------------------------------------------------------------------------------


def test_established_flows_lose_nothing_when_the_agent_is_killed_restarted_and_rules_change(agent, net, pair):
    first, second = pair
    agent.rules(*ACROSS)
    with UdpStream(first, second) as udp, TcpStream(first, second) as tcp:
        wait_until_in_the_kernel(udp, agent)
        before = tcp.lost()
        agent.kill9()
        count = udp.arrived()
        time.sleep(1)
        assert udp.arrived() > count + 500, "the kernel stopped forwarding when the agent died"
        agent.start()
        assert "took over the flows of the agent before" in agent.log()
        agent.ctl("rule", "add", "priority=7,udp,tp_dst=9,actions=drop")
        agent.ctl("rule", "add", "priority=6,in_port=1,udp,actions=output:2")
        count = udp.arrived()
        eventually(lambda: udp.arrived() > count + 500)
        after = tcp.lost()
    assert udp.lost() == []
    assert tcp.error is None and after == before
    assert kernel_flows(agent)


def test_an_uplinks_established_flows_lose_nothing_when_the_agent_is_killed_and_restarted(agent, net, uplink):
    first, second = uplink
    agent.rules(*ACROSS)
    with UdpStream(first, second) as there, UdpStream(second, first, port=4001) as back:
        wait_until_in_the_kernel(there, agent)
        agent.kill9()
        time.sleep(0.5)
        agent.start()
        count = back.arrived()
        eventually(lambda: back.arrived() > count + 500)
    assert there.lost() == [] and back.lost() == []


def test_learned_stations_survive_with_their_flows(agent, net, pair):
    first, second = pair
    first.ping(second.ip4)
    with UdpStream(first, second) as there, UdpStream(second, first, port=4001) as back:
        wait_until_in_the_kernel(there, agent)
        agent.kill9()
        agent.start()
        stations = {entry["mac"] for entry in agent.json("fdb", "list")}
        count = there.arrived()
        eventually(lambda: there.arrived() > count + 200)
    assert {first.mac, second.mac} <= stations
    assert there.lost() == [] and back.lost() == []


def test_sigterm_leaves_the_kernel_forwarding(agent, net, pair):
    first, second = pair
    agent.rules(*ACROSS)
    with UdpStream(first, second) as stream:
        wait_until_in_the_kernel(stream, agent)
        assert agent.stop() == 0
        time.sleep(0.5)
        agent.start()
        time.sleep(0.5)
    assert stream.lost() == []


def test_another_layout_of_the_table_loses_nothing(agent, net, pair):
    first, second = pair
    agent.rules(*ACROSS)
    with UdpStream(first, second) as udp, TcpStream(first, second) as tcp:
        wait_until_in_the_kernel(udp, agent)
        before = tcp.lost()
        agent.kill9()
        # To the next agent this is the table of a version that it does not know.
        version = next(agent.pins.glob("v*"))
        version.rename(agent.pins / "v999")
        agent.start()
        assert not (agent.pins / "v999").exists()
        count = udp.arrived()
        eventually(lambda: udp.arrived() > count + 500)
        eventually(lambda: is_active(udp, agent, net.node), 10)
        after = tcp.lost()
    assert udp.lost() == []
    assert tcp.error is None and after == before


def test_flows_that_the_rules_of_the_restarted_agent_forbid_end(agent, pair):
    first, second = pair
    agent.configure(kernel={"placement": "eager"}, rules=ACROSS)
    agent.ctl("rule", "replace", "-", input="\n".join(ACROSS) + "\n")
    with UdpStream(first, second) as stream:
        wait_until_in_the_kernel(stream, agent)
        agent.ctl("rule", "add", "priority=1,actions=drop")
        agent.kill9()
        # The store says otherwise when the agent is back: as if somebody had changed it meanwhile.
        import sqlite3

        with sqlite3.connect(agent.store) as store:
            store.execute("DELETE FROM rule WHERE text LIKE '%in_port=1%'")
        agent.start()
        time.sleep(0.05)
        count = stream.arrived()
        time.sleep(0.3)
        assert stream.arrived() == count


# --- taking it away -----------------------------------------------------------------------------------------------------


def test_drain_brings_all_flows_back_and_forwarding_goes_on(agent, pair):
    first, second = pair
    agent.rules(*ACROSS)
    with UdpStream(first, second) as stream:
        wait_until_in_the_kernel(stream, agent)
        assert agent.json("agent", "drain")["withdrawn"] > 0
        assert kernel_flows(agent) == []
        count = stream.arrived()
        eventually(lambda: stream.arrived() > count + 300)
        assert kernel_flows(agent) == []
        agent.ctl("agent", "resume")
        eventually(lambda: kernel_flows(agent), 10)
        eventually(lambda: is_active(stream, agent, agent.node), 10)
    assert stream.lost() == []


def leftovers(net, agent):
    """What is left of an agent on the node and under its directory."""
    left = []
    for interface in net.node.interfaces():
        if net.node.has_xdp(interface):
            left.append(f"xdp on {interface}")
        if tc_programs(net, interface):
            left.append(f"tc on {interface}")
        if "clsact" in net.node.run("tc", "qdisc", "show", "dev", interface).stdout:
            left.append(f"clsact on {interface}")
        if interface.startswith("sluice-up"):
            left.append(interface)
    return left + ([str(agent.pins)] if agent.pins.exists() else [])


def test_uninstall_removes_everything_and_ends_the_agent(agent, net, uplink):
    agent.rules(*ACROSS)
    agent.ctl("port", "add", "host0", "--internal")
    assert leftovers(net, agent)
    agent.ctl("agent", "uninstall")
    assert agent.process.wait(15) == 0
    assert leftovers(net, agent) == []
    assert "host0" not in net.node.interfaces()
    agent.start()
    assert {port["name"] for port in agent.json("port", "list")} == {"c1", "wan", "host0"}


@pytest.mark.parametrize("end", ["kill9", "stop"])
def test_uninstall_without_an_agent_removes_everything(agent, net, uplink, end):
    agent.rules(*ACROSS)
    getattr(agent, end)()
    assert leftovers(net, agent)
    assert agent.uninstall()
    assert leftovers(net, agent) == []


def test_uninstall_is_refused_while_an_agent_runs(agent, net, pair):
    with pytest.raises(AssertionError, match="another agent"):
        agent.uninstall()


def test_a_second_agent_does_not_share_the_table(agent, net, pair):
    other = Agent(net.namespace("other"), kernel={"placement": "eager", "directory": str(agent.pins)})
    try:
        other.start()
        kernel = next(part for part in other.json("status")["components"] if part["name"] == "kernel tier")
        assert not kernel["ok"] and "another agent" in kernel["message"]
    finally:
        other.close()


def test_uninstall_leaves_the_table_of_another_agent(agent, net, pair):
    other = Agent(net.namespace("other"), kernel={"placement": "eager", "directory": str(agent.pins)})
    try:
        other.start()
        assert "another agent" in other.ctl("agent", "uninstall").stdout
    finally:
        other.close()
    assert list(agent.pins.glob("v*/*")), "the maps of the first agent are gone"
    pair[0].ping(pair[1].ip4)


def test_a_tc_program_that_somebody_took_off_comes_back(agent, net, pair):
    net.node.run("tc", "qdisc", "del", "dev", "c1", "clsact")
    assert not tc_programs(net, "c1")
    eventually(lambda: tc_programs(net, "c1"), 12)
    pair[0].ping(pair[1].ip4)


def test_without_placement_everything_is_as_before(net):
    agent = Agent(net.node)
    try:
        agent.start()
        first, second = net.container("c1"), net.container("c2")
        agent.add(first, second)
        first.ping(second.ip4)
        assert agent.port("c1")["hook"] == "xdp" and agent.port("c1")["kernel"] == "off"
        assert not agent.pins.exists() and "sluice-up0" not in net.node.interfaces()
        agent.stop()
        assert leftovers(net, agent) == []
    finally:
        agent.close()
