#!/usr/bin/env python3
"""Classification without a NIC: `sluice-bench forward` beside OVS-DPDK on the same trace and rules, testpmd as the floor.

All three replay a trace from memory in a loop and drop what they forward; the peers by DPDK's net_pcap (infinite_rx=1) into
net_null. What is compared are time-stamp counter cycles per packet of the one thread that forwards, on CPU 1.
"""

import argparse
import sys
import time

import figures
import machine
from machine import PEERS, ROOT, Namespace, cycles_per_second, huge_pages, run, thread_seconds
from ovs import OpenVSwitch
from sluice import forward
from testpmd import TestPMD

RULES = {"l3": "ip,nw_dst=10.0.0.0/8,actions=output:2\n"}


def inputs(flows, kind):
    """The trace and the rule file; made once, kept in .peers/."""
    rules = PEERS / f"{kind}.rules"
    trace = PEERS / f"{kind}-{flows}.pcap"
    generator = ROOT / "Benchmarks/gen_trace.py"
    if kind in RULES:
        rules.write_text(RULES[kind])
        arguments = []
    else:
        run(sys.executable, ROOT / "Benchmarks/gen_rules.py", rules)
        arguments = ["--rules", rules]
    if not trace.exists() or trace.stat().st_mtime < generator.stat().st_mtime:
        run(sys.executable, generator, trace, "--flows", flows, *arguments)
    return rules, trace


def ovs_cycles(namespace, rules, trace, seconds):
    huge_pages(1200)
    ovs = OpenVSwitch(namespace, dpdk=True)
    try:
        ovs.add_port("p1", 1, "dpdk", f"dpdk-devargs=net_pcap_in,rx_pcap={trace},infinite_rx=1")
        ovs.add_port("p2", 2, "dpdk", "dpdk-devargs=net_null_out,no-rx=1")
        ovs.set_rules(rules.read_text())
        ovs.settle()
        packets, _, spent = ovs.sample(seconds)
        return spent * cycles_per_second() / packets
    finally:
        ovs.close()


def testpmd_cycles(trace, seconds):
    huge_pages(1200)
    peer = TestPMD([f"net_pcap0,rx_pcap={trace},infinite_rx=1", "net_null0,no-rx=1"], 262144)
    try:
        before = thread_seconds(peer.process.pid, "(rte-worker|lcore-worker|dpdk-worker)")
        time.sleep(seconds + 1)
        share = (thread_seconds(peer.process.pid, "(rte-worker|lcore-worker|dpdk-worker)") - before) / (seconds + 1)
        return cycles_per_second() * min(share, 1) / peer.packets_per_second()
    finally:
        peer.close()


def main():
    parser = argparse.ArgumentParser(prog="forward.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON per figure")
    parser.add_argument("--seconds", type=int, default=2, help="of measuring per contender and round (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--flows", type=int, default=1000, help="default 1000, at most 200000: OVS holds the trace in its buffers")
    parser.add_argument("--rules", choices=["l3", "acl"], default="l3", help="one prefix rule, or an access list of 1,000 (default l3)")
    options = parser.parse_args()

    rules, trace = inputs(options.flows, options.rules)
    namespace = Namespace("forward")
    ours, ovs, floor = [], [], []
    for number in range(options.rounds):
        ours.append(forward(rules, [trace], options.seconds)["cyclesPerPacket"])
        ovs.append(ovs_cycles(namespace, rules, trace, options.seconds))
        floor.append(testpmd_cycles(trace, options.seconds))
        print(
            f"round {number + 1}: sluice {ours[-1]:.0f}, OVS-DPDK {ovs[-1]:.0f}, testpmd io {floor[-1]:.0f} cycles/packet",
            file=sys.stderr, flush=True)
    name = f"forward-{options.rules}-{options.flows}-flows"
    # The goal is for the one-rule trace; the others are measured to be known.
    goal = "<= 0.7" if options.rules == "l3" and options.flows == 1000 else ""
    return figures.show(
        [
            figures.Figure(name, "cycles/packet", ours, ovs, "OVS-DPDK", goal),
            figures.Figure(name, "cycles/packet", ours, floor, "testpmd io"),
        ], options.json)


if __name__ == "__main__":
    try:
        machine.check("sluice-bench")
        sys.exit(0 if main() else 1)
    except machine.BenchmarkError as error:
        sys.exit(f"forward.sh: {error}")
