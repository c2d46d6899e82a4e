"""The agent's life: start, crash, restart, reload, bad configuration, and what it costs while nothing happens."""

import os
import pathlib
import signal
import subprocess
import time

import pytest
from agent import BIN, Agent, eventually


def start_refused(node, config, *arguments, status=1):
    """The message of an agent that must refuse to start."""
    done = subprocess.run(
        node.enter(BIN / "sluiced", "--config", config, *arguments), capture_output=True, text=True, timeout=20)
    assert done.returncode == status, f"exit {done.returncode}, expected {status}\n{done.stdout}{done.stderr}"
    return done.stderr


def test_ports_rules_and_deny_list_survive_a_kill_9_and_traffic_works_again(agent, net, pair):
    first, second = pair
    agent.ctl("rule", "add", "priority=9,udp,tp_dst=99,actions=drop")
    agent.ctl("deny", "add", "192.0.2.0/24", "2001:db8:bad::/48")
    rules, ports = agent.json("rule", "list"), agent.json("port", "list")
    first.ping(second.ip4)
    agent.kill9()
    agent.start()
    key = lambda rows, *names: [[row[name] for name in names] for row in rows]
    assert key(agent.json("rule", "list"), "text") == key(rules, "text")
    assert key(agent.json("port", "list"), "name", "number", "mode") == key(ports, "name", "number", "mode")
    assert {entry["prefix"] for entry in agent.json("deny", "list")} == {"192.0.2.0/24", "2001:db8:bad::/48"}
    eventually(lambda: all(port["state"] == "up" for port in agent.json("port", "list")))
    eventually(lambda: first.reaches(second.ip4))


