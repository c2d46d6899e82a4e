"""Rule files and traces of the benchmarks: made once, kept in .peers/, made anew when their generator or its options change."""

import json
import sys

from machine import PEERS, ROOT, run

# Rules by name. `setup` makes every pair of addresses a flow of its own: its first mask is no prefix, so that nobody can look at
# less of an address, and no packet of ours matches it.
RULES = {
    "l3": "priority=1,ip,nw_dst=10.0.0.0/8,actions=output:2\n",
    "normal": "priority=1,actions=normal\n",
    "setup": (
        "priority=2,udp,nw_src=192.0.2.1/255.127.255.255,nw_dst=192.0.2.1/255.127.255.255,actions=drop\n"
        "priority=1,actions=output:2\n"),
}
# An OVS port holds its trace in a pool of 262,144 packet buffers at most, which receiving needs some of.
PACKETS_PER_PORT = 200_000


def _made(target, generator, *arguments, results):
    """Runs a generator unless it has made `results` from the same arguments before."""
    script = ROOT / "Benchmarks" / generator
    made_from = target.with_suffix(".made-from")
    key = json.dumps([script.stat().st_mtime, *map(str, arguments)])
    if not (made_from.exists() and made_from.read_text() == key and all(result.exists() for result in results)):
        run(sys.executable, script, target, *arguments, timeout=600)
        made_from.write_text(key)
    return results


def rule_file(kind, count=1000):
    """The file of a rule set: l3, acl, normal or setup; `count` rules in an acl."""
    directory = PEERS / "rules"
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "acl":
        path = directory / f"acl-{count}.rules"
        return _made(path, "gen_rules.py", "--count", count, results=[path])[0]
    path = directory / f"{kind}.rules"
    path.write_text(RULES[kind])
    return path


def traces(kind, flows):
    """The traces of a rule set with so many flows: one for each input port that OVS needs to hold them."""
    directory = PEERS / "traces"
    directory.mkdir(parents=True, exist_ok=True)
    options = ["--flows", flows]
    if kind == "acl":
        options += ["--rules", rule_file("acl"), "--protocol", "both"]
    elif kind == "normal":
        options += ["--macs", min(flows, 1000)]
    elif kind == "setup":
        options += ["--order", "round-robin", "--packets", flows]
    parts = -(-max(flows, 0 if kind == "setup" else 8192) // PACKETS_PER_PORT)
    stem = directory / f"{kind}-{flows}"
    results = [stem.parent / f"{stem.name}-{part}.pcap" for part in range(parts)]
    return _made(stem.with_suffix(".pcap"), "gen_trace.py", *options, "--parts", parts, results=results)


def joined(parts):
    """One trace with the packets of all parts, for a contender that holds it on one port."""
    if len(parts) == 1:
        return parts[0]
    whole = parts[0].with_name(parts[0].name.replace("-0.pcap", "-whole.pcap"))
    if not whole.exists() or whole.stat().st_mtime < max(part.stat().st_mtime for part in parts):
        with open(whole, "wb") as file:
            for place, part in enumerate(parts):
                file.write(part.read_bytes()[24 if place else 0:])
    return whole


def packets(trace):
    """Packets of a trace of 64-byte frames: a file header of 24 bytes, then 16 and 60 bytes each."""
    return (trace.stat().st_size - 24) // 76


def destinations(flows):
    """The destination addresses in a `normal` trace, as gen_trace.py numbers them."""
    return [f"02:00:00:01:{mac >> 8:02x}:{mac & 255:02x}" for mac in range(min(flows, 1000))]
