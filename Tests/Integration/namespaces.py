"""Network namespaces of one test: the node that runs the agent, and the containers around it.

What: `Net` makes uniquely named namespaces joined by veth pairs, and removes them whatever happens.
Invariant: a name is never used twice in one run, and carries the process id, so that two runs do not meet.
Interfaces keep the kernel's default offloads: nothing here calls ethtool, because users do not either.
"""

import ctypes
import itertools
import os
import subprocess
import threading

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_sequence = itertools.count(1)


def run(*command, check=True, timeout=30, **options):
    """Runs a command and returns its CompletedProcess, with both outputs in the error when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


class Namespace:
    """One network namespace, by its name under /run/netns."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")
        # Duplicate address detection would make the first IPv6 packet of every test wait for two seconds.
        self.write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
        self.write("/proc/sys/net/ipv6/conf/all/accept_dad", "0")

    def enter(self, *command):
        """The command line that runs `command` in here. Not `ip netns exec`, which hides /sys/fs/bpf."""
        return ["nsenter", f"--net={self.path}", *map(str, command)]

    def run(self, *command, **options):
        return run(*self.enter(*command), **options)

    def start(self, *command, **options):
        """Starts a command in here in the background; the caller ends it."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        return subprocess.Popen(self.enter(*command), **options)

    def ip(self, *arguments, **options):
        return run("ip", "-n", self.name, *arguments, **options)

    def call(self, function):
        """Calls `function` on a thread that is in this namespace, and returns its result. A socket that it opens stays in
        here for life, whichever thread uses it later."""
        outcome = {}

        def body():
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
                try:
                    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), f"setns {self.path}")
                finally:
                    os.close(descriptor)
                outcome["value"] = function()
            except BaseException as error:  # handed to the caller's thread
                outcome["error"] = error

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    def write(self, path, text):
        def body():
            with open(path, "w") as file:
                file.write(text)

        self.call(body)

    def interfaces(self):
        """The names of the interfaces in here, without lo."""
        lines = self.ip("-o", "link", "show").stdout.splitlines()
        return [line.split(": ")[1].split("@")[0] for line in lines if ": lo:" not in line]

    def has_xdp(self, interface):
        """Whether an XDP program is attached."""
        return "prog/xdp" in self.ip("-d", "link", "show", "dev", interface).stdout

    def delete(self):
        for pid in run("ip", "netns", "pids", self.name, check=False).stdout.split():
            # Only processes that a test started live in a namespace of this name.
            run("kill", "-9", pid, check=False)
        run("ip", "netns", "del", self.name, check=False)


class Container:
    """A namespace with one interface, eth0, whose other end is an interface of the node."""

    def __init__(self, namespace, port, number, mac, ip4, ip6):
        self.namespace = namespace
        self.port = port
        self.number = number
        self.mac = mac
        self.ip4 = ip4
        self.ip6 = ip6

    def run(self, *command, **options):
        return self.namespace.run(*command, **options)

    def start(self, *command, **options):
        return self.namespace.start(*command, **options)

    def ping(self, target, count=3, size=56, wait=2, check=True):
        """Pings and returns how many answers came; with check, all must."""
        done = self.run(
            "ping", "-q", "-c", count, "-i", "0.05", "-W", wait, "-s", size, target, check=False, timeout=60)
        words = done.stdout.replace(",", "").split()
        received = int(words[words.index("received") - 1]) if "received" in words else 0
        if check:
            assert received == count, f"{received} of {count} answers from {target}\n{done.stdout}{done.stderr}"
        return received

    def reaches(self, target):
        """Whether one ping is answered within a second."""
        return self.ping(target, count=1, wait=1, check=False) == 1

    def neighbour(self, other):
        """Makes the other container known without ARP, for tests whose rules carry no ARP."""
        self.namespace.ip("neigh", "replace", other.ip4, "lladdr", other.mac, "dev", "eth0")
        self.namespace.ip("-6", "neigh", "replace", other.ip6, "lladdr", other.mac, "dev", "eth0")


class Net:
    """All namespaces of one test."""

    def __init__(self):
        self.prefix = f"sl{os.getpid()}t{next(_sequence)}"
        self.namespaces = []
        self.containers = 0
        self.node = self.namespace("node")

    def namespace(self, role):
        namespace = Namespace(f"{self.prefix}-{role}")
        self.namespaces.append(namespace)
        return namespace

    def veth(self, name, namespace, peer="eth0", mtu=1500, mac=None, queues=None):
        """A veth pair between the node (interface `name`) and a namespace (interface `peer`), both up. Without `queues` both
        ends have as many as the kernel chooses."""
        address = ["address", mac] if mac else []
        count = ["numtxqueues", queues, "numrxqueues", queues] if queues else []
        self.node.ip(
            "link", "add", name, "mtu", mtu, *count, "type", "veth", "peer", "name", peer, "mtu", mtu, *address, *count, "netns",
            namespace.name)
        self.node.ip("link", "set", name, "up")
        namespace.ip("link", "set", peer, "up")

    def container(self, port, mtu=1500):
        """A container with the next free addresses, behind the node's interface `port`."""
        self.containers += 1
        number = self.containers
        mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        ip4 = f"10.77.{number >> 8}.{number & 255}"
        ip6 = f"fd77::{number:x}"
        namespace = self.namespace(f"c{number}")
        self.veth(port, namespace, mtu=mtu, mac=mac)
        namespace.ip("addr", "add", f"{ip4}/16", "dev", "eth0")
        namespace.ip("-6", "addr", "add", f"{ip6}/64", "dev", "eth0")
        return Container(namespace, port, number, mac, ip4, ip6)

    def close(self):
        for namespace in reversed(self.namespaces):
            namespace.delete()
        self.namespaces.clear()
