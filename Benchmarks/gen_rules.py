#!/usr/bin/env python3
"""gen_rules.py OUT: a seeded access list in the syntax of `ovs-ofctl add-flows`, for the benchmarks.

What: --count rules over IPv4 five-tuples whose shapes (which fields, how long the prefixes) are drawn from the mix that access
lists of real sites have: mostly host or subnet pairs with an exact destination port, a few wide ones. More specific rules have
higher priorities, unique ones up to 60,000 rules; the last rule catches everything. The same options give the same bytes.
"""

import argparse
import random
import sys

# (weight, source prefix length, destination prefix length, protocol, source port mask, destination port mask)
SHAPES = [
    (24, 32, 32, "tcp", 0, 0xFFFF), (12, 32, 32, "udp", 0, 0xFFFF), (12, 24, 32, "tcp", 0, 0xFFFF), (9, 16, 32, "tcp", 0, 0xFFFF),
    (8, 0, 32, "tcp", 0, 0xFFFF), (6, 0, 32, "udp", 0, 0xFFFF), (6, 24, 24, "tcp", 0, 0xFFFF), (5, 32, 24, "ip", 0, 0),
    (5, 24, 24, "ip", 0, 0), (4, 32, 32, "ip", 0, 0), (3, 20, 28, "tcp", 0, 0xFFF0), (2, 32, 0, "udp", 0xFFFF, 0),
    (2, 0, 24, "udp", 0, 0xFF00), (1, 28, 30, "udp", 0xFFFF, 0xFFFF), (1, 24, 16, "tcp", 0xFFFF, 0),
]
SERVICES = [22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 514, 636, 993, 1433, 3306, 3389, 5432, 6379, 8080, 8443, 9092, 27017]


def dotted(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=2, help="the port that every rule sends to")
    options = parser.parse_args()
    if not 1 <= options.count <= 2_000_000:
        parser.error("--count is 1 to 2000000")

    source = random.Random(options.seed)
    subnets = [10 << 24 | source.getrandbits(16) << 8 for _ in range(max(16, options.count // 12))]

    def prefix(length):
        number = source.choice(subnets) | source.getrandbits(8)
        return number & (0xFFFFFFFF << 32 - length & 0xFFFFFFFF), length

    def port(mask):
        number = source.choice(SERVICES) if source.random() < 0.7 else 1024 + source.getrandbits(13)
        return number & mask, mask

    rules = {}
    while len(rules) < options.count:
        _, from_length, to_length, protocol, from_mask, to_mask = source.choices(SHAPES, [shape[0] for shape in SHAPES])[0]
        rules.setdefault((protocol, prefix(from_length), prefix(to_length), port(from_mask), port(to_mask)))

    def exactness(rule):
        protocol, (_, from_length), (_, to_length), (_, from_mask), (_, to_mask) = rule
        return from_length + to_length + from_mask.bit_count() + to_mask.bit_count() + (8 if protocol != "ip" else 0)

    with open(options.out, "w") as file:
        for index, rule in enumerate(sorted(rules, key=exactness, reverse=True)):
            protocol, (from_ip, from_length), (to_ip, to_length), (from_port, from_mask), (to_port, to_mask) = rule
            match = protocol
            if from_length:
                match += f",nw_src={dotted(from_ip)}/{from_length}"
            if to_length:
                match += f",nw_dst={dotted(to_ip)}/{to_length}"
            if from_mask:
                match += f",tp_src={from_port}/{from_mask:#x}"
            if to_mask:
                match += f",tp_dst={to_port}/{to_mask:#x}"
            file.write(f"priority={60001 - index * 60000 // max(60000, options.count)},{match},actions=output:{options.port}\n")
        file.write(f"priority=1,actions=output:{options.port}\n")
    print(f"{options.out}: {options.count} rules, seed {options.seed}", file=sys.stderr)


if __name__ == "__main__":
    main()
