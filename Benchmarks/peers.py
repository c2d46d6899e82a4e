#!/usr/bin/env python3
"""The table of classification: three rule sets, 1 to 1,000,000 flows; sluice, OVS-DPDK with and without its signature match cache,
testpmd as the floor.

All replay the same traces from memory in a loop and drop what they forward; the peers by DPDK's net_pcap (infinite_rx=1) into
net_null. Figures are time-stamp counter cycles per packet of the one thread that forwards, on CPU 1; of several windows the smallest,
for everybody, because other work on the machine can only make a window dearer. The better of OVS's two is what we compare with.
"""

import argparse
import json
import sys
import time

import machine
from figures import Figure
from inputs import destinations, joined, packets, rule_file, traces
from machine import Namespace, cycles_per_second, huge_pages, thread_seconds
from ovs import OpenVSwitch
from sluice import forward
from testpmd import TestPMD

FLOWS = [1, 1000, 8192, 100_000, 1_000_000]
# What ours may need of OVS-DPDK's cycles, by rule set and flows.
GOALS = {
    "l3": dict(zip(FLOWS, (0.55, 0.45, 0.35, 0.30, 0.35))),
    "acl": dict(zip(FLOWS, (0.55, 0.35, 0.25, 0.12, 0.01))),
    "normal": dict(zip(FLOWS, (0.60, 0.40, 0.30, 0.30, 0.35))),
}
TITLES = {"l3": "one prefix rule", "acl": "1,000 ACL rules", "normal": "NORMAL, 1,000 MACs"}
WINDOWS = 3
LCORE = "(rte-worker|lcore-worker|dpdk-worker)"


