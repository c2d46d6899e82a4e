#!/usr/bin/env python3
"""gen_trace.py OUT.pcap: a seeded trace of small IPv4 frames for the benchmarks.

What: a little-endian pcap of --packets Ethernet frames that belong to --flows distinct five-tuples, in uniform random, Zipf or
round-robin order. The same options give the same bytes, on every machine: only the standard library's generator is used.
Units: --size counts the frame on the wire with its 4-byte check sequence, so 64 (the default) stores 60 bytes.
Addresses: without --rules from 10.0.0.0/10 to 10.128.0.0/16; with --rules FILE (as gen_rules.py writes it) every flow matches a
rule of the file, drawn uniformly, and the bits that the rule leaves open are random inside 10.0.0.0/8.
Parts: --parts M writes OUT-0.pcap to OUT-(M-1).pcap instead, flow number n into part n modulo M, for contenders that need several ports
to hold a long trace. A MAC address stays in one part when M divides --macs.
Cost: about 10 seconds and 500 MB for a million flows.
"""

import argparse
import bisect
import itertools
import random
import re
import struct
import sys

TCP, UDP = 6, 17


def checksum(header):
    """The internet checksum of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def frame(flow, size, macs, number):
    """The bytes of one flow's frame; the layer 4 checksum is left 0, which means none in UDP."""
    protocol, source, destination, source_port, destination_port = flow
    length = size - 14
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, length, 0, 0, 64, protocol, 0, source, destination)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    if protocol == UDP:
        transport = struct.pack("!HHHH", source_port, destination_port, length - 20, 0)
    else:
        transport = struct.pack("!HHIIBBHHH", source_port, destination_port, 1, 1, 0x50, 0x10, 0xFFFF, 0, 0)
    mac = number % macs
    ethernet = bytes.fromhex("02000001") + struct.pack("!H", mac) + bytes.fromhex("02000000") + struct.pack("!HH", mac, 0x0800)
    return (ethernet + ip + transport).ljust(size, b"\0")


def plain_flows(random_source, protocol):
    """Endless random five-tuples of one protocol, or of both."""
    while True:
        chosen = protocol or random_source.choice((TCP, UDP))
        yield (
            chosen, 10 << 24 | random_source.getrandbits(22), 10 << 24 | 1 << 23 | random_source.getrandbits(16),
            1024 + random_source.getrandbits(15), 1024 + random_source.getrandbits(10))


def address(text):
    value, _, length = text.partition("/")
    octets = [int(part) for part in value.split(".")]
    number = octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]
    return number, 0xFFFFFFFF << 32 - int(length or 32) & 0xFFFFFFFF


def port(text):
    value, _, mask = text.partition("/")
    return int(value, 0), int(mask, 0) if mask else 0xFFFF


def flows_of_rules(random_source, path):
    """Endless five-tuples that match the rules of a file, catch-all rules left out."""
    rules = []
    for line in open(path):
        match = line.split("actions=")[0]
        fields = dict(re.findall(r"(nw_src|nw_dst|tp_src|tp_dst)=([^, ]+)", match))
        if fields:
            protocol = TCP if re.search(r"\btcp\b", match) else UDP if re.search(r"\budp\b", match) else 0
            rules.append((
                protocol, address(fields.get("nw_src", "0.0.0.0/0")), address(fields.get("nw_dst", "0.0.0.0/0")),
                port(fields.get("tp_src", "0/0")), port(fields.get("tp_dst", "0/0"))))
    if not rules:
        sys.exit(f"gen_trace.py: {path}: no rule with addresses or ports in it")
    while True:
        protocol, *wanted = random_source.choice(rules)
        open_bits = (
            10 << 24 | random_source.getrandbits(24), 10 << 24 | random_source.getrandbits(24),
            1024 + random_source.getrandbits(15), 1024 + random_source.getrandbits(15))
        yield (
            protocol or random_source.choice((TCP, UDP)),
            *(value & mask | bits & ~mask for (value, mask), bits in zip(wanted, open_bits)))


def distinct(flows, count):
    """The first `count` different items of an endless iterator."""
    seen = {}
    for attempt, flow in enumerate(flows):
        seen.setdefault(flow)
        if len(seen) == count:
            return list(seen)
        if attempt > 50 * count + 100_000:
            sys.exit(f"gen_trace.py: the rules allow only about {len(seen)} flows, {count} were asked for")


def order(random_source, kind, flows, packets, exponent):
    """The flow number of every packet. In uniform order every flow comes at least once when there are packets enough."""
    if kind == "round-robin":
        return [n % flows for n in range(packets)]
    if kind == "uniform":
        numbers = list(range(min(flows, packets))) + [random_source.randrange(flows) for _ in range(packets - flows)]
        random_source.shuffle(numbers)
        return numbers
    sums = list(itertools.accumulate(1 / n**exponent for n in range(1, flows + 1)))
    popularity = list(range(flows))
    random_source.shuffle(popularity)
    return [popularity[min(bisect.bisect(sums, random_source.random() * sums[-1]), flows - 1)] for _ in range(packets)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT.pcap")
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--packets", type=int, default=0, help="default: flows, at least 8192")
    parser.add_argument("--order", choices=["uniform", "zipf", "round-robin"], default="uniform")
    parser.add_argument("--zipf-exponent", type=float, default=1.0)
    parser.add_argument("--protocol", choices=["udp", "tcp", "both"], default="udp")
    parser.add_argument("--rules", metavar="FILE")
    parser.add_argument("--macs", type=int, default=1, help="distinct source and destination MAC addresses")
    parser.add_argument("--size", type=int, default=64, help="bytes on the wire, 64 to 1518")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", type=int, default=0, metavar="M")
    options = parser.parse_args()
    if not 0 <= options.parts <= 64:
        parser.error("--parts is 1 to 64")
    if not 64 <= options.size <= 1518 or options.flows < 1 or not 1 <= options.macs <= 65536:
        parser.error("--size is 64 to 1518, --flows at least 1, --macs 1 to 65536")

    random_source = random.Random(options.seed)
    if options.rules:
        endless = flows_of_rules(random_source, options.rules)
    else:
        endless = plain_flows(random_source, {"udp": UDP, "tcp": TCP, "both": 0}[options.protocol])
    stored = options.size - 4
    flows = distinct(endless, options.flows)
    frames = [frame(flow, stored, options.macs, number) for number, flow in enumerate(flows)]
    packets = options.packets or max(options.flows, 8192)
    numbers = order(random_source, options.order, options.flows, packets, options.zipf_exponent)
    parts = options.parts or 1
    stem = options.out.removesuffix(".pcap")
    for part in range(parts):
        with open(f"{stem}-{part}.pcap" if options.parts else options.out, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for index, number in enumerate(numbers):
                if number % parts == part:
                    file.write(struct.pack("<IIII", index // 1_000_000, index % 1_000_000, stored, stored) + frames[number])
    print(f"{options.out}: {packets} packets, {options.flows} flows, {options.order}, seed {options.seed}", file=sys.stderr)


if __name__ == "__main__":
    main()
