#!/usr/bin/env python3
"""The kernel tier beside bare XDP programs, the Linux bridge and OVS afxdp, in one run.

    forward-1k, forward-100k   64-byte UDP, uplink to uplink, 1,000 and 100,000 flows of their own in the table; peers: an XDP program
                               that redirects everything and looks at nothing, and one that reads the headers first
    deny-100k, deny-100k-all   drops by a deny list of 100,000 prefixes, every packet from one of 1,000 of them, or of all; peer: an XDP
                               program that reads the IPv4 header and drops
    tcp                        one TCP stream from container to container; peers: Linux bridge, OVS afxdp
    cpu-per-gb                 CPU seconds of the whole machine per gigabyte of that stream
    udp-64                     datagrams of 22 bytes (64-byte frames) through sockets, a second
    round-trip                 median time of a request and its answer, 64 bytes each
    connections                TCP connections a second, 16 at a time: connect, request, answer, close; rules see to it that each is two flows of
                               its own

A packet generator works on CPU 0; the receiving interface's NAPI thread has CPU 1. Sockets run where the kernel puts them. Rounds
alternate between the contenders; each figure is the median of its rounds.
"""

import argparse
import contextlib
import itertools
import json
import pathlib

import subprocess
import sys
import time

import figures
import machine
from machine import CONTROL_CPU, PEERS, WORKER_CPU, Namespace, on
from ovs import OpenVSwitch
from sluice import Agent

_numbers = itertools.count(1)
XDPGEN = (PEERS / "xdpgen", PEERS / "xdpgen.bpf.o")
SOCKGEN = PEERS / "sockgen"
LARGE, SMALL = 100_000, 1_000


