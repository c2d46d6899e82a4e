#!/usr/bin/env python3
"""Writes the seeds of the fuzzers: seeds.py DIRECTORY makes DIRECTORY/rule and DIRECTORY/frame.

A seed of the rule fuzzer is a line of Seeds/rules.txt. A seed of the frame fuzzer is a byte with the number of actions, three bytes
for each, and a frame built here, header by header."""

import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent


def ethernet(ethertype, payload, *tags):
    """tags: (TPID, TCI), outermost first."""
    frame = bytes.fromhex("02000000000b02000000000a")
    for tpid, tci in tags:
        frame += struct.pack("!HH", tpid, tci)
    return frame + struct.pack("!H", ethertype) + payload


def ipv4(proto, payload, options=b"", fragment=0):
    length = 20 + len(options) + len(payload)
    return (
        struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0xB8, length, 1, fragment, 64, proto, 0)
        + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options + payload
    )


def ipv6(proto, payload):
    addresses = bytes.fromhex("20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02")
    return struct.pack("!IHBB", 0x60012345, len(payload), proto, 64) + addresses + payload


def mpls(label, payload, bottom=1, ttl=64):
    return struct.pack("!I", label << 12 | 5 << 9 | bottom << 8 | ttl) + payload


def extension(following, words=0):
    return struct.pack("!BB", following, words) + bytes(6 + 8 * words)


TCP = struct.pack("!HHIIBBHHH", 1000, 80, 1, 2, 0x50, 0x12, 512, 0, 0)
UDP = struct.pack("!HHHH", 1000, 53, 12, 0x1234) + b"data"
SCTP = struct.pack("!HHII", 1000, 2000, 1, 0) + bytes(4)
ICMP = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
SOLICITATION = struct.pack("!BBHI", 135, 0, 0, 0) + bytes(15) + b"\1" + b"\1\1" + bytes(6)
ADVERTISEMENT = struct.pack("!BBHI", 136, 0, 0, 0) + bytes(15) + b"\1" + b"\2\1" + bytes(6)
ARP = bytes.fromhex("0001080006040001") + bytes(20)
# The fields that FrameFuzz.swift can set.
FIELDS = 35
TAG, SERVICE_TAG = (0x8100, 0x300A), (0x88A8, 0x0014)

FRAMES = {
    "tcp": ethernet(0x800, ipv4(6, TCP)),
    "udp": ethernet(0x800, ipv4(17, UDP)),
    "udp-padded": ethernet(0x800, ipv4(17, UDP)) + bytes(18),
    "sctp": ethernet(0x800, ipv4(132, SCTP)),
    "icmp": ethernet(0x800, ipv4(1, ICMP)),
    "options": ethernet(0x800, ipv4(17, UDP, options=b"\x94\x04\0\0")),
    "first-fragment": ethernet(0x800, ipv4(17, UDP, fragment=0x2000)),
    "later-fragment": ethernet(0x800, ipv4(17, UDP, fragment=0x0010)),
    "tagged": ethernet(0x800, ipv4(6, TCP), TAG),
    "two-tags": ethernet(0x800, ipv4(6, TCP), SERVICE_TAG, TAG),
    "three-tags": ethernet(0x800, ipv4(6, TCP), SERVICE_TAG, TAG, TAG),
    "tcp6": ethernet(0x86DD, ipv6(6, TCP)),
    "udp6-tagged": ethernet(0x86DD, ipv6(17, UDP), TAG),
    "sctp6": ethernet(0x86DD, ipv6(132, SCTP)),
    "solicitation": ethernet(0x86DD, ipv6(58, SOLICITATION)),
    "advertisement": ethernet(0x86DD, ipv6(58, ADVERTISEMENT)),
    "extensions": ethernet(0x86DD, ipv6(0, extension(43) + extension(60) + extension(6, 1) + TCP)),
    "fragment6": ethernet(0x86DD, ipv6(44, struct.pack("!BBHI", 17, 0, 1, 7) + UDP)),
    "later-fragment6": ethernet(0x86DD, ipv6(44, struct.pack("!BBHI", 17, 0, 0x10, 7) + UDP)),
    "extensions-unordered": ethernet(0x86DD, ipv6(43, extension(0) + extension(60) + extension(43) + extension(59))),
    "authentication": ethernet(0x86DD, ipv6(51, struct.pack("!BB", 17, 4) + bytes(22) + UDP)),
    "encryption": ethernet(0x86DD, ipv6(50, bytes(24))),
    "no-next-header": ethernet(0x86DD, ipv6(59, b"")),
    "arp": ethernet(0x806, ARP),
    "rarp": ethernet(0x8035, ARP),
    "mpls-ipv4": ethernet(0x8847, mpls(16, ipv4(17, UDP))),
    "mpls-two-labels": ethernet(0x8847, mpls(0xFFFFF, mpls(17, ipv6(6, TCP)), bottom=0)),
    "mpls-multicast-tagged": ethernet(0x8848, mpls(18, ipv4(6, TCP), ttl=1), TAG),
    "mpls-cut": ethernet(0x8847, b"\0\1\2"),
    "pbb": ethernet(0x88E7, b"\x40\x12\x34\x56" + ethernet(0x800, ipv4(6, TCP))),
    "pbb-tagged": ethernet(0x88E7, bytes(4) + ethernet(0x86DD, ipv6(17, UDP), TAG), SERVICE_TAG),
    "pbb-cut": ethernet(0x88E7, bytes(17)),
    "lldp": ethernet(0x88CC, bytes(20)),
}


def main():
    target = pathlib.Path(sys.argv[1])
    for name in ("rule", "frame"):
        (target / name).mkdir(parents=True, exist_ok=True)
    for number, line in enumerate((HERE / "Seeds" / "rules.txt").read_text().splitlines()):
        if line and not line.startswith("#"):
            (target / "rule" / f"line-{number}").write_text(line)
    for number, (name, frame) in enumerate(FRAMES.items()):
        # Two fields by their number, the second one under a mask; 48 push VLAN, 49 pop VLAN, 50 decrement the TTL.
        fields = [[number % FIELDS | 64, 0x12, 0x34], [48, 0, 1], [50, 0, 0], [49, 0, 0], [(number + 7) % FIELDS, 0xAB, 0xCD]]
        # 51 push MPLS, 52 pop MPLS, 53 push PBB, 54 pop PBB, 55 decrement the MPLS TTL, 56 and 57 copy the TTL inwards and outwards.
        labels = [[51, 0, 0], [57, 0, 0], [55, 0, 0], [56, 0, 0], [52, 0, number % 6], [53, 0, 0], [54, 0, 0]]
        for kind, actions in (("fields", fields), ("labels", labels)):
            (target / "frame" / f"{name}-{kind}").write_bytes(bytes([len(actions)]) + bytes(sum(actions, [])) + frame)


if __name__ == "__main__":
    main()