def floor_cycles(trace, seconds):
    buffers = max(262_144, packets(trace) + 60_000)
    huge_pages(200 + buffers * 2500 // 1_000_000)
    peer = TestPMD([f"net_pcap0,rx_pcap={trace},infinite_rx=1", "net_null0,no-rx=1"], buffers)
    try:
        shares = []
        for _ in range(WINDOWS):
            before, began = thread_seconds(peer.process.pid, LCORE), time.monotonic()
            time.sleep(seconds)
            shares.append((thread_seconds(peer.process.pid, LCORE) - before) / (time.monotonic() - began))
        return cycles_per_second() * min(max(shares), 1) / peer.best_packets_per_second()
    finally:
        peer.close()


def ovs_cycles(namespace, kind, rules, parts, flows, seconds, with_smc):
    """(cycles per packet, megaflows, whether it had settled)"""
    huge_pages(1400 + 1700 * (len(parts) - 1))
    ovs = OpenVSwitch(namespace, dpdk=True, settings=["smc-enable=true"] if with_smc else [])
    try:
        ovs.add_null_port(2)
        ovs.set_rules(rules.read_text())
        if kind == "normal":
            ovs.teach("p2", destinations(flows))
        ovs.add_traces(parts)
        settled = ovs.settle(40 if flows > 8192 else 10)
        samples = [ovs.sample(seconds) for _ in range(WINDOWS)]
        return min(spent * cycles_per_second() / received for received, _, spent in samples), ovs.flow_count(), settled
    finally:
        ovs.close()


class Cell:
    """One rule set with one number of flows."""

    def __init__(self, kind, flows):
        self.kind, self.flows = kind, flows
        self.floor = self.smc = None
        self.settled = True

    def measure(self, namespace, seconds, quick):
        rules, parts = rule_file(self.kind), traces(self.kind, self.flows)
        learnt = ["--stations-at", 2] if self.kind == "normal" else []
        self.ours = forward(rules, parts, seconds * WINDOWS, *learnt)
        self.default, self.megaflows, self.settled = ovs_cycles(namespace, self.kind, rules, parts, self.flows, seconds, False)
        if not quick:
            self.smc, _, _ = ovs_cycles(namespace, self.kind, rules, parts, self.flows, seconds, True)

    @property
    def figure(self):
        best = min(self.default, self.smc or self.default)
        return Figure(
            f"peers-{self.kind}-{self.flows}-flows", "cycles/packet", [self.ours["cyclesPerPacket"]], [best], "OVS-DPDK",
            f"<= {GOALS[self.kind][self.flows]}")

    def document(self):
        keys = ("flows", "masks", "rssBytes", "stageCycles", "mpps")
        return {
            **self.figure.document(), "ruleSet": self.kind, "traceFlows": self.flows, "testpmd": self.floor, "ovsDefault": self.default,
            "ovsSMC": self.smc, "ovsMegaflows": self.megaflows, "ovsSettled": self.settled, **{key: self.ours[key] for key in keys}}


def table(cells):
    """The rows of the table, a block for each rule set."""
    flows = sorted({cell.flows for cell in cells})
    by_place = {(cell.kind, cell.flows): cell for cell in cells}
    number = lambda value: "-" if value is None else f"{value:,.0f}"
    rows = [("cycles per packet", *(f"{count:,} flow{'s' if count > 1 else ''}" for count in flows))]
    for kind in TITLES:
        row = [by_place.get((kind, count)) for count in flows]
        if not any(row):
            continue
        line = lambda title, of: rows.append((title, *(of(cell) if cell else "-" for cell in row)))
        rows.append((f"{TITLES[kind]}:", *("" for _ in flows)))
        line("  testpmd io (floor)", lambda cell: number(cell.floor))
        line("  OVS-DPDK", lambda cell: number(cell.default) + ("" if cell.settled else "*"))
        line("  OVS-DPDK with SMC", lambda cell: number(cell.smc))
        line("  sluice", lambda cell: number(cell.ours["cyclesPerPacket"]))
        line("  sluice / OVS", lambda cell: f"{cell.figure.ratio:.3f}")
        line("  goal", lambda cell: cell.figure.goal)
        line("", lambda cell: "met" if cell.figure.met else "MISSED")
    if not all(cell.settled for cell in cells):
        rows.append(("* OVS still sets up flows after 40 seconds",))
    return rows


def show(rows):
    columns = max(map(len, rows))
    widths = [max(len(row[column]) for row in rows if len(row) == columns) for column in range(columns)]
    for row in rows:
        words = [row[0].ljust(widths[0])] + [word.rjust(width) for word, width in zip(row[1:], widths[1:])]
        print("  ".join(words).rstrip())


def main():
    parser = argparse.ArgumentParser(prog="peers.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="a line of JSON per cell")
    parser.add_argument("--quick", action="store_true", help="1,000 and 100,000 flows, OVS without SMC, windows of a second")
    parser.add_argument("--sets", default="l3,acl,normal", help="rule sets (default l3,acl,normal)")
    parser.add_argument("--flows", help="numbers of flows (default 1,1000,8192,100000,1000000)")
    parser.add_argument("--seconds", type=int, help="of each of three windows (default 2)")
    options = parser.parse_args()
    kinds = options.sets.split(",")
    counts = [int(word) for word in options.flows.split(",")] if options.flows else [1000, 100_000] if options.quick else FLOWS
    if not set(kinds) <= set(GOALS) or not set(counts) <= set(FLOWS):
        parser.error(f"--sets is of {','.join(GOALS)}, --flows of {','.join(map(str, FLOWS))}")
    seconds = options.seconds or (1 if options.quick else 2)

    namespace = Namespace("peers")
    cells = []
    for flows in counts:
        # Receiving costs the same whatever the rules are, so a floor serves all rule sets.
        floor = floor_cycles(joined(traces("l3", flows)), seconds)
        for kind in kinds:
            cell = Cell(kind, flows)
            cell.floor = floor
            cell.measure(namespace, seconds, options.quick)
            cells.append(cell)
            print(
                f"{kind}, {flows} flows: testpmd {floor:.0f}, OVS-DPDK {cell.default:.0f}"
                + (f", with SMC {cell.smc:.0f}" if cell.smc else "")
                + f", sluice {cell.ours['cyclesPerPacket']:.0f}: {cell.figure.ratio:.3f}, goal {cell.figure.goal}",
                file=sys.stderr, flush=True)
            if options.json:
                print(json.dumps(cell.document()), flush=True)
    if not options.json:
        show(table(cells))
    return all(cell.figure.met for cell in cells)


if __name__ == "__main__":
    try:
        machine.check("sluice-bench")
        sys.exit(0 if main() else 1)
    except machine.BenchmarkError as error:
        sys.exit(f"peers.sh: {error}")