def serve(namespace, cpu, *command):
    """A program that says "ready" and then answers lines; None for `cpu` lets the kernel choose."""
    words = on(cpu, *command) if cpu is not None else command
    process = machine.start(*namespace.enter(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        raise machine.BenchmarkError(f"{' '.join(map(str, command))} did not start")
    return process


def ask(process):
    """The numbers that a program answers a line with."""
    process.stdin.write("\n")
    process.stdin.flush()
    return tuple(map(int, process.stdout.readline().split()))


def rate(process, seconds):
    """Events a second of a program that counts."""
    count, began = ask(process)
    time.sleep(seconds)
    last, ended = ask(process)
    return (last - count) / (ended - began) * 1e9


# ---------------------------------------------------------------------------------------------------------------- uplinks


class Uplinks:
    """gen: g0 --veth-- s0 :switch: s1 --veth-- r0 :sink, the receiving side of s0 on CPU 1."""

    def __init__(self):
        number = next(_numbers)
        self.generator, self.switch, self.sink = (Namespace(f"{role}{number}") for role in ("gen", "sw", "rx"))
        run = machine.run
        run("ip", "link", "add", "g0", "netns", self.generator.name, "type", "veth", "peer", "name", "s0", "netns", self.switch.name)
        run("ip", "link", "add", "s1", "netns", self.switch.name, "type", "veth", "peer", "name", "r0", "netns", self.sink.name)
        for namespace, interface in ((self.generator, "g0"), (self.switch, "s0"), (self.switch, "s1"), (self.sink, "r0")):
            namespace.ip("link", "set", interface, "up")
        self.counter = serve(self.sink, CONTROL_CPU, *XDPGEN, "sink", "r0")
        self.processes = [self.counter]

    def thread(self):
        """Moves the receiving side of s0 to a thread on CPU 1. Once its program is there."""
        setting = "/sys/class/net/s0/threaded"
        machine.run("ip", "netns", "exec", self.switch.name, "sh", "-c", f"echo 1 >{setting}")

        def threads():
            found = []
            for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
                with contextlib.suppress(OSError):
                    if comm.read_text().startswith("napi/s0-"):
                        found.append(comm.parent.name)
            return found

        for pid in machine.wait_for(threads, 5, "a NAPI thread of s0"):
            machine.run("taskset", "-pc", WORKER_CPU, pid)
            machine.prefer(int(pid))

    def generate(self, seconds, flows, sources=1):
        process = machine.start(
            *self.generator.enter(*on(CONTROL_CPU, *XDPGEN, "generate", "g0", seconds, flows, sources)),
            stdout=subprocess.PIPE, text=True)
        if process.stdout.readline().strip() != "ready":
            raise machine.BenchmarkError("the generator did not start")
        self.processes.append(process)
        return process

    def rate(self, count, seconds, flows, sources=1):
        """Millions a second of what `count` counts, while the generator sends for so long and has sent for a second before.

        It is counted while nothing is sent: traffic that takes both CPUs keeps those who ask from asking in time.
        """
        self.send(1, flows, sources)
        before = count()
        took = self.send(seconds, flows, sources)
        return (count() - before) / took / 1e6

    def send(self, seconds, flows, sources):
        """Sends for so long; returns how many seconds it took."""
        generator = self.generate(seconds, flows, sources)
        took = float(generator.stdout.readline().split()[1])
        # What lies in rings is on its way yet.
        time.sleep(0.1)
        return took

    def close(self):
        for process in reversed(self.processes):
            if process.stdin:
                process.stdin.close()
            machine.end(process)
        for namespace in (self.generator, self.switch, self.sink):
            namespace.delete()


class SluiceUplinks:
    """Every flow of the generator has a rule, and so a flow, of its own."""

    def __init__(self, topology, flows):
        self.topology, self.flows = topology, flows
        self.agent = Agent(topology.switch, mode="adaptive", kernel="eager")
        for number, interface in ((1, "s0"), (2, "s1")):
            self.agent.control("port", "add", interface, "--number", str(number), "--hook", "xdp")
        rules = PEERS / "kernel.rules"
        with open(rules, "w") as file:
            for flow in range(flows):
                print(f"priority=10,in_port=1,udp,tp_src={1024 + (flow & 0x7fff)},tp_dst={1024 + (flow >> 15)},actions=output:2", file=file)
        self.agent.control("rule", "add", str(rules), timeout=300)
        topology.thread()

    def warm_up(self):
        """Sends until the kernel holds the flows."""
        generator = self.topology.generate(60, self.flows)
        held = 0
        for _ in range(100):
            held = self.kernel_flows()
            if held >= self.flows * 0.995:
                break
            time.sleep(0.5)
        machine.end(generator)
        if held < self.flows * 0.9:
            raise machine.BenchmarkError(f"the kernel holds {held} of {self.flows} flows")

    def kernel_flows(self):
        return json.loads(self.agent.control("kernel", "show", "-o", "json"))["flows"]

    def close(self):
        self.agent.uninstall()


class BareRedirect:
    MODE = "redirect"

    def __init__(self, topology, flows):
        self.process = serve(topology.switch, CONTROL_CPU, *XDPGEN, self.MODE, "s0", "s1")
        topology.processes.append(self.process)
        # A veth takes redirected frames only if it has NAPI on, which a program on it does.
        self.second = serve(topology.switch, CONTROL_CPU, *XDPGEN, "drop", "s1")
        topology.processes.append(self.second)
        topology.thread()

    def warm_up(self):
        time.sleep(0.2)

    def close(self):
        pass


class ReadingRedirect(BareRedirect):
    MODE = "forward"


def forward(contender, flows, seconds):
    topology = Uplinks()
    try:
        switch = contender(topology, flows)
        try:
            switch.warm_up()
            return topology.rate(lambda: ask(topology.counter)[0], seconds, flows)
        finally:
            switch.close()
    finally:
        topology.close()


def deny_sluice(sources, seconds):
    topology = Uplinks()
    try:
        agent = Agent(topology.switch, mode="adaptive", kernel="eager")
        try:
            agent.control("port", "add", "s0", "--number", "1", "--hook", "xdp")
            prefixes = PEERS / "kernel.deny"
            with open(prefixes, "w") as file:
                for number in range(1, LARGE + 1):
                    print(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32", file=file)
            agent.control("deny", "add", "--file", str(prefixes), timeout=300)
            topology.thread()

            def dropped():
                port = json.loads(agent.control("port", "show", "s0", "-o", "json"))
                return sum(count for name, count in port["xdpCounters"].items() if name.startswith("deny"))

            return topology.rate(dropped, seconds, SMALL, sources)
        finally:
            agent.uninstall()
    finally:
        topology.close()


def deny_bare(sources, seconds):
    topology = Uplinks()
    try:
        process = serve(topology.switch, CONTROL_CPU, *XDPGEN, "drop", "s0")
        topology.processes.append(process)
        topology.thread()
        return topology.rate(lambda: ask(process)[0], seconds, SMALL, sources)
    finally:
        topology.close()


# ------------------------------------------------------------------------------------------------------------- containers


class Containers:
    """Two containers, each with eth0, behind a switch."""

    ADDRESSES = ("10.77.0.1", "10.77.0.2")

    def __init__(self):
        number = next(_numbers)
        self.switch = Namespace(f"sw{number}")
        self.containers = [Namespace(f"{role}{number}") for role in ("c1", "c2")]
        self.processes = []
        for place, container in enumerate(self.containers):
            machine.run("ip", "link", "add", "eth0", "netns", container.name, "type", "veth", "peer", "name", f"h{place + 1}", "netns",
                        self.switch.name)
            container.ip("addr", "add", f"{self.ADDRESSES[place]}/24", "dev", "eth0")
            container.ip("link", "set", "eth0", "up")
            self.switch.ip("link", "set", f"h{place + 1}", "up")

    def serve(self, *command):
        process = serve(self.containers[1], None, *command)
        self.processes.append(process)
        return process

    def ask(self, *command, timeout=60):
        return self.containers[0].run(*command, timeout=timeout)

    def close(self):
        for process in reversed(self.processes):
            if process.stdin:
                process.stdin.close()
            machine.end(process)
        for namespace in (*self.containers, self.switch):
            namespace.delete()


def rules_per_connection():
    """A rule for every client port and direction, so that no two connections share a flow."""
    for port in range(32768, 61000):
        for field in ("tp_src", "tp_dst"):
            yield f"priority=10,tcp,{field}={port},actions=normal"


class Bridge:
    def __init__(self, topology):
        topology.switch.ip("link", "add", "br0", "type", "bridge")
        topology.switch.ip("link", "set", "br0", "up")
        for interface in ("h1", "h2"):
            topology.switch.ip("link", "set", interface, "master", "br0")

    def tell_connections_apart(self):
        pass

    def close(self):
        pass


class SluiceContainers:
    def __init__(self, topology):
        self.agent = Agent(topology.switch, mode="adaptive", kernel="eager")
        for number, interface in ((1, "h1"), (2, "h2")):
            self.agent.control("port", "add", interface, "--number", str(number), "--hook", "tc")
        self.agent.control("rule", "add", "priority=0,actions=normal")

    def tell_connections_apart(self):
        rules = PEERS / "kernel.rules"
        rules.write_text("".join(f"{rule}\n" for rule in rules_per_connection()))
        self.agent.control("rule", "add", str(rules), timeout=300)

    def close(self):
        self.agent.uninstall()


class OVSContainers:
    def __init__(self, topology):
        self.ovs = OpenVSwitch(topology.switch, dpdk=False)
        for number, interface in ((1, "h1"), (2, "h2")):
            self.ovs.add_port(interface, number, "afxdp", "xdp-mode=native", "n_rxq=1")
        # AF_XDP carries no checksum that hardware is to complete.
        for container in topology.containers:
            container.run("ethtool", "-K", "eth0", "tx", "off")
        self.ovs.set_rules("priority=0,actions=normal\n")
        machine.prefer(self.ovs.switch.pid)

    def tell_connections_apart(self):
        # It keeps one flow for all: loading the rules takes OVS longer than the benchmark.
        pass

    def close(self):
        self.ovs.close()


def busy_seconds():
    """CPU seconds of the whole machine, interrupts included, that were not idle."""
    words = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, words[:7])
    return (user + nice + system + irq + softirq) / 100


def containers(contender, seconds, wanted):
    """The figures of one contender in one round: name to value."""
    topology = Containers()
    found = {}
    try:
        switch = contender(topology)
        try:
            address = topology.ADDRESSES[1]
            machine.wait_for(
                lambda: subprocess.run(
                    topology.containers[0].enter("ping", "-c1", "-W1", address), capture_output=True, check=False).returncode == 0,
                15, f"an answer through {contender.__name__}")
            if {"tcp", "cpu-per-gb"} & wanted:
                server = machine.start(*topology.containers[1].enter("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL)
                topology.processes.append(server)
                time.sleep(0.5)
                before = busy_seconds()
                document = json.loads(topology.ask("iperf3", "-c", address, "-t", str(seconds + 1), "-O", "1", "-J"))
                busy = busy_seconds() - before
                received = document["end"]["sum_received"]
                found["tcp"] = received["bits_per_second"] / 1e9
                # The omitted first second is in the CPU time, so it is taken at the mean rate.
                found["cpu-per-gb"] = busy / (received["bytes"] / 1e9 * (seconds + 2) / (seconds + 1))
            if {"round-trip", "connections"} & wanted:
                topology.serve(SOCKGEN, "echo", "7777")
            if "round-trip" in wanted:
                found["round-trip"] = int(topology.ask(SOCKGEN, "round-trips", address, "7777", str(seconds)).split()[1]) / 1e3
            if "udp-64" in wanted:
                sink = topology.serve(SOCKGEN, "udp-sink", "7778")
                sender = machine.start(*topology.containers[0].enter(SOCKGEN, "udp-send", address, "7778", str(seconds + 2), "22"))
                topology.processes.append(sender)
                time.sleep(1)
                found["udp-64"] = rate(sink, seconds) / 1e6
                # The next figure is not to be had beside it.
                machine.end(sender)
            if "connections" in wanted:
                switch.tell_connections_apart()
                count, nanoseconds = map(int, topology.ask(SOCKGEN, "connections", address, "7777", str(seconds)).split())
                found["connections"] = count / nanoseconds * 1e6
        finally:
            switch.close()
    finally:
        topology.close()
    return found


# -------------------------------------------------------------------------------------------------------------- the table

CONTAINERS = {"sluice": SluiceContainers, "bridge": Bridge, "OVS afxdp": OVSContainers}
CONTAINER_FIGURES = [
    ("tcp", "Gbit/s", "bridge", ">= 1.0"), ("tcp", "Gbit/s", "OVS afxdp", ">= 4.0"),
    ("cpu-per-gb", "s", "bridge", ""), ("cpu-per-gb", "s", "OVS afxdp", ""),
    ("udp-64", "Mpps", "bridge", ">= 1.1"), ("udp-64", "Mpps", "OVS afxdp", ""),
    ("round-trip", "us", "bridge", "<= 1.0"), ("round-trip", "us", "OVS afxdp", ""),
    ("connections", "thousand/s", "bridge", ">= 0.8"), ("connections", "thousand/s", "OVS afxdp", ""),
]
UPLINK_FIGURES = [
    ("forward-1k", "bare XDP redirect", ">= 0.85"), ("forward-1k", "XDP that reads and redirects", ""),
    ("forward-100k", "bare XDP redirect", ">= 0.6"), ("forward-100k", "XDP that reads and redirects", ""),
    ("deny-100k", "XDP that reads and drops", ">= 0.85"), ("deny-100k-all", "XDP that reads and drops", ">= 0.85"),
]
UPLINK_NAMES = list(dict.fromkeys(name for name, *_ in UPLINK_FIGURES))
NAMES = [*UPLINK_NAMES, *dict.fromkeys(name for name, *_ in CONTAINER_FIGURES)]
REDIRECTS = {"sluice": SluiceUplinks, "bare XDP redirect": BareRedirect, "XDP that reads and redirects": ReadingRedirect}


def in_turn(names, number):
    """Each round begins with another contender, so that none always has the machine warm or cold."""
    first = number % len(names)
    return names[first:] + names[:first]


def uplinks(name, who, seconds):
    if name.startswith("deny"):
        sources = SMALL if name == "deny-100k" else LARGE
        return deny_sluice(sources, seconds) if who == "sluice" else deny_bare(sources, seconds)
    return forward(REDIRECTS[who], SMALL if name == "forward-1k" else LARGE, seconds)


def main():
    parser = argparse.ArgumentParser(prog="kernel.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON per figure")
    parser.add_argument("--seconds", type=int, default=2, help="of measuring per contender, figure and round (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--only", metavar="NAME,...", help=f"of {', '.join(NAMES)}")
    options = parser.parse_args()
    wanted = set(options.only.split(",")) if options.only else set(NAMES)
    if unknown := wanted - set(NAMES):
        parser.error(f"--only: {', '.join(sorted(unknown))}: expected some of {', '.join(NAMES)}")

    samples = {}

    def note(number, who, name, value, unit):
        if not value:
            raise machine.BenchmarkError(f"{name}: {who} moved nothing")
        samples.setdefault((who, name), []).append(value)
        print(f"round {number + 1}: {name}: {who} {value:.3f} {unit}", file=sys.stderr, flush=True)

    for number in range(options.rounds):
        for name in (name for name in UPLINK_NAMES if name in wanted):
            peers = [peer for figure, peer, _ in UPLINK_FIGURES if figure == name]
            for who in in_turn(["sluice", *peers], number):
                note(number, who, name, uplinks(name, who, options.seconds), "Mpps")
        if wanted - set(UPLINK_NAMES):
            for who in in_turn(list(CONTAINERS), number):
                units = {name: unit for name, unit, *_ in CONTAINER_FIGURES}
                for name, value in containers(CONTAINERS[who], options.seconds, wanted).items():
                    if name in wanted:
                        note(number, who, name, value, units[name])

    found = [
        figures.Figure(name, "Mpps", samples["sluice", name], samples[peer, name], peer, goal)
        for name, peer, goal in UPLINK_FIGURES if name in wanted]
    found += [
        figures.Figure(name, unit, samples["sluice", name], samples[peer, name], peer, goal)
        for name, unit, peer, goal in CONTAINER_FIGURES if name in wanted]
    return figures.show(found, options.json)


if __name__ == "__main__":
    try:
        machine.check("sluiced", "sluicectl")
        sys.exit(0 if main() else 1)
    except machine.BenchmarkError as error:
        sys.exit(f"kernel.sh: {error}")
