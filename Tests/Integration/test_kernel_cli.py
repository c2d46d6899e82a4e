"""What sluicectl says of the kernel: `kernel show`, `flow why`, `top`, `doctor`."""

import json
import subprocess

import pytest
from agent import CTL, eventually
from streams import UdpStream

ACROSS = ["priority=5,in_port=1,actions=output:2", "priority=5,in_port=2,actions=output:1"]


@pytest.fixture
def sections():
    return {"kernel": {"placement": "eager"}}


@pytest.fixture
def pair(net, agent):
    first, second = net.container("c1"), net.container("c2")
    agent.add(first, second)
    first.neighbour(second)
    second.neighbour(first)
    agent.rules(*ACROSS)
    return first, second


def held(agent):
    return agent.json("kernel", "show")["flows"]


def test_kernel_show_counts_flows_and_names_programs_and_maps(agent, pair):
    first, second = pair
    with UdpStream(first, second):
        eventually(lambda: held(agent) > 0, 10)
        shown = agent.json("kernel", "show")
    assert shown["inUse"] and not shown["drained"]
    assert 0 < shown["flows"] <= shown["capacity"] and shown["placed"] >= shown["flows"]
    at_tc = {program["port"]: program for program in shown["programs"] if program["hook"] == "tc"}
    assert set(at_tc) == {"c1", "c2"}
    for program in at_tc.values():
        assert program["name"] == "sluice_tc" and len(program["tag"]) == 16
        assert program["instructions"] > 100 and program["jitedBytes"] > 0
    up = next(program for program in shown["programs"] if program["port"] is None)
    assert (up["name"], up["hook"], up["xdpMode"]) == ("sluice_up", "xdp", "native")
    flows = next(each for each in shown["maps"] if each["name"] == "sluice_flows")
    assert flows["used"] >= 1 and flows["entries"] > shown["capacity"] - 2 and flows["memoryBytes"] > 0
    text = agent.ctl("kernel", "show").stdout
    assert "sluice_tc" in text and "sluice_flows" in text and text.startswith("Flows:")


def test_kernel_show_after_a_drain_says_how_to_go_on(agent, pair):
    first, second = pair
    with UdpStream(first, second):
        eventually(lambda: held(agent) > 0, 10)
        agent.ctl("agent", "drain")
        shown = agent.json("kernel", "show")
        assert shown["drained"] and shown["flows"] == 0 and shown["withdrawn"] > 0
        assert "sluicectl agent resume" in agent.ctl("kernel", "show").stdout


@pytest.mark.parametrize("hook", ["tc", "xdp"])
def test_drops_by_flows_in_the_kernel_are_sampled(agent, net, hook):
    first, second = net.container("c1"), net.container("c2")
    for end in (first, second):
        agent.ctl("port", "add", end.port, "--number", end.number, "--hook", hook)
    first.neighbour(second)
    agent.rules("in_port=1,udp,actions=drop")
    monitor = subprocess.Popen(
        [str(CTL), "--socket", agent.socket, "-o", "json", "monitor", "samples", "--count", "2"], stdout=subprocess.PIPE, text=True)
    try:
        with UdpStream(first, second):
            samples = [json.loads(line) for line in monitor.communicate(timeout=20)[0].splitlines()]
    finally:
        monitor.kill()
    assert [(sample["event"], sample["port"], sample["reason"]) for sample in samples] == [("dropSample", "c1", "flow")] * 2
    assert bytes.fromhex(samples[0]["frame"])[:6].hex(":") == second.mac


def test_flow_why_names_the_tier_that_executes_a_flow(agent, pair):
    first, second = pair
    with UdpStream(first, second):
        flow = eventually(lambda: next((flow for flow in agent.json("flow", "list", "--port", 1) if flow["tier"] == "kernel"), None), 10)
        why = agent.json("flow", "why", flow["id"])
        assert why["tiers"][0]["tier"] == "kernel" and why["tiers"][0]["held"]
        assert "priority=5" in why["ruleText"]
        text = agent.ctl("flow", "why", flow["id"]).stdout
    assert "kernel:   executes it" in text and "table 0 priority 5" in text