def test_a_kill_9_at_any_moment_of_a_change_leaves_a_store_that_opens(agent, pair):
    first, second = pair
    for turn in range(5):
        changing = subprocess.Popen(
            [str(BIN / "sluicectl"), "--socket", agent.socket, "rule", "add", "-"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        try:
            changing.communicate(
                "\n".join(f"priority=50,udp,tp_dst={turn * 1000 + n},actions=drop" for n in range(1000)) + "\n",
                timeout=0.01 + turn * 0.03)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass
        agent.kill9()
        changing.kill()
        changing.wait()
        agent.start()
        # All of a call's rules or none of them.
        assert (len(agent.json("rule", "list")) - 1) % 1000 == 0
    eventually(lambda: first.reaches(second.ip4))


def test_sigterm_drains_and_leaves_no_xdp_program_and_no_socket(agent, net, pair):
    assert net.node.has_xdp("c1")
    assert agent.stop() == 0
    assert not net.node.has_xdp("c1") and not net.node.has_xdp("c2")
    assert not os.path.exists(agent.socket)


def test_an_interface_that_went_away_while_the_agent_was_down_is_missing(agent, net, pair):
    agent.stop()
    net.node.ip("link", "del", "c2")
    agent.start()
    states = {port["name"]: port["state"] for port in agent.json("port", "list")}
    assert states == {"c1": "up", "c2": "missing"}


def test_sighup_reloads_the_configuration(agent, net):
    net.container("c1")
    agent.configure(ports=[{"name": "c1", "interface": "c1"}])
    agent.process.send_signal(signal.SIGHUP)
    eventually(lambda: [port["name"] for port in agent.json("port", "list")] == ["c1"])
    assert net.node.has_xdp("c1")
    agent.configure()
    agent.process.send_signal(signal.SIGHUP)
    eventually(lambda: agent.json("port", "list") == [])


def test_a_bad_configuration_on_reload_changes_nothing_and_is_logged(agent, pair):
    first, second = pair
    agent.config.write_text("agent:\n  sokket: /tmp/x\n")
    agent.process.send_signal(signal.SIGHUP)
    eventually(lambda: "sokket" in agent.log())
    assert agent.alive
    first.ping(second.ip4)


def test_ports_and_rules_of_the_configuration_are_there_at_start(net):
    first, second = net.container("c1"), net.container("c2")
    agent = Agent(
        net.node,
        ports=[{"name": "c1", "interface": "c1", "number": 11}, {"name": "c2", "interface": "c2", "mode": "dedicated", "queues": [0]}],
        rules=["priority=3,actions=normal"])
    try:
        agent.start()
        assert agent.port("c1")["number"] == 11
        assert [rule["priority"] for rule in agent.json("rule", "list")] == [3]
        first.ping(second.ip4)
    finally:
        agent.close()


def test_without_any_rule_configured_the_switch_learns(agent):
    assert [(rule["priority"], rule["actions"].lower()) for rule in agent.json("rule", "list")] == [(0, "normal")]


BAD = [
    ("agent:\n  sokket: /x\n", 2, ["sokket", "socket"]),
    ("colour: red\n", 1, ["colour"]),
    ("workers:\n  count: many\n", 2, ["count", "many"]),
    ("workers:\n  count: 0\n", 2, ["count", "0"]),
    ("workers:\n  mode: lazy\n", 2, ["mode", "lazy", "adaptive", "busy"]),
    ("workers:\n  cpus: [4711]\n", 2, ["cpus", "4711"]),
    ("metrics:\n  address: 0.0.0.0:9474\n", 2, ["address", "0.0.0.0"]),
    ("metrics:\n  address: 127.0.0.1\n", 2, ["address", "port"]),
    ("agent:\n  logFormat: xml\n", 2, ["logFormat", "xml", "json"]),
    ("ports:\n  - {name: eth1, mode: exclusive}\n", 2, ["mode", "exclusive", "shared"]),
    ("ports:\n  - {interface: eth1}\n", 2, ["name"]),
    ("ports:\n  - {name: a, kind: banana}\n", 2, ["kind", "banana", "internal"]),
    ("rules:\n  - \"priority=0,actions=fly\"\n", 2, ["fly"]),
    ("rules: 7\n", 1, ["rules", "7"]),
    ("agent: [\n", 2, []),
    ("agent:\n  socket: /a\n  socket: /b\n", 3, ["socket"]),
]


@pytest.mark.parametrize("text, line, named", BAD, ids=[repr(text) for text, _, _ in BAD])
def test_a_bad_configuration_names_file_line_key_and_what_was_expected(net, tmp_path, text, line, named):
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    message = start_refused(net.node, config)
    assert f"{config}:{line}" in message, message
    for word in named:
        assert word in message, message
    assert "Fatal error" not in message and "backtrace" not in message.lower()


def test_all_mistakes_of_a_configuration_are_reported_at_once(net, tmp_path):
    config = tmp_path / "bad.yaml"
    config.write_text("colour: red\nworkers:\n  count: many\n  mode: lazy\n")
    message = start_refused(net.node, config)
    assert "colour" in message and "many" in message and "lazy" in message


def test_a_configuration_that_does_not_exist_is_named(net, tmp_path):
    assert "nowhere.yaml" in start_refused(net.node, tmp_path / "nowhere.yaml")


def test_a_wrong_option_is_a_usage_error(net):
    done = subprocess.run(net.node.enter(BIN / "sluiced", "--colour", "red"), capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and "--colour" in done.stderr


def test_a_second_agent_on_the_same_socket_is_refused(agent, net, tmp_path):
    second = Agent(net.node, directory=tmp_path, agent={"socket": agent.socket}, metrics={"address": "127.0.0.1:9475"})
    message = start_refused(net.node, second.config)
    assert agent.socket in message and str(agent.process.pid) in message
    assert agent.json("status")["pid"] == agent.process.pid


def test_the_socket_of_a_dead_agent_is_taken_over(agent):
    agent.kill9()
    assert os.path.exists(agent.socket)
    agent.start()
    assert agent.json("status")["ok"] is True


def test_a_store_that_is_not_one_is_named_and_left_alone(net, tmp_path):
    agent = Agent(net.node, directory=tmp_path)
    garbage = b"this is not a database" * 500
    agent.store.write_bytes(garbage)
    assert str(agent.store) in start_refused(net.node, agent.config)
    assert agent.store.read_bytes() == garbage


def test_the_socket_is_open_to_its_group_and_to_nobody_else(agent):
    mode = pathlib.Path(agent.socket).stat().st_mode & 0o777
    assert mode == 0o660


def test_a_peer_outside_the_group_is_refused_even_when_it_can_reach_the_socket(agent):
    os.chmod(agent.socket, 0o666)
    agent.directory.chmod(0o755)
    done = subprocess.run(
        [str(BIN / "sluicectl"), "--socket", agent.socket, "status"], capture_output=True, text=True, timeout=20,
        user=65534, group=65534, extra_groups=[])
    assert done.returncode == 1
    assert agent.json("status")["ok"] is True


def test_an_idle_agent_uses_less_than_two_percent_of_a_core(agent, net):
    # Ports without traffic: nothing may speak, so the containers' interfaces have no addresses.
    for name in ("i1", "i2"):
        namespace = net.namespace(name)
        namespace.write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
        net.veth(name, namespace)
        agent.ctl("port", "add", name)
    time.sleep(2)
    before, started = agent.cpu_seconds(), time.monotonic()
    time.sleep(5)
    share = (agent.cpu_seconds() - before) / (time.monotonic() - started)
    assert share < 0.02, f"{share:.1%} of a core"


@pytest.mark.parametrize("sections", [{"kernel": {"placement": placement}} for placement in ("off", "auto")])
def test_without_ports_it_stays_under_40_megabytes(agent):
    for question in ["status"], ["deny", "list"], ["limit", "list"], ["kernel", "show"], ["flow", "list"]:
        agent.json(*question)
    time.sleep(1)
    resident = agent.resident_bytes()
    assert resident < 40e6, f"{resident / 1e6:.1f} MB resident"


@pytest.mark.parametrize("sections", [{"kernel": {"placement": "auto"}}])
def test_what_is_made_with_the_first_port_serves_the_next_ones(net, agent):
    assert not agent.json("kernel", "show")["inUse"] and not agent.pins.exists()
    first, second = net.container("c1"), net.container("c2")
    for turn in range(2):
        agent.add(first, second)
        eventually(lambda: first.reaches(second.ip4))
        assert agent.json("kernel", "show")["inUse"] and all(port["state"] == "up" for port in agent.json("port", "list"))
        for name in "c1", "c2":
            agent.ctl("port", "del", name)
        assert agent.json("port", "list") == [] and agent.json("kernel", "show")["flows"] == 0
    agent.restart()
    # No port uses the table that the agent before left, if it left one.
    assert not agent.json("kernel", "show")["inUse"] and not agent.pins.exists()
    agent.add(first, second)
    eventually(lambda: first.reaches(second.ip4))


@pytest.mark.parametrize("sections", [{"workers": {"mode": "busy"}}])
def test_busy_workers_never_sleep(agent):
    before = agent.cpu_seconds()
    time.sleep(1)
    # An idle worker that sleeps uses a fiftieth of a second at most; one that polls gets what others leave of its core.
    assert agent.cpu_seconds() - before > 0.1
    worker = agent.json("worker", "show")[0]
    assert worker["mode"] == "busy" and worker["sleeps"] == 0, worker


def test_health_readiness_and_metrics(agent, pair):
    first, second = pair
    first.ping(second.ip4, count=5)
    assert agent.get("/healthz")[0] == 200
    assert agent.get("/readyz")[0] == 200
    assert agent.get("/nowhere")[0] == 404
    status, text = agent.get("/metrics")
    assert status == 200
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names and all(name.startswith("sluice_") for name in names)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            float(line.rpartition(" ")[2])
    assert "c1" in text


def test_logs_can_be_json(net):
    import json

    agent = Agent(net.node, agent={"logFormat": "json"})
    try:
        agent.start()
        lines = [line for line in agent.log().splitlines() if line.strip()]
        assert lines and all(isinstance(json.loads(line), dict) for line in lines)
    finally:
        agent.close()
