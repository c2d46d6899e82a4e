"""Streams between two containers whose losses are counted: UDP with numbered packets, and TCP with what was sent again.

Sockets are opened inside the containers' namespaces and used from threads of the test, so a stream costs no process.
"""

import collections
import contextlib
import functools
import select
import socket
import struct
import threading
import time


def _udp(container):
    made = container.namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    return made


class _Stream:
    """What is sent on one thread and received on another, until it is stopped."""

    def __init__(self, out, into, *works):
        self._out, self._in = out, into
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work) for work in works]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self._out.close()
        self._in.close()

    def stop(self):
        """Ends the stream and waits for what is under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()


class UdpStream(_Stream):
    """Numbered packets of one flow from one container to another, at a steady rate, until it is stopped.

    Attributes: `sent`, and `received`: how often each number came.
    """

    def __init__(self, source, target, port=4000, rate=1000, size=100):
        self.received = collections.Counter()
        self.sent = 0
        self._times = []
        self._padding = bytes(max(0, size - 8))
        self._interval = 1 / rate
        super().__init__(_udp(source), _udp(target), self._send, self._receive)
        self._in.bind((target.ip4, port))
        self._out.bind((source.ip4, port))
        self._out.connect((target.ip4, port))

    def arrived(self):
        """How many different packets have come."""
        return len(self.received)

    def lost(self):
        """The packets that were sent and never came, with the time of day (UTC, as in the agent's log) at which each was
        sent; to be asked after `stop`."""
        return [
            f"{number} at {time.strftime('%H:%M:%S', time.gmtime(when))}.{int(when * 1000) % 1000:03}"
            for number, when in enumerate(self._times) if number not in self.received
        ]

    def _send(self):
        due = time.monotonic()
        while not self._stopping.is_set():
            self._times.append(time.time())
            with contextlib.suppress(OSError):
                self._out.send(struct.pack("!Q", self.sent) + self._padding)
            self.sent += 1
            due += self._interval
            delay = due - time.monotonic()
            if delay > 0:
                time.sleep(delay)

    def _receive(self):
        self._in.setblocking(False)
        quiet = None
        while True:
            ready, _, _ = select.select([self._in], [], [], 0.05)
            if ready:
                quiet = None
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self.received[struct.unpack_from("!Q", self._in.recv(65536))[0]] += 1
            elif self._stopping.is_set():
                # The sender has stopped: what is under way arrives within half a second.
                quiet = quiet or time.monotonic()
                if time.monotonic() - quiet > 0.5:
                    return


class TcpStream(_Stream):
    """One connection that carries data as fast as `rate` bytes a second allow, until it is stopped."""

    def __init__(self, source, target, port=5000, rate=20_000_000, source_port=0):
        self._rate = rate
        listener = target.namespace.call(lambda: socket.create_server((target.ip4, port)))
        out = source.namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        out.bind((source.ip4, source_port))
        out.settimeout(10)
        out.connect((target.ip4, port))
        into, _ = listener.accept()
        listener.close()
        into.settimeout(10)
        super().__init__(out, into, *(functools.partial(self._guard, work) for work in (self._send, self._receive)))
        self.sent = self.received = 0
        self.error = None

    def lost(self):
        """Segments that were sent again since the connection began and had not come before: retransmissions without those of
        which the receiver said that it had two (tcpi_total_retrans and tcpi_dsack_dups of linux/tcp.h)."""
        facts = self._out.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return struct.unpack_from("I", facts, 100)[0] - struct.unpack_from("I", facts, 216)[0]

    def _guard(self, work):
        try:
            work()
        except OSError as error:
            self.error = error

    def _send(self):
        block = bytes(65536)
        begin = time.monotonic()
        while not self._stopping.is_set():
            self._out.sendall(block)
            self.sent += len(block)
            ahead = self.sent / self._rate - (time.monotonic() - begin)
            if ahead > 0:
                time.sleep(ahead)
        self._out.shutdown(socket.SHUT_WR)

    def _receive(self):
        while data := self._in.recv(1 << 18):
            self.received += len(data)
