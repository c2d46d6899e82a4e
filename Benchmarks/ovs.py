"""A private Open vSwitch: its own database, sockets and logs under .peers/, its poll thread on the worker's CPU."""

import contextlib
import json
import os
import re
import shutil
import socket
import time

from machine import (
    CONTROL_CPU, PEERS, WORKER_CPU, BenchmarkError, at_exit, end, on, prefer, run, start, thread_seconds, wait_for)

PLAIN = "/usr/lib/openvswitch-switch/ovs-vswitchd"
DPDK = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class OpenVSwitch:
    """One ovsdb-server and one ovs-vswitchd in a namespace, with a bridge "br0" that has no rules of its own.

    With `dpdk` the daemon is the one that is linked with DPDK; its memory are huge pages, which the caller sees to.
    `settings` are keys of Open_vSwitch's other_config, such as "smc-enable=true".
    """

    def __init__(self, namespace, dpdk, settings=()):
        self.directory = PEERS / f"ovs-{os.getpid()}"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.switch = None
        self.environment = {
            **os.environ, "OVS_RUNDIR": str(self.directory), "OVS_LOGDIR": str(self.directory), "OVS_DBDIR": str(self.directory)}
        self.database = f"unix:{self.directory}/db.sock"
        run("ovsdb-tool", "create", self.directory / "conf.db", SCHEMA)
        self.server = start(
            "ovsdb-server", self.directory / "conf.db", f"--remote=p{self.database}", f"--pidfile={self.directory}/ovsdb.pid",
            f"--unixctl={self.directory}/ovsdb.ctl", "--no-chdir", log="ovsdb.log", env=self.environment)
        at_exit(self.close)
        wait_for((self.directory / "db.sock").exists, 10, "ovsdb-server's socket")
        self.configure("--no-wait", "init")
        words = [
            f"other_config:pmd-cpu-mask={1 << WORKER_CPU:#x}", "other_config:n-handler-threads=1",
            "other_config:n-revalidator-threads=1", *(f"other_config:{setting}" for setting in settings)]
        if dpdk:
            words += [
                "other_config:dpdk-init=true", "other_config:dpdk-socket-mem=1024",
                f"other_config:dpdk-lcore-mask={1 << CONTROL_CPU:#x}",
                f"other_config:dpdk-extra=\"--no-pci --in-memory --file-prefix=slbench{os.getpid()}\""]
        self.configure("--no-wait", "set", "Open_vSwitch", ".", *words)
        self.control = self.directory / "vswitchd.ctl"
        self.switch = start(
            *namespace.enter(*on(CONTROL_CPU, DPDK if dpdk else PLAIN)), self.database, f"--pidfile={self.directory}/vswitchd.pid",
            f"--unixctl={self.control}", f"--log-file={self.directory}/vswitchd.log", "--no-chdir", "-vconsole:off",
            "--disable-system", log="vswitchd.log", env=self.environment)
        wait_for(lambda: self.control.exists() or self.switch.poll() is not None, 30, "ovs-vswitchd")
        # Without fail_mode=secure a first rule for everything would be there, which costs OVS its fastest path.
        self.configure("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure")

    def configure(self, *arguments):
        return run("ovs-vsctl", f"--db={self.database}", "--timeout=60", *arguments)

    def ask(self, command, *arguments):
        """What `ovs-appctl` prints for a command."""
        return self.ask_all([(command, *arguments)])[0]

    def ask_all(self, commands):
        """What `ovs-appctl` prints for each command, by its protocol (JSON-RPC): a process for each of 1,000 commands takes long, and
        so does a connection."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.control))
            requests = [
                json.dumps({"id": number, "method": command, "params": [str(word) for word in arguments]})
                for number, (command, *arguments) in enumerate(commands)]
            connection.sendall("".join(requests).encode())
            answers, text = [], ""
            while len(answers) < len(requests):
                piece = connection.recv(65536).decode()
                if not piece:
                    raise BenchmarkError(f"ovs-vswitchd closed the connection while it was asked for {commands[len(answers)][0]}")
                text += piece
                with contextlib.suppress(json.JSONDecodeError):
                    while text:
                        reply, end_of_reply = json.JSONDecoder().raw_decode(text)
                        text = text[end_of_reply:].lstrip()
                        if reply["error"]:
                            raise BenchmarkError(f"ovs-vswitchd: {commands[reply['id']][0]}: {reply['error']}")
                        answers.append(reply["result"] or "")
        return answers

    def add_port(self, name, number, kind, *options):
        self.configure(*self._add_port(name, number, kind, *options))
        error = self.configure("get", "interface", name, "error").strip()
        if error not in ("[]", ""):
            raise BenchmarkError(f"OVS port {name}: {error}")

    @staticmethod
    def _add_port(name, number, kind, *options, mtu=None):
        return [
            "add-port", "br0", name, "--", "set", "interface", name, f"type={kind}", f"ofport_request={number}",
            *(f"options:{option}" for option in options), *([f"mtu_request={mtu}"] if mtu else [])]

    def add_traces(self, traces, wait=True):
        """Ports that replay traces: 1, 101, 102, ... A port holds its trace in its pool of packet buffers, of which there is one for each
        MTU and at most 262,144 buffers in each: so every port has an MTU of its own. Without `wait` the ports appear a little later,
        all at once."""
        words = []
        for place, trace in enumerate(traces):
            number = 100 + place if place else 1
            words += ["--", *self._add_port(
                f"p{number}", number, "dpdk", f"dpdk-devargs=net_pcap_in{place},rx_pcap={trace},infinite_rx=1",
                mtu=1500 + 1024 * place if place else None)]
        self.configure(*([] if wait else ["--no-wait"]), *words[1:])

    def add_null_port(self, number):
        """A port that drops what it is sent."""
        self.add_port(f"p{number}", number, "dpdk", f"dpdk-devargs=net_null_out{number},no-rx=1")

    @property
    def bridge(self):
        """The bridge as ovs-ofctl wants to have it named."""
        return f"unix:{self.directory}/br0.mgmt"

    def set_rules(self, text):
        run("ovs-ofctl", "del-flows", self.bridge, env=self.environment)
        run("ovs-ofctl", "add-flows", self.bridge, "-", input=text, env=self.environment)

    def teach(self, port, macs):
        """Puts stations behind a port for good."""
        self.ask_all([("fdb/add", "br0", port, "0", mac) for mac in macs])

    def settle(self, seconds=10):
        """Waits until hardly a packet is a miss. The limit of datapath flows starts small and grows with each dump of the
        revalidator, so dumps are made frequent and the limit is raised by hand."""
        self.configure("set", "Open_vSwitch", ".", "other_config:max-revalidator=100")
        self.ask("upcall/set-flow-limit", "200000")
        try:
            return self._settle(seconds)
        finally:
            self.configure("remove", "Open_vSwitch", ".", "other_config", "max-revalidator")

    def _settle(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            received, missed, _ = self.sample(0.5)
            if received and missed / received < 2e-4:
                return True
        return False

    def sample(self, seconds):
        """(packets received, misses, CPU seconds of the poll thread) over a while."""
        prefer(self.switch.pid)
        self.ask("dpif-netdev/pmd-stats-clear")
        before = thread_seconds(self.switch.pid, "pmd")
        time.sleep(seconds)
        statistics = self._statistics()
        spent = thread_seconds(self.switch.pid, "pmd") - before
        return statistics("packets received"), statistics("upcall"), spent

    def flow_count(self):
        """Megaflows in the datapath now."""
        return int(re.search(r"flows:\s*(\d+)", self.ask("dpctl/show"))[1])

    def set_ups(self):
        """Flows that the poll thread has set up so far."""
        return self._statistics()("miss with success upcall")

    def _statistics(self):
        """A function from the words of a statistic to its sum over the poll threads."""
        text = self.ask("dpif-netdev/pmd-stats-show")
        blocks = [block for block in re.split(r"(?m)^(?=pmd thread|main thread)", text) if block.startswith("pmd")]
        return lambda words: sum(int(value) for block in blocks for value in re.findall(re.escape(words) + r":\s*(\d+)", block))

    def close(self):
        if self.switch and self.switch.poll() is None:
            run("ovs-appctl", "-t", self.control, "exit", "--cleanup", check=False)
        if self.switch:
            end(self.switch)
        end(self.server)
        shutil.rmtree(self.directory, ignore_errors=True)
