#!/usr/bin/env python3
"""Flow set-ups: every packet is a new flow. sluice beside OVS-DPDK on the same trace and rules: set-ups per second, bytes per flow.

Both replay the trace from memory in a loop, the worker on CPU 1. OVS answers misses in its poll thread; ours are answered by the pipeline
thread on the other CPU. OVS's revalidators are paused and its flow limit is lifted, so that it does nothing else. Bytes per flow
are the growth of resident memory from before the first packet to after the last flow, over the flows.
"""

import argparse
import sys
import time

import figures
import machine
from inputs import rule_file, traces
from machine import BenchmarkError, Namespace, huge_pages, prefer, resident_bytes
from ovs import OpenVSwitch
from sluice import bench

# Set-ups a second are compared as a ratio; memory does not move with the machine.
RATE_GOAL, BYTES_GOAL = ">= 2.0", "<= 400"


def ours(rules, parts):
    inputs = [word for part in parts for word in ("--trace", part)]
    result = bench("setup", "--rules", rules, *inputs, seconds=180)[0]
    return result["setupsPerSecond"], result["bytesPerFlow"]


def ovs(namespace, rules, parts, flows):
    huge_pages(1400 + 1700 * (len(parts) - 1))
    peer = OpenVSwitch(namespace, dpdk=True, settings=["flow-limit=4000000", "max-idle=3600000"])
    try:
        peer.add_null_port(2)
        peer.set_rules(rules.read_text())
        peer.ask("upcall/set-flow-limit", "4000000")
        peer.ask("revalidator/pause")
        before = resident_bytes(peer.switch.pid)
        peer.add_traces(parts, wait=False)
        rate = _rate(peer, flows)
        time.sleep(0.5)
        return rate, (resident_bytes(peer.switch.pid) - before) / peer.flow_count()
    finally:
        peer.close()


def _rate(peer, flows):
    """Set-ups a second between a tenth and nine tenths of the flows."""
    seen = []
    deadline = time.monotonic() + 120
    while not seen or seen[-1][1] < flows * 0.97:
        if len(seen) == 3:
            prefer(peer.switch.pid)
        seen.append((time.monotonic(), peer.set_ups()))
        if seen[-1][0] > deadline:
            raise BenchmarkError(f"OVS set up {seen[-1][1]} of {flows} flows in two minutes")
        time.sleep(0.02 if flows <= 200_000 else 0.1)
    inside = [sample for sample in seen if flows * 0.1 <= sample[1] <= flows * 0.9]
    if len(inside) < 2:
        raise BenchmarkError("OVS set up all flows between two looks; take more flows")
    (began, first), (ended, last) = inside[0], inside[-1]
    return (last - first) / (ended - began)


def main():
    parser = argparse.ArgumentParser(prog="setup.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON per figure")
    parser.add_argument("--quick", action="store_true", help="100,000 flows only, one round")
    parser.add_argument("--rounds", type=int, default=3, help="of 100,000 flows; a million is set up once (default 3)")
    options = parser.parse_args()

    namespace = Namespace("setup")
    rules = rule_file("setup")
    found = []
    for flows in [100_000] if options.quick else [100_000, 1_000_000]:
        parts = traces("setup", flows)
        our_samples, peer_samples = [], []
        for number in range(1 if options.quick or flows > 200_000 else options.rounds):
            our_samples.append(ours(rules, parts))
            peer_samples.append(ovs(namespace, rules, parts, flows))
            print(
                f"{flows} flows, round {number + 1}: sluice {our_samples[-1][0]:.0f}/s, {our_samples[-1][1]:.0f} bytes; "
                f"OVS-DPDK {peer_samples[-1][0]:.0f}/s, {peer_samples[-1][1]:.0f} bytes", file=sys.stderr, flush=True)
        our_rates, our_bytes = zip(*our_samples)
        peer_rates, peer_bytes = zip(*peer_samples)
        found += [
            figures.Figure(f"setup-{flows}-flows", "set-ups/s", our_rates, peer_rates, "OVS-DPDK", RATE_GOAL),
            figures.Figure(f"memory-{flows}-flows", "bytes/flow", our_bytes, peer_bytes, "OVS-DPDK", BYTES_GOAL, goal_is_for_ours=True),
        ]
    return figures.show(found, options.json)


if __name__ == "__main__":
    try:
        machine.check("sluice-bench")
        sys.exit(0 if main() else 1)
    except machine.BenchmarkError as error:
        sys.exit(f"setup.sh: {error}")
