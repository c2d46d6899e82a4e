"""A private Open vSwitch: its own database, sockets and logs under .peers/, its poll thread on the worker's CPU."""

import os
import re
import shutil
import time

from machine import CONTROL_CPU, PEERS, WORKER_CPU, at_exit, end, on, prefer, run, start, thread_seconds, wait_for

PLAIN = "/usr/lib/openvswitch-switch/ovs-vswitchd"
DPDK = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class OpenVSwitch:
    """One ovsdb-server and one ovs-vswitchd in a namespace, with a bridge "br0" that has no rules of its own.

    With `dpdk` the daemon is the one that is linked with DPDK; its memory are huge pages, which the caller sees to.
    """

    def __init__(self, namespace, dpdk):
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
        settings = [
            f"other_config:pmd-cpu-mask={1 << WORKER_CPU:#x}", "other_config:n-handler-threads=1",
            "other_config:n-revalidator-threads=1"]
        if dpdk:
            settings += [
                "other_config:dpdk-init=true", "other_config:dpdk-socket-mem=1024",
                f"other_config:dpdk-lcore-mask={1 << CONTROL_CPU:#x}",
                f"other_config:dpdk-extra=\"--no-pci --in-memory --file-prefix=slbench{os.getpid()}\""]
        self.configure("--no-wait", "set", "Open_vSwitch", ".", *settings)
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

    def ask(self, *arguments):
        return run("ovs-appctl", "-t", self.control, *arguments)

    def add_port(self, name, number, kind, *options):
        self.configure(
            "add-port", "br0", name, "--", "set", "interface", name, f"type={kind}", f"ofport_request={number}",
            *(f"options:{option}" for option in options))
        error = self.configure("get", "interface", name, "error").strip()
        if error not in ("[]", ""):
            raise RuntimeError(f"OVS port {name}: {error}")

    def set_rules(self, text):
        bridge = f"unix:{self.directory}/br0.mgmt"
        run("ovs-ofctl", "del-flows", bridge, env=self.environment)
        run("ovs-ofctl", "add-flows", bridge, "-", input=text, env=self.environment)

    def settle(self, seconds=10):
        """Waits until hardly a packet is a miss. The limit of datapath flows starts small and grows with each dump of the
        revalidator, so it is raised by hand."""
        self.ask("upcall/set-flow-limit", "200000")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            received, missed, _ = self.sample(0.5)
            if received and missed / received < 2e-4:
                return

    def sample(self, seconds):
        """(packets received, misses, CPU seconds of the poll thread) over a while."""
        prefer(self.switch.pid)
        self.ask("dpif-netdev/pmd-stats-clear")
        before = thread_seconds(self.switch.pid, "pmd")
        time.sleep(seconds)
        text = self.ask("dpif-netdev/pmd-stats-show")
        spent = thread_seconds(self.switch.pid, "pmd") - before
        blocks = [block for block in re.split(r"(?m)^(?=pmd thread|main thread)", text) if block.startswith("pmd")]
        sum_of = lambda words: sum(int(value) for block in blocks for value in re.findall(re.escape(words) + r":\s*(\d+)", block))
        return sum_of("packets received"), sum_of("upcall"), spent

    def close(self):
        if self.switch and self.switch.poll() is None:
            run("ovs-appctl", "-t", self.control, "exit", "--cleanup", check=False)
        if self.switch:
            end(self.switch)
        end(self.server)
        shutil.rmtree(self.directory, ignore_errors=True)
