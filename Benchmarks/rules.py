#!/usr/bin/env python3
"""Rules over the control interface: sluicectl and sluiced beside ovs-ofctl and ovs-vswitchd, the same file of rules.

Load: from the start of the command to its end, that is, reading the file, sending it, storing it (ours are durable) and following it.
Memory: the growth of the daemon's resident memory over the load, over the rules. Neither forwards anything meanwhile.
"""

import argparse
import sys
import time

import figures
import machine
from inputs import rule_file
from machine import Namespace, resident_bytes, run
from ovs import OpenVSwitch
from sluice import Agent

RATE_GOAL, BYTES_GOAL = ">= 100000", "<= 500"


def ours(namespace, rules, count):
    agent = Agent(namespace, mode="adaptive")
    try:
        before = resident_bytes(agent.process.pid)
        began = time.monotonic()
        agent.control("rule", "add", rules, timeout=600)
        seconds = time.monotonic() - began
        time.sleep(3)
        return count / seconds, (resident_bytes(agent.process.pid) - before) / count
    finally:
        agent.close()


def ovs(namespace, rules, count):
    peer = OpenVSwitch(namespace, dpdk=False)
    try:
        before = resident_bytes(peer.switch.pid)
        began = time.monotonic()
        run("ovs-ofctl", "add-flows", peer.bridge, rules, env=peer.environment, timeout=600)
        seconds = time.monotonic() - began
        time.sleep(3)
        return count / seconds, (resident_bytes(peer.switch.pid) - before) / count
    finally:
        peer.close()


def main():
    parser = argparse.ArgumentParser(prog="rules.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON per figure")
    parser.add_argument("--quick", action="store_true", help="100,000 rules only")
    options = parser.parse_args()

    namespace = Namespace("rules")
    found = []
    for count in [100_000] if options.quick else [100_000, 1_000_000]:
        rules = rule_file("acl", count)
        our_rate, our_bytes = ours(namespace, rules, count)
        peer_rate, peer_bytes = ovs(namespace, rules, count)
        print(
            f"{count} rules: sluice {our_rate:.0f}/s, {our_bytes:.0f} bytes; OVS {peer_rate:.0f}/s, {peer_bytes:.0f} bytes",
            file=sys.stderr, flush=True)
        found += [
            figures.Figure(f"load-{count}-rules", "rules/s", [our_rate], [peer_rate], "OVS", RATE_GOAL, goal_is_for_ours=True),
            figures.Figure(f"memory-{count}-rules", "bytes/rule", [our_bytes], [peer_bytes], "OVS", BYTES_GOAL, goal_is_for_ours=True),
        ]
    return figures.show(found, options.json)


if __name__ == "__main__":
    try:
        machine.check("sluiced", "sluicectl")
        sys.exit(0 if main() else 1)
    except machine.BenchmarkError as error:
        sys.exit(f"rules.sh: {error}")
