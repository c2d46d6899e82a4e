"""Frames on the wire of a container: sent and captured below its network stack.

What: `Tap` is a packet socket on an interface of a namespace. It speaks scapy packets, and puts the VLAN tag back that the
kernel keeps beside a captured frame.
Threads: a Tap belongs to the test that opened it.
"""

import socket
import struct
import time

from scapy.layers.l2 import Ether

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_PACKET_IGNORE_OUTGOING = 23
_PACKET_MR_PROMISC = 1
_PACKET_ADD_MEMBERSHIP = 1
_TP_STATUS_VLAN_VALID = 1 << 4
_TP_STATUS_VLAN_TPID_VALID = 1 << 6


class Tap:
    """A packet socket on one interface of a namespace.

        with Tap(container.namespace) as tap:
            tap.send(Ether(dst=other.mac) / IP(dst=other.ip4) / UDP(dport=9))
    """

    def __init__(self, namespace, interface="eth0"):
        self.interface = interface
        self.socket = namespace.call(self._open)

    def _open(self):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        opened.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        opened.bind((self.interface, _ETH_P_ALL))
        index = socket.if_nametoindex(self.interface)
        opened.setsockopt(
            _SOL_PACKET, _PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, _PACKET_MR_PROMISC, 0, b""))
        return opened

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *packets):
        """Sends scapy packets (checksums and lengths that were left out are computed) or plain bytes."""
        for packet in packets:
            self.socket.send(bytes(packet))

    def drain(self):
        """Throws away what has come in so far."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(1)
        except BlockingIOError:
            pass

    def frames(self, seconds):
        """The frames that come in within so many seconds, as bytes, one by one."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                yield self._receive()
            except (TimeoutError, socket.timeout):
                return

    def _receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(65536, 256)
        for level, kind, value in ancillary:
            if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
                if status & _TP_STATUS_VLAN_VALID:
                    if not status & _TP_STATUS_VLAN_TPID_VALID:
                        tpid = 0x8100
                    data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
        return data

    def wait(self, wanted, seconds=2):
        """The first packet for which `wanted(packet)` is true, or None."""
        for frame in self.frames(seconds):
            packet = Ether(frame)
            if wanted(packet):
                return packet
        return None

    def collect(self, wanted, seconds=1):
        """All packets of the next seconds for which `wanted(packet)` is true."""
        return [packet for packet in map(Ether, self.frames(seconds)) if wanted(packet)]


def with_payload(mark):
    """A predicate for `Tap.wait`: the packet carries these bytes."""
    return lambda packet: mark in bytes(packet)


def checksums_are_right(packet):
    """Whether the checksums of a captured packet are those that scapy computes for its content."""
    again = packet.copy()
    layer = again
    while layer:
        if hasattr(layer, "chksum"):
            del layer.chksum
        if layer.name == "ICMPv6 Echo Request" or layer.name == "ICMPv6 Echo Reply":
            del layer.cksum
        layer = layer.payload
    return bytes(type(packet)(bytes(again))) == bytes(packet)
