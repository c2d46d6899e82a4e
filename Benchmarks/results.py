#!/usr/bin/env python3
"""Writes RESULTS.md from the figures that results.sh has kept in .peers/results/."""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

from machine import PEERS, ROOT
from peers import FLOWS, GOALS, TITLES

KEPT = PEERS / "results"
PAGE = ROOT / "Benchmarks/RESULTS.md"


def documents(name):
    path = KEPT / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout else "not installed"


def machine_lines():
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    measured = max((path.stat().st_mtime for path in KEPT.glob("*.jsonl")), default=time.time())
    return [
        f"- Date: {time.strftime('%Y-%m-%d', time.gmtime(measured))}; tree: {first_line('git', '-C', str(ROOT), 'describe', '--always', '--dirty')}",
        f"- Machine: {os.cpu_count()} CPUs, {model[1] if model else platform.machine()}, {memory:.0f} GB, kernel {platform.release()}",
        f"- Peers: {first_line('ovs-vswitchd', '--version')}; DPDK {first_line('dpkg-query', '-W', '-f', '${Version}', 'dpdk')}",
    ]


def markdown(heads, rows):
    yield "| " + " | ".join(heads) + " |"
    yield "|---" + "|---:" * (len(heads) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def number(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def verdict(met):
    return {None: "", True: "met", False: "**missed**"}[met]


def classification():
    cells = {(cell["ruleSet"], cell["traceFlows"]): cell for cell in documents("peers")}
    if not cells:
        return
    counts = [count for count in FLOWS if any(flows == count for _, flows in cells)]
    yield "## Classification: cycles per packet (`peers.sh`)"
    yield ""
    yield "64-byte frames from memory, one thread, TSC cycles; a star: OVS still set up flows after 40 seconds."
    yield ""
    rows = []
    for kind in (kind for kind in TITLES if any(name == kind for name, _ in cells)):
        row = [cells.get((kind, count)) for count in counts]
        line = lambda title, of: rows.append([title, *("-" if cell is None else of(cell) for cell in row)])
        rows.append([f"**{TITLES[kind]}**", *("" for _ in counts)])
        line("testpmd io (floor)", lambda cell: number(cell["testpmd"]))
        line("OVS-DPDK", lambda cell: number(cell["ovsDefault"]) + ("" if cell["ovsSettled"] else "*"))
        line("OVS-DPDK with SMC", lambda cell: number(cell["ovsSMC"]))
        line("sluice", lambda cell: f"**{number(cell['ours'])}**")
        line("sluice / OVS", lambda cell: f"{cell['ratio']:.3f}")
        line("goal", lambda cell: f"{GOALS[cell['ruleSet']][cell['traceFlows']]} {verdict(cell['met'])}")
        line("flows / masks", lambda cell: f"{cell['flows']:,} / {cell['masks']}")
        line("resident, MiB", lambda cell: number(cell["rssBytes"] / 2**20))
    yield from markdown(["", *(f"{count:,} flow{'s' if count > 1 else ''}" for count in counts)], rows)


def figures(title, name):
    found = documents(name)
    if found:
        yield title
        yield ""
        yield from markdown(
            ["figure", "sluice", "peer", "", "ratio", "goal", ""],
            [[f"{one['name']}, {one['unit']}", number(one["ours"]), number(one["peer"]), one["peerName"], f"{one['ratio']:.2f}",
              ("sluice " if one["goalFor"] == "ours" else "") + one["goal"], verdict(one["met"])] for one in found])


def core_rules():
    for one in documents("core-rules"):
        yield "## Rules without the interface (`sluice-bench rules`)"
        yield ""
        yield (
            f"{one['rules']:,} rules: {number(one['parsesPerSecond'])} parsed a second, {number(one['loadsPerSecond'])} loaded, "
            f"{number(one['parsesAndLoadsPerSecond'])} in all, {number(one['removesPerSecond'])} removed; "
            f"{number(one['bytesPerRule'])} bytes a rule. Changes of one rule under load, each waited for: "
            f"{number(one['changesPerSecond'])} a second, median {number(one['changeMicrosecondsMedian'])} us, 99 % within "
            f"{number(one['changeMicrosecondsP99'])} us.")
        yield ""


def attacks():
    points = documents("attack")
    if not points:
        return
    yield "## Attacks (`sluice-bench attack`)"
    yield ""
    yield (
        "What established flows of one port, replayed as fast as the worker takes them, keep of their rate while another port is used for a "
        "flood of new flows, or for frames that ask for a mask each. Windows without and with the attack alternate; shown are the median of "
        "the ratios of pairs, the least and the greatest. Goal: a median of at least 90 %.")
    yield ""
    rows = []
    for point in points:
        offered = number(point["attackPacketsPerSecond"]) if point["attackPacketsPerSecond"] else "all that is taken"
        drops = ", ".join(f"{reason} {count:,}" for reason, count in sorted(point["attackDrops"].items()) if count)
        rows.append([
            f"{point['kind']}, {offered}", number(point["attackPacketsTakenPerSecond"]), f"{point['tuples']:,}", f"{point['masks']:,}",
            f"{point['flows']:,}", f"{point['mppsWithout']:.2f}", f"{point['mppsWith']:.2f}",
            *(f"{point[key] * 100:.1f} %" for key in ("kept", "keptLeast", "keptMost")), drops])
    yield from markdown(
        ["attack, packets/s offered", "taken", "tuples", "masks", "flows", "Mpps without", "with", "kept", "least", "most", "attacker's drops"],
        rows)


def main():
    sections = [
        classification(), figures("## Flow set-ups and memory (`setup.sh`)", "setup"),
        figures("## Rules through the interface (`rules.sh`)", "rules"), core_rules(), attacks()]
    body = [line for section in sections for line in section]
    if not body:
        sys.exit(f"results.py: nothing is in {KEPT}; run results.sh")
    head = [
        "# Results", "", "Written by `results.sh`; do not edit. [README.md](README.md) says how to read it. Compare ratios, not absolute values.", "",
        *machine_lines(), ""]
    PAGE.write_text("\n".join(head + body).rstrip() + "\n")
    print(f"{PAGE.relative_to(ROOT)}: {len(body)} lines")


if __name__ == "__main__":
    main()