def test_flow_why_says_what_keeps_a_flow_in_the_worker(agent, net, pair):
    first, second = pair
    third = net.container("x1")
    agent.ctl("port", "add", "x1", "--number", 3, "--hook", "xdp", "--kernel", "off")
    third.neighbour(second)
    agent.rules("priority=5,in_port=3,actions=output:2")
    with UdpStream(third, second):
        flow = eventually(lambda: next(iter(agent.json("flow", "list", "--port", 3)), None))
        why = agent.json("flow", "why", flow["id"])
        assert why["tier"] == "user"
        assert not why["tiers"][0]["held"] and "placement of its port is off" in why["tiers"][0]["reason"]
        assert "worker 0 executes it" in agent.ctl("flow", "why", flow["id"]).stdout


def test_flow_why_of_no_flow_is_an_error(agent):
    assert "there is no flow 999999" in agent.refusal("flow", "why", "999999")


def test_top_shows_the_busiest_flow_first(agent, pair):
    first, second = pair
    with UdpStream(first, second) as stream:
        eventually(lambda: stream.arrived() > 50, 10)
        top = agent.json("top", "--once", "-n", 1, "--interval", "0.5")
        text = agent.ctl("top", "--interval", "0.3").stdout
    assert len(top["flows"]) == 1 and 0.4 < top["seconds"] < 3
    busiest = top["flows"][0]
    assert busiest["port"] == "c1" and "in_port=1" in busiest["match"]
    assert busiest["packetsPerSecond"] > 100 and busiest["bytesPerSecond"] > busiest["packetsPerSecond"]
    assert top["packetsPerSecond"] >= busiest["packetsPerSecond"]
    assert "packets/s" in text.splitlines()[0] and "\x1b" not in text


def test_top_without_packets_prints_an_empty_interval(agent):
    assert agent.json("top", "--once", "--interval", "0.1")["flows"] == []


def test_the_doctor_finds_nothing_that_fails_on_a_machine_where_the_tests_run(agent, pair):
    done = agent.ctl("doctor", "-o", "json", check=False)
    found = json.loads(done.stdout)
    assert [finding for finding in found["findings"] if finding["verdict"] == "fail"] == []
    assert done.returncode == 0
    subjects = {finding["subject"] for finding in found["findings"]}
    assert {"agent", "kernel", "worker 0", "port c1", "port c2", "way up"} <= subjects
    assert all(finding["mend"] for finding in found["findings"] if finding["verdict"] != "ok")


def test_the_doctor_finds_what_was_broken_and_says_how_to_mend_it(agent, net, pair):
    net.node.run("sysctl", "-qw", "net.ipv6.conf.sluice-up0.disable_ipv6=0")
    net.node.run("ip", "link", "set", "dev", "c1", "down")
    found = agent.json("doctor", check=False)["findings"]
    mends = [finding["mend"] for finding in found if finding["verdict"] != "ok"]
    namespace = f"nsenter --net=/proc/{agent.process.pid}/ns/net "
    assert namespace + "ip link set dev c1 up" in mends
    assert namespace + "sysctl -w net.ipv6.conf.sluice-up0.disable_ipv6=1" in mends
    for mend in mends:
        if mend.startswith(namespace):
            subprocess.run(mend.split(), check=True, capture_output=True)
    eventually(lambda: not [
        finding for finding in agent.json("doctor", check=False)["findings"]
        if finding["verdict"] != "ok" and finding["subject"] in ("port c1", "way up")])


def test_the_doctor_works_without_an_agent(tmp_path):
    done = subprocess.run(
        [str(CTL), "--socket", str(tmp_path / "none.sock"), "-o", "json", "doctor", "sluice-none0"], capture_output=True, text=True,
        timeout=30)
    assert done.returncode == 1 and done.stderr.startswith("sluicectl: ")
    findings = json.loads(done.stdout)["findings"]
    failed = {(finding["subject"], finding["check"]): finding for finding in findings if finding["verdict"] == "fail"}
    assert failed[("agent", "reachable")]["mend"] == "systemctl start sluiced"
    assert failed[("interface sluice-none0", "link")]["message"] == "there is no interface sluice-none0"
    assert any(finding["check"] == "AF_XDP sockets" and finding["verdict"] == "ok" for finding in findings)
