#!/usr/bin/env python3
"""veth -> switch -> veth: 64-byte UDP at overload, sluice beside OVS afxdp and testpmd in one run.

Topology:  gen: g0 --veth-- s0 :switch: s1 --veth-- r0 :sink
A generator on CPU 0 sends --flows flows as fast as it can; the contender's one poll thread has CPU 1; an XDP program at r0 counts
what arrives. Rounds alternate between the contenders, each in a fresh topology, and the medians are compared.
"""

import argparse
import itertools
import subprocess
import sys
import time

import figures
import machine
from machine import CONTROL_CPU, PEERS, Namespace, on
from ovs import OpenVSwitch
from sluice import Agent
from testpmd import TestPMD

_topologies = itertools.count(1)


class Topology:
    """Three namespaces in a row, for one contender in one round."""

    def __init__(self):
        number = next(_topologies)
        self.generator, self.switch, self.sink = (Namespace(f"{role}{number}") for role in ("gen", "sw", "rx"))
        run = machine.run
        run("ip", "link", "add", "g0", "netns", self.generator.name, "type", "veth", "peer", "name", "s0", "netns", self.switch.name)
        run("ip", "link", "add", "s1", "netns", self.switch.name, "type", "veth", "peer", "name", "r0", "netns", self.sink.name)
        for namespace, interface in ((self.generator, "g0"), (self.switch, "s0"), (self.switch, "s1"), (self.sink, "r0")):
            namespace.ip("link", "set", interface, "up")
        self.counter = self._start(self.sink, "sink", "r0", stdin=subprocess.PIPE)

    def _start(self, namespace, *arguments, **options):
        process = machine.start(
            *namespace.enter(*on(CONTROL_CPU, PEERS / "xdpgen", PEERS / "xdpgen.bpf.o", *arguments)), stdout=subprocess.PIPE,
            text=True, **options)
        if process.stdout.readline().strip() != "ready":
            raise machine.BenchmarkError(f"xdpgen {' '.join(map(str, arguments))} did not start")
        return process

    def received(self):
        """(packets, nanoseconds) at the sink now."""
        self.counter.stdin.write("\n")
        self.counter.stdin.flush()
        return tuple(map(int, self.counter.stdout.readline().split()))

    def measure(self, seconds, flows, warm_up=1.0):
        """Millions of packets a second that arrived at the sink."""
        generator = self._start(self.generator, "generate", "g0", seconds + warm_up + 1, flows)
        time.sleep(warm_up)
        packets, started = self.received()
        time.sleep(seconds)
        last_packets, ended = self.received()
        machine.end(generator)
        return (last_packets - packets) / (ended - started) * 1e3

    def close(self):
        self.counter.stdin.close()
        machine.end(self.counter)
        for namespace in (self.generator, self.switch, self.sink):
            namespace.delete()


def sluice(topology):
    agent = Agent(topology.switch)
    agent.control("port", "add", "s0", "--number", "1")
    agent.control("port", "add", "s1", "--number", "2")
    agent.control("rule", "add", "priority=1,in_port=1,actions=output:2")
    return agent


def ovs_afxdp(topology):
    ovs = OpenVSwitch(topology.switch, dpdk=False)
    for number, interface in ((1, "s0"), (2, "s1")):
        ovs.add_port(interface, number, "afxdp", "xdp-mode=native", "n_rxq=1")
    ovs.set_rules("priority=1,in_port=1,actions=output:2\n")
    machine.prefer(ovs.switch.pid)
    return ovs


def testpmd(topology):
    machine.huge_pages(300)
    # busy_budget=0: on veth, DPDK's preferred busy polling is slower than plain polling.
    devices = [f"net_af_xdp{number},iface={interface},busy_budget=0" for number, interface in enumerate(("s0", "s1"))]
    return TestPMD(devices, 65536, topology.switch)


CONTENDERS = {"sluice": sluice, "testpmd io": testpmd, "OVS afxdp": ovs_afxdp}


def main():
    parser = argparse.ArgumentParser(prog="veth.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON per figure")
    parser.add_argument("--seconds", type=float, default=1, help="of measuring per contender and round (default 1)")
    parser.add_argument("--rounds", type=int, default=15, help="default 15: single rounds differ by half on a shared machine")
    parser.add_argument("--flows", type=int, default=1000, help="default 1000")
    options = parser.parse_args()

    rates = {name: [] for name in CONTENDERS}
    for number in range(options.rounds):
        # Each round begins with another contender, so that none always has the machine warm or cold.
        names = list(CONTENDERS)
        for name in names[number % len(names):] + names[:number % len(names)]:
            topology = Topology()
            contender = CONTENDERS[name](topology)
            try:
                rates[name].append(topology.measure(options.seconds, options.flows))
            finally:
                contender.close()
                topology.close()
            print(f"round {number + 1}: {name} {rates[name][-1]:.3f} Mpps", file=sys.stderr, flush=True)
            if rates[name][-1] == 0:
                raise machine.BenchmarkError(f"{name} forwarded nothing")
    return figures.show(
        [
            figures.Figure("veth-64B", "Mpps", rates["sluice"], rates["testpmd io"], "testpmd io", ">= 0.95"),
            figures.Figure("veth-64B", "Mpps", rates["sluice"], rates["OVS afxdp"], "OVS afxdp", "> 1.0"),
        ], options.json)


if __name__ == "__main__":
    try:
        machine.check("sluiced", "sluicectl")
        sys.exit(0 if main() else 1)
    except machine.BenchmarkError as error:
        sys.exit(f"veth.sh: {error}")
